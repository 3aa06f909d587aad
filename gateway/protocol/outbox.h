#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <optional>
#include <string>

#include "common/async/sink.h"

namespace metamcp::gateway {

// A bounded queue of messages for the streams of a client; each message goes to one of them.
// Single-threaded.
class Outbox {
 public:
  Outbox(boost::asio::any_io_executor executor, size_t messages_max, size_t bytes_max);

  // Appends a message. False when the queue is full or closed; then the message is lost and the
  // queue closes, so that the reader ends the stream instead of leaving a gap unseen.
  bool Push(std::string message);
  // Ends the reader's wait; what is queued is still delivered.
  void Close();
  bool closed() const { return closed_; }
  // Closed because a message found no room.
  bool overflowed() const { return overflowed_; }
  // Takes messages again after it was full; what is queued is forgotten. False after Close.
  bool Reopen();
  // Ends every reader's wait.
  void WakeAll();
  size_t size() const { return queue_.size(); }

  // The next message; nothing at the end or when `wait` has passed (closed() tells which).
  Awaitable<std::optional<std::string>> Next(std::chrono::steady_clock::duration wait);

 private:
  boost::asio::any_io_executor executor_;
  std::list<boost::asio::steady_timer*> readers_;  // that wait, first come first
  std::deque<std::string> queue_;
  const size_t messages_max_;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  bool closed_ = false;
  bool overflowed_ = false;
};

}  // namespace metamcp::gateway
