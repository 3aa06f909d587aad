#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/principal.h"
#include "common/db/database.h"
#include "metamcp/access/v1/approval_service.pb.h"

namespace metamcp::catalog {

namespace apb = access::v1;

// All SQL of approvals. Short-lived: made for one operation on a database thread. `now_us` is the
// caller's clock. Errors: those of the database facade, and as ApprovalService says.
class ApprovalStore {
 public:
  static constexpr int64_t kWaitingMax = 100;  // of one principal
  static constexpr int64_t kSessionUs = int64_t{15} * 60 * 1'000'000;
  // How long what is over is kept for people to look at.
  static constexpr int64_t kKeptUs = int64_t{7} * 24 * 3600 * 1'000'000;

  ApprovalStore(db::Database& database, std::string tenant)
      : database_(database), tenant_(std::move(tenant)) {}

  // Brings the schema up to date. Blocks.
  static absl::Status MigrateBlocking(db::Database& database);

  absl::StatusOr<apb::AskApprovalResponse> Ask(const apb::AskApprovalRequest& request,
                                               const std::string& new_id, int64_t now_us);
  // `self`: who asked may decide.
  absl::StatusOr<apb::Approval> Decide(const apb::DecideApprovalRequest& request,
                                       const Principal& who, bool self, int64_t now_us);
  // `subject` empty: everybody's.
  absl::StatusOr<std::vector<apb::Approval>> List(std::string_view state,
                                                  const std::string& subject, int64_t now_us);
  absl::StatusOr<apb::Approval> Get(const std::string& id, int64_t now_us);
  absl::Status Revoke(const std::string& id, const Principal& who, int64_t now_us);

 private:
  db::Database& database_;
  const std::string tenant_;
};

}  // namespace metamcp::catalog
