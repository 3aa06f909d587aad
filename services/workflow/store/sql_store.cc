#include "services/workflow/store/sql_store.h"

#include <algorithm>
#include <map>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/workflow.h"
#include "services/workflow/store/rows.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kDefinitionsLock = "metamcp.workflow.definitions";
constexpr std::string_view kBusLock = "metamcp.workflow.bus";

absl::Status NoRun(const std::string& id) {
  return MakeError("NOT_FOUND", "workflow", StrCat("no run \"", id, "\""));
}

absl::Status InState(const RunRow& run, std::string_view what) {
  return MakeError("RUN_STATE", "workflow", StrCat("the run is ", run.state, what));
}

absl::StatusOr<RunRow> OneRun(Transaction& tx, const std::string& tenant, const std::string& id) {
  METAMCP_ASSIGN_OR_RETURN(
      const Rows rows, tx.Query("SELECT * FROM workflow_runs WHERE id = :id AND tenant = :tenant",
                                {{"id", id}, {"tenant", tenant}}));
  if (rows.empty()) return NoRun(id);
  return ReadRun(tx, rows[0]);
}

// Writers of one run wait for each other.
absl::Status LockRun(Transaction& tx, const std::string& id) {
  return tx.AdvisoryLock(StrCat("metamcp.workflow.run.", id));
}

absl::Status AddEvent(Transaction& tx, const std::string& run_id, int64_t seq,
                      const EventRow& event) {
  METAMCP_ASSIGN_OR_RETURN(const std::string data, StorePayload(tx, event.data));
  return tx
      .Execute("INSERT INTO workflow_events (run_id, seq, time_us, type, path, data) VALUES "
               "(:run, :seq, :time, :type, :path, :data)",
               {{"run", run_id},
                {"seq", seq},
                {"time", event.time_us},
                {"type", event.type},
                {"path", event.path},
                {"data", data}})
      .status();
}

// An event outside the work of the run's owner, for example by an operator.
absl::Status AddOutsideEvent(Transaction& tx, const std::string& run_id, EventRow event) {
  METAMCP_ASSIGN_OR_RETURN(
      const Row row, tx.QueryOne("SELECT event_seq FROM workflow_runs WHERE id = :id",
                                 {{"id", run_id}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t seq, row.Get<int64_t>("event_seq"));
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("UPDATE workflow_runs SET event_seq = :seq WHERE id = :id",
                 {{"seq", seq + 1}, {"id", run_id}})
          .status());
  return AddEvent(tx, run_id, seq + 1, event);
}

absl::Status PutOnBus(Transaction& tx, const std::string& tenant,
                      const std::vector<std::string>& events, int64_t now_us) {
  METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kBusLock));
  METAMCP_ASSIGN_OR_RETURN(
      const Row row, tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_bus WHERE "
                                 "tenant = :tenant",
                                 {{"tenant", tenant}}));
  METAMCP_ASSIGN_OR_RETURN(int64_t seq, row.Get<int64_t>("seq"));
  for (const std::string& event : events) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("INSERT INTO workflow_bus (tenant, seq, time_us, event) VALUES (:tenant, :seq, "
                   ":time, :event)",
                   {{"tenant", tenant}, {"seq", ++seq}, {"time", now_us}, {"event", event}})
            .status());
  }
  return absl::OkStatus();
}

absl::Status PutStep(Transaction& tx, const std::string& run_id, const StepRow& step) {
  METAMCP_ASSIGN_OR_RETURN(const std::string output, StorePayload(tx, step.output));
  METAMCP_ASSIGN_OR_RETURN(const std::string context, StorePayload(tx, step.context));
  return tx.Upsert("workflow_steps",
                   {{"run_id", run_id}, {"path", step.path}, {"attempt", step.attempt}},
                   {{"ord", step.ord},
                    {"state", step.state},
                    {"kind", step.kind},
                    {"name", step.name},
                    {"tool", step.tool},
                    {"idempotency_key", step.key},
                    {"repeatable", step.repeatable},
                    {"compensable", step.compensable},
                    {"output", output},
                    {"context", context},
                    {"next", step.next},
                    {"error", step.error},
                    {"detail", step.detail},
                    {"due_us", step.due_us},
                    {"started_us", step.started_us},
                    {"ended_us", step.ended_us}});
}

// The row changes with the fence as its condition; nothing else is touched where that fails.
absl::StatusOr<bool> Fence(Transaction& tx, const RunCommit& commit, int64_t now_us) {
  std::string set = "event_seq = event_seq + :events";
  Params params = {{"events", static_cast<int64_t>(commit.events.size())},
                   {"id", commit.run_id},
                   {"owner", commit.owner},
                   {"epoch", commit.epoch}};
  const auto text = [&](std::string_view column, const std::optional<std::string>& value) {
    if (!value) return;
    set += StrCat(", ", column, " = :", column);
    params.emplace_back(column, *value);
  };
  text("state", commit.state);
  text("phase", commit.phase);
  for (const auto& [column, value] : {std::make_pair("output", &commit.output),
                                      std::make_pair("error", &commit.error)}) {
    if (!*value) continue;
    METAMCP_ASSIGN_OR_RETURN(const std::string stored, StorePayload(tx, **value));
    text(column, stored);
  }
  if (commit.release) {
    set +=
        ", owner = '', lease_us = 0, due_us = CASE WHEN wake = :wake THEN CAST(:due AS BIGINT) ELSE "
        "CAST(:now AS BIGINT) END";
    params.emplace_back("due", db::Value(commit.due_us));
    params.emplace_back("wake", commit.seen_wake);
    params.emplace_back("now", now_us);
  }
  if (commit.ended) {
    set += ", ended_us = :ended, control = 0";
    params.emplace_back("ended", now_us);
  }
  METAMCP_ASSIGN_OR_RETURN(
      const int64_t changed,
      tx.Execute(StrCat("UPDATE workflow_runs SET ", set,
                        " WHERE id = :id AND owner = :owner AND epoch = :epoch"),
                 params));
  return changed == 1;
}

absl::Status ApplyOne(Transaction& tx, const RunCommit& commit, int64_t now_us) {
  METAMCP_ASSIGN_OR_RETURN(
      const Row row,
      tx.QueryOne("SELECT event_seq, tenant, parent_run FROM workflow_runs WHERE id = :id",
                  {{"id", commit.run_id}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t seq, row.Get<int64_t>("event_seq"));
  METAMCP_ASSIGN_OR_RETURN(const std::string tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(const std::string parent, row.Get<std::string>("parent_run"));
  // `seq` is before Fence's update; events are numbered from there.
  for (const StepRow& step : commit.steps) {
    METAMCP_RETURN_IF_ERROR(PutStep(tx, commit.run_id, step));
  }
  if (commit.mark_started_as) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_steps SET state = :state, ended_us = :now WHERE run_id = :id "
                   "AND state IN ('started', 'waiting')",
                   {{"state", commit.started_as}, {"now", now_us}, {"id", commit.run_id}})
            .status());
  }
  int64_t next = seq - static_cast<int64_t>(commit.events.size());
  for (const EventRow& event : commit.events) {
    METAMCP_RETURN_IF_ERROR(AddEvent(tx, commit.run_id, ++next, event));
  }
  if (!commit.bus.empty()) METAMCP_RETURN_IF_ERROR(PutOnBus(tx, tenant, commit.bus, now_us));
  if (commit.ended && !parent.empty()) {
    // Whoever waits for this run looks again.
    return tx
        .Execute("UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE id = :id AND ended_us = 0",
                 {{"now", now_us}, {"id", parent}})
        .status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SqlStore::MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "workflow", workflow::Migrations()).status();
}

absl::StatusOr<bool> SqlStore::PutDefinition(const DefinitionRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<bool> {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(kDefinitionsLock));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT digest FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                 ":namespace AND name = :name AND version = :version",
                 {{"tenant", row.tenant},
                  {"namespace", row.name_space},
                  {"name", row.name},
                  {"version", row.version}}));
    if (!rows.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const std::string digest, rows[0].Get<std::string>("digest"));
      if (digest != row.digest) {
        return MakeError("ALREADY_EXISTS", "workflow",
                         StrCat(row.name, " ", row.version,
                                " exists with another content; give it a new version"));
      }
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_definitions SET deleted = 0 WHERE tenant = :tenant AND "
                     "namespace = :namespace AND name = :name AND version = :version",
                     {{"tenant", row.tenant},
                      {"namespace", row.name_space},
                      {"name", row.name},
                      {"version", row.version}})
              .status());
      return false;
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Row head,
        tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_definitions"));
    METAMCP_ASSIGN_OR_RETURN(const int64_t seq, head.Get<int64_t>("seq"));
    METAMCP_RETURN_IF_ERROR(tx.Upsert("workflow_definitions",
                                      {{"tenant", row.tenant},
                                       {"namespace", row.name_space},
                                       {"name", row.name},
                                       {"version", row.version}},
                                      {{"seq", seq + 1},
                                       {"title", row.title},
                                       {"summary", row.summary},
                                       {"source", row.source},
                                       {"document", row.document},
                                       {"digest", row.digest},
                                       {"created_us", row.created_us},
                                       {"created_by", row.created_by},
                                       {"deleted", 0}}));
    return true;
  });
}

absl::StatusOr<DefinitionRow> SqlStore::GetDefinition(const std::string& tenant,
                                                      const std::string& name_space,
                                                      const std::string& name,
                                                      const std::string& version) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<DefinitionRow> {
    Params params = {{"tenant", tenant}, {"namespace", name_space}, {"name", name}};
    std::string which = "deleted = 0";
    if (!version.empty()) {
      which = "version = :version";
      params.emplace_back("version", version);
    }
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT * FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                        ":namespace AND name = :name AND ",
                        which, " ORDER BY seq DESC LIMIT 1"),
                 params));
    if (rows.empty()) {
      return MakeError("NOT_FOUND", "workflow",
                       StrCat("no workflow \"", name, "\"",
                              version.empty() ? "" : StrCat(" of version ", version)));
    }
    return ReadDefinitionRow(rows[0]);
  });
}

absl::StatusOr<std::vector<std::string>> SqlStore::Versions(const std::string& tenant,
                                                            const std::string& name_space,
                                                            const std::string& name) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT version FROM workflow_definitions WHERE tenant = :tenant AND namespace = "
                 ":namespace AND name = :name AND deleted = 0 ORDER BY seq DESC",
                 {{"tenant", tenant}, {"namespace", name_space}, {"name", name}}));
    std::vector<std::string> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(std::string version, row.Get<std::string>("version"));
      out.push_back(std::move(version));
    }
    return out;
  });
}

absl::StatusOr<std::vector<DefinitionRow>> SqlStore::ListDefinitions(const std::string& tenant) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<DefinitionRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM workflow_definitions WHERE tenant = :tenant AND "
                                  "deleted = 0 ORDER BY namespace, name, seq DESC",
                                  {{"tenant", tenant}}));
    std::vector<DefinitionRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(DefinitionRow one, ReadDefinitionRow(row));
      const bool older =
          !out.empty() && out.back().name == one.name && out.back().name_space == one.name_space;
      if (!older) out.push_back(std::move(one));
    }
    return out;
  });
}

absl::Status SqlStore::DeleteDefinition(const std::string& tenant, const std::string& name_space,
                                        const std::string& name) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute("UPDATE workflow_definitions SET deleted = 1 WHERE tenant = :tenant AND namespace "
                 "= :namespace AND name = :name",
                 {{"tenant", tenant}, {"namespace", name_space}, {"name", name}})
        .status();
  });
}

absl::StatusOr<RunRow> SqlStore::CreateRun(const RunRow& run) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock(StrCat("metamcp.workflow.request.", run.request_key)));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows known,
        tx.Query("SELECT * FROM workflow_runs WHERE tenant = :tenant AND request_key = :key",
                 {{"tenant", run.tenant}, {"key", run.request_key}}));
    if (!known.empty()) return ReadRun(tx, known[0]);
    METAMCP_ASSIGN_OR_RETURN(const std::string input, StorePayload(tx, run.input));
    METAMCP_RETURN_IF_ERROR(tx.Upsert("workflow_runs", {{"id", run.id}},
                                      {{"tenant", run.tenant},
                                       {"namespace", run.name_space},
                                       {"name", run.name},
                                       {"version", run.version},
                                       {"state", run.state},
                                       {"phase", run.phase},
                                       {"input", input},
                                       {"output", ""},
                                       {"error", ""},
                                       {"principal", run.principal},
                                       {"request_key", run.request_key},
                                       {"parent_run", run.parent_run},
                                       {"parent_path", run.parent_path},
                                       {"control", 0},
                                       {"owner", ""},
                                       {"epoch", 0},
                                       {"lease_us", 0},
                                       {"due_us", run.created_us},
                                       {"event_seq", 1},
                                       {"wake", 0},
                                       {"created_us", run.created_us},
                                       {"ended_us", 0}}));
    EventRow event;
    event.time_us = run.created_us;
    event.type = "run.created";
    event.data = StrCat("{\"state\":\"", run.state, "\"}");
    METAMCP_RETURN_IF_ERROR(AddEvent(tx, run.id, 1, event));
    return run;
  });
}

absl::StatusOr<RunRow> SqlStore::GetRun(const std::string& tenant, const std::string& id) {
  return database_.Read([&](Transaction& tx) { return OneRun(tx, tenant, id); });
}

absl::StatusOr<std::vector<RunRow>> SqlStore::ListRuns(const std::string& tenant,
                                                       const std::string& name,
                                                       const std::string& state,
                                                       const std::string& before_id,
                                                       int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<RunRow>> {
    std::string where = "tenant = :tenant";
    Params params = {{"tenant", tenant}, {"limit", limit}};
    const auto add = [&](const char* column, const char* sign, const std::string& value) {
      if (value.empty()) return;
      where += StrCat(" AND ", column, " ", sign, " :", column);
      params.emplace_back(column, value);
    };
    add("name", "=", name);
    add("state", "=", state);
    add("id", "<", before_id);
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT * FROM workflow_runs WHERE ", where, " ORDER BY id DESC LIMIT :limit"),
                 params));
    return ReadRuns(tx, rows);
  });
}

absl::StatusOr<std::vector<StepRow>> SqlStore::Steps(const std::string& run_id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<StepRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query("SELECT * FROM workflow_steps WHERE run_id = :id ORDER BY ord, attempt",
                 {{"id", run_id}}));
    return ReadSteps(tx, rows);
  });
}

absl::StatusOr<std::vector<EventRow>> SqlStore::Events(const std::string& run_id, int64_t after,
                                                       int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<EventRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT * FROM workflow_events WHERE run_id = :id AND seq > "
                                  ":after ORDER BY seq LIMIT :limit",
                                  {{"id", run_id}, {"after", after}, {"limit", limit}}));
    return ReadEvents(tx, rows);
  });
}

absl::StatusOr<std::vector<RunRow>> SqlStore::Claim(const std::string& owner, int64_t now_us,
                                                    int64_t lease_until_us, int64_t limit) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::vector<RunRow>> {
    db::ClaimSpec spec;
    spec.table = "workflow_runs";
    spec.where = "due_us IS NOT NULL AND due_us <= :now AND lease_us < :now AND owner <> :owner";
    spec.params = {{"now", now_us}, {"owner", owner}};
    spec.order_by = "due_us, id";
    spec.limit = limit;
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
    METAMCP_ASSIGN_OR_RETURN(std::vector<RunRow> out, ReadRuns(tx, rows));
    for (RunRow& run : out) {
      run.owner = owner;
      ++run.epoch;
      METAMCP_RETURN_IF_ERROR(
          tx.Execute("UPDATE workflow_runs SET owner = :owner, epoch = :epoch, lease_us = :lease "
                     "WHERE id = :id",
                     {{"owner", owner},
                      {"epoch", run.epoch},
                      {"lease", lease_until_us},
                      {"id", run.id}})
              .status());
    }
    return out;
  });
}

absl::StatusOr<std::vector<SqlStore::Owned>> SqlStore::Renew(const std::string& owner,
                                                             int64_t lease_until_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<std::vector<Owned>> {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET lease_us = :lease WHERE owner = :owner AND owner <> ''",
                   {{"lease", lease_until_us}, {"owner", owner}})
            .status());
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT id, epoch, control, wake FROM workflow_runs WHERE owner = "
                                  ":owner AND owner <> ''",
                                  {{"owner", owner}}));
    std::vector<Owned> out;
    for (const Row& row : rows) {
      Owned one;
      METAMCP_ASSIGN_OR_RETURN(one.id, row.Get<std::string>("id"));
      METAMCP_ASSIGN_OR_RETURN(one.epoch, row.Get<int64_t>("epoch"));
      METAMCP_ASSIGN_OR_RETURN(one.control, row.Get<int64_t>("control"));
      METAMCP_ASSIGN_OR_RETURN(one.wake, row.Get<int64_t>("wake"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::Status SqlStore::ReleaseAll(const std::string& owner, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute("UPDATE workflow_runs SET owner = '', lease_us = 0, due_us = :now WHERE owner = "
                 ":owner",
                 {{"now", now_us}, {"owner", owner}})
        .status();
  });
}

absl::StatusOr<std::vector<absl::Status>> SqlStore::Apply(const std::vector<RunCommit>& commits) {
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<absl::Status>> {
        const int64_t now_us = NowMicros();
        std::vector<absl::Status> out;
        for (const RunCommit& commit : commits) {
          METAMCP_ASSIGN_OR_RETURN(const bool mine, Fence(tx, commit, now_us));
          if (mine) {
            METAMCP_RETURN_IF_ERROR(ApplyOne(tx, commit, now_us));
            out.push_back(absl::OkStatus());
          } else {
            out.push_back(
                MakeError("RUN_FENCED", "workflow", "another process works on this run"));
          }
        }
        return out;
      });
}

absl::StatusOr<RunRow> SqlStore::SetControl(const std::string& tenant, const std::string& id,
                                            int64_t set, int64_t clear, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<RunRow> {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(RunRow run, OneRun(tx, tenant, id));
    if (IsFinal(run.state)) return InState(run, " already");
    run.control = (run.control | set) & ~clear;
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET control = :control, due_us = :now, wake = wake + 1 WHERE id = :id",
                   {{"control", run.control}, {"now", now_us}, {"id", id}})
            .status());
    return run;
  });
}

absl::Status SqlStore::Retry(const std::string& tenant, const std::string& id, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, id));
    if (run.state != run_state::kFailed && run.state != run_state::kCancelled) {
      return InState(run, "; only a failed or cancelled run can be retried");
    }
    if (run.phase != "forward") {
      return InState(run, " after a rollback began; start a new one");
    }
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_steps SET state = 'retried' WHERE run_id = :id AND state IN "
                   "('failed', 'cancelled')",
                   {{"id", id}})
            .status());
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET state = 'pending', error = '', ended_us = 0, control = "
                   "0, due_us = :now, wake = wake + 1 WHERE id = :id",
                   {{"now", now_us}, {"id", id}})
            .status());
    EventRow event;
    event.time_us = now_us;
    event.type = "run.state";
    event.data = R"({"state":"pending","why":"retry"})";
    return AddOutsideEvent(tx, id, std::move(event));
  });
}

absl::Status SqlStore::Decide(const std::string& tenant, const std::string& run_id,
                              const DecisionRow& decision, const std::string& by, int64_t now_us) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(LockRun(tx, run_id));
    METAMCP_ASSIGN_OR_RETURN(const RunRow run, OneRun(tx, tenant, run_id));
    const Params key = {{"run_id", run_id}, {"path", decision.path}, {"attempt", decision.attempt}};
    METAMCP_ASSIGN_OR_RETURN(
        const Rows known, tx.Query("SELECT path FROM workflow_decisions WHERE run_id = :run_id AND "
                                   "path = :path AND attempt = :attempt",
                                   key));
    if (!known.empty()) return InState(run, "; this has been answered");
    METAMCP_RETURN_IF_ERROR(tx.Upsert("workflow_decisions", key,
                                      {{"decision", decision.decision},
                                       {"decided_us", now_us},
                                       {"decided_by", by}}));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE id = :id",
                   {{"now", now_us}, {"id", run_id}})
            .status());
    EventRow event;
    event.time_us = now_us;
    event.type = "step.decided";
    event.path = decision.path;
    event.data = decision.decision;
    return AddOutsideEvent(tx, run_id, std::move(event));
  });
}

absl::StatusOr<std::vector<DecisionRow>> SqlStore::Decisions(const std::string& run_id) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<DecisionRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT path, attempt, decision FROM workflow_decisions WHERE "
                                  "run_id = :id",
                                  {{"id", run_id}}));
    std::vector<DecisionRow> out;
    for (const Row& row : rows) {
      DecisionRow one;
      METAMCP_ASSIGN_OR_RETURN(one.path, row.Get<std::string>("path"));
      METAMCP_ASSIGN_OR_RETURN(one.attempt, row.Get<int64_t>("attempt"));
      METAMCP_ASSIGN_OR_RETURN(one.decision, row.Get<std::string>("decision"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<std::vector<BusEvent>> SqlStore::ReadBus(const std::string& tenant, int64_t after,
                                                        int64_t limit) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<BusEvent>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query("SELECT seq, event FROM workflow_bus WHERE tenant = :tenant AND "
                                  "seq > :after ORDER BY seq LIMIT :limit",
                                  {{"tenant", tenant}, {"after", after}, {"limit", limit}}));
    std::vector<BusEvent> out;
    for (const Row& row : rows) {
      BusEvent one;
      METAMCP_ASSIGN_OR_RETURN(one.seq, row.Get<int64_t>("seq"));
      METAMCP_ASSIGN_OR_RETURN(one.event, row.Get<std::string>("event"));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::StatusOr<int64_t> SqlStore::BusHead(const std::string& tenant) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(
        const Row row, tx.QueryOne("SELECT COALESCE(MAX(seq), 0) AS seq FROM workflow_bus WHERE "
                                   "tenant = :tenant",
                                   {{"tenant", tenant}}));
    return row.Get<int64_t>("seq");
  });
}

}  // namespace metamcp::workflow
