#include "gateway/protocol/outbox.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace metamcp::gateway {

Outbox::Outbox(boost::asio::any_io_executor executor, size_t messages_max, size_t bytes_max)
    : executor_(std::move(executor)), messages_max_(messages_max), bytes_max_(bytes_max) {}

bool Outbox::Push(std::string message) {
  if (closed_) return false;
  if (queue_.size() >= messages_max_ || bytes_ + message.size() > bytes_max_) {
    Close();
    overflowed_ = true;
    return false;
  }
  bytes_ += message.size();
  queue_.push_back(std::move(message));
  if (!readers_.empty()) {
    readers_.front()->cancel();
    readers_.pop_front();
  }
  return true;
}

void Outbox::Close() {
  closed_ = true;
  overflowed_ = false;
  WakeAll();
}

bool Outbox::Reopen() {
  if (!closed_) return true;
  if (!overflowed_) return false;
  closed_ = overflowed_ = false;
  queue_.clear();
  bytes_ = 0;
  return true;
}

void Outbox::WakeAll() {
  for (boost::asio::steady_timer* reader : readers_) reader->cancel();
  readers_.clear();
}

Awaitable<std::optional<std::string>> Outbox::Next(std::chrono::steady_clock::duration wait) {
  if (queue_.empty() && !closed_) {
    boost::asio::steady_timer wake(executor_, wait);
    struct Waiting {
      Waiting(std::list<boost::asio::steady_timer*>& list, boost::asio::steady_timer* own)
          : readers(list), timer(own) {
        readers.push_back(timer);
      }
      ~Waiting() { readers.remove(timer); }
      std::list<boost::asio::steady_timer*>& readers;
      boost::asio::steady_timer* timer;
    } waiting(readers_, &wake);
    co_await wake.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  if (queue_.empty()) co_return std::nullopt;
  std::string message = std::move(queue_.front());
  queue_.pop_front();
  bytes_ -= message.size();
  co_return message;
}

}  // namespace metamcp::gateway
