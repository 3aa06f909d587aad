#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/base/principal.h"
#include "metamcp/audit/v1/audit_service.pb.h"
#include "services/audit/export_format.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// Between protos and the store's words.
void ToProto(const RecordRow& row, const std::string& personal, v1::Record& out);
void ToProto(const CheckpointRow& row, v1::CheckpointNote& out);
void ToProto(const HoldRow& row, const std::string& subject, v1::Hold& out);
void ToProto(const UsageRow& row, v1::Usage& out);
void ToProto(const Principal& principal, metamcp::common::v1::Principal& out);
// Errors: ARGUMENT_INVALID.
absl::StatusOr<RecordFilter> ToFilter(const v1::QueryRecordsRequest& request);
absl::StatusOr<UsageQuery> ToUsageQuery(const v1::ReadUsageRequest& request);
// A number; 0 for an empty token. Errors: ARGUMENT_INVALID.
absl::StatusOr<int64_t> ReadPageToken(const std::string& token);
int64_t PageSize(int64_t asked, int64_t usual, int64_t max);

// One part of an export. Blocks.
absl::StatusOr<v1::ExportRecordsResponse> ExportPart(SqlStore& store, db::Database& database,
                                                     const std::string& tenant,
                                                     const VerifyKey& key,
                                                     const v1::ExportRecordsRequest& request,
                                                     ExportWriter& writer);

// A wait as an operation that RunUntil takes.
inline Awaitable<absl::Status> WaitStatus(Awaitable<void> wait) {
  co_await std::move(wait);
  co_return absl::OkStatus();
}

}  // namespace metamcp::audit
