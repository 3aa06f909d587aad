#include "gateway/transport/http_reply.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/async/run.h"
#include "common/http/sse.h"

namespace metamcp::gateway {

namespace asio = boost::asio;

HttpReply::HttpReply(asio::any_io_executor executor, http::HttpResponder& responder,
                     http::HttpHeaders extra_headers, bool accepts_stream)
    : executor_(std::move(executor)),
      responder_(responder),
      headers_(std::move(extra_headers)),
      accepts_stream_(accepts_stream),
      last_write_(std::chrono::steady_clock::now()) {}

Awaitable<void> HttpReply::WaitTurn() {
  if (!turn_) turn_.emplace(executor_, asio::steady_timer::time_point::max());
  co_await turn_->async_wait(asio::as_tuple(asio::use_awaitable));
}

void HttpReply::Unlock() {
  busy_ = false;
  if (broken_) ended_ = true;
  last_write_ = std::chrono::steady_clock::now();
  if (turn_) turn_->cancel();
}

Awaitable<absl::Status> HttpReply::OpenLocked() {
  if (streaming_) co_return absl::OkStatus();
  streaming_ = true;
  http::HttpHeaders headers = headers_;
  headers.Set("Content-Type", "text/event-stream");
  headers.Set("Cache-Control", "no-cache, no-transform");
  headers.Set("X-Accel-Buffering", "no");
  co_return co_await responder_.StartStream(200, std::move(headers));
}

Awaitable<absl::Status> HttpReply::Open() {
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  absl::Status status = absl::CancelledError("ended");
  if (!ended_) status = co_await OpenLocked();
  turn.Done();
  co_return status;
}

Awaitable<absl::Status> HttpReply::Notify(std::string message) {
  if (!accepts_stream_) co_return absl::OkStatus();
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  absl::Status status = absl::CancelledError("ended");
  if (!ended_) status = co_await OpenLocked();
  if (status.ok()) {
    const std::string event = http::SseEvent(message);
    status = co_await responder_.Write(event);
  }
  turn.Done();
  co_return status;
}

Awaitable<absl::Status> HttpReply::Respond(int http_status, std::string message) {
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  absl::Status status = absl::CancelledError("ended");
  if (!ended_) {
    ended_ = true;
    if (streaming_) {
      const std::string event = http::SseEvent(message);
      status = co_await responder_.Write(event);
      if (status.ok()) status = co_await responder_.Finish();
    } else {
      http::HttpResponse response(http_status);
      response.headers = headers_;
      response.headers.Set("Content-Type", "application/json");
      response.body = std::move(message);
      status = co_await responder_.Send(std::move(response));
    }
  }
  turn.Done();
  co_return status;
}

Awaitable<absl::Status> HttpReply::End(int http_status) {
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  absl::Status status = absl::CancelledError("ended");
  if (!ended_) {
    ended_ = true;
    if (streaming_) {
      status = co_await responder_.Finish();
    } else {
      http::HttpResponse response(http_status);
      response.headers = headers_;
      status = co_await responder_.Send(std::move(response));
    }
  }
  turn.Done();
  co_return status;
}

void HttpReply::OnGone(std::function<void()> callback) {
  responder_.OnDisconnect(std::move(callback));
}

void HttpReply::SetHeader(std::string_view name, std::string_view value) {
  headers_.Set(name, value);
}

Awaitable<void> HttpReply::KeepAliveNow(std::chrono::steady_clock::time_point before) {
  if (busy_ || ended_ || last_write_ > before) co_return;
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  if (!ended_) {
    const absl::Status status = co_await OpenLocked();
    if (status.ok()) (void)co_await responder_.Write(http::kSseKeepAlive);
  }
  turn.Done();
}

Awaitable<void> HttpReply::Finish() {
  while (busy_) co_await WaitTurn();
  Turn turn(*this);
  ended_ = true;
  turn.Done();
}

Awaitable<void> KeepAlive::Ping(std::shared_ptr<HttpReply> reply,
                                std::chrono::steady_clock::time_point before) {
  co_await reply->KeepAliveNow(before);
}

Awaitable<void> KeepAlive::Run() {
  for (;;) {
    const bool slept = co_await Sleep(interval_ / 4);
    if (!slept) co_return;
    const auto before = std::chrono::steady_clock::now() - interval_;
    for (const auto& reply : replies_) {
      if (!reply->ended() && reply->can_push()) tasks_.Spawn("keep-alive", Ping(reply, before));
    }
  }
}

}  // namespace metamcp::gateway
