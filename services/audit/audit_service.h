#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <string>

#include "common/async/async_lock.h"
#include "common/audit/signing_key.h"
#include "common/db/executor.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// The service's interface over the store. Thread: the executor's one thread.
class AuditService final : public v1::AuditService {
 public:
  // All must outlive it. `checkpoint_file` is read by VerifyChain; empty: none.
  AuditService(boost::asio::any_io_executor executor, db::DbExecutor& database, SqlStore& store,
               const SigningKey& key, std::string checkpoint_file);

  Awaitable<absl::StatusOr<v1::AppendResponse>> Append(const CallContext& ctx,
                                                       v1::AppendRequest request) override;
  Awaitable<absl::StatusOr<v1::QueryRecordsResponse>> QueryRecords(
      const CallContext& ctx, v1::QueryRecordsRequest request) override;
  Awaitable<absl::Status> TailRecords(const CallContext& ctx, v1::TailRecordsRequest request,
                                      Sink<v1::TailRecordsResponse>& sink) override;
  Awaitable<absl::StatusOr<v1::ExportRecordsResponse>> ExportRecords(
      const CallContext& ctx, v1::ExportRecordsRequest request) override;
  Awaitable<absl::StatusOr<v1::VerifyChainResponse>> VerifyChain(
      const CallContext& ctx, v1::VerifyChainRequest request) override;
  Awaitable<absl::StatusOr<v1::ListCheckpointsResponse>> ListCheckpoints(
      const CallContext& ctx, v1::ListCheckpointsRequest request) override;
  Awaitable<absl::StatusOr<v1::GetKeyResponse>> GetKey(const CallContext& ctx,
                                                       v1::GetKeyRequest request) override;
  Awaitable<absl::StatusOr<v1::ListFailuresResponse>> ListFailures(
      const CallContext& ctx, v1::ListFailuresRequest request) override;
  Awaitable<absl::StatusOr<v1::ReadUsageResponse>> ReadUsage(const CallContext& ctx,
                                                             v1::ReadUsageRequest request) override;
  Awaitable<absl::StatusOr<v1::ExportSubjectResponse>> ExportSubject(
      const CallContext& ctx, v1::ExportSubjectRequest request) override;
  Awaitable<absl::StatusOr<v1::EraseSubjectResponse>> EraseSubject(
      const CallContext& ctx, v1::EraseSubjectRequest request) override;
  Awaitable<absl::StatusOr<v1::CreateHoldResponse>> CreateHold(
      const CallContext& ctx, v1::CreateHoldRequest request) override;
  Awaitable<absl::StatusOr<v1::ListHoldsResponse>> ListHolds(const CallContext& ctx,
                                                             v1::ListHoldsRequest request) override;
  Awaitable<absl::StatusOr<v1::DeleteHoldResponse>> DeleteHold(
      const CallContext& ctx, v1::DeleteHoldRequest request) override;

 private:
  using Found = std::vector<std::pair<RecordRow, std::string>>;  // with opened personal fields
  Awaitable<absl::StatusOr<Found>> Find(const CallContext& ctx, RecordFilter filter);

  db::DbExecutor& database_;
  SqlStore& store_;
  const SigningKey key_;
  const std::string checkpoint_file_;
  Signal appended_;
};

}  // namespace metamcp::audit
