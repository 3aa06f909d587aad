#include "gateway/protocol/event_log.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

using Clock = std::chrono::steady_clock;

// Tells the streams of this process from those of one before it or beside it.
const std::string& Instance() {
  static const std::string* const kInstance = [] {
    auto* text = new std::string();
    for (const char c : RandomBytes(6)) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      text->push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
      text->push_back(kDigits[static_cast<unsigned char>(c) & 15]);
    }
    return text;
  }();
  return *kInstance;
}

}  // namespace

EventLog::EventLog(const boost::asio::any_io_executor& executor, std::string name, bool standalone)
    : name_(std::move(name)),
      standalone_(standalone),
      reader_wake_(executor),
      writers_wake_(executor, Clock::time_point::max()),
      left_at_(Clock::now()) {}

std::string EventLog::Id(uint64_t seq) const { return StrCat(name_, ".", seq); }

void EventLog::Append(std::string message) {
  if (ended_) return;
  bytes_ += message.size();
  events_.push_back(Event{++last_seq_, std::move(message)});
  while (events_.size() > 1 && (events_.size() > kEventsMax || bytes_ > kBytesMax)) {
    bytes_ -= events_.front().message.size();
    events_.pop_front();
  }
  Wake();
}

void EventLog::End() {
  if (ended_) return;
  ended_ = true;
  left_at_ = Clock::now();
  Wake();
  writers_wake_.cancel();
}

void EventLog::Pause(std::chrono::milliseconds retry_after) {
  if (ended_) return;
  pause_ = retry_after;
  Wake();
}

Awaitable<void> EventLog::WaitForReader() {
  while (reader_ != 0 && !ended_ && last_seq_ - read_seq_ >= kUnreadMax) {
    co_await writers_wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
}

uint64_t EventLog::Attach(uint64_t seq) {
  reader_ = ++next_reader_;
  read_seq_ = std::min(seq, last_seq_);
  // Who comes back has been away; the first one may still have to go.
  if (reader_ > 1) pause_.reset();
  Wake();
  return reader_;
}

void EventLog::Detach(uint64_t reader) {
  if (reader != reader_) return;
  reader_ = 0;
  left_at_ = Clock::now();
  writers_wake_.cancel();
}

std::optional<Clock::time_point> EventLog::idle_since() const {
  if (reader_ != 0 || !(ended_ || standalone_)) return std::nullopt;
  return left_at_;
}

const EventLog::Event* EventLog::Next() const {
  if (events_.empty() || last_seq_ <= read_seq_) return nullptr;
  const uint64_t first = events_.front().seq;
  return read_seq_ < first ? &events_.front() : &events_[read_seq_ + 1 - first];
}

void EventLog::Advance() {
  if (const Event* next = Next()) read_seq_ = next->seq;
  if (last_seq_ - read_seq_ < kUnreadMax) writers_wake_.cancel();
}

std::optional<std::chrono::milliseconds> EventLog::TakePause() {
  return std::exchange(pause_, std::nullopt);
}

Awaitable<bool> EventLog::Wait(std::chrono::milliseconds wait) {
  reader_wake_.expires_after(wait);
  auto waiting = reader_wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  const auto [error] = co_await std::move(waiting);
  co_return error == boost::asio::error::operation_aborted;
}

void EventLog::Wake() { reader_wake_.cancel(); }

std::shared_ptr<EventLog> EventLogs::Open(const boost::asio::any_io_executor& executor,
                                          bool standalone) {
  Prune(Clock::now());
  const std::string& instance = instance_.empty() ? Instance() : instance_;
  std::string name = StrCat(instance, ".", standalone ? "g" : "p", ++next_);
  auto log = std::make_shared<EventLog>(executor, name, standalone);
  logs_.emplace(std::move(name), log);
  return log;
}

std::optional<EventLogs::Place> EventLogs::Find(std::string_view event_id) const {
  const size_t dot = event_id.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view name = event_id.substr(0, dot);
  const std::string_view digits = event_id.substr(dot + 1);
  const size_t inner = name.rfind('.');
  if (inner == std::string_view::npos || inner + 1 >= name.size()) return std::nullopt;
  Place place;
  place.request = name[inner + 1] == 'p';
  if (!place.request && name[inner + 1] != 'g') return std::nullopt;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), place.seq);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    return std::nullopt;
  }
  const auto it = logs_.find(name);
  if (it != logs_.end()) place.log = it->second;
  return place;
}

std::string_view EventLogs::InstanceOf(std::string_view event_id) {
  const size_t dot = event_id.find('.');
  const bool three = dot != std::string_view::npos && event_id.find('.', dot + 1) < event_id.size();
  return three ? event_id.substr(0, dot) : std::string_view();
}

void EventLogs::Prune(Clock::time_point now) {
  size_t idle = 0;
  auto oldest = logs_.end();
  for (auto it = logs_.begin(); it != logs_.end();) {
    const auto since = it->second->idle_since();
    if (since && now - *since > kKeep) {
      it = logs_.erase(it);
      continue;
    }
    if (since) {
      ++idle;
      if (oldest == logs_.end() || *since < *oldest->second->idle_since()) oldest = it;
    }
    ++it;
  }
  // One comes at a time, so one goes at a time.
  if (idle > kIdleMax) logs_.erase(oldest);
}

}  // namespace metamcp::gateway
