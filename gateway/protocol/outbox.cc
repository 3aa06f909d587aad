#include "gateway/protocol/outbox.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace metamcp::gateway {

Outbox::Outbox(boost::asio::any_io_executor executor, size_t messages_max, size_t bytes_max)
    : wake_(std::move(executor)), messages_max_(messages_max), bytes_max_(bytes_max) {}

bool Outbox::Push(std::string message) {
  if (closed_) return false;
  if (queue_.size() >= messages_max_ || bytes_ + message.size() > bytes_max_) {
    Close();
    return false;
  }
  bytes_ += message.size();
  queue_.push_back(std::move(message));
  wake_.cancel();
  return true;
}

void Outbox::Close() {
  closed_ = true;
  wake_.cancel();
}

Awaitable<std::optional<std::string>> Outbox::Next(std::chrono::steady_clock::duration wait) {
  if (queue_.empty() && !closed_) {
    wake_.expires_after(wait);
    co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  if (queue_.empty()) co_return std::nullopt;
  std::string message = std::move(queue_.front());
  queue_.pop_front();
  bytes_ -= message.size();
  co_return message;
}

}  // namespace metamcp::gateway
