#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::cli {

// Lines from somewhere. One reader at a time, on the executor's thread.
class LineSource {
 public:
  virtual ~LineSource() = default;
  // The next line without its line break; nullopt at the end; empty lines are skipped. Errors:
  // BODY_TOO_LARGE for a line over the limit, which is dropped whole; reading may go on.
  virtual Awaitable<absl::StatusOr<std::optional<std::string>>> ReadLine() = 0;
  // Ends the source as if its end had come; what was not read yet is dropped.
  virtual void Stop() = 0;
};

// Lines to somewhere, whole and in order. On the executor's thread.
class LineSink {
 public:
  virtual ~LineSink() = default;
  // Writes `line` and a line break; waits while too much is queued. Errors: UNAVAILABLE once the
  // reader is gone.
  virtual Awaitable<absl::Status> WriteLine(std::string line) = 0;
  // `callback` runs on the executor's thread once the reader is found to be gone.
  virtual void OnClosed(std::function<void()> callback) = 0;
};

// Both work on any descriptor (pipe, terminal, file), each with a thread of its own, because event
// loops cannot watch files and because the mode of a descriptor that is shared with others stays
// untouched. The descriptor is not closed.
std::unique_ptr<LineSource> NewFdLineSource(boost::asio::any_io_executor executor, int fd,
                                            size_t line_bytes_max);
// The destructor waits up to 2 s until everything is written.
std::unique_ptr<LineSink> NewFdLineSink(boost::asio::any_io_executor executor, int fd);

}  // namespace metamcp::cli
