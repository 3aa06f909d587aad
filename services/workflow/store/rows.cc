#include "services/workflow/store/rows.h"

#include <cstdlib>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

// Longer texts are stored apart, and the column holds @DIGEST:SIZE. JSON never begins so.
constexpr size_t kInlineMax = 8u << 10;
constexpr char kMark = '@';

std::string_view DigestOf(std::string_view reference) {
  reference.remove_prefix(1);
  return reference.substr(0, reference.find(':'));
}

}  // namespace

bool IsReference(const std::string& value) { return !value.empty() && value[0] == kMark; }

int64_t SizeOf(const std::string& value) {
  const size_t colon = IsReference(value) ? value.find(':') : std::string::npos;
  if (colon == std::string::npos) return static_cast<int64_t>(value.size());
  return std::strtoll(value.c_str() + colon + 1, nullptr, 10);
}

absl::StatusOr<std::string> StoreValue(db::Transaction& tx, const std::string& run_id,
                                       const std::string& text) {
  if (text.size() <= kInlineMax) return text;
  const std::string digest = Sha256Hex(text);
  METAMCP_RETURN_IF_ERROR(tx.Execute("INSERT INTO workflow_values (run_id, digest, body) VALUES "
                                     "(:run, :digest, :body) ON CONFLICT (run_id, digest) DO "
                                     "NOTHING",
                                     {{"run", run_id}, {"digest", digest}, {"body", text}})
                              .status());
  return StrCat(std::string(1, kMark), digest, ":", text.size());
}

absl::StatusOr<std::string> LoadValue(db::Transaction& tx, const std::string& run_id,
                                      std::string stored) {
  if (!IsReference(stored)) return stored;
  METAMCP_ASSIGN_OR_RETURN(
      const db::Row row,
      tx.QueryOne("SELECT body FROM workflow_values WHERE run_id = :run AND digest = :digest",
                  {{"run", run_id}, {"digest", std::string(DigestOf(stored))}}));
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

absl::StatusOr<RunRow> ReadRunHead(const db::Row& row) {
  RunRow out;
  METAMCP_ASSIGN_OR_RETURN(out.id, row.Get<std::string>("id"));
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name_space, row.Get<std::string>("namespace"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.version, row.Get<std::string>("version"));
  METAMCP_ASSIGN_OR_RETURN(out.state, row.Get<std::string>("state"));
  METAMCP_ASSIGN_OR_RETURN(out.phase, row.Get<std::string>("phase"));
  METAMCP_ASSIGN_OR_RETURN(out.input, row.Get<std::string>("input"));
  METAMCP_ASSIGN_OR_RETURN(out.output, row.Get<std::string>("output"));
  METAMCP_ASSIGN_OR_RETURN(out.error, row.Get<std::string>("error"));
  METAMCP_ASSIGN_OR_RETURN(out.principal, row.Get<std::string>("principal"));
  METAMCP_ASSIGN_OR_RETURN(out.subject, row.Get<std::string>("subject"));
  METAMCP_ASSIGN_OR_RETURN(out.request_key, row.Get<std::string>("request_key"));
  METAMCP_ASSIGN_OR_RETURN(out.parent_run, row.Get<std::string>("parent_run"));
  METAMCP_ASSIGN_OR_RETURN(out.parent_path, row.Get<std::string>("parent_path"));
  METAMCP_ASSIGN_OR_RETURN(out.mode, row.Get<std::string>("mode"));
  METAMCP_ASSIGN_OR_RETURN(out.origin, row.Get<std::string>("origin"));
  METAMCP_ASSIGN_OR_RETURN(out.detached, row.Get<bool>("detached"));
  METAMCP_ASSIGN_OR_RETURN(out.control, row.Get<int64_t>("control"));
  METAMCP_ASSIGN_OR_RETURN(out.owner, row.Get<std::string>("owner"));
  METAMCP_ASSIGN_OR_RETURN(out.epoch, row.Get<int64_t>("epoch"));
  METAMCP_ASSIGN_OR_RETURN(out.event_seq, row.Get<int64_t>("event_seq"));
  METAMCP_ASSIGN_OR_RETURN(out.wake, row.Get<int64_t>("wake"));
  METAMCP_ASSIGN_OR_RETURN(out.created_us, row.Get<int64_t>("created_us"));
  METAMCP_ASSIGN_OR_RETURN(out.began_us, row.Get<int64_t>("began_us"));
  METAMCP_ASSIGN_OR_RETURN(out.ended_us, row.Get<int64_t>("ended_us"));
  if (out.began_us == 0) out.began_us = out.created_us;
  return out;
}

absl::StatusOr<RunRow> ReadRun(db::Transaction& tx, const db::Row& row) {
  METAMCP_ASSIGN_OR_RETURN(RunRow out, ReadRunHead(row));
  for (std::string* value : {&out.input, &out.output, &out.error}) {
    METAMCP_ASSIGN_OR_RETURN(*value, LoadValue(tx, out.id, std::move(*value)));
  }
  return out;
}

absl::StatusOr<StepRow> ReadStep(const db::Row& row) {
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
  METAMCP_ASSIGN_OR_RETURN(step.unsettled, row.Get<bool>("unsettled"));
  METAMCP_ASSIGN_OR_RETURN(step.arguments, row.Get<std::string>("arguments"));
  METAMCP_ASSIGN_OR_RETURN(step.output, row.Get<std::string>("output"));
  METAMCP_ASSIGN_OR_RETURN(step.context, row.Get<std::string>("context"));
  METAMCP_ASSIGN_OR_RETURN(step.next, row.Get<std::string>("next"));
  METAMCP_ASSIGN_OR_RETURN(step.error, row.Get<std::string>("error"));
  METAMCP_ASSIGN_OR_RETURN(step.detail, row.Get<std::string>("detail"));
  METAMCP_ASSIGN_OR_RETURN(step.due_us, row.Get<int64_t>("due_us"));
  METAMCP_ASSIGN_OR_RETURN(step.started_us, row.Get<int64_t>("started_us"));
  METAMCP_ASSIGN_OR_RETURN(step.ended_us, row.Get<int64_t>("ended_us"));
  return step;
}

absl::StatusOr<std::vector<StepRow>> ReadSteps(const db::Rows& rows) {
  std::vector<StepRow> out;
  for (const db::Row& row : rows) {
    METAMCP_ASSIGN_OR_RETURN(StepRow step, ReadStep(row));
    out.push_back(std::move(step));
  }
  return out;
}

absl::StatusOr<EventRow> ReadEvent(const db::Row& row) {
  EventRow event;
  METAMCP_ASSIGN_OR_RETURN(event.seq, row.Get<int64_t>("seq"));
  METAMCP_ASSIGN_OR_RETURN(event.time_us, row.Get<int64_t>("time_us"));
  METAMCP_ASSIGN_OR_RETURN(event.type, row.Get<std::string>("type"));
  METAMCP_ASSIGN_OR_RETURN(event.path, row.Get<std::string>("path"));
  METAMCP_ASSIGN_OR_RETURN(event.data, row.Get<std::string>("data"));
  return event;
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
  METAMCP_ASSIGN_OR_RETURN(const std::string data, StoreValue(tx, run_id, event.data));
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

absl::Status AddOutsideEvent(db::Transaction& tx, const std::string& run_id, EventRow event) {
  METAMCP_ASSIGN_OR_RETURN(const db::Row row,
                           tx.QueryOne("UPDATE workflow_runs SET event_seq = event_seq + 1 WHERE "
                                       "id = :id RETURNING event_seq",
                                       {{"id", run_id}}));
  METAMCP_ASSIGN_OR_RETURN(const int64_t seq, row.Get<int64_t>("event_seq"));
  return AddEvent(tx, run_id, seq, event);
}

absl::Status LockRun(db::Transaction& tx, const std::string& id) {
  return tx.AdvisoryLock(StrCat("metamcp.workflow.run.", id));
}

bool IsFinal(const std::string& state) {
  return state == run_state::kCompleted || state == run_state::kFailed ||
         state == run_state::kCancelled || state == run_state::kRolledBack;
}

}  // namespace metamcp::workflow
