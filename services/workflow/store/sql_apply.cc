// What the owner of a run commits.
#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "services/workflow/store/rows.h"
#include "services/workflow/store/sql_store.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kBusLock = "metamcp.workflow.bus";

std::string TypeOf(const std::string& event) {
  const auto object = json::ScanObject(event);
  return object.ok() ? object->String("type").value_or("") : "";
}

// Runs that wait for such an event are due; one that works on just now looks again.
absl::Status WakeListeners(Transaction& tx, const std::string& tenant, const std::string& type,
                           int64_t now_us) {
  return tx
      .Execute(
          "UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE ended_us = 0 AND id IN "
          "(SELECT run_id FROM workflow_listeners WHERE tenant = :tenant AND (type = :type OR "
          "type = '*'))",
          {{"now", now_us}, {"tenant", tenant}, {"type", type}})
      .status();
}

absl::Status ListenTo(Transaction& tx, const std::string& run_id, const std::string& tenant,
                      const std::set<std::string>& types) {
  METAMCP_RETURN_IF_ERROR(
      tx.Execute("DELETE FROM workflow_listeners WHERE run_id = :id", {{"id", run_id}}).status());
  for (const std::string& type : types) {
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("INSERT INTO workflow_listeners (run_id, type, tenant) VALUES (:id, :type, "
                   ":tenant)",
                   {{"id", run_id}, {"type", type}, {"tenant", tenant}})
            .status());
  }
  return absl::OkStatus();
}

// Runs for which this one waited, or no longer waits.
absl::Status CancelChildren(Transaction& tx, const std::string& run_id, const std::string& below,
                            int64_t now_us) {
  Params params = {{"now", now_us}, {"id", run_id}, {"cancel", static_cast<int64_t>(kCancel)}};
  std::string where = "parent_run = :id AND detached = 0 AND ended_us = 0";
  if (!below.empty()) {
    // '0' follows '/'.
    where += " AND (parent_path = :path OR (parent_path >= :from AND parent_path < :to))";
    params.emplace_back("path", below);
    params.emplace_back("from", below + "/");
    params.emplace_back("to", below + "0");
  }
  return tx
      .Execute(StrCat("UPDATE workflow_runs SET control = control | :cancel, due_us = :now, wake = "
                      "wake + 1 WHERE ",
                      where),
               params)
      .status();
}

const std::vector<std::string> kStepColumns = {
    "run_id",    "path",       "attempt",         "ord",        "state",       "kind",
    "name",      "tool",       "idempotency_key", "repeatable", "compensable", "unsettled",
    "arguments", "output",     "context",         "next",       "error",       "detail",
    "due_us",    "started_us", "ended_us"};
const std::vector<std::string> kEventColumns = {"run_id", "seq", "time_us", "type", "path", "data"};
constexpr std::string_view kReplaceStep =
    " ON CONFLICT (run_id, path, attempt) DO UPDATE SET ord = excluded.ord, state = "
    "excluded.state, "
    "kind = excluded.kind, name = excluded.name, tool = excluded.tool, idempotency_key = "
    "excluded.idempotency_key, repeatable = excluded.repeatable, compensable = "
    "excluded.compensable, unsettled = excluded.unsettled, arguments = excluded.arguments, output "
    "= "
    "excluded.output, context = excluded.context, next = excluded.next, error = excluded.error, "
    "detail = excluded.detail, due_us = excluded.due_us, started_us = excluded.started_us, "
    "ended_us "
    "= excluded.ended_us";

// Rows of one transaction, written in few statements; a database answers each with a round trip.
class RowWriter {
 public:
  RowWriter(std::string table, const std::vector<std::string>& columns, std::string_view tail)
      : table_(std::move(table)), columns_(columns), tail_(tail) {}

  void Add(std::vector<db::Value> row) { rows_.push_back(std::move(row)); }

  absl::Status Write(Transaction& tx) {
    size_t at = 0;
    // Few sizes, so that statements are prepared once.
    for (const size_t size : {size_t{32}, size_t{8}, size_t{1}}) {
      for (; rows_.size() - at >= size; at += size) {
        METAMCP_RETURN_IF_ERROR(WriteSome(tx, at, size));
      }
    }
    rows_.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status WriteSome(Transaction& tx, size_t begin, size_t count) {
    std::string sql =
        StrCat("INSERT INTO ", table_, " (", absl::StrJoin(columns_, ", "), ") VALUES ");
    Params params;
    params.reserve(count * columns_.size());
    for (size_t i = 0; i < count; ++i) {
      sql += i > 0 ? ", (" : "(";
      for (size_t c = 0; c < columns_.size(); ++c) {
        std::string name = StrCat("v", i, "_", c);
        sql += StrCat(c > 0 ? ", :" : ":", name);
        params.emplace_back(std::move(name), std::move(rows_[begin + i][c]));
      }
      sql += ")";
    }
    sql += tail_;
    return tx.Execute(sql, params).status();
  }

  const std::string table_;
  const std::vector<std::string>& columns_;
  const std::string tail_;
  std::vector<std::vector<db::Value>> rows_;
};

// What the commits of one transaction write besides the runs' own rows.
struct Writes {
  // The last row of a path and attempt counts, as several commits may be of one run.
  std::map<std::tuple<std::string, std::string, int64_t>, const StepRow*> steps;
  RowWriter events{"workflow_events", kEventColumns, ""};

  absl::Status Write(Transaction& tx) {
    RowWriter rows("workflow_steps", kStepColumns, kReplaceStep);
    for (const auto& [key, step] : steps) {
      const std::string& run = std::get<0>(key);
      METAMCP_ASSIGN_OR_RETURN(std::string arguments, StoreValue(tx, run, step->arguments));
      METAMCP_ASSIGN_OR_RETURN(std::string output, StoreValue(tx, run, step->output));
      METAMCP_ASSIGN_OR_RETURN(std::string context, StoreValue(tx, run, step->context));
      std::vector<db::Value> row = {run,
                                    step->path,
                                    step->attempt,
                                    step->ord,
                                    step->state,
                                    step->kind,
                                    step->name,
                                    step->tool,
                                    step->key,
                                    step->repeatable,
                                    step->compensable,
                                    step->unsettled,
                                    std::move(arguments),
                                    std::move(output),
                                    std::move(context),
                                    step->next,
                                    step->error,
                                    step->detail,
                                    step->due_us,
                                    step->started_us,
                                    step->ended_us};
      rows.Add(std::move(row));
    }
    steps.clear();
    METAMCP_RETURN_IF_ERROR(rows.Write(tx));
    return events.Write(tx);
  }
};

// The run's row changes with the fence as its condition; none where that fails, and then nothing
// else may be touched.
absl::StatusOr<Rows> Fence(Transaction& tx, const RunCommit& commit, int64_t now_us) {
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
  for (const auto& [column, value] :
       {std::make_pair("output", &commit.output), std::make_pair("error", &commit.error)}) {
    if (!*value) continue;
    METAMCP_ASSIGN_OR_RETURN(const std::string stored, StoreValue(tx, commit.run_id, **value));
    text(column, stored);
  }
  if (commit.release && commit.ended) {
    set += ", owner = '', due_us = NULL";  // whatever woke it: it is over
  } else if (commit.release) {
    set +=
        ", owner = '', due_us = CASE WHEN wake = :wake THEN CAST(:due AS BIGINT) "
        "ELSE CAST(:now AS BIGINT) END";
    params.emplace_back("due", commit.due_us);
    params.emplace_back("wake", commit.seen_wake);
    params.emplace_back("now", now_us);
  }
  if (commit.ended) {
    set += ", ended_us = :ended, control = 0";
    params.emplace_back("ended", now_us);
  }
  return tx.Query(StrCat("UPDATE workflow_runs SET ", set,
                         " WHERE id = :id AND owner = :owner AND epoch = :epoch RETURNING "
                         "event_seq, tenant, parent_run"),
                  params);
}

absl::Status ApplyOne(Transaction& tx, const RunCommit& commit, const Row& run, int64_t now_us,
                      Writes* writes) {
  METAMCP_ASSIGN_OR_RETURN(int64_t seq, run.Get<int64_t>("event_seq"));
  METAMCP_ASSIGN_OR_RETURN(const std::string tenant, run.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(const std::string parent, run.Get<std::string>("parent_run"));
  for (const StepRow& step : commit.steps) {
    writes->steps[{commit.run_id, step.path, step.attempt}] = &step;
  }
  if (commit.mark_started_as) {
    METAMCP_RETURN_IF_ERROR(writes->Write(tx));
    METAMCP_RETURN_IF_ERROR(
        tx.Execute("UPDATE workflow_steps SET unsettled = CASE WHEN state = 'started' THEN 1 ELSE "
                   "unsettled END, state = :state, ended_us = :now WHERE run_id = :id AND state IN "
                   "('started', 'waiting')",
                   {{"state", commit.started_as}, {"now", now_us}, {"id", commit.run_id}})
            .status());
  }
  seq -= static_cast<int64_t>(commit.events.size());
  for (const EventRow& event : commit.events) {
    METAMCP_ASSIGN_OR_RETURN(std::string data, StoreValue(tx, commit.run_id, event.data));
    std::vector<db::Value> row = {commit.run_id, ++seq,      event.time_us,
                                  event.type,    event.path, std::move(data)};
    writes->events.Add(std::move(row));
  }
  if (!commit.bus.empty()) METAMCP_RETURN_IF_ERROR(PutOnBus(tx, tenant, commit.bus, now_us));
  if (commit.ended) {
    METAMCP_RETURN_IF_ERROR(ListenTo(tx, commit.run_id, tenant, {}));
  } else if (commit.listens) {
    METAMCP_RETURN_IF_ERROR(ListenTo(tx, commit.run_id, tenant, *commit.listens));
  }
  if (commit.ended || commit.phase) {
    METAMCP_RETURN_IF_ERROR(CancelChildren(tx, commit.run_id, "", now_us));
  }
  for (const std::string& path : commit.orphans) {
    METAMCP_RETURN_IF_ERROR(CancelChildren(tx, commit.run_id, path, now_us));
  }
  if (!commit.ended || parent.empty()) return absl::OkStatus();
  // Whoever waits for this run looks again.
  return tx
      .Execute(
          "UPDATE workflow_runs SET due_us = :now, wake = wake + 1 WHERE id = :id AND ended_us = 0",
          {{"now", now_us}, {"id", parent}})
      .status();
}

}  // namespace

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
    METAMCP_RETURN_IF_ERROR(WakeListeners(tx, tenant, TypeOf(event), now_us));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<absl::Status>> SqlStore::Apply(const std::vector<RunCommit>& commits) {
  // Runs in one order everywhere, so that processes do not wait for each other in a circle.
  std::vector<size_t> order(commits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return commits[a].run_id < commits[b].run_id; });
  const db::TransactOptions options;
  return database_.Transact(
      options, [&](Transaction& tx) -> absl::StatusOr<std::vector<absl::Status>> {
        const int64_t now_us = NowMicros();
        std::vector<absl::Status> out(commits.size());
        Writes writes;
        for (const size_t at : order) {
          METAMCP_ASSIGN_OR_RETURN(const Rows mine, Fence(tx, commits[at], now_us));
          if (mine.empty()) {
            out[at] = MakeError("RUN_FENCED", "workflow", "another process works on this run");
            continue;
          }
          METAMCP_RETURN_IF_ERROR(ApplyOne(tx, commits[at], mine[0], now_us, &writes));
        }
        METAMCP_RETURN_IF_ERROR(writes.Write(tx));
        return out;
      });
}

}  // namespace metamcp::workflow
