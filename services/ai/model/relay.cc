// Chat Completions passed on as bytes.
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/ai/model/provider.h"
#include "services/ai/model/provider_error.h"

namespace metamcp::ai {
namespace {

constexpr size_t kBodyMax = 8u << 20;
constexpr size_t kErrorBodyMax = 256u << 10;
constexpr std::chrono::milliseconds kConnect{5000};
// Bytes of a token, where nobody says how many there were.
constexpr int64_t kTokenBytes = 4;

// What the client did wrong is for the client; the rest is between us and the provider.
bool IsClients(int status) { return status == 400 || status == 413 || status == 422; }

bool IsStream(const http::HttpHeaders& headers) {
  return std::string(headers.Get("Content-Type")).starts_with("text/event-stream");
}

absl::Status CutOff(const ProviderSpec& spec) {
  return MakeError("AI_PROVIDER_FAILED", "ai",
                   StrCat("provider \"", spec.name, "\" ended before its answer did"));
}

}  // namespace

Awaitable<absl::Status> HttpProvider::RelayStream(http::HttpClientResponse& response,
                                                  const ChatShape& shape, ChatOut& out,
                                                  ChatEnd* end) {
  ChatStream stream(shape.wants_usage);
  absl::Status status;
  for (;;) {
    auto reading = response.ReadSome();
    const auto piece = co_await std::move(reading);
    if (!piece.ok()) status = piece.status();
    if (!piece.ok() || !piece->has_value()) break;
    const auto taken = stream.Take(**piece);
    status = taken.status();
    if (!status.ok()) break;
    if (taken->empty()) continue;
    auto passing = out.Data(*taken);
    status = co_await std::move(passing);
    if (!status.ok()) break;
  }
  std::string rest = stream.Rest();
  if (status.ok() && !rest.empty()) {
    auto passing = out.Data(std::move(rest));
    status = co_await std::move(passing);
  }
  if (stream.told()) end->usage = stream.usage();
  // A chunk is about a token.
  if (!stream.told()) end->usage.output_tokens = stream.chunks();
  if (status.ok() && !stream.ended()) co_return CutOff(spec_);
  co_return status;
}

Awaitable<absl::Status> HttpProvider::RelayAnswer(http::HttpClientResponse& response,
                                                  const ChatShape& shape, ChatOut& out,
                                                  ChatEnd* end) {
  const int code = response.status();
  if (code != 200 && !IsClients(code)) {
    auto reading = response.ReadAll(kErrorBodyMax);
    const auto body = co_await std::move(reading);
    co_return ProviderError(spec_, code, response.headers(), body.ok() ? *body : std::string());
  }
  std::string type(response.headers().Get("Content-Type"));
  if (code == 200 && IsStream(response.headers())) {
    end->began = true;
    auto beginning = out.Begin(code, std::move(type), spec_.name);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(beginning));
    auto streaming = RelayStream(response, shape, out, end);
    co_return co_await std::move(streaming);
  }
  // Whole, so that another can be asked where it breaks off.
  auto reading = response.ReadAll(kBodyMax);
  METAMCP_CO_ASSIGN_OR_RETURN(std::string body, co_await std::move(reading));
  if (code == 200 && !ReadChatUsage(body, &end->usage)) {
    end->usage.output_tokens = static_cast<int64_t>(body.size()) / kTokenBytes;
  }
  end->began = true;
  auto beginning = out.Begin(code, type.empty() ? "application/json" : std::move(type), spec_.name);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(beginning));
  auto passing = out.Data(std::move(body));
  co_return co_await std::move(passing);
}

Awaitable<absl::Status> HttpProvider::Relay(const CallContext& ctx, const std::string& body,
                                            const ChatShape& shape, ChatOut& out, ChatEnd* end) {
  const std::chrono::milliseconds patience(spec_.timeout_ms);
  http::HttpClientRequest call("POST", ApiUrl(spec_));
  for (const auto& [name, value] : ApiHeaders(spec_)) call.headers.Set(name, value);
  call.headers.Set("Accept", shape.stream ? "text/event-stream" : "application/json");
  call.body = ChatBodyFor(spec_, body, shape);
  call.allow_plain_http = spec_.allow_plain_http;
  call.connect_timeout = kConnect;
  call.first_byte_timeout = patience;
  call.idle_timeout = patience;
  call.domain = "ai";
  end->provider = spec_.name;
  const CallContext capped = ctx.Capped(patience);
  auto sending = http_.Send(capped, std::move(call));
  const auto response = co_await std::move(sending);
  if (!response.ok()) co_return InProvidersName(spec_, response.status());
  auto answering = RelayAnswer(**response, shape, out, end);
  const absl::Status status = co_await std::move(answering);
  const bool passed = status.ok() && (*response)->status() == 200;
  if (end->began && end->usage.input_tokens == 0 && ((*response)->status() == 200)) {
    end->usage.input_tokens = static_cast<int64_t>(body.size()) / kTokenBytes;
  }
  if (passed || end->began) {
    end->cost_micros = CostOf(spec_, end->usage);
  }
  co_return status.ok() ? status : InProvidersName(spec_, status);
}

}  // namespace metamcp::ai
