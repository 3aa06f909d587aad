#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/db/executor.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"

namespace metamcp::catalog {

// Who is alive and who runs what (proto/metamcp/catalog/v1/directory_service.proto), straight from
// the database: replicas of the catalog need not know each other. Thread: the caller's executor.
class DirectoryService final : public v1::DirectoryService {
 public:
  // A process that says nothing for this long is gone: three heartbeats and a little.
  static constexpr std::chrono::milliseconds kLease{5000};

  // `database` must outlive this. `now_us`: microseconds since the epoch; NowMicros if empty.
  explicit DirectoryService(db::DbExecutor& database, std::function<int64_t()> now_us = {});

  Awaitable<absl::StatusOr<v1::AnnounceResponse>> Announce(const CallContext& ctx,
                                                           v1::AnnounceRequest request) override;
  Awaitable<absl::StatusOr<v1::TakeUpstreamsResponse>> TakeUpstreams(
      const CallContext& ctx, v1::TakeUpstreamsRequest request) override;
  Awaitable<absl::StatusOr<v1::MarkSessionsResponse>> MarkSessions(
      const CallContext& ctx, v1::MarkSessionsRequest request) override;
  Awaitable<absl::StatusOr<v1::ListSessionMarksResponse>> ListSessionMarks(
      const CallContext& ctx, v1::ListSessionMarksRequest request) override;

 private:
  // Whether processes could renew their leases here for as long as one runs: then who has none is
  // gone.
  bool Sure(int64_t now_us) const;
  v1::AnnounceResponse Known() const;

  db::DbExecutor& database_;
  const std::function<int64_t()> now_us_;
  std::vector<v1::Member> members_;  // when the database was asked last
  int64_t heard_us_ = 0;             // the last announcement that was stored
  int64_t open_since_us_ = 0;        // announcements are stored since then without a gap
};

}  // namespace metamcp::catalog
