#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "metamcp/catalog/v1/directory_service.pb.h"

namespace metamcp::catalog {

// All SQL of the directory. Short-lived: made for one operation on a database thread. `now_us` is
// the caller's clock; replicas of the catalog must agree to within a fraction of a lease. Errors:
// those of the database facade (common/db/database.h).
class DirectoryStore {
 public:
  static constexpr size_t kMarksPerPage = 5000;

  explicit DirectoryStore(db::Database& database) : database_(database) {}

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  // Renews `member` until now_us + lease_us and returns everybody whose lease runs. An address is
  // one process: whoever had it before is gone, unless it had a role that this one has not; then
  // its lease has to end.
  absl::StatusOr<std::vector<v1::Member>> Announce(const v1::Member& member, int64_t now_us,
                                                   int64_t lease_us);
  // Ends the lease of `member` and frees what it ran, unless it has a role that is not named here.
  absl::Status Leave(const v1::Member& member);

  // What an absent process ran goes to who asks for it only if `sure`: that absent ones had the
  // time to come back. Errors: NOT_FOUND where `request.instance` has no lease that runs.
  absl::StatusOr<std::vector<v1::UpstreamLease>> Take(const v1::TakeUpstreamsRequest& request,
                                                      int64_t now_us, bool sure = true);

  // A mark that says `ended` stays so; an empty log level changes none.
  absl::Status Mark(const std::vector<v1::SessionMark>& marks, int64_t now_us);
  absl::StatusOr<v1::ListSessionMarksResponse> ListMarks(int64_t after, int64_t now_us);

 private:
  db::Database& database_;
};

}  // namespace metamcp::catalog
