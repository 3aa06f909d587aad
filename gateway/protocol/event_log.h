#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/async/sink.h"

namespace metamcp::gateway {

// The messages of one event stream to a legacy client, kept for a while so that a client whose
// connection broke can have the rest (MCP 2025-11-25, basic/transports, "Resumability and
// Redelivery"). Writers append, one connection at a time reads. Bounded: the oldest messages are
// forgotten first, the newest never. Single-threaded.
class EventLog {
 public:
  static constexpr size_t kEventsMax = 256;
  static constexpr size_t kBytesMax = 1u << 20;
  // As far as writers may be ahead of a connection that reads.
  static constexpr size_t kUnreadMax = 64;

  struct Event {
    uint64_t seq = 0;
    std::string message;
  };

  // `standalone`: the stream of a GET, which belongs to no request.
  EventLog(const boost::asio::any_io_executor& executor, std::string name, bool standalone);

  const std::string& name() const { return name_; }
  bool standalone() const { return standalone_; }
  // What the client sends as Last-Event-ID after this event; 0 is the begin of the stream.
  std::string Id(uint64_t seq) const;

  void Append(std::string message);
  // Nothing follows.
  void End();
  bool ended() const { return ended_; }
  // Asks the connection to end and the client to come back after `retry_after`.
  void Pause(std::chrono::milliseconds retry_after);
  // Waits while a connection reads and is far behind.
  Awaitable<void> WaitForReader();

  // A connection begins to read after `seq`; whoever read before is done (Reads is false for it).
  uint64_t Attach(uint64_t seq);
  void Detach(uint64_t reader);
  bool Reads(uint64_t reader) const { return reader == reader_; }
  // The next message for the connection that reads, or null.
  const Event* Next() const;
  void Advance();
  uint64_t last_read() const { return read_seq_; }
  std::optional<std::chrono::milliseconds> TakePause();
  // Waits for something new, at most `wait`. False when the time has passed.
  Awaitable<bool> Wait(std::chrono::milliseconds wait);
  // Ends the reader's wait.
  void Wake();

  size_t bytes() const { return bytes_; }
  // Since when nobody can add to it and nobody reads it; nothing while it is in use.
  std::optional<std::chrono::steady_clock::time_point> idle_since() const;

 private:
  const std::string name_;
  const bool standalone_;
  boost::asio::steady_timer reader_wake_;
  boost::asio::steady_timer writers_wake_;
  std::chrono::steady_clock::time_point left_at_;  // by its writer or its reader
  std::deque<Event> events_;
  size_t bytes_ = 0;
  uint64_t last_seq_ = 0;
  uint64_t read_seq_ = 0;
  uint64_t reader_ = 0;  // 0: nobody
  uint64_t next_reader_ = 0;
  bool ended_ = false;
  std::optional<std::chrono::milliseconds> pause_;
};

// The event streams of one legacy session. Single-threaded.
class EventLogs {
 public:
  // Streams out of use are kept for this long, and no more of them than that.
  static constexpr std::chrono::seconds kKeep{60};
  static constexpr size_t kIdleMax = 16;

  // `instance` names the process in the streams' ids; without it each process has a random name.
  explicit EventLogs(std::string instance = {}) : instance_(std::move(instance)) {}

  std::shared_ptr<EventLog> Open(const boost::asio::any_io_executor& executor, bool standalone);

  struct Place {
    std::shared_ptr<EventLog> log;  // null: unknown here, or forgotten
    uint64_t seq = 0;
    bool request = false;  // of a request's stream, not a standalone one
  };
  // Where a Last-Event-ID points to; nothing if it is none of ours.
  std::optional<Place> Find(std::string_view event_id) const;

  // The process that a Last-Event-ID names; empty if it is none of ours.
  static std::string_view InstanceOf(std::string_view event_id);

  // Forgets streams out of use that are old or too many.
  void Prune(std::chrono::steady_clock::time_point now);
  size_t size() const { return logs_.size(); }

 private:
  std::map<std::string, std::shared_ptr<EventLog>, std::less<>> logs_;
  const std::string instance_;
  uint64_t next_ = 0;
};

}  // namespace metamcp::gateway
