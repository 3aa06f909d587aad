#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <optional>
#include <string>

#include "common/async/sink.h"

namespace metamcp::gateway {

// A bounded queue of messages for one stream of a client. Single-threaded; one reader.
class Outbox {
 public:
  Outbox(boost::asio::any_io_executor executor, size_t messages_max, size_t bytes_max);

  // Appends a message. False when the queue is full or closed; then the message is lost and the
  // queue closes, so that the reader ends the stream instead of leaving a gap unseen.
  bool Push(std::string message);
  // Ends the reader's wait; what is queued is still delivered.
  void Close();
  bool closed() const { return closed_; }
  size_t size() const { return queue_.size(); }

  // The next message; nothing at the end or when `wait` has passed (closed() tells which).
  Awaitable<std::optional<std::string>> Next(std::chrono::steady_clock::duration wait);

 private:
  boost::asio::steady_timer wake_;
  std::deque<std::string> queue_;
  const size_t messages_max_;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  bool closed_ = false;
};

}  // namespace metamcp::gateway
