#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/workflow/store/records.h"

namespace metamcp::workflow {

// The one store of workflows, runs and checkpoints. Blocking: on database threads only. Errors:
// those of common/db, beside those named.
class SqlStore {
 public:
  explicit SqlStore(db::Database& database) : database_(database) {}
  static absl::Status MigrateBlocking(db::Database& database);

  // Returns whether it is new. Errors: ALREADY_EXISTS for another document under that version.
  absl::StatusOr<bool> PutDefinition(const DefinitionRow& row);
  // The newest where `version` is empty. Errors: NOT_FOUND. `deleted` ones only with a version.
  absl::StatusOr<DefinitionRow> GetDefinition(const std::string& tenant,
                                              const std::string& name_space,
                                              const std::string& name, const std::string& version);
  absl::StatusOr<std::vector<std::string>> Versions(const std::string& tenant,
                                                    const std::string& name_space,
                                                    const std::string& name);
  // The newest version of each, by namespace and name.
  absl::StatusOr<std::vector<DefinitionRow>> ListDefinitions(const std::string& tenant);
  absl::Status DeleteDefinition(const std::string& tenant, const std::string& name_space,
                                const std::string& name);

  // Stores a run that is due at once, or returns the one with the same request key. Errors:
  // RESOURCE_EXHAUSTED reason RUN_LIMIT where its subject has `active_max` (0: any number) runs
  // that have not ended.
  absl::StatusOr<RunRow> CreateRun(const RunRow& run, int64_t active_max = 0);
  absl::StatusOr<RunRow> GetRun(const std::string& tenant, const std::string& id);
  // The same; large values are references.
  absl::StatusOr<RunRow> RunHead(const std::string& tenant, const std::string& id);
  // What a reference of that run stands for; a value that is none stays as it is. Errors:
  // NOT_FOUND.
  absl::StatusOr<std::string> GetValue(const std::string& run_id, const std::string& value);
  // Newest first, before `before_id` where it is not empty. Large values are references.
  absl::StatusOr<std::vector<RunRow>> ListRuns(const std::string& tenant, const std::string& name,
                                               const std::string& state,
                                               const std::string& before_id, int64_t limit);
  // All attempts, in order. Large values are references, as in what events carry.
  absl::StatusOr<std::vector<StepRow>> Steps(const std::string& run_id);
  // Those behind `after_ord`.
  absl::StatusOr<std::vector<StepRow>> StepsPage(const std::string& run_id, int64_t after_ord,
                                                 int64_t limit);
  // What waits for an answer of a person, the first thousand.
  absl::StatusOr<std::vector<StepRow>> Pending(const std::string& run_id);
  absl::StatusOr<std::vector<EventRow>> Events(const std::string& run_id, int64_t after,
                                               int64_t limit);

  // Takes runs that are due and have no living owner; each gets a higher epoch, `owner` a lease.
  absl::StatusOr<std::vector<RunRow>> Claim(const std::string& owner, int64_t now_us,
                                            int64_t lease_until_us, int64_t limit);
  // Renews the lease of `owner` and returns its runs as they are now.
  struct Owned {
    std::string id;
    int64_t epoch = 0;
    int64_t control = 0;
    int64_t wake = 0;
  };
  absl::StatusOr<std::vector<Owned>> Renew(const std::string& owner, int64_t lease_until_us);
  // Gives these up, where they are still as they were read: they are due at once.
  absl::Status GiveBack(const std::string& owner, const std::vector<Owned>& runs, int64_t now_us);
  // Gives up what `owner` holds: it is due at once for others.
  absl::Status ReleaseAll(const std::string& owner, int64_t now_us);

  // On a database that only this process uses, what others hold is what a crash left: frees it.
  absl::Status FreeLeftBehind(const std::string& owner);

  // Deletes at most `limit` runs that ended before then, with all that belongs to them, and events
  // of that age. Returns how many runs it found.
  absl::StatusOr<int64_t> Prune(int64_t ended_before_us, int64_t limit);

  // Applies all in one transaction. One element for each commit: OK, or ABORTED reason RUN_FENCED
  // for one whose run belongs to another (nothing of it is applied).
  absl::StatusOr<std::vector<absl::Status>> Apply(const std::vector<RunCommit>& commits);

  // Sets control bits of a run that is not final and makes it due. Errors: NOT_FOUND, RUN_STATE.
  absl::StatusOr<RunRow> SetControl(const std::string& tenant, const std::string& id, int64_t set,
                                    int64_t clear, int64_t now_us);
  // Makes a failed or cancelled run due again; with steps that are to run anew (`again`, of what
  // was read at `event_seq`) a completed one, too. Errors: NOT_FOUND, RUN_STATE.
  absl::Status Retry(const std::string& tenant, const std::string& id, int64_t now_us);
  absl::Status RetryFrom(const std::string& tenant, const std::string& id,
                         const std::vector<StepKey>& again, int64_t event_seq, int64_t now_us);
  // What an operator changes of a run that nobody works on (paused, failed or cancelled), as it was
  // read at `event_seq`. Errors: NOT_FOUND, RUN_STATE.
  struct Edit {
    std::string version;         // empty: stays
    std::vector<StepKey> again;  // run anew
    std::optional<StepKey> step;
    std::string output;  // of `step`
    std::string event;   // data, JSON
  };
  absl::Status EditRun(const std::string& tenant, const std::string& id, const Edit& edit,
                       int64_t event_seq, int64_t now_us);
  // Puts arguments in the place of those that the definition gives. Errors: NOT_FOUND, RUN_STATE.
  absl::Status EditArguments(const std::string& tenant, const std::string& id,
                             const std::string& path, const std::string& decision,
                             const std::string& by, int64_t now_us);
  // Stores an answer and makes the run due. Where several must approve, the last of them decides,
  // and any denial; `by` counts once. Errors: NOT_FOUND no such run; RUN_STATE it is answered.
  absl::Status Decide(const std::string& tenant, const std::string& run_id,
                      const DecisionRow& decision, const std::string& by, int64_t now_us);
  absl::StatusOr<std::vector<DecisionRow>> Decisions(const std::string& run_id);
  // Steps that wait for an approval of the policy and have no answer yet, of at most `runs_max`
  // runs behind the run `after`.
  struct Consent {
    RunRow run;  // its values may be references
    StepRow question;
  };
  struct Consents {
    std::vector<Consent> waiting;
    std::string next;  // what the next page is behind; empty at the end
  };
  absl::StatusOr<Consents> WaitingConsents(const std::string& after, int64_t runs_max);

  // Of runs that were created from `since_us` on, without dry ones.
  absl::StatusOr<RunFigures> Figures(const std::string& tenant, const std::string& name_space,
                                     const std::string& name, int64_t since_us);

  absl::StatusOr<std::vector<BusEvent>> ReadBus(const std::string& tenant, int64_t after,
                                                int64_t limit);
  absl::StatusOr<int64_t> BusHead(const std::string& tenant);

 private:
  db::Database& database_;
};

}  // namespace metamcp::workflow
