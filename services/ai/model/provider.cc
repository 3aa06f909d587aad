#include "services/ai/model/provider.h"

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/http/sse.h"
#include "services/ai/model/provider_error.h"

namespace metamcp::ai {
namespace {

constexpr size_t kBodyMax = 8u << 20;
constexpr size_t kErrorBodyMax = 64u << 10;
constexpr std::chrono::milliseconds kConnect{5000};

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
    co_return ProviderError(spec_, response->status(), response->headers(),
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
  if (!reply.ok()) co_return InProvidersName(spec_, reply.status());
  reply->provider = spec_.name;
  if (reply->model.empty()) reply->model = spec_.model;
  reply->cost_micros = CostOf(spec_, reply->usage);
  co_return reply;
}

}  // namespace metamcp::ai
