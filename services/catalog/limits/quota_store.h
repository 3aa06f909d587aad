#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "metamcp/catalog/v1/quota_service.pb.h"

namespace metamcp::catalog {

// All SQL of shared limits. Short-lived: made for one operation on a database thread. `now_us` is
// the caller's clock, microseconds since the epoch; replicas of the catalog must agree to within a
// fraction of a second. Errors: those of the database facade (common/db/database.h).
class QuotaStore {
 public:
  // Slots of a gateway that says nothing for this long are free.
  static constexpr int64_t kSlotsUs = 10'000'000;

  explicit QuotaStore(db::Database& database) : database_(database) {}

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  // As QuotaService says; all of it or nothing.
  absl::StatusOr<v1::ExchangeLimitsResponse> Exchange(const v1::ExchangeLimitsRequest& request,
                                                      int64_t now_us);
  absl::StatusOr<v1::ListQuotasResponse> List(int64_t day, const std::string& after, int64_t limit);
  // Forgets full buckets, past days and slots of gateways that are gone.
  absl::Status Prune(int64_t now_us);

 private:
  db::Database& database_;
};

}  // namespace metamcp::catalog
