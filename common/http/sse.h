#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace metamcp::http {

// One event of an event stream as the parser dispatches it.
struct SseMessage {
  std::string event;  // "message" when the stream names none
  std::string data;
  std::string id;                   // the last event id so far (it sticks, as the standard says)
  std::optional<int64_t> retry_ms;  // set when this block held a valid retry field
};

// Incremental parser of text/event-stream. Source: WHATWG HTML, section 9.2.6 "Interpreting an
// event stream". A block without data is not dispatched, but its id and retry count. What is left
// at the end of the stream is dropped. Not thread-safe.
class SseParser {
 public:
  struct Limits {
    Limits() {}
    Limits(size_t line, size_t event) : line_bytes_max(line), event_bytes_max(event) {}
    size_t line_bytes_max = 16 << 20;
    size_t event_bytes_max = 16 << 20;
  };
  explicit SseParser(Limits limits = Limits()) : limits_(limits) {}

  // Takes the next bytes and calls `on_event` for each event they complete.
  // Errors: UPSTREAM_RESULT_TOO_LARGE; the parser stays failed.
  absl::Status Feed(std::string_view bytes, absl::FunctionRef<void(SseMessage&)> on_event);

  // For reconnecting: the id to send as Last-Event-ID, and the wait the server asked for last.
  const std::string& last_event_id() const { return last_id_; }
  std::optional<int64_t> retry_ms() const { return retry_ms_; }

 private:
  absl::Status Append(std::string_view piece);
  absl::Status EndLine(absl::FunctionRef<void(SseMessage&)> on_event);
  absl::Status Field(std::string_view name, std::string_view value);

  Limits limits_;
  std::string line_;
  SseMessage message_;  // being built
  bool has_data_ = false;
  bool first_line_ = true;
  bool after_cr_ = false;
  bool failed_ = false;
  std::string last_id_;
  std::optional<int64_t> retry_ms_;
};

// Text of one event, ending with the blank line. Line breaks in `data` (CR, LF, CRLF) become
// several data fields; `event` and `id` lose control characters. An empty id means none.
std::string SseEvent(std::string_view data, std::string_view event = {}, std::string_view id = {},
                     std::optional<int64_t> retry_ms = std::nullopt);
// Appends the same to `out`, for writers that keep a buffer.
void AppendSseEvent(std::string_view data, std::string_view event, std::string_view id,
                    std::string& out);

// A comment block, which keeps a connection alive.
inline constexpr std::string_view kSseKeepAlive = ":\n\n";

}  // namespace metamcp::http
