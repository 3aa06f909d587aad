#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::gateway {

struct SpoolOptions {
  SpoolOptions() = default;
  std::string folder;  // made with mode 0700 where it is missing
  int64_t bytes_max = int64_t{1} << 30;
  // Written bytes are synced to the disk within this time; zero: before Append returns.
  std::chrono::milliseconds sync{20};
  int64_t segment_bytes = int64_t{8} << 20;
};

// A queue of events in files, which survives the process. Events are appended by group commit on a
// thread of its own, read in their order, and removed when the reader has passed them on. After a
// crash the reader gets again what it had not confirmed; what was torn in the middle of a write was
// never confirmed and is cut off.
//
// Of the folder's subfolders 0, 1, … a process takes the first that no other holds.
// All calls on the executor's one thread.
class Spool {
 public:
  struct Position {
    int64_t segment = 0;
    int64_t offset = 0;
  };
  struct Batch {
    std::vector<std::string> events;
    Position end;
  };

  // Blocks. Errors: the system's; RESOURCE_EXHAUSTED where eight processes share the folder.
  static absl::StatusOr<std::unique_ptr<Spool>> OpenBlocking(boost::asio::any_io_executor executor,
                                                             SpoolOptions options);
  virtual ~Spool() = default;

  // Hands in at once and returns when the event is written (see SpoolOptions::sync); whoever is
  // cancelled meanwhile has handed it in all the same. Errors: RESOURCE_EXHAUSTED: bytes_max; else
  // the system's, for example of a full disk; then nothing of the event is kept.
  virtual Awaitable<absl::Status> Append(std::string event) = 0;
  // Hands in without waiting; what cannot be written is logged.
  virtual void Push(std::string event) = 0;

  // The next events behind the last batch; none where there are none.
  virtual Awaitable<absl::StatusOr<Batch>> Read(size_t events_max) = 0;
  // Everything before `end` has been passed on.
  virtual Awaitable<absl::Status> Confirm(Position end) = 0;
  // Returns at the next write.
  virtual Awaitable<void> Written() = 0;

  // The last write failed, less than a second ago.
  virtual bool failing() const = 0;
  // Handed in and not confirmed.
  virtual int64_t bytes() const = 0;
};

}  // namespace metamcp::gateway
