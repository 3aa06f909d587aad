#include "services/connector/ws_channel.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <deque>
#include <string>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "services/connector/event.h"
#include "services/connector/http_common.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kQueueBytesMax = 64u << 20;
// Between pings of an idle connection; proxies close what is silent for a minute.
constexpr std::chrono::seconds kPing{20};

class WsChannel final : public Channel, public std::enable_shared_from_this<WsChannel> {
 public:
  WsChannel(const boost::asio::any_io_executor& executor, http::HttpClient& client,
            TaskGroup& tasks, HttpChannelOptions options)
      : client_(client),
        tasks_(tasks),
        options_(std::move(options)),
        queued_(executor),
        idle_(executor),
        stop_(executor, Clock::time_point::max()) {}

  void Start(std::weak_ptr<ChannelHandler> handler) override {
    handler_ = std::move(handler);
    running_ = true;
    tasks_.Spawn("ws", Run(shared_from_this()));
  }

  absl::Status Send(Outgoing message) override {
    if (closed_) {
      return MakeError("UPSTREAM_LOST", options_.target.domain, "the WebSocket is closed");
    }
    if (queue_bytes_ + message.json.size() > kQueueBytesMax) {
      return MakeError("QUEUE_FULL", options_.target.domain, "the upstream does not read");
    }
    queue_bytes_ += message.json.size();
    queue_.push_back(std::move(message.json));
    queued_.Set();
    return absl::OkStatus();
  }

  void Abandon(uint64_t) override {}
  bool CancelsByAbandon() const override { return false; }
  bool Correlates() const override { return false; }
  void SetProtocol(bool, std::string_view) override {}

  void Drop() override {
    End(MakeError("UPSTREAM_LOST", options_.target.domain, "the connection was closed"));
  }

  Awaitable<void> Close() override {
    const auto self = shared_from_this();
    Drop();
    while (running_) {
      auto waiting = idle_.WaitUntil(Clock::now() + std::chrono::seconds(1));
      co_await std::move(waiting);
      const auto state = co_await boost::asio::this_coro::cancellation_state;
      if (state.cancelled() != boost::asio::cancellation_type::none) co_return;
    }
  }

 private:
  using Self = std::shared_ptr<WsChannel>;
  struct Running {
    explicit Running(Self channel) : self(std::move(channel)) {}
    ~Running() {
      self->running_ = false;
      self->idle_.WakeAll();
    }
    Self self;
  };

  void End(absl::Status why) {
    if (closed_) return;
    closed_ = true;
    queue_.clear();
    queue_bytes_ = 0;
    queued_.Set();
    stop_.expires_at(Clock::time_point::min());
    if (const auto handler = handler_.lock()) handler->OnClosed(std::move(why));
  }

  static Awaitable<void> Run(Self self) {
    using boost::asio::experimental::awaitable_operators::operator||;
    const Running running(self);
    auto opening = self->Open();
    auto stopped = self->stop_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    co_await (std::move(opening) || std::move(stopped));
    if (self->socket_ != nullptr) {
      using boost::asio::experimental::awaitable_operators::operator&&;
      auto reading = self->Read();
      auto writing = self->Write();
      co_await (std::move(reading) && std::move(writing));
    }
    self->End(MakeError("UPSTREAM_LOST", self->options_.target.domain, "the WebSocket ended"));
    self->socket_.reset();
  }

  Awaitable<void> Open() {
    http::HttpClientRequest request = TargetRequest(options_, "GET", options_.target.url);
    http::WebSocketOptions socket;
    socket.message_bytes_max = options_.message_bytes_max;
    socket.handshake_time = options_.connect_timeout;
    socket.domain = options_.target.domain;
    const CallContext ctx(nullptr, Clock::now() + std::chrono::minutes(2));
    auto opening = client_.OpenWebSocket(ctx, std::move(request), std::move(socket));
    auto opened = co_await std::move(opening);
    if (!opened.ok()) {
      End(opened.status());
    } else if (!closed_) {
      socket_ = *std::move(opened);
    }
  }

  Awaitable<void> Read() {
    while (!closed_) {
      auto reading = socket_->Read();
      auto message = co_await std::move(reading);
      if (!message.ok()) {
        End(message.status());
      } else if (!message->has_value()) {
        End(MakeError("UPSTREAM_LOST", options_.target.domain,
                      StrCat("the upstream closed the WebSocket with ", socket_->peer_close())));
      } else if (const auto handler = handler_.lock()) {
        handler->OnMessage(**message, 0);
      }
    }
    queued_.Set();
  }

  Awaitable<void> Write() {
    absl::Status sent;
    while (sent.ok() && !closed_) {
      if (!queue_.empty()) {
        const std::string message = std::move(queue_.front());
        queue_.pop_front();
        queue_bytes_ -= message.size();
        auto writing = socket_->Write(message);
        sent = co_await std::move(writing);
        continue;
      }
      auto waiting = queued_.WaitUntil(Clock::now() + kPing);
      const bool woken = co_await std::move(waiting);
      if (woken || closed_) continue;
      auto pinging = socket_->Ping();
      sent = co_await std::move(pinging);
    }
    if (sent.ok() && socket_->peer_close() == 0) {
      auto closing = socket_->Close(http::WebSocketClose::kNormal, "");
      co_await std::move(closing);
    }
    // The reader ends with it.
    socket_->Abort();
  }

  http::HttpClient& client_;
  TaskGroup& tasks_;
  const HttpChannelOptions options_;
  std::weak_ptr<ChannelHandler> handler_;
  std::unique_ptr<http::WebSocket> socket_;
  std::deque<std::string> queue_;
  size_t queue_bytes_ = 0;
  bool closed_ = false;
  bool running_ = false;
  Event queued_;
  Broadcast idle_;
  boost::asio::steady_timer stop_;
};

}  // namespace

std::shared_ptr<Channel> MakeWsChannel(boost::asio::any_io_executor executor,
                                       http::HttpClient& client, TaskGroup& tasks,
                                       HttpChannelOptions options) {
  return std::make_shared<WsChannel>(executor, client, tasks, std::move(options));
}

}  // namespace metamcp::connector
