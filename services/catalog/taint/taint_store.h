#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "metamcp/catalog/v1/taint_service.pb.h"

namespace metamcp::catalog {

// All SQL of taint. Short-lived: made for one operation on a database thread. Errors: those of the
// database facade.
class TaintStore {
 public:
  explicit TaintStore(db::Database& database) : database_(database) {}
  // Brings its tables up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  // Sources are joined, the later end holds.
  absl::Status Mark(const v1::MarkTaintRequest& request, int64_t now_us);
  struct Changes {
    std::vector<v1::TaintedScope> scopes;
    int64_t seq = 0;    // of the last of them; `after` where there is none
    bool more = false;  // ask again behind it
  };
  // What was marked behind `after` and is in force, in order.
  absl::StatusOr<Changes> Since(int64_t after, int64_t now_us);
  // Removes what has ended.
  absl::Status Prune(int64_t now_us);

 private:
  db::Database& database_;
};

}  // namespace metamcp::catalog
