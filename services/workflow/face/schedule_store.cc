#include "services/workflow/face/schedule_store.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

using db::Params;
using db::Row;
using db::Rows;
using db::Transaction;

constexpr std::string_view kOne = "tenant = :tenant AND namespace = :namespace AND name = :name";

Params KeyOf(const std::string& tenant, const std::string& name_space, const std::string& name) {
  return {{"tenant", tenant}, {"namespace", name_space}, {"name", name}};
}

absl::Status NoSuch(const std::string& name) {
  return MakeError("NOT_FOUND", "workflow", StrCat("\"", name, "\" has no schedule"));
}

absl::StatusOr<ScheduleRow> ReadRow(const Row& row) {
  ScheduleRow out;
  METAMCP_ASSIGN_OR_RETURN(out.tenant, row.Get<std::string>("tenant"));
  METAMCP_ASSIGN_OR_RETURN(out.name_space, row.Get<std::string>("namespace"));
  METAMCP_ASSIGN_OR_RETURN(out.name, row.Get<std::string>("name"));
  METAMCP_ASSIGN_OR_RETURN(out.version, row.Get<std::string>("version"));
  METAMCP_ASSIGN_OR_RETURN(out.kind, row.Get<std::string>("kind"));
  METAMCP_ASSIGN_OR_RETURN(out.spec, row.Get<std::string>("spec"));
  METAMCP_ASSIGN_OR_RETURN(out.missed, row.Get<std::string>("missed"));
  METAMCP_ASSIGN_OR_RETURN(out.input, row.Get<std::string>("input"));
  METAMCP_ASSIGN_OR_RETURN(out.principal, row.Get<std::string>("principal"));
  METAMCP_ASSIGN_OR_RETURN(out.paused, row.Get<bool>("paused"));
  METAMCP_ASSIGN_OR_RETURN(out.next_us, row.Get<int64_t>("next_us"));
  METAMCP_ASSIGN_OR_RETURN(out.bus_after, row.Get<int64_t>("bus_after"));
  METAMCP_ASSIGN_OR_RETURN(out.last_us, row.Get<int64_t>("last_us"));
  METAMCP_ASSIGN_OR_RETURN(out.last_run, row.Get<std::string>("last_run"));
  METAMCP_ASSIGN_OR_RETURN(out.fired, row.Get<int64_t>("fired"));
  METAMCP_ASSIGN_OR_RETURN(out.note, row.Get<std::string>("note"));
  return out;
}

}  // namespace

absl::StatusOr<std::vector<ScheduleRow>> ScheduleStore::Select(const std::string& where,
                                                               const Params& params) {
  return database_.Read([&](Transaction& tx) -> absl::StatusOr<std::vector<ScheduleRow>> {
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows,
        tx.Query(StrCat("SELECT * FROM workflow_schedules WHERE ", where), params));
    std::vector<ScheduleRow> out;
    for (const Row& row : rows) {
      METAMCP_ASSIGN_OR_RETURN(ScheduleRow one, ReadRow(row));
      out.push_back(std::move(one));
    }
    return out;
  });
}

absl::Status ScheduleStore::Put(const ScheduleRow& row) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    const Params key = KeyOf(row.tenant, row.name_space, row.name);
    METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock("metamcp.workflow.schedules"));
    METAMCP_ASSIGN_OR_RETURN(
        const Rows rows, tx.Query(StrCat("SELECT * FROM workflow_schedules WHERE ", kOne), key));
    ScheduleRow now = row;
    if (!rows.empty()) {
      METAMCP_ASSIGN_OR_RETURN(const ScheduleRow old, ReadRow(rows[0]));
      now.paused = old.paused;
      now.last_us = old.last_us;
      now.last_run = old.last_run;
      now.fired = old.fired;
      if (old.kind == row.kind && old.spec == row.spec) {
        now.next_us = old.next_us;
        now.bus_after = old.bus_after;
      }
    }
    return tx.Upsert("workflow_schedules", key,
                     {{"version", now.version},
                      {"kind", now.kind},
                      {"spec", now.spec},
                      {"missed", now.missed},
                      {"input", now.input},
                      {"principal", now.principal},
                      {"paused", now.paused},
                      {"next_us", now.next_us},
                      {"bus_after", now.bus_after},
                      {"last_us", now.last_us},
                      {"last_run", now.last_run},
                      {"fired", now.fired},
                      {"note", ""}});
  });
}

absl::Status ScheduleStore::Remove(const std::string& tenant, const std::string& name_space,
                                   const std::string& name) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    return tx
        .Execute(StrCat("DELETE FROM workflow_schedules WHERE ", kOne),
                 KeyOf(tenant, name_space, name))
        .status();
  });
}

absl::StatusOr<ScheduleRow> ScheduleStore::Get(const std::string& tenant,
                                               const std::string& name_space,
                                               const std::string& name) {
  METAMCP_ASSIGN_OR_RETURN(const auto rows,
                           Select(std::string(kOne), KeyOf(tenant, name_space, name)));
  if (rows.empty()) return NoSuch(name);
  return rows[0];
}

absl::StatusOr<std::vector<ScheduleRow>> ScheduleStore::List(const std::string& tenant) {
  return Select("tenant = :tenant ORDER BY namespace, name", {{"tenant", tenant}});
}

absl::StatusOr<std::vector<ScheduleRow>> ScheduleStore::Due(int64_t now_us, int64_t limit) {
  return Select(
      "paused = 0 AND kind <> 'on' AND next_us > 0 AND next_us <= :now ORDER BY next_us, name "
      "LIMIT :limit",
      {{"now", now_us}, {"limit", limit}});
}

absl::StatusOr<std::vector<ScheduleRow>> ScheduleStore::Undated() {
  return Select("paused = 0 AND kind = 'after' AND next_us = 0 ORDER BY name", {});
}

absl::StatusOr<std::vector<ScheduleRow>> ScheduleStore::ForEvents() {
  return Select("paused = 0 AND kind = 'on' ORDER BY name", {});
}

absl::StatusOr<bool> ScheduleStore::Fired(const ScheduleRow& was, const Firing& firing) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::StatusOr<bool> {
    Params params = KeyOf(was.tenant, was.name_space, was.name);
    params.emplace_back("next", firing.next_us);
    params.emplace_back("after", firing.bus_after);
    params.emplace_back("note", firing.note);
    params.emplace_back("was_next", was.next_us);
    params.emplace_back("was_after", was.bus_after);
    std::string set = "next_us = :next, bus_after = :after, note = :note";
    if (!firing.last_run.empty()) {
      set += ", last_us = :last, last_run = :run, fired = fired + 1";
      params.emplace_back("last", firing.last_us);
      params.emplace_back("run", firing.last_run);
    }
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute(StrCat("UPDATE workflow_schedules SET ", set, " WHERE ", kOne,
                          " AND next_us = :was_next AND bus_after = :was_after"),
                   params));
    return changed > 0;
  });
}

absl::Status ScheduleStore::SetPaused(const std::string& tenant, const std::string& name_space,
                                      const std::string& name, bool paused, int64_t next_us,
                                      int64_t bus_after) {
  const db::TransactOptions options;
  return database_.Transact(options, [&](Transaction& tx) -> absl::Status {
    Params params = KeyOf(tenant, name_space, name);
    params.emplace_back("paused", paused);
    params.emplace_back("next", next_us);
    params.emplace_back("after", bus_after);
    METAMCP_ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute(StrCat("UPDATE workflow_schedules SET paused = :paused, next_us = :next, "
                          "bus_after = :after WHERE ",
                          kOne),
                   params));
    return changed > 0 ? absl::OkStatus() : NoSuch(name);
  });
}

}  // namespace metamcp::workflow
