#include "services/ai/model/provider.h"

#include <charconv>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/json/scan.h"

namespace metamcp::ai {
namespace {

constexpr size_t kBodyMax = 8u << 20;
constexpr size_t kErrorBodyMax = 64u << 10;
constexpr std::chrono::milliseconds kConnect{5000};

// The provider's own message, without more of its text than a person wants to read.
std::string MessageOf(const std::string& body) {
  const auto object = json::ScanObject(body);
  if (!object.ok()) return "";
  if (const auto error = json::ScanObject(object->Raw("error")); error.ok()) {
    return error->String("message").value_or("").substr(0, 200);
  }
  return object->String("message").value_or("").substr(0, 200);
}

absl::Status HttpError(const ProviderSpec& spec, int status, const http::HttpHeaders& headers,
                       const std::string& body) {
  std::map<std::string, std::string> metadata = {{"status", StrCat(status)}};
  const std::string after(headers.Get("Retry-After"));
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(after.data(), after.data() + after.size(), seconds);
  if (!after.empty() && error == std::errc() && end == after.data() + after.size()) {
    metadata["retryAfterMs"] = StrCat(std::min<int64_t>(seconds, 86'400) * 1000);
  }
  std::string message = StrCat("provider \"", spec.name, "\" answered ", status);
  const std::string own = MessageOf(body);
  // A provider may quote what it was sent.
  if (!own.empty() && (spec.key.empty() || own.find(spec.key) == std::string::npos)) {
    message += StrCat(": ", own);
  }
  return MakeError("AI_PROVIDER_FAILED", "ai", message, std::move(metadata));
}

// Transport errors in our words; refusals and the like are already.
absl::Status InOurWords(const ProviderSpec& spec, const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (info && info->reason.starts_with("AI_")) return status;
  if (absl::IsCancelled(status)) return status;
  const bool late = absl::IsDeadlineExceeded(status);
  return MakeError("AI_PROVIDER_FAILED", "ai",
                   StrCat("provider \"", spec.name, "\" ", late ? "was too slow" : "failed: ",
                          late ? "" : std::string(status.message())));
}

}  // namespace

Awaitable<absl::StatusOr<ModelReply>> HttpProvider::ReadStream(http::HttpClientResponse& response) {
  const std::unique_ptr<StreamReader> reader = NewStreamReader(spec_.api);
  http::SseParser parser(http::SseParser::Limits(kBodyMax, kBodyMax));
  size_t bytes = 0;
  absl::Status failed;
  while (!reader->done() && failed.ok()) {
    auto reading = response.ReadSome();
    METAMCP_CO_ASSIGN_OR_RETURN(const auto piece, co_await std::move(reading));
    if (!piece) break;
    bytes += piece->size();
    if (bytes > kBodyMax) {
      co_return MakeError("AI_ANSWER_INVALID", "ai", "the provider's answer is longer than 8 MiB");
    }
    const absl::Status fed = parser.Feed(*piece, [&](http::SseMessage& message) {
      if (failed.ok()) failed = reader->Take(message.event, message.data);
    });
    if (failed.ok()) failed = fed;
  }
  if (!failed.ok()) co_return failed;
  co_return reader->Finish();
}

Awaitable<absl::StatusOr<ModelReply>> HttpProvider::Send(const CallContext& ctx,
                                                         http::HttpClientRequest call) {
  auto sending = http_.Send(ctx, std::move(call));
  METAMCP_CO_ASSIGN_OR_RETURN(const auto response, co_await std::move(sending));
  if (response->status() != 200) {
    auto reading = response->ReadAll(kErrorBodyMax);
    const auto body = co_await std::move(reading);
    co_return HttpError(spec_, response->status(), response->headers(),
                        body.ok() ? *body : std::string());
  }
  const std::string type(response->headers().Get("Content-Type"));
  // Some servers answer whole although they were asked for a stream.
  if (type.starts_with("text/event-stream")) {
    auto streaming = ReadStream(*response);
    co_return co_await std::move(streaming);
  }
  auto reading = response->ReadAll(kBodyMax);
  METAMCP_CO_ASSIGN_OR_RETURN(const std::string body, co_await std::move(reading));
  co_return DecodeReply(spec_.api, body);
}

Awaitable<absl::StatusOr<ModelReply>> HttpProvider::Ask(const CallContext& ctx,
                                                        const ModelRequest& request) {
  http::HttpClientRequest call("POST", ApiUrl(spec_));
  for (const auto& [name, value] : ApiHeaders(spec_)) call.headers.Set(name, value);
  call.body = EncodeRequest(spec_, request);
  call.allow_plain_http = spec_.allow_plain_http;
  call.connect_timeout = kConnect;
  call.domain = "ai";
  const CallContext capped = ctx.Capped(std::chrono::milliseconds(spec_.timeout_ms));
  // The deadline of a context bounds the head of an answer only.
  auto sending = Send(capped, std::move(call));
  auto bounded = RunUntil(capped.deadline, std::move(sending));
  absl::StatusOr<ModelReply> reply = co_await std::move(bounded);
  if (!reply.ok()) co_return InOurWords(spec_, reply.status());
  reply->provider = spec_.name;
  if (reply->model.empty()) reply->model = spec_.model;
  // Cents of a million tokens are hundredths of a micro-unit of one token.
  reply->cost_micros = (reply->usage.input_tokens * spec_.input_cents +
                        reply->usage.output_tokens * spec_.output_cents) /
                       100;
  co_return reply;
}

}  // namespace metamcp::ai
