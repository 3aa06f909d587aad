#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "common/db/executor.h"
#include "metamcp/access/v1/approval_service.metamcp.h"

namespace metamcp::catalog {

// proto/metamcp/access/v1/approval_service.proto, straight from the database: replicas need not
// know each other. Thread: the caller's executor.
class ApprovalService final : public access::v1::ApprovalService {
 public:
  // `database` must outlive this. `now_us`: microseconds since the epoch; NowMicros if empty.
  explicit ApprovalService(db::DbExecutor& database, std::function<int64_t()> now_us = {});

  // Whether who makes a call may approve it.
  void SetSelfApproval(bool allowed) { self_approval_ = allowed; }

  Awaitable<absl::StatusOr<access::v1::AskApprovalResponse>> AskApproval(
      const CallContext& ctx, access::v1::AskApprovalRequest request) override;
  Awaitable<absl::StatusOr<access::v1::DecideApprovalResponse>> DecideApproval(
      const CallContext& ctx, access::v1::DecideApprovalRequest request) override;
  Awaitable<absl::StatusOr<access::v1::ListApprovalsResponse>> ListApprovals(
      const CallContext& ctx, access::v1::ListApprovalsRequest request) override;
  Awaitable<absl::StatusOr<access::v1::GetApprovalResponse>> GetApproval(
      const CallContext& ctx, access::v1::GetApprovalRequest request) override;
  Awaitable<absl::StatusOr<access::v1::RevokeApprovalResponse>> RevokeApproval(
      const CallContext& ctx, access::v1::RevokeApprovalRequest request) override;

 private:
  db::DbExecutor& database_;
  const std::function<int64_t()> now_us_;
  bool self_approval_ = true;
};

}  // namespace metamcp::catalog
