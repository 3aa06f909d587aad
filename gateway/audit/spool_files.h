#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/audit/spool.h"

namespace metamcp::gateway {

// The files of a spool. Blocks; one thread at a time.
class SpoolFiles {
 public:
  static absl::StatusOr<SpoolFiles> Open(const SpoolOptions& options);
  SpoolFiles(SpoolFiles&& other) noexcept;
  SpoolFiles& operator=(SpoolFiles&&) = delete;
  ~SpoolFiles();

  // Writes all or nothing. Errors: RESOURCE_EXHAUSTED; the system's.
  absl::Status Write(const std::vector<std::string_view>& events);
  absl::Status Sync();
  absl::StatusOr<Spool::Batch> Read(size_t events_max);
  absl::Status Confirm(Spool::Position end);
  int64_t bytes() const;

 private:
  struct Segment {
    int64_t index = 0;
    int64_t size = 0;
  };
  SpoolFiles() = default;
  absl::Status Lock();
  absl::Status Scan();
  absl::Status OpenSegment(int64_t index);
  std::string PathOf(int64_t index) const;
  void ReadConfirmed();

  SpoolOptions options_;
  std::string folder_;
  int lock_ = -1;
  int file_ = -1;  // the last segment
  int confirmed_file_ = -1;
  std::deque<Segment> segments_;
  Spool::Position read_;
  Spool::Position confirmed_;
};

}  // namespace metamcp::gateway
