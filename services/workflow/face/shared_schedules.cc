// Schedules of workflows: those of the newest versions, for whoever may see or change these.
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/workflow/engine/run_principal.h"
#include "services/workflow/face/shared_service.h"

namespace metamcp::workflow {
namespace {

v1::Schedule ToProto(const ScheduleRow& row) {
  v1::Schedule out;
  out.set_namespace_(row.name_space);
  out.set_workflow(row.name);
  out.set_version(row.version);
  out.set_kind(row.kind);
  out.set_spec(row.spec);
  out.set_missed(row.missed);
  out.set_paused(row.paused);
  out.set_next_us(row.paused ? 0 : row.next_us);
  out.set_last_us(row.last_us);
  out.set_last_run(row.last_run);
  out.set_fired(row.fired);
  out.set_note(row.note);
  RunRow as;
  as.principal = row.principal;
  out.set_runs_as(PrincipalOf(as)->subject);
  return out;
}

}  // namespace

Awaitable<absl::Status> SharedWorkflowService::StoreSchedule(const CallContext& ctx,
                                                             const Definition& definition) {
  ScheduleRow row;
  row.tenant = ctx.tenant();
  row.name_space = definition.name_space;
  row.name = definition.name;
  if (definition.schedule) {
    auto heading = engine_.BusHead(row.tenant);
    const auto head = co_await std::move(heading);
    if (!head.ok()) co_return head.status();
    const ScheduleSpec& spec = *definition.schedule;
    row.version = definition.version;
    row.kind = spec.kind;
    row.spec = ScheduleJson(definition.document);
    row.missed = spec.missed;
    row.input = spec.input.empty() ? "{}" : spec.input;
    const Principal nobody;
    row.principal = PrincipalJson(ctx.principal ? *ctx.principal : nobody);
    row.next_us = FirstTime(spec, NowMicros());
    row.bus_after = *head;
  }
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    ScheduleStore store(database);
    return row.kind.empty() ? store.Remove(row.tenant, row.name_space, row.name) : store.Put(row);
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  scheduler_.LookNow();
  co_return stored;
}

Awaitable<absl::StatusOr<v1::ListSchedulesResponse>> SharedWorkflowService::ListSchedules(
    const CallContext& ctx, v1::ListSchedulesRequest) {
  std::function<absl::StatusOr<std::vector<ScheduleRow>>(db::Database&)> op =
      [tenant = ctx.tenant()](db::Database& database) {
        return ScheduleStore(database).List(tenant);
      };
  auto reading = database_.Run<std::vector<ScheduleRow>>(ctx, std::move(op));
  const auto rows = co_await std::move(reading);
  if (!rows.ok()) co_return rows.status();
  v1::ListSchedulesResponse response;
  for (const ScheduleRow& row : *rows) {
    auto asking = Object(ctx, row.name_space, row.name, Need::kSee);
    const auto object = co_await std::move(asking);
    if (absl::IsNotFound(object.status())) continue;
    if (!object.ok()) co_return object.status();
    *response.add_schedules() = ToProto(row);
  }
  co_return response;
}

Awaitable<absl::StatusOr<ScheduleRow>> SharedWorkflowService::SetPaused(const CallContext& ctx,
                                                                        std::string name_space,
                                                                        std::string name,
                                                                        bool paused) {
  auto asking = Object(ctx, name_space, name, Need::kChange);
  const auto object = co_await std::move(asking);
  if (!object.ok()) co_return object.status();
  auto heading = engine_.BusHead(ctx.tenant());
  const auto head = co_await std::move(heading);
  if (!head.ok()) co_return head.status();
  std::function<absl::StatusOr<ScheduleRow>(db::Database&)> op =
      [object = *object, limits = limits_, after = *head,
       paused](db::Database& database) -> absl::StatusOr<ScheduleRow> {
    ScheduleStore store(database);
    METAMCP_ASSIGN_OR_RETURN(ScheduleRow row,
                             store.Get(object.tenant, object.name_space, object.name));
    if (row.paused == paused) return row;
    row.paused = paused;
    // What passes meanwhile is not made up for.
    const auto spec = ReadSchedule(row, limits);
    if (!paused && spec) row.next_us = FirstTime(*spec, NowMicros());
    if (!paused) row.bus_after = after;
    METAMCP_RETURN_IF_ERROR(
        store.SetPaused(row.tenant, row.name_space, row.name, paused, row.next_us, row.bus_after));
    return row;
  };
  auto changing = database_.Run<ScheduleRow>(ctx, std::move(op));
  auto changed = co_await std::move(changing);
  scheduler_.LookNow();
  co_return changed;
}

Awaitable<absl::StatusOr<v1::PauseScheduleResponse>> SharedWorkflowService::PauseSchedule(
    const CallContext& ctx, v1::PauseScheduleRequest request) {
  auto changing = SetPaused(ctx, request.namespace_(), request.name(), true);
  const auto changed = co_await std::move(changing);
  if (!changed.ok()) co_return changed.status();
  co_return v1::PauseScheduleResponse();
}

Awaitable<absl::StatusOr<v1::ResumeScheduleResponse>> SharedWorkflowService::ResumeSchedule(
    const CallContext& ctx, v1::ResumeScheduleRequest request) {
  auto changing = SetPaused(ctx, request.namespace_(), request.name(), false);
  const auto changed = co_await std::move(changing);
  if (!changed.ok()) co_return changed.status();
  v1::ResumeScheduleResponse response;
  *response.mutable_schedule() = ToProto(*changed);
  co_return response;
}

}  // namespace metamcp::workflow
