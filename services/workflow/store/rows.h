#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/workflow/store/records.h"

// Rows of the tables as records. Large texts live in workflow_values.
namespace metamcp::workflow {

// What a column holds for `text`: the text, or a reference to where it is. A reference stays one.
absl::StatusOr<std::string> StoreValue(db::Transaction& tx, const std::string& run_id,
                                       const std::string& text);
absl::StatusOr<std::string> LoadValue(db::Transaction& tx, const std::string& run_id,
                                      std::string stored);

absl::StatusOr<DefinitionRow> ReadDefinitionRow(const db::Row& row);
// Values may be references.
absl::StatusOr<RunRow> ReadRunHead(const db::Row& row);
// With its values.
absl::StatusOr<RunRow> ReadRun(db::Transaction& tx, const db::Row& row);
// With its values. Errors: NOT_FOUND.
absl::StatusOr<RunRow> OneRun(db::Transaction& tx, const std::string& tenant,
                              const std::string& id);
absl::Status AddEvent(db::Transaction& tx, const std::string& run_id, int64_t seq,
                      const EventRow& event);
// An event outside the work of the run's owner, for example by an operator.
absl::Status AddOutsideEvent(db::Transaction& tx, const std::string& run_id, EventRow event);
absl::StatusOr<StepRow> ReadStep(const db::Row& row);
absl::StatusOr<std::vector<StepRow>> ReadSteps(const db::Rows& rows);
absl::StatusOr<EventRow> ReadEvent(const db::Row& row);

// Writers of one run wait for each other.
absl::Status LockRun(db::Transaction& tx, const std::string& id);

// Events for listeners and schedules; those who wait for them are woken.
absl::Status PutOnBus(db::Transaction& tx, const std::string& tenant,
                      const std::vector<std::string>& events, int64_t now_us);

}  // namespace metamcp::workflow
