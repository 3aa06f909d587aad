#include "common/http/websocket.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/websocket_layer.h"
#include "common/http/websocket_open.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = boost::beast::websocket;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 64 << 10;
// A message's buffer above this is given back when the message is done.
constexpr size_t kKeepBytes = 256 << 10;
// Control frames of a peer: this many at once, then this many a second.
constexpr double kControlBurst = 100;
constexpr double kControlRate = 20;
constexpr std::chrono::milliseconds kTick{250};

class BeastSocket final : public WebSocket {
 public:
  // `owned` may be null; then `stream` outlives this.
  BeastSocket(Stream& stream, std::unique_ptr<Stream> owned, std::string early,
              WebSocketOptions options)
      : options_(std::move(options)),
        owned_(std::move(owned)),
        ws_(stream, std::move(early)),
        timer_(stream.socket().get_executor()) {
    ws_.read_message_max(options_.message_bytes_max);
    ws_.auto_fragment(false);
    ws_.control_callback([this](ws::frame_type, beast::string_view) { OnControl(Clock::now()); });
  }

  Awaitable<absl::Status> Accept(const HttpRequest& request);
  Awaitable<absl::Status> Shake(Url url, HttpHeaders headers);

  Awaitable<absl::StatusOr<std::optional<std::string>>> Read() override;
  Awaitable<absl::Status> Write(std::string_view text) override;
  Awaitable<absl::Status> Ping() override;
  Awaitable<void> Close(WebSocketClose code, std::string_view reason) override;
  void Abort() override { ws_.next_layer().stream().Close(); }
  uint16_t peer_close() const override { return peer_close_; }

 private:
  // Bounds what goes on while it lives; the tick looks at it.
  class Limit {
   public:
    Limit(BeastSocket& socket, Clock::time_point& place, Clock::duration time) : place_(place) {
      place_ = Clock::now() + time;
      socket.Arm();
    }
    ~Limit() { place_ = Clock::time_point::max(); }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;

   private:
    Clock::time_point& place_;
  };

  void Arm();
  void OnTick();
  void BeginWrite();
  void OnControl(Clock::time_point now);
  absl::Status Lost(std::string_view why) const {
    return MakeError("UPSTREAM_LOST", options_.domain, why);
  }
  absl::Status Broken(const error_code& ec) const;
  absl::Status Refused(int status) const;

  const WebSocketOptions options_;
  const std::unique_ptr<Stream> owned_;
  ws::stream<WebSocketLayer, false> ws_;
  asio::steady_timer timer_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool armed_ = false;
  bool writing_ = false;
  Clock::time_point message_until_ = Clock::time_point::max();
  Clock::time_point end_until_ = Clock::time_point::max();  // of an opening or a close
  beast::flat_buffer buffer_;
  bool heard_ = true;  // since the last ping
  double control_left_ = kControlBurst;
  Clock::time_point control_at_ = Clock::now();
  uint16_t peer_close_ = 0;
};

// One coarse timer for all limits, which runs only while there is something to limit.
void BeastSocket::Arm() {
  if (armed_) return;
  armed_ = true;
  timer_.expires_after(kTick);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const error_code& ec) {
    if (ec || alive.expired()) return;
    armed_ = false;
    OnTick();
  });
}

void BeastSocket::BeginWrite() {
  writing_ = true;
  ws_.next_layer().NoteWrite();
  Arm();
}

void BeastSocket::OnTick() {
  const auto now = Clock::now();
  const bool stalled = writing_ && now - ws_.next_layer().last_write() > options_.write_stall;
  if (stalled || now > message_until_ || now > end_until_) return Abort();
  const auto never = Clock::time_point::max();
  if (writing_ || message_until_ != never || end_until_ != never) Arm();
}

void BeastSocket::OnControl(Clock::time_point now) {
  heard_ = true;
  ws_.next_layer().NoteRead();
  const std::chrono::duration<double> passed = now - control_at_;
  control_at_ = now;
  control_left_ = std::min(kControlBurst, control_left_ + passed.count() * kControlRate) - 1;
  if (control_left_ < 0) Abort();
}

absl::Status BeastSocket::Broken(const error_code& ec) const {
  if (ec == ws::error::message_too_big || ec == ws::error::buffer_overflow) {
    return MakeError("UPSTREAM_PROTOCOL", options_.domain,
                     StrCat("a message is longer than ", options_.message_bytes_max, " bytes"));
  }
  if (ec.category() == make_error_code(ws::error::closed).category()) {
    return MakeError("UPSTREAM_PROTOCOL", options_.domain, StrCat("WebSocket: ", ec.message()));
  }
  return Lost(StrCat("the WebSocket broke: ", ec.message()));
}

absl::Status BeastSocket::Refused(int status) const {
  const std::string text = StrCat("the WebSocket was refused with HTTP ", status);
  if (status == 401 || status == 403) return MakeError("UPSTREAM_AUTH", options_.domain, text);
  if (status >= 500 || status == 408 || status == 429) {
    return MakeError("UPSTREAM_UNAVAILABLE", options_.domain, text);
  }
  return MakeError("UPSTREAM_PROTOCOL", options_.domain, text);
}

Awaitable<absl::Status> BeastSocket::Accept(const HttpRequest& request) {
  beast::http::request<beast::http::empty_body> opening;
  opening.version(11);
  opening.method(beast::http::verb::get);
  opening.target(beast::string_view(request.target.data(), request.target.size()));
  for (size_t i = 0; i < request.headers.size(); ++i) {
    const HttpHeader h = request.headers.at(i);
    opening.insert(beast::string_view(h.name.data(), h.name.size()),
                   beast::string_view(h.value.data(), h.value.size()));
  }
  const bool named = request.headers.HasToken("Sec-WebSocket-Protocol", options_.subprotocol);
  ws_.set_option(ws::stream_base::decorator([this, named](ws::response_type& response) {
    response.erase(beast::http::field::server);
    if (named) response.set(beast::http::field::sec_websocket_protocol, options_.subprotocol);
  }));
  const Limit limit(*this, end_until_, options_.handshake_time);
  const auto [ec] = co_await ws_.async_accept(opening, kToken);
  if (ec) co_return absl::CancelledError(StrCat("no WebSocket: ", ec.message()));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> BeastSocket::Shake(Url url, HttpHeaders headers) {
  ws_.set_option(ws::stream_base::decorator([this, &headers](ws::request_type& request) {
    for (size_t i = 0; i < headers.size(); ++i) {
      const HttpHeader h = headers.at(i);
      if (EqualsNoCase(h.name, "Connection") || EqualsNoCase(h.name, "Upgrade") ||
          h.name.substr(0, 14) == "Sec-WebSocket-") {
        continue;
      }
      request.set(beast::string_view(h.name.data(), h.name.size()),
                  beast::string_view(h.value.data(), h.value.size()));
    }
    request.set(beast::http::field::sec_websocket_protocol, options_.subprotocol);
  }));
  ws::response_type response;
  const std::string host = url.authority();
  const Limit limit(*this, end_until_, options_.handshake_time);
  const auto [ec] = co_await ws_.async_handshake(response, host, url.target, kToken);
  ws_.set_option(ws::stream_base::decorator([](ws::request_type&) {}));
  if (Clock::now() > end_until_) {
    co_return MakeError("UPSTREAM_TIMEOUT", options_.domain,
                        "the WebSocket was not opened in time");
  }
  if (ec == ws::error::upgrade_declined) co_return Refused(response.result_int());
  if (ec) co_return Broken(ec);
  const auto chosen = response[beast::http::field::sec_websocket_protocol];
  if (!chosen.empty() && chosen != options_.subprotocol) {
    co_return MakeError("UPSTREAM_PROTOCOL", options_.domain,
                        "the WebSocket was opened with another subprotocol");
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<std::optional<std::string>>> BeastSocket::Read() {
  std::optional<Limit> limit;
  for (;;) {
    const auto [ec, count] = co_await ws_.async_read_some(buffer_, kReadBytes, kToken);
    if (ec == ws::error::closed) {
      peer_close_ = ws_.reason().code == 0 ? 1005 : ws_.reason().code;
      co_return std::optional<std::string>();
    }
    if (ec) co_return Broken(ec);
    heard_ = true;
    ws_.next_layer().NoteRead();
    if (ws_.got_binary()) {
      co_await Close(WebSocketClose::kUnsupported, "text messages only");
      co_return MakeError("UPSTREAM_PROTOCOL", options_.domain,
                          "a binary message, where only text is allowed");
    }
    if (ws_.is_message_done()) break;
    if (!limit) limit.emplace(*this, message_until_, options_.message_time);
  }
  const asio::const_buffer data = buffer_.data();
  std::string message(static_cast<const char*>(data.data()), data.size());
  buffer_.consume(buffer_.size());
  if (buffer_.capacity() > kKeepBytes) buffer_ = beast::flat_buffer();
  co_return std::optional<std::string>(std::move(message));
}

Awaitable<absl::Status> BeastSocket::Write(std::string_view text) {
  ws_.text(true);
  BeginWrite();
  const auto buffer = asio::buffer(text.data(), text.size());
  const auto [ec, count] = co_await ws_.async_write(buffer, kToken);
  writing_ = false;
  if (ec) co_return Lost(StrCat("the WebSocket broke: ", ec.message()));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> BeastSocket::Ping() {
  if (!heard_) {
    Abort();
    co_return Lost("the peer answers no pings");
  }
  heard_ = false;
  BeginWrite();
  const ws::ping_data nothing;
  const auto [ec] = co_await ws_.async_ping(nothing, kToken);
  writing_ = false;
  if (ec) co_return Lost(StrCat("the WebSocket broke: ", ec.message()));
  co_return absl::OkStatus();
}

Awaitable<void> BeastSocket::Close(WebSocketClose code, std::string_view reason) {
  ws::close_reason close(static_cast<ws::close_code>(code),
                         beast::string_view(reason.data(), std::min<size_t>(reason.size(), 120)));
  {
    const Limit limit(*this, end_until_, options_.close_time);
    co_await ws_.async_close(close, kToken);
  }
  Abort();
}

}  // namespace

bool AsksForWebSocket(const HttpRequest& request) {
  return request.method == "GET" && request.headers.HasToken("Upgrade", "websocket") &&
         request.headers.HasToken("Connection", "upgrade");
}

Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> AcceptWebSocket(Stream& stream,
                                                                      std::string early,
                                                                      const HttpRequest& request,
                                                                      WebSocketOptions options) {
  auto socket =
      std::make_unique<BeastSocket>(stream, nullptr, std::move(early), std::move(options));
  auto accepting = socket->Accept(request);
  const absl::Status accepted = co_await std::move(accepting);
  if (!accepted.ok()) co_return accepted;
  co_return std::unique_ptr<WebSocket>(std::move(socket));
}

Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> ShakeWebSocket(std::unique_ptr<Stream> stream,
                                                                     Url url, HttpHeaders headers,
                                                                     WebSocketOptions options) {
  Stream& borrowed = *stream;
  auto socket =
      std::make_unique<BeastSocket>(borrowed, std::move(stream), std::string(), std::move(options));
  auto shaking = socket->Shake(std::move(url), std::move(headers));
  const absl::Status opened = co_await std::move(shaking);
  if (!opened.ok()) co_return opened;
  co_return std::unique_ptr<WebSocket>(std::move(socket));
}

}  // namespace metamcp::http
