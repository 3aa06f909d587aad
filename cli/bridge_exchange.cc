#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "cli/bridge.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

using boost::asio::experimental::awaitable_operators::operator||;

constexpr int kResumesMax = 5;

bool IsEventStream(const http::HttpClientResponse& response) {
  const std::string_view type = response.headers().Get("Content-Type");
  constexpr std::string_view kType = "text/event-stream";
  return type.size() >= kType.size() && http::EqualsNoCase(type.substr(0, kType.size()), kType);
}

bool HasReason(const absl::Status& status, std::string_view reason) {
  const auto info = GetErrorInfo(status);
  return info && info->reason == reason;
}

// Whether a 404 says only that the method is unknown, not the session.
bool SaysMethodUnknown(std::string_view body) {
  const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(body);
  return parsed.ok() && parsed.envelope->kind == jsonrpc::MessageKind::kError &&
         parsed.envelope->error.code == jsonrpc::kMethodNotFound;
}

}  // namespace

Awaitable<void> Bridge::RunRequest(PendingPtr pending) {
  auto exchange = CatchStatus<absl::Status>(Exchange(pending));
  auto abort = pending->abort.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  const auto ended = co_await (std::move(exchange) || std::move(abort));
  absl::Status status;
  if (ended.index() == 0) {
    status = std::get<0>(ended);
  } else if (!pending->cancelled) {
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() == boost::asio::cancellation_type::none) {
      status = MakeError("DEADLINE_EXCEEDED", "cli",
                         StrCat("no answer within ", options_.request_timeout.count(), " ms"));
    }
  }
  pending_.erase(pending->id);
  if (!pending->answered && !pending->cancelled && !status.ok() && !absl::IsCancelled(status)) {
    if (ended.index() == 1 && !pending->modern) {
      Enqueue(jsonrpc::MakeNotification(
                  "notifications/cancelled",
                  StrCat("{\"requestId\":", pending->id.raw(), ",\"reason\":\"timeout\"}")),
              false);
    }
    co_await EmitError(pending->id, pending->modern, status);
  }
  if (pending->method == "initialize" && !pending->modern && initializing_) {
    initializing_ = false;
    session_.clear();
  }
  changed_.cancel();
}

http::HttpClientRequest Bridge::MakeRequest(std::string method, std::string body) const {
  http::HttpClientRequest request(std::move(method), options_.url);
  request.ca_file = options_.ca_file;
  request.client_cert_file = options_.cert_file;
  request.client_key_file = options_.key_file;
  request.unix_socket = options_.unix_socket;
  request.allow_plain_http = options_.allow_plain_http;
  if (!options_.authorization.empty()) request.headers.Add("Authorization", options_.authorization);
  if (!body.empty()) {
    request.headers.Add("Content-Type", "application/json");
    request.headers.Add("Accept", "application/json, text/event-stream");
  }
  request.body = std::move(body);
  // Tools may think for long, and streams be silent: `abort` bounds a request.
  request.first_byte_timeout = std::chrono::hours(24);
  request.idle_timeout = std::chrono::hours(24);
  request.domain = "gateway";
  return request;
}

Awaitable<absl::StatusOr<Bridge::ResponsePtr>> Bridge::Send(http::HttpClientRequest request) {
  const CallContext call(nullptr, CallContext::Clock::now() + std::chrono::hours(24));
  http::HttpClientRequest again = request;
  auto response = co_await client_.Send(call, std::move(request));
  if (response.ok() || !HasReason(response.status(), "UPSTREAM_UNAVAILABLE")) co_return response;
  absl::Status status = response.status();
  if (options_.revive) {
    status = co_await options_.revive();
    if (status.ok()) {
      response = co_await client_.Send(call, std::move(again));
      if (response.ok()) co_return response;
      status = response.status();
    }
  }
  co_return MakeError("GATEWAY_UNREACHABLE", "cli",
                      StrCat("the gateway cannot be reached: ", Sv(status.message())));
}

Awaitable<absl::Status> Bridge::Exchange(PendingPtr pending) {
  const bool initialize = !pending->modern && pending->method == "initialize";
  Stream stream;
  stream.pending = pending;
  for (int attempt = 0;; ++attempt) {
    if (!pending->modern && !initialize) co_await SessionSettled();
    http::HttpClientRequest request = MakeRequest("POST", pending->text);
    const std::string session = pending->modern || initialize ? "" : session_;
    if (pending->modern) {
      for (size_t i = 0; i < pending->headers.size(); ++i) {
        request.headers.Add(pending->headers.at(i).name, pending->headers.at(i).value);
      }
    } else if (!initialize) {
      AddSession(&request);
    }
    auto response = co_await Send(std::move(request));
    if (!response.ok()) co_return response.status();
    if ((*response)->status() == 404 && !session.empty() && attempt == 0) {
      auto body = co_await (*response)->ReadAll(options_.message_bytes_max);
      if (body.ok() && SaysMethodUnknown(*body)) {
        co_await TakeMessages(*std::move(body), &stream);
        co_return pending->answered ? absl::OkStatus() : ErrorOfStatus(404);
      }
      METAMCP_CO_RETURN_IF_ERROR(co_await Reinitialize(session));
      continue;
    }
    if (initialize) TakeInitialized(**response, "");
    const absl::Status read = co_await ReadAnswer(**response, &stream);
    if (pending->answered || pending->cancelled) co_return absl::OkStatus();
    if (!stream.last_event_id.empty() && !pending->modern) co_return co_await Resume(&stream);
    METAMCP_CO_RETURN_IF_ERROR(read);
    if ((*response)->status() >= 300) co_return ErrorOfStatus((*response)->status());
    co_return MakeError("UPSTREAM_LOST", "gateway",
                        "the gateway ended the exchange without an answer");
  }
}

// Fetches the rest of a stream that broke off, from its last event on.
Awaitable<absl::Status> Bridge::Resume(Stream* stream) {
  for (int i = 0; i < kResumesMax; ++i) {
    const auto wait =
        std::chrono::milliseconds(stream->retry_ms.value_or(options_.reconnect_min.count()));
    const bool slept =
        co_await Sleep(std::min<std::chrono::milliseconds>(wait, options_.reconnect_max));
    if (!slept) break;
    http::HttpClientRequest request = MakeRequest("GET", "");
    AddSession(&request);
    request.headers.Add("Accept", "text/event-stream");
    request.headers.Add("Last-Event-ID", stream->last_event_id);
    auto response = co_await Send(std::move(request));
    if (!response.ok()) continue;
    if ((*response)->status() >= 300) break;
    (void)co_await ReadAnswer(**response, stream);
    if (stream->pending->answered) co_return absl::OkStatus();
  }
  co_return MakeError("UPSTREAM_LOST", "gateway",
                      "the gateway's stream broke off and could not be resumed");
}

Awaitable<absl::Status> Bridge::ReadAnswer(http::HttpClientResponse& response, Stream* stream) {
  if (response.status() == 202 || response.status() == 204) co_return absl::OkStatus();
  if (IsEventStream(response)) co_return co_await ReadEvents(response, stream);
  auto body = co_await response.ReadAll(options_.message_bytes_max);
  if (!body.ok()) co_return body.status();
  if (!body->empty()) co_await TakeMessages(*std::move(body), stream);
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Bridge::ReadEvents(http::HttpClientResponse& response, Stream* stream) {
  http::SseParser parser(
      http::SseParser::Limits(options_.message_bytes_max, options_.message_bytes_max));
  for (;;) {
    auto piece = co_await response.ReadSome();
    if (!piece.ok()) co_return piece.status();
    if (!piece->has_value()) co_return absl::OkStatus();
    std::vector<std::string> messages;
    const auto take = [&messages](http::SseMessage& m) { messages.push_back(std::move(m.data)); };
    const absl::Status fed = parser.Feed(**piece, take);
    stream->last_event_id = parser.last_event_id();
    stream->retry_ms = parser.retry_ms();
    for (std::string& message : messages) {
      // An event with an id and no data only opens a stream that can be resumed.
      if (!message.empty()) co_await TakeMessages(std::move(message), stream);
    }
    if (!fed.ok()) co_return fed;
  }
}

Awaitable<void> Bridge::TakeMessages(std::string text, Stream* stream) {
  if (!jsonrpc::IsBatch(text)) {
    co_await TakeMessage(std::move(text), stream);
    co_return;
  }
  const auto messages = jsonrpc::ParseBatch(text);
  if (!messages.ok()) {
    Log(LogLevel::kWarning, "message.dropped", {{"why", Sv(messages.status().message())}});
    co_return;
  }
  for (const std::string_view message : *messages) {
    co_await TakeMessage(std::string(message), stream);
  }
}

Awaitable<void> Bridge::TakeMessage(std::string text, Stream* stream) {
  json::ScanLimits limits;
  limits.bytes_max = options_.message_bytes_max;
  limits.depth_max = json::kDepthHardMax;
  const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(text, limits);
  if (!parsed.ok()) {
    // Only JSON-RPC may reach the client; a request then gets our own answer.
    Log(LogLevel::kWarning, "message.dropped", {{"why", parsed.error.message}});
    co_return;
  }
  const jsonrpc::Envelope& envelope = *parsed.envelope;
  const PendingPtr& pending = stream->pending;
  if (envelope.is_response()) {
    if (!pending || pending->answered || pending->cancelled) co_return;
    if (!envelope.id.present()) {
      // The gateway could not tell whose answer it is; we can.
      pending->answered = true;
      std::string named = jsonrpc::MakeErrorResponse(pending->id, envelope.error);
      co_await Emit(std::move(named));
      co_return;
    }
    if (!(envelope.id == pending->id)) co_return;
    pending->answered = true;
    if (pending->method == "initialize" && !pending->modern) {
      if (envelope.kind == jsonrpc::MessageKind::kResult) {
        const auto result = json::ScanObject(envelope.result);
        const auto version = result.ok() ? result->String("protocolVersion") : std::nullopt;
        if (version && http::IsHeaderValue(*version)) protocol_version_ = *version;
      } else {
        session_.clear();
      }
      initializing_ = false;
      changed_.cancel();
    } else if (pending->modern && pending->method == "tools/list") {
      LearnTools(envelope.result);
    }
  }
  co_await Emit(std::move(text));
}

// Remembers which arguments the tools want mirrored in headers.
void Bridge::LearnTools(std::string_view result) {
  constexpr size_t kToolsMax = 20'000;
  if (result.find("x-mcp-header") == std::string_view::npos) return;
  const auto object = json::ScanObject(result);
  if (!object.ok()) return;
  const auto tools = json::ScanArray(object->Raw("tools"));
  if (!tools.ok()) return;
  for (const json::Value& raw : *tools) {
    const auto tool = json::ScanObject(raw.raw);
    const auto name = tool.ok() ? tool->String("name") : std::nullopt;
    if (!name || tool_headers_.size() >= kToolsMax) continue;
    auto declared = mcp::ExtractParamHeaders(tool->Raw("inputSchema"));
    if (declared.ok() && !declared->empty()) tool_headers_[*name] = *std::move(declared);
  }
}

absl::Status Bridge::ErrorOfStatus(int status) const {
  const std::string said = StrCat("the gateway answered HTTP ", status);
  if (status == 401) return MakeError("AUTH_REQUIRED", "gateway", said);
  if (status == 403) return MakeError("PERMISSION_DENIED", "gateway", said);
  if (status == 404) {
    return MakeError("NOT_FOUND", "gateway", StrCat(said, " at ", options_.url));
  }
  return MakeError("GATEWAY_UNREACHABLE", "gateway", said);
}

}  // namespace metamcp::cli
