#include "services/connector/http_channel.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <unordered_map>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/mcp/headers.h"
#include "common/mcp/version.h"
#include "services/connector/event.h"
#include "services/connector/http_common.h"
#include "services/connector/sse_channel.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRetryDefault(1000);
constexpr std::chrono::milliseconds kRetryMax(60000);
// A stream is taken up again this often without anything new on it.
constexpr int kResumesMax = 5;
constexpr size_t kErrorBodyMax = 64u << 10;
constexpr size_t kSessionIdMax = 2048;
constexpr size_t kInFlightMax = 4096;  // as many as a session has
constexpr std::chrono::seconds kDeleteTimeout(2);

// Streamable HTTP, legacy and modern: each message is a POST; its answer is JSON or a stream of its
// own. Legacy servers may offer one more stream (GET) and sessions. Sources: MCP 2025-11-25
// basic/transports, 2026-07-28 basic/transports/streamable-http.
class StreamableChannel final : public Channel,
                                public std::enable_shared_from_this<StreamableChannel> {
 public:
  StreamableChannel(boost::asio::any_io_executor executor, http::HttpClient& client,
                    TaskGroup& tasks, HttpChannelOptions options)
      : executor_(executor),
        client_(client),
        tasks_(tasks),
        options_(std::move(options)),
        gate_(executor),
        work_(executor) {}

  void Start(std::weak_ptr<ChannelHandler> handler) override { handler_ = std::move(handler); }

  absl::Status Send(Outgoing message) override {
    if (closed_) return MakeError("UPSTREAM_LOST", options_.target.domain, "the session ended");
    if (work_.count() >= kInFlightMax) {
      return MakeError("QUEUE_FULL", options_.target.domain, "too many requests are in flight");
    }
    if (message.method == "initialize") session_id_.clear();
    const uint64_t id = message.request_id;
    if (id != 0) posts_.emplace(id, 0);
    const uint64_t task = tasks_.Spawn("http.post", Post(shared_from_this(), std::move(message)));
    const auto post = posts_.find(id);
    if (post != posts_.end()) post->second = task;  // otherwise it has ended already
    return absl::OkStatus();
  }

  void Abandon(uint64_t request_id) override {
    const auto it = posts_.find(request_id);
    if (it != posts_.end()) tasks_.Cancel(it->second);
  }
  bool CancelsByAbandon() const override { return modern_; }
  bool Correlates() const override { return true; }

  void SetProtocol(bool modern, std::string_view version) override {
    modern_ = modern;
    version_ = std::string(version);
  }

  void Drop() override {
    if (closed_) return;
    closed_ = true;
    if (!modern_ && !session_id_.empty() && !session_gone_) {
      tasks_.Spawn("http.delete", Delete(shared_from_this(), session_id_));
    }
    for (const auto& [id, task] : posts_) tasks_.Cancel(task);
    stop_stream_.expires_at(Clock::time_point::min());
    gate_.WakeAll();
    if (const auto handler = handler_.lock()) {
      handler->OnClosed(
          MakeError("UPSTREAM_LOST", options_.target.domain, "the connection was closed"));
    }
  }

  Awaitable<void> Close() override {
    const auto self = shared_from_this();
    Drop();
    auto draining = work_.Drained();
    co_await std::move(draining);
  }

 private:
  using Self = std::shared_ptr<StreamableChannel>;
  using ResponseOr = absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>;

  static Awaitable<void> Post(Self self, Outgoing message) {
    const OpenWork::Piece running(self->work_, self);
    struct Forget {
      StreamableChannel* channel;
      uint64_t id;
      ~Forget() { channel->posts_.erase(id); }
    } forget{self.get(), message.request_id};
    const bool initialized = message.request_id == 0 && message.method.empty() && !self->opened_ &&
                             message.json.find("notifications/initialized") != std::string::npos;
    auto sending = self->Exchange(std::move(message), initialized);
    co_await std::move(sending);
    if (initialized) self->Opened();
  }

  // The session is in order on the server's side: calls may go, and the server may talk.
  void Opened() {
    opened_ = true;
    gate_.WakeAll();
    if (!closed_) tasks_.Spawn("http.stream", Stream(shared_from_this()));
  }

  http::HttpClientRequest Request(std::string_view method) const {
    http::HttpClientRequest request = TargetRequest(options_, method, options_.target.url);
    if (!modern_ && !session_id_.empty()) request.headers.Set("Mcp-Session-Id", session_id_);
    const auto revision = mcp::ParseRevision(version_);
    if (!modern_ && revision && mcp::HasVersionHeader(*revision)) {
      request.headers.Set(mcp::kHeaderProtocolVersion, version_);
    }
    return request;
  }

  http::HttpClientRequest PostRequest(Outgoing& message) const {
    http::HttpClientRequest request = Request("POST");
    request.headers.Set("Content-Type", "application/json");
    request.headers.Set("Accept", "application/json, text/event-stream");
    if (modern_ || message.method == "server/discover") {
      request.headers.Set(mcp::kHeaderProtocolVersion, mcp::RevisionName(mcp::kLatestModern));
      if (!message.method.empty()) request.headers.Set(mcp::kHeaderMethod, message.method);
      if (!message.name.empty()) {
        request.headers.Set(mcp::kHeaderName, mcp::EncodeHeaderValue(message.name));
      }
    }
    for (const auto& [name, value] : message.headers) request.headers.Set(name, value);
    request.body = std::move(message.json);
    return request;
  }

  Awaitable<void> Exchange(Outgoing message, bool opening) {
    const uint64_t id = message.request_id;
    const bool handshake = message.method == "initialize" || message.method == "server/discover";
    while (!handshake && !opening && !modern_ && !opened_ && !closed_) {
      auto waiting = gate_.WaitUntil(Clock::now() + std::chrono::minutes(5));
      co_await std::move(waiting);
    }
    const bool initialize = message.method == "initialize";
    CallContext ctx(nullptr, Clock::now() + std::chrono::hours(1));
    http::HttpClientRequest request = PostRequest(message);
    auto sending = client_.Send(ctx, std::move(request));
    ResponseOr response = co_await std::move(sending);
    absl::Status failure = response.status();
    if (response.ok()) {
      if (initialize) TakeSessionId(**response);
      auto reading = ReadAnswer(std::move(*response), id);
      failure = co_await std::move(reading);
    }
    const auto handler = handler_.lock();
    if (id != 0 && handler != nullptr && handler->Expects(id)) {
      if (failure.ok()) {
        failure = MakeError("UPSTREAM_LOST", options_.target.domain,
                            "the upstream ended its answer before the result");
      }
      handler->OnRequestFailed(id, failure);
    }
    if (session_gone_) Drop();
  }

  void TakeSessionId(const http::HttpClientResponse& response) {
    const std::string_view id = response.headers().Get(mcp::kHeaderSessionId);
    bool fine = id.size() <= kSessionIdMax;
    for (const char c : id) fine = fine && c > 0x20 && c < 0x7f;
    if (fine) session_id_ = std::string(id);
  }

  Awaitable<absl::Status> ReadAnswer(std::unique_ptr<http::HttpClientResponse> response,
                                     uint64_t id) {
    const int status = response->status();
    if (status == 200 && IsEventStream(*response)) {
      auto streaming = ReadStream(std::move(response), id);
      co_return co_await std::move(streaming);
    }
    if (status >= 200 && status < 300) {
      if (id == 0) co_return absl::OkStatus();
      if (status != 200 || !IsJson(*response)) {
        co_return MakeError("UPSTREAM_PROTOCOL", options_.target.domain,
                            StrCat("the upstream answered HTTP ", status, " with no JSON"));
      }
      auto reading = response->ReadAll(options_.message_bytes_max);
      auto body = co_await std::move(reading);
      if (!body.ok()) co_return body.status();
      Deliver(*body, id);
      co_return absl::OkStatus();
    }
    if (status == 404 && !session_id_.empty() && !modern_) {
      session_gone_ = true;
      co_return MakeError("SESSION_NOT_FOUND", options_.target.domain,
                          "the upstream does not know the session any more");
    }
    if (id != 0 && status >= 400 && status < 500 && status != 401 && status != 403) {
      auto reading = response->ReadAll(kErrorBodyMax);
      auto body = co_await std::move(reading);
      if (body.ok()) {
        const std::string answer = ErrorAnswer(*body, id);
        if (!answer.empty()) Deliver(answer, id);
      }
    }
    co_return StatusError(status, options_.target.domain);
  }

  void Deliver(std::string_view text, uint64_t stream_of) {
    const auto handler = handler_.lock();
    if (handler != nullptr && !closed_) handler->OnMessage(text, stream_of);
  }

  // Feeds a stream to the handler until its end. `parser` keeps where it was.
  Awaitable<absl::Status> Pump(http::HttpClientResponse& response, http::SseParser& parser,
                               uint64_t id, bool* progressed) {
    auto deliver = [this, id, progressed](http::SseMessage& event) {
      *progressed = true;
      if (!event.data.empty() && (event.event.empty() || event.event == "message")) {
        Deliver(event.data, id);
      }
    };
    while (!closed_) {
      auto reading = response.ReadSome();
      auto piece = co_await std::move(reading);
      if (!piece.ok()) co_return piece.status();
      if (!piece->has_value()) break;
      const absl::Status fed = parser.Feed(**piece, deliver);
      if (!fed.ok()) co_return fed;
    }
    co_return absl::OkStatus();
  }

  static std::chrono::milliseconds Wait(const http::SseParser& parser) {
    return std::min(kRetryMax,
                    std::chrono::milliseconds(parser.retry_ms().value_or(kRetryDefault.count())));
  }

  // The answer stream of a POST. A legacy server may end it early and be asked for the rest.
  Awaitable<absl::Status> ReadStream(std::unique_ptr<http::HttpClientResponse> response,
                                     uint64_t id) {
    http::SseParser parser(
        http::SseParser::Limits(options_.message_bytes_max, options_.message_bytes_max));
    absl::Status status;
    for (int fruitless = 0; fruitless <= kResumesMax; ++fruitless) {
      bool progressed = false;
      auto pumping = Pump(*response, parser, id, &progressed);
      status = co_await std::move(pumping);
      if (progressed) fruitless = 0;
      const auto handler = handler_.lock();
      const bool wanted = id != 0 && handler != nullptr && handler->Expects(id) && !closed_;
      if (!wanted || modern_ || parser.last_event_id().empty()) break;
      response.reset();
      const auto wait = Wait(parser);
      // Only an end in order is a wish to be polled; a broken connection is our own matter.
      if (status.ok()) handler->OnPaused(id, wait);
      const bool slept = co_await Sleep(wait);
      if (!slept) break;
      http::HttpClientRequest request = Request("GET");
      request.headers.Set("Accept", "text/event-stream");
      request.headers.Set("Last-Event-ID", parser.last_event_id());
      request.idempotent = true;
      CallContext ctx(nullptr, Clock::now() + std::chrono::minutes(2));
      auto sending = client_.Send(ctx, std::move(request));
      ResponseOr again = co_await std::move(sending);
      if (!again.ok()) {
        status = again.status();
        break;
      }
      if ((*again)->status() != 200 || !IsEventStream(**again)) break;
      response = std::move(*again);
    }
    co_return status;
  }

  // The server's own stream, where it offers one.
  static Awaitable<void> Stream(Self self) {
    using boost::asio::experimental::awaitable_operators::operator||;
    const OpenWork::Piece running(self->work_, self);
    auto following = self->Follow();
    auto stopped = self->stop_stream_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    co_await (std::move(following) || std::move(stopped));
  }

  Awaitable<void> Follow() {
    http::SseParser parser(
        http::SseParser::Limits(options_.message_bytes_max, options_.message_bytes_max));
    int fruitless = 0;
    while (!closed_) {
      http::HttpClientRequest request = Request("GET");
      request.headers.Set("Accept", "text/event-stream");
      if (!parser.last_event_id().empty()) {
        request.headers.Set("Last-Event-ID", parser.last_event_id());
      }
      request.idempotent = true;
      CallContext ctx(nullptr, Clock::now() + std::chrono::hours(1));
      auto sending = client_.Send(ctx, std::move(request));
      ResponseOr response = co_await std::move(sending);
      bool progressed = false;
      if (response.ok()) {
        const int status = (*response)->status();
        // Most servers answer 405: they do not offer the stream.
        if (status >= 400 && status < 500 && status != 408 && status != 429) co_return;
        if (status == 200 && !IsEventStream(**response)) co_return;
        if (status == 200) {
          auto pumping = Pump(**response, parser, 0, &progressed);
          (co_await std::move(pumping)).IgnoreError();
        }
      }
      fruitless = progressed ? 0 : fruitless + 1;
      const auto wait = std::min(kRetryMax, Wait(parser) * (1 << std::min(fruitless, 6)));
      const bool slept = co_await Sleep(wait);
      if (!slept) co_return;
    }
  }

  static Awaitable<void> Delete(Self self, std::string session_id) {
    const OpenWork::Piece running(self->work_, self);
    http::HttpClientRequest request = self->Request("DELETE");
    request.headers.Set("Mcp-Session-Id", session_id);
    request.first_byte_timeout = kDeleteTimeout;
    CallContext ctx(nullptr, Clock::now() + kDeleteTimeout);
    auto sending = self->client_.Send(ctx, std::move(request));
    (co_await std::move(sending)).status().IgnoreError();
  }

  boost::asio::any_io_executor executor_;
  http::HttpClient& client_;
  TaskGroup& tasks_;
  const HttpChannelOptions options_;
  std::weak_ptr<ChannelHandler> handler_;
  bool modern_ = false;
  bool opened_ = false;  // legacy: the server has taken notifications/initialized
  bool closed_ = false;
  bool session_gone_ = false;
  std::string version_;
  std::string session_id_;
  std::unordered_map<uint64_t, uint64_t> posts_;  // request id to its task
  Broadcast gate_;
  OpenWork work_;
  boost::asio::steady_timer stop_stream_{executor_, Clock::time_point::max()};
};

}  // namespace

std::shared_ptr<Channel> MakeHttpChannel(boost::asio::any_io_executor executor,
                                         http::HttpClient& client, TaskGroup& tasks,
                                         HttpChannelOptions options, bool http_sse) {
  if (http_sse) return MakeSseChannel(std::move(executor), client, tasks, std::move(options));
  return std::make_shared<StreamableChannel>(std::move(executor), client, tasks,
                                             std::move(options));
}

}  // namespace metamcp::connector
