#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/async/sink.h"
#include "common/mcp/convert.h"

namespace metamcp::connector {

// The client capabilities that a legacy upstream is told of: what it may ask, and extensions.
struct Capset {
  mcp::ClientFeatures features;
  std::string extensions;  // raw JSON object of settings by id; empty: none
  // Whether there is anything to ask.
  bool any() const { return features.any(); }
  // Whether this question may be put.
  bool Allows(std::string_view method, std::string_view params) const;
  friend bool operator==(const Capset&, const Capset&) = default;
};

// A JSON-RPC error of the upstream.
struct RpcError {
  int64_t code = 0;
  std::string message;
  std::string data;  // raw JSON, empty when absent
};

// Something the upstream asks its client.
struct Question {
  std::string id;  // raw JSON
  std::string method;
  std::string params;  // raw JSON, "{}" when absent
};

// What one request needs besides its text.
struct RequestSpec {
  RequestSpec() = default;
  RequestSpec(std::string method_in, std::string params_in)
      : method(std::move(method_in)), params(std::move(params_in)) {}
  std::string method;
  std::string params;     // raw object without _meta; may be empty
  std::string meta_tail;  // members of _meta, comma separated, without progressToken
  std::string name;       // for headers
  std::string task_id;    // of a request that waits for this task
  std::vector<std::pair<std::string, std::string>> headers;
  Capset capset;
  bool call = false;  // a client's, as opposed to the gateway's own requests
  bool wants_progress = false;
  int log_severity = -1;  // below it nothing is wanted; -1: no logs
};

// One request in flight, between the session that fills it and the coroutine that reads it.
// Single-threaded; at most one reader waits.
class Exchange {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Wake { kSignalled, kTimeout, kCancelled };
  struct Note {
    enum class Kind { kProgress, kLog, kPaused, kExtension };
    Kind kind = Kind::kLog;
    std::string method;                       // of an extension's notification
    std::string params;                       // raw JSON; of a pause none
    std::chrono::milliseconds retry_after{};  // of a pause
  };
  static constexpr size_t kNotesMax = 256;

  Exchange(boost::asio::any_io_executor executor, uint64_t id_in, RequestSpec spec_in)
      : id(id_in), spec(std::move(spec_in)), timer_(std::move(executor)) {}

  // Returns when something happened since the last wait, at `until`, or on cancellation.
  Awaitable<Wake> Wait(Clock::time_point until);

  // Wakes the reader without news of the upstream.
  void Poke() { Signal(); }

  // The session's side.
  void AddNote(bool progress, std::string params);
  // The upstream's stream ended early; it is asked for the rest after that time.
  void AddPause(std::chrono::milliseconds retry_after);
  // A notification that the core protocol does not know.
  void AddExtension(std::string method, std::string params);
  void AddQuestion(Question question);
  void Finish(std::string text);
  void FinishError(RpcError why);
  void FinishFailure(absl::Status why);

  const uint64_t id;
  const RequestSpec spec;
  // What happened; the reader takes it away.
  std::deque<Note> notes;
  std::vector<Question> questions;
  bool done = false;
  absl::Status failure;           // no answer came
  std::optional<RpcError> error;  // the answer is an error
  std::string result;             // the answer
  Clock::time_point active_at = Clock::now();

 private:
  void Add(Note note);
  void Signal();
  boost::asio::steady_timer timer_;
  bool signalled_ = false;
  bool waiting_ = false;
};

}  // namespace metamcp::connector
