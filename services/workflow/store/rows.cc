#include "services/workflow/store/rows.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

// Longer texts are stored apart: JSON never begins with the mark.
constexpr size_t kInlineMax = 8u << 10;
constexpr char kMark = '@';

}  // namespace

absl::StatusOr<std::string> StorePayload(db::Transaction& tx, const std::string& text) {
  if (text.size() <= kInlineMax) return text;
  const std::string digest = Sha256Hex(text);
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("INSERT INTO workflow_payloads (digest, body) VALUES (:digest, :body) ON CONFLICT "
                 "(digest) DO NOTHING",
                 {{"digest", digest}, {"body", text}})
          .status());
  return std::string(1, kMark) + digest;
}

absl::StatusOr<std::string> LoadPayload(db::Transaction& tx, std::string stored) {
  if (stored.empty() || stored[0] != kMark) return stored;
  METAMCP_ASSIGN_OR_RETURN(const db::Row row,
                           tx.QueryOne("SELECT body FROM workflow_payloads WHERE digest = :digest",
                                       {{"digest", stored.substr(1)}}));
  return row.Get<std::string>("body");
}

absl::StatusOr<DefinitionRow> ReadDefinitionRow(const db::Row& row) {
  DefinitionRow out;
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name_space, row.Get<std::string>("namespace"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.version, row.Get<std::string>("version"));
  METAMCP_ASSIGN_OR_RETURN(out.title, row.Get<std::string>("title"));
  METAMCP_ASSIGN_OR_RETURN(out.summary, row.Get<std::string>("summary"));
  METAMCP_ASSIGN_OR_RETURN(out.source, row.Get<std::string>("source"));
  METAMCP_ASSIGN_OR_RETURN(out.document, row.Get<std::string>("document"));
  METAMCP_ASSIGN_OR_RETURN(out.digest, row.Get<std::string>("digest"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(out.created_by, row.Get<std::string>("created_by"));
  return out;
}

absl::StatusOr<RunRow> ReadRun(db::Transaction& tx, const db::Row& row) {
  RunRow out;
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name_space, row.Get<std::string>("namespace"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.version, row.Get<std::string>("version"));
  METAMCP_ASSIGN_OR_RETURN(out.state, row.Get<std::string>("state"));
  METAMCP_ASSIGN_OR_RETURN(out.phase, row.Get<std::string>("phase"));
  for (const auto& [column, into] :
       {std::make_pair("input", &out.input), std::make_pair("output", &out.output),
        std::make_pair("error", &out.error)}) {
    METAMCP_ASSIGN_OR_RETURN(std::string stored, row.Get<std::string>(column));
    METAMCP_ASSIGN_OR_RETURN(*into, LoadPayload(tx, std::move(stored)));
  }
  METAMCP_ASSIGN_OR_RETURN(out.principal, row.Get<std::string>("principal"));
  METAMCP_ASSIGN_OR_RETURN(out.request_key, row.Get<std::string>("request_key"));
  METAMCP_ASSIGN_OR_RETURN(out.parent_run, row.Get<std::string>("parent_run"));
  METAMCP_ASSIGN_OR_RETURN(out.parent_path, row.Get<std::string>("parent_path"));
  METAMCP_ASSIGN_OR_RETURN(out.control, row.Get<int64_t>("control"));
  METAMCP_ASSIGN_OR_RETURN(out.owner, row.Get<std::string>("owner"));
  METAMCP_ASSIGN_OR_RETURN(out.epoch, row.Get<int64_t>("epoch"));
  METAMCP_ASSIGN_OR_RETURN(out.event_seq, row.Get<int64_t>("event_seq"));
  METAMCP_ASSIGN_OR_RETURN(out.wake, row.Get<int64_t>("wake"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(out.ended_us, row.Get<int64_t>("ended_us"));
  return out;
}

absl::StatusOr<std::vector<RunRow>> ReadRuns(db::Transaction& tx, const db::Rows& rows) {
  std::vector<RunRow> out;
  for (const db::Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(RunRow run, ReadRun(tx, row));
    out.push_back(std::move(run));
  }
  return out;
}

absl::StatusOr<std::vector<StepRow>> ReadSteps(db::Transaction& tx, const db::Rows& rows) {
  std::vector<StepRow> out;
  for (const db::Row& row : rows) {
    StepRow step;
    METAMCP_ASSIGN_OR_RETURN(step.path, row.Get<std::string>("path"));
    METAMCP_ASSIGN_OR_RETURN(step.attempt, row.Get<int64_t>("attempt"));
    METAMCP_ASSIGN_OR_RETURN(step.ord, row.Get<int64_t>("ord"));
    METAMCP_ASSIGN_OR_RETURN(step.state, row.Get<std::string>("state"));
    METAMCP_ASSIGN_OR_RETURN(step.kind, row.Get<std::string>("kind"));
    METAMCP_ASSIGN_OR_RETURN(step.name, row.Get<std::string>("name"));
    METAMCP_ASSIGN_OR_RETURN(step.tool, row.Get<std::string>("tool"));
    METAMCP_ASSIGN_OR_RETURN(step.key, row.Get<std::string>("idempotency_key"));
    METAMCP_ASSIGN_OR_RETURN(step.repeatable, row.Get<bool>("repeatable"));
    METAMCP_ASSIGN_OR_RETURN(step.compensable, row.Get<bool>("compensable"));
    for (const auto& [column, into] :
         {std::make_pair("output", &step.output), std::make_pair("context", &step.context)}) {
      METAMCP_ASSIGN_OR_RETURN(std::string stored, row.Get<std::string>(column));
      METAMCP_ASSIGN_OR_RETURN(*into, LoadPayload(tx, std::move(stored)));
    }
    METAMCP_ASSIGN_OR_RETURN(step.next, row.Get<std::string>("next"));
    METAMCP_ASSIGN_OR_RETURN(step.error, row.Get<std::string>("error"));
    METAMCP_ASSIGN_OR_RETURN(step.detail, row.Get<std::string>("detail"));
    METAMCP_ASSIGN_OR_RETURN(step.due_us, row.Get<int64_t>("due_us"));
    METAMCP_ASSIGN_OR_RETURN(step.started_us, row.Get<int64_t>("started_us"));
    METAMCP_ASSIGN_OR_RETURN(step.ended_us, row.Get<int64_t>("ended_us"));
    out.push_back(std::move(step));
  }
  return out;
}

absl::StatusOr<std::vector<EventRow>> ReadEvents(db::Transaction& tx, const db::Rows& rows) {
  std::vector<EventRow> out;
  for (const db::Row& row : rows) {
    EventRow event;
    METAMCP_ASSIGN_OR_RETURN(event.seq, row.Get<int64_t>("seq"));
    METAMCP_ASSIGN_OR_RETURN(event.time_us, row.Get<int64_t>("time_us"));
    METAMCP_ASSIGN_OR_RETURN(event.type, row.Get<std::string>("type"));
    METAMCP_ASSIGN_OR_RETURN(event.path, row.Get<std::string>("path"));
    METAMCP_ASSIGN_OR_RETURN(std::string stored, row.Get<std::string>("data"));
    METAMCP_ASSIGN_OR_RETURN(event.data, LoadPayload(tx, std::move(stored)));
    out.push_back(std::move(event));
  }
  return out;
}

absl::StatusOr<RunRow> OneRun(db::Transaction& tx, const std::string& tenant,
                              const std::string& id) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT * FROM workflow_runs WHERE id = :id AND tenant = :tenant",
               {{"id", id}, {"tenant", tenant}}));
  if (rows.empty()) return MakeError("NOT_FOUND", "workflow", StrCat("no run \"", id, "\""));
  return ReadRun(tx, rows[0]);
}

absl::Status AddEvent(db::Transaction& tx, const std::string& run_id, int64_t seq,
                      const EventRow& event) {
  METAMCP_ASSIGN_OR_RETURN(const std::string data, StorePayload(tx, event.data));
  return tx
      .Execute(
          "INSERT INTO workflow_events (run_id, seq, time_us, type, path, data) VALUES "
          "(:run, :seq, :time, :type, :path, :data)",
          {{"run", run_id},
           {"seq", seq},
           {"time", event.time_us},
           {"type", event.type},
           {"path", event.path},
           {"data", data}})
      .status();
}

bool IsFinal(const std::string& state) {
  return state == run_state::kCompleted || state == run_state::kFailed ||
         state == run_state::kCancelled || state == run_state::kRolledBack;
}

}  // namespace metamcp::workflow
