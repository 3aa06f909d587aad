#include "services/connector/sse_channel.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/http/url.h"
#include "services/connector/event.h"
#include "services/connector/http_common.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kInFlightMax = 2048;

class SseChannel final : public Channel, public std::enable_shared_from_this<SseChannel> {
 public:
  SseChannel(boost::asio::any_io_executor executor, http::HttpClient& client, TaskGroup& tasks,
             HttpChannelOptions options)
      : client_(client),
        tasks_(tasks),
        options_(std::move(options)),
        ready_(executor),
        work_(executor),
        stop_(executor, Clock::time_point::max()) {}

  void Start(std::weak_ptr<ChannelHandler> handler) override {
    handler_ = std::move(handler);
    tasks_.Spawn("sse.stream", Stream(shared_from_this()));
  }

  absl::Status Send(Outgoing message) override {
    if (closed_) return MakeError("UPSTREAM_LOST", options_.target.domain, "the stream ended");
    if (work_.count() >= kInFlightMax) {
      return MakeError("QUEUE_FULL", options_.target.domain, "too many requests are in flight");
    }
    tasks_.Spawn("sse.post", Post(shared_from_this(), std::move(message)));
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
    auto draining = work_.Drained();
    co_await std::move(draining);
  }

 private:
  using Self = std::shared_ptr<SseChannel>;

  void End(absl::Status why) {
    if (closed_) return;
    closed_ = true;
    stop_.expires_at(Clock::time_point::min());
    ready_.WakeAll();
    if (const auto handler = handler_.lock()) handler->OnClosed(std::move(why));
  }

  static Awaitable<void> Stream(Self self) {
    using boost::asio::experimental::awaitable_operators::operator||;
    const OpenWork::Piece running(self->work_, self);
    auto reading = self->Read();
    auto stopped = self->stop_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    co_await (std::move(reading) || std::move(stopped));
    self->End(
        MakeError("UPSTREAM_LOST", self->options_.target.domain, "the upstream ended its stream"));
  }

  Awaitable<void> Read() {
    http::HttpClientRequest request = TargetRequest(options_, "GET", options_.target.url);
    request.headers.Set("Accept", "text/event-stream");
    request.first_byte_timeout = options_.connect_timeout;
    CallContext ctx(nullptr, Clock::now() + std::chrono::minutes(2));
    auto sending = client_.Send(ctx, std::move(request));
    auto response = co_await std::move(sending);
    if (!response.ok()) {
      End(response.status());
      co_return;
    }
    if ((*response)->status() != 200 || !IsEventStream(**response)) {
      End(StatusError((*response)->status(), options_.target.domain));
      co_return;
    }
    http::SseParser parser(
        http::SseParser::Limits(options_.message_bytes_max, options_.message_bytes_max));
    auto deliver = [this](http::SseMessage& event) { OnEvent(event); };
    while (!closed_) {
      auto reading = (*response)->ReadSome();
      auto piece = co_await std::move(reading);
      if (!piece.ok() || !piece->has_value()) {
        if (!piece.ok()) End(piece.status());
        co_return;
      }
      const absl::Status fed = parser.Feed(**piece, deliver);
      if (!fed.ok()) {
        End(fed);
        co_return;
      }
    }
  }

  void OnEvent(const http::SseMessage& event) {
    if (closed_) return;
    if (event.event == "endpoint") {
      TakeEndpoint(event.data);
    } else if (event.event == "message" || event.event.empty()) {
      if (const auto handler = handler_.lock()) handler->OnMessage(event.data, 0);
    }
  }

  void TakeEndpoint(const std::string& reference) {
    if (!endpoint_.empty()) return;
    const auto base = http::ParseUrl(options_.target.url);
    if (!base.ok()) return End(base.status());
    const auto url = http::ResolveUrl(*base, reference);
    if (!url.ok() || url->origin() != base->origin()) {
      return End(MakeError("UPSTREAM_PROTOCOL", options_.target.domain,
                           "its endpoint event names another origin"));
    }
    endpoint_ = url->ToString();
    ready_.WakeAll();
  }

  static Awaitable<void> Post(Self self, Outgoing message) {
    const OpenWork::Piece running(self->work_, self);
    while (self->endpoint_.empty() && !self->closed_) {
      auto waiting = self->ready_.WaitUntil(Clock::now() + std::chrono::minutes(1));
      co_await std::move(waiting);
    }
    if (self->closed_) co_return;
    http::HttpClientRequest request = TargetRequest(self->options_, "POST", self->endpoint_);
    request.headers.Set("Content-Type", "application/json");
    request.headers.Set("Accept", "application/json, text/event-stream");
    for (const auto& [name, value] : message.headers) request.headers.Set(name, value);
    request.body = std::move(message.json);
    CallContext ctx(nullptr, Clock::now() + std::chrono::minutes(10));
    auto sending = self->client_.Send(ctx, std::move(request));
    auto response = co_await std::move(sending);
    absl::Status failure = response.status();
    if (response.ok()) {
      const int status = (*response)->status();
      if (status >= 200 && status < 300) co_return;
      failure = StatusError(status, self->options_.target.domain);
    }
    const auto handler = self->handler_.lock();
    if (message.request_id != 0 && handler != nullptr && handler->Expects(message.request_id)) {
      handler->OnRequestFailed(message.request_id, failure);
    }
  }

  http::HttpClient& client_;
  TaskGroup& tasks_;
  const HttpChannelOptions options_;
  std::weak_ptr<ChannelHandler> handler_;
  std::string endpoint_;
  bool closed_ = false;
  Broadcast ready_;
  OpenWork work_;
  boost::asio::steady_timer stop_;
};

}  // namespace

std::shared_ptr<Channel> MakeSseChannel(boost::asio::any_io_executor executor,
                                        http::HttpClient& client, TaskGroup& tasks,
                                        HttpChannelOptions options) {
  return std::make_shared<SseChannel>(std::move(executor), client, tasks, std::move(options));
}

}  // namespace metamcp::connector
