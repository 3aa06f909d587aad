#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/role.hpp>
#include <chrono>
#include <string>
#include <utility>

#include "common/http/stream_tls.h"

namespace metamcp::http {

// A Stream in the shape that Beast's WebSocket is built on. Internal to websocket.cc.
class WebSocketLayer {
 public:
  using executor_type = boost::asio::any_io_executor;
  using Clock = std::chrono::steady_clock;
  // Reads in a row that brought neither a piece of a message nor a control frame: empty frames.
  static constexpr int kIdleReadsMax = 1024;

  // `early`: what was read of the stream before.
  WebSocketLayer(Stream& stream, std::string early) : stream_(stream), early_(std::move(early)) {}

  executor_type get_executor() { return stream_.socket().get_executor(); }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (!early_.empty()) {
      const size_t n =
          boost::asio::buffer_copy(buffers, boost::asio::buffer(early_.data(), early_.size()));
      early_.erase(0, n);
      Complete(std::forward<Handler>(handler), boost::system::error_code(), n);
    } else if (++idle_reads_ > kIdleReadsMax) {
      Complete(std::forward<Handler>(handler), boost::asio::error::connection_aborted, 0);
    } else if (stream_.tls_ != nullptr) {
      stream_.tls_->stream.async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      stream_.socket_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }

  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    last_write_ = Clock::now();
    if (stream_.tls_ != nullptr) {
      stream_.tls_->stream.async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      stream_.socket_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

  // The synchronous forms are named by Beast, never called.
  template <typename Buffers>
  size_t read_some(const Buffers&, boost::system::error_code& ec) {
    ec = boost::asio::error::operation_not_supported;
    return 0;
  }
  template <typename Buffers>
  size_t read_some(const Buffers&) {
    return 0;
  }
  template <typename Buffers>
  size_t write_some(const Buffers&, boost::system::error_code& ec) {
    ec = boost::asio::error::operation_not_supported;
    return 0;
  }
  template <typename Buffers>
  size_t write_some(const Buffers&) {
    return 0;
  }

  void NoteRead() { idle_reads_ = 0; }
  void NoteWrite() { last_write_ = Clock::now(); }
  Clock::time_point last_write() const { return last_write_; }
  Stream& stream() { return stream_; }

  friend void beast_close_socket(WebSocketLayer& layer) { layer.stream_.Close(); }
  // The end of the transport is ours to make: the owner closes the stream.
  friend void teardown(boost::beast::role_type, WebSocketLayer&, boost::system::error_code& ec) {
    ec = {};
  }
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type, WebSocketLayer& layer, Handler&& handler) {
    boost::asio::post(layer.get_executor(),
                      boost::beast::bind_front_handler(std::forward<Handler>(handler),
                                                       boost::system::error_code()));
  }

 private:
  template <typename Handler>
  void Complete(Handler&& handler, boost::system::error_code ec, size_t n) {
    boost::asio::post(get_executor(),
                      boost::beast::bind_front_handler(std::forward<Handler>(handler), ec, n));
  }

  Stream& stream_;
  std::string early_;
  int idle_reads_ = 0;
  Clock::time_point last_write_ = Clock::now();
};

}  // namespace metamcp::http
