#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/workflow/store/records.h"

// Rows of the tables as records. Large texts live in workflow_payloads.
namespace metamcp::workflow {

// What a column holds for `text`: the text, or a reference to where it is.
absl::StatusOr<std::string> StorePayload(db::Transaction& tx, const std::string& text);
absl::StatusOr<std::string> LoadPayload(db::Transaction& tx, std::string stored);

absl::StatusOr<DefinitionRow> ReadDefinitionRow(const db::Row& row);
absl::StatusOr<RunRow> ReadRun(db::Transaction& tx, const db::Row& row);
// Errors: NOT_FOUND.
absl::StatusOr<RunRow> OneRun(db::Transaction& tx, const std::string& tenant,
                              const std::string& id);
absl::Status AddEvent(db::Transaction& tx, const std::string& run_id, int64_t seq,
                      const EventRow& event);
absl::StatusOr<std::vector<RunRow>> ReadRuns(db::Transaction& tx, const db::Rows& rows);
absl::StatusOr<std::vector<StepRow>> ReadSteps(db::Transaction& tx, const db::Rows& rows);
absl::StatusOr<std::vector<EventRow>> ReadEvents(db::Transaction& tx, const db::Rows& rows);

}  // namespace metamcp::workflow
