#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "cli/bridge.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/scan.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {

void Bridge::AddSession(http::HttpClientRequest* request) const {
  if (!session_.empty()) request->headers.Add(mcp::kHeaderSessionId, session_);
  if (!protocol_version_.empty()) {
    request->headers.Add(mcp::kHeaderProtocolVersion, protocol_version_);
  }
}

void Bridge::TakeInitialized(const http::HttpClientResponse& response, std::string_view result) {
  const std::string_view session = response.headers().Get(mcp::kHeaderSessionId);
  if (http::IsHeaderValue(session)) session_ = session;
  const auto object = json::ScanObject(result);
  const auto version = object.ok() ? object->String("protocolVersion") : std::nullopt;
  if (version && http::IsHeaderValue(*version)) protocol_version_ = *version;
}

// Messages must not overtake the handshake.
Awaitable<void> Bridge::SessionSettled() {
  while (initializing_ || completing_) {
    co_await changed_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) co_return;
  }
}

// Opens a session in place of `lost`. Several requests may find out at once; one does it.
Awaitable<absl::Status> Bridge::Reinitialize(std::string lost) {
  if (session_ != lost || initializing_) {
    co_await SessionSettled();
    co_return absl::OkStatus();
  }
  if (initialize_.empty()) {
    co_return MakeError("SESSION_NOT_FOUND", "gateway", "the gateway does not know the session");
  }
  initializing_ = true;
  Log(LogLevel::kInfo, "session.lost");
  auto opening = CatchStatus<absl::Status>(OpenAgain());
  absl::Status status = co_await std::move(opening);
  initializing_ = false;
  changed_.cancel();
  co_return status;
}

Awaitable<absl::Status> Bridge::OpenAgain() {
  session_.clear();
  const auto object = json::ScanObject(initialize_);
  const std::string params = object.ok() ? std::string(object->Raw("params")) : "{}";
  const jsonrpc::Id id = jsonrpc::Id::String(StrCat("meta-mcp-stdio-", ++our_requests_));
  http::HttpClientRequest request =
      MakeRequest("POST", jsonrpc::MakeRequest(id, "initialize", params));
  auto response = co_await Send(std::move(request));
  if (!response.ok()) co_return response.status();
  auto result = co_await ReadOurAnswer(**response);
  if (!result.ok()) co_return result.status();
  TakeInitialized(**response, *result);
  if (initialized_.empty()) co_return absl::OkStatus();
  http::HttpClientRequest completed = MakeRequest("POST", initialized_);
  AddSession(&completed);
  auto accepted = co_await Send(std::move(completed));
  if (!accepted.ok()) co_return accepted.status();
  std::vector<std::string> wishes;
  if (!log_level_.empty()) wishes.push_back(log_level_);
  for (const auto& [uri, text] : subscriptions_) wishes.push_back(text);
  for (std::string& wish : wishes) {
    // A wish that is refused now leaves the rest of the session usable.
    const auto granted = co_await AskForUs(std::move(wish));
    if (!granted.ok()) {
      Log(LogLevel::kWarning, "session.wish_refused", {{"why", Sv(granted.status().message())}});
    }
  }
  if (!session_.empty()) tasks_.Spawn("listen", Listen(session_));
  co_return absl::OkStatus();
}

// Sends a request of the client once more, under an id of ours.
Awaitable<absl::StatusOr<std::string>> Bridge::AskForUs(std::string text) {
  const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(text);
  if (!parsed.ok()) co_return parsed.status();
  const jsonrpc::Id id = jsonrpc::Id::String(StrCat("meta-mcp-stdio-", ++our_requests_));
  http::HttpClientRequest request = MakeRequest(
      "POST", jsonrpc::MakeRequest(id, parsed.envelope->method, parsed.envelope->raw_params()));
  AddSession(&request);
  auto response = co_await Send(std::move(request));
  if (!response.ok()) co_return response.status();
  co_return co_await ReadOurAnswer(**response);
}

// The result of an answer that is not for the client.
Awaitable<absl::StatusOr<std::string>> Bridge::ReadOurAnswer(http::HttpClientResponse& response) {
  auto body = co_await response.ReadAll(options_.message_bytes_max);
  if (!body.ok()) co_return body.status();
  std::vector<std::string> messages;
  const std::string_view type = response.headers().Get("Content-Type");
  if (type.substr(0, type.find(';')) == "text/event-stream") {
    http::SseParser parser;
    const auto take = [&messages](http::SseMessage& m) { messages.push_back(std::move(m.data)); };
    METAMCP_CO_RETURN_IF_ERROR(parser.Feed(*body, take));
  } else {
    messages.push_back(*std::move(body));
  }
  for (const std::string& message : messages) {
    const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(message);
    if (!parsed.ok()) continue;
    if (parsed.envelope->kind == jsonrpc::MessageKind::kResult) {
      co_return std::string(parsed.envelope->result);
    }
    if (parsed.envelope->kind == jsonrpc::MessageKind::kError) {
      co_return MakeError("UPSTREAM_ERROR", "gateway", parsed.envelope->error.message);
    }
  }
  co_return ErrorOfStatus(response.status());
}

void Bridge::Enqueue(std::string text, bool completes_handshake) {
  if (session_.empty() && !initializing_ && initialize_.empty()) {
    Log(LogLevel::kDebug, "message.dropped", {{"why", "there is no session"}});
    return;
  }
  Queued queued;
  queued.text = std::move(text);
  queued.completes_handshake = completes_handshake;
  if (completes_handshake) completing_ = true;
  queue_.push_back(std::move(queued));
  if (posting_) return;
  posting_ = true;
  tasks_.Spawn("post", PostQueued());
}

Awaitable<void> Bridge::PostQueued() {
  while (!queue_.empty()) {
    Queued next = std::move(queue_.front());
    queue_.pop_front();
    while (initializing_) {
      co_await changed_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::string session = session_;
      http::HttpClientRequest request = MakeRequest("POST", next.text);
      AddSession(&request);
      auto response = co_await Send(std::move(request));
      if (!response.ok()) {
        Log(LogLevel::kWarning, "message.lost", {{"why", Sv(response.status().message())}});
        break;
      }
      const int status = (*response)->status();
      (void)co_await (*response)->ReadAll(options_.message_bytes_max);
      if (status != 404 || session.empty()) {
        if (status >= 300) Log(LogLevel::kWarning, "message.refused", {{"status", status}});
        break;
      }
      // The new session has had its own notifications/initialized.
      const absl::Status opened = co_await Reinitialize(session);
      if (!opened.ok() || next.completes_handshake) break;
    }
    if (next.completes_handshake) {
      completing_ = false;
      changed_.cancel();
      if (!session_.empty()) tasks_.Spawn("listen", Listen(session_));
    }
  }
  posting_ = false;
  changed_.cancel();
}

// Holds the stream on which the gateway speaks by itself, as long as the session lasts.
Awaitable<void> Bridge::Listen(std::string session) {
  Stream stream;
  auto wait = options_.reconnect_min;
  while (session_ == session) {
    http::HttpClientRequest request = MakeRequest("GET", "");
    AddSession(&request);
    request.headers.Add("Accept", "text/event-stream");
    if (!stream.last_event_id.empty()) {
      request.headers.Add("Last-Event-ID", stream.last_event_id);
    }
    const CallContext call(nullptr, CallContext::Clock::now() + std::chrono::hours(24));
    auto response = co_await client_.Send(call, std::move(request));
    if (response.ok() && (*response)->status() == 404) {
      (void)co_await Reinitialize(session);
      co_return;
    }
    // Other refusals: this server has no such stream.
    if (response.ok() && (*response)->status() >= 400 && (*response)->status() < 500) co_return;
    if (response.ok() && (*response)->status() == 200) {
      (void)co_await ReadAnswer(**response, &stream);
      wait = options_.reconnect_min;
    }
    const auto pause = stream.retry_ms ? std::chrono::milliseconds(*stream.retry_ms) : wait;
    const bool slept = co_await Sleep(std::min(pause, options_.reconnect_max));
    if (!slept) co_return;
    wait = std::min(wait * 2, options_.reconnect_max);
  }
}

Awaitable<void> Bridge::KeepPresence() {
  const auto endpoint = http::ParseUrl(options_.url);
  if (!endpoint.ok()) co_return;
  const std::string url = StrCat(endpoint->origin(), "/health");
  for (;;) {
    http::HttpClientRequest request = MakeRequest("GET", "");
    request.url = url;
    const CallContext call(nullptr, CallContext::Clock::now() + options_.presence);
    auto response = co_await client_.Send(call, std::move(request));
    if (response.ok()) (void)co_await (*response)->ReadAll(64 << 10);
    const bool slept = co_await Sleep(options_.presence);
    if (!slept) co_return;
  }
}

Awaitable<void> Bridge::EndSession() {
  if (session_.empty()) co_return;
  http::HttpClientRequest request = MakeRequest("DELETE", "");
  AddSession(&request);
  request.first_byte_timeout = std::chrono::seconds(2);
  const CallContext call(nullptr, CallContext::Clock::now() + std::chrono::seconds(2));
  (void)co_await client_.Send(call, std::move(request));
}

void Bridge::RememberState(const Pending& pending, std::string_view raw_params) {
  constexpr size_t kSubscriptionsMax = 10'000;
  if (pending.method == "logging/setLevel") {
    log_level_ = jsonrpc::MakeRequest(pending.id, pending.method, raw_params);
    return;
  }
  const auto params = json::ScanObject(raw_params);
  const auto uri = params.ok() ? params->String("uri") : std::nullopt;
  if (!uri) return;
  if (pending.method == "resources/unsubscribe") subscriptions_.erase(*uri);
  if (pending.method == "resources/subscribe" && subscriptions_.size() < kSubscriptionsMax) {
    subscriptions_[*uri] = jsonrpc::MakeRequest(pending.id, pending.method, raw_params);
  }
}

}  // namespace metamcp::cli
