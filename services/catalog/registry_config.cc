// Reconciling what the configuration file defines.
#include <utility>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/convert.h"
#include "services/catalog/etag.h"
#include "services/catalog/registry.h"
#include "services/catalog/validate.h"

namespace metamcp::catalog {
namespace {

constexpr char kActor[] = "config";
constexpr int kConfigAttempts = 5;

// What the file says of an object, as bytes: its labels and its spec.
template <typename Message>
std::string Wish(const Message& message) {
  Message content;
  content.mutable_meta()->set_display_name(message.meta().display_name());
  content.mutable_meta()->set_owner(message.meta().owner());
  content.mutable_meta()->set_team(message.meta().team());
  content.mutable_meta()->set_visibility(message.meta().visibility());
  *content.mutable_meta()->mutable_tags() = message.meta().tags();
  *content.mutable_spec() = message.spec();
  return DeterministicBytes(content);
}

absl::Status Duplicate(std::string_view what, const common::v1::ObjectMeta& meta) {
  return MakeError("ALREADY_EXISTS", "catalog",
                   StrCat("two ", what, "s have the name '", meta.name(),
                          "' once written in lower case with '-' (the second is '",
                          meta.display_name(), "'); rename one"));
}

absl::Status Foreign(std::string_view what, const common::v1::ObjectMeta& meta) {
  return MakeError("ALREADY_EXISTS", "catalog",
                   StrCat("a ", what, " '", meta.name(), "' was made by ", meta.origin(),
                          "; rename the one in the configuration, or delete the other"));
}

void AddChange(const char* kind, const std::string& name, const char* change,
               std::vector<pb::ConfigChange>* out) {
  pb::ConfigChange row;
  row.set_kind(kind);
  row.set_name(name);
  row.set_change(change);
  out->push_back(std::move(row));
}

}  // namespace

struct Registry::ConfigPlan {
  ChangeSet changes;
  std::vector<pb::ConfigChange> report;
  std::set<std::string> upstreams;  // names that the file defines
  std::set<std::string> servers;
  std::vector<std::string> gone_upstreams;
  std::vector<std::string> gone_servers;
  int64_t now = 0;  // one for all: objects of one configuration are equally old
};

absl::Status Registry::PlanUpstream(pb::Upstream wanted, ConfigPlan* plan) const {
  METAMCP_RETURN_IF_ERROR(NormalizeName(wanted.mutable_meta()));
  const std::string name = wanted.meta().name();
  METAMCP_RETURN_IF_ERROR(Annotate(CheckUpstream(wanted), StrCat("server '", name, "': ")));
  if (!plan->upstreams.insert(name).second) return Duplicate("server", wanted.meta());
  wanted.mutable_meta()->set_origin("file");
  const Model::UpstreamSlot* slot = model_.FindUpstream(name);
  auto record = std::make_shared<UpstreamRecord>();
  if (slot == nullptr) {
    FillNew(wanted.mutable_meta(), kActor);
    wanted.mutable_meta()->set_created_us(plan->now);
    wanted.mutable_meta()->set_updated_us(plan->now);
    wanted.clear_status();
    wanted.mutable_status()->set_state("configured");
    record->config_enabled = wanted.enabled();
    record->upstream = std::move(wanted);
    AddChange("server", name, "added", &plan->report);
  } else {
    const pb::Upstream& old = slot->record->upstream;
    if (old.meta().origin() != "file") return Foreign("server", old.meta());
    FillChanged(old.meta(), kActor, wanted.mutable_meta());
    const bool enabled_changed = slot->record->config_enabled != wanted.enabled();
    if (Wish(old) == Wish(wanted) && !enabled_changed) return absl::OkStatus();
    *record = *slot->record;
    *record->upstream.mutable_meta() = wanted.meta();
    *record->upstream.mutable_spec() = wanted.spec();
    if (enabled_changed) record->upstream.set_enabled(wanted.enabled());
    record->config_enabled = wanted.enabled();
    AddChange("server", name, "changed", &plan->report);
  }
  SetEtag(&record->upstream);
  plan->changes.put_upstreams.push_back(std::move(record));
  return absl::OkStatus();
}

absl::Status Registry::PlanServer(pb::VirtualServer wanted, ConfigPlan* plan) const {
  METAMCP_RETURN_IF_ERROR(NormalizeName(wanted.mutable_meta()));
  const std::string name = wanted.meta().name();
  METAMCP_RETURN_IF_ERROR(
      Annotate(CheckVirtualServer(wanted), StrCat("virtual server '", name, "': ")));
  if (!plan->servers.insert(name).second) return Duplicate("virtual server", wanted.meta());
  wanted.mutable_meta()->set_origin("file");
  const auto slot = model_.servers().find(name);
  auto record = std::make_shared<VirtualServerRecord>();
  if (slot == model_.servers().end()) {
    FillNew(wanted.mutable_meta(), kActor);
    record->config_enabled = wanted.enabled();
    record->server = std::move(wanted);
    AddChange("virtual-server", name, "added", &plan->report);
  } else {
    const VirtualServerRecord& before = *slot->second.record;
    const pb::VirtualServer& old = before.server;
    if (old.meta().origin() != "file") return Foreign("virtual server", old.meta());
    FillChanged(old.meta(), kActor, wanted.mutable_meta());
    const bool enabled_changed = before.config_enabled != wanted.enabled();
    if (Wish(old) == Wish(wanted) && !enabled_changed) return absl::OkStatus();
    *record = before;
    *record->server.mutable_meta() = wanted.meta();
    *record->server.mutable_spec() = wanted.spec();
    if (enabled_changed) record->server.set_enabled(wanted.enabled());
    record->config_enabled = wanted.enabled();
    AddChange("virtual-server", name, "changed", &plan->report);
  }
  SetEtag(&record->server);
  plan->changes.put_servers.push_back(std::move(record));
  return absl::OkStatus();
}

void Registry::PlanRemovals(ConfigPlan* plan) const {
  ChangeSet& changes = plan->changes;
  for (const auto& [name, slot] : model_.upstreams()) {
    if (slot.record->upstream.meta().origin() != "file" || plan->upstreams.count(name) > 0)
      continue;
    plan->gone_upstreams.push_back(name);
    changes.remove_upstream_ids.push_back(slot.id());
    changes.tombstones.push_back({0, ObjectType::kUpstream, slot.id()});
    for (const auto& [key, item] : slot.items) {
      changes.tombstones.push_back({0, ObjectType::kItem, item.entry->item.id()});
    }
    AddChange("server", name, "removed", &plan->report);
  }
  for (const auto& [name, slot] : model_.servers()) {
    const auto& meta = slot.record->server.meta();
    if (meta.origin() != "file" || plan->servers.count(name) > 0) continue;
    plan->gone_servers.push_back(name);
    changes.remove_server_ids.push_back(meta.id());
    if (name != kDefaultView) changes.tombstones.push_back({0, ObjectType::kView, name});
    AddChange("virtual-server", name, "removed", &plan->report);
  }
}

absl::StatusOr<Registry::ConfigPlan> Registry::PlanConfig(pb::ApplyConfigRequest request) const {
  ConfigPlan plan;
  plan.now = Now();
  const std::string separator = request.name_separator().empty() ? "__" : request.name_separator();
  METAMCP_RETURN_IF_ERROR(CheckSeparator(separator));
  for (pb::Upstream& upstream : *request.mutable_upstreams()) {
    METAMCP_RETURN_IF_ERROR(PlanUpstream(std::move(upstream), &plan));
  }
  for (pb::VirtualServer& server : *request.mutable_virtual_servers()) {
    METAMCP_RETURN_IF_ERROR(PlanServer(std::move(server), &plan));
  }
  PlanRemovals(&plan);
  if (separator != model_.separator()) plan.changes.separator = separator;
  return plan;
}

Awaitable<absl::StatusOr<pb::ApplyConfigResponse>> Registry::ApplyConfig(
    pb::ApplyConfigRequest request) {
  auto guard = co_await write_lock_.Lock();
  for (int attempt = 1;; ++attempt) {
    pb::ApplyConfigRequest copy = request;
    auto response = co_await ApplyConfigLocked(std::move(copy));
    // Another process that starts with the same file writes at the same moment.
    if (!absl::IsAborted(response.status()) || attempt == kConfigAttempts) co_return response;
  }
}

Awaitable<absl::StatusOr<pb::ApplyConfigResponse>> Registry::ApplyConfigLocked(
    pb::ApplyConfigRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  METAMCP_CO_ASSIGN_OR_RETURN(ConfigPlan plan, PlanConfig(std::move(request)));
  pb::ApplyConfigResponse response;
  for (pb::ConfigChange& change : plan.report) *response.add_changes() = std::move(change);
  response.set_revision(model_.head());
  if (plan.changes.empty()) co_return response;
  ChangeSet copy = plan.changes;
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(copy)));
  for (const std::string& name : plan.gone_upstreams) DropUpstream(name, revision);
  for (const std::string& name : plan.gone_servers) model_.RemoveServer(name, revision);
  if (plan.changes.separator) model_.SetSeparator(*plan.changes.separator);
  for (UpstreamPtr& record : plan.changes.put_upstreams) {
    ShowUpstream(std::move(record), revision);
  }
  for (VirtualServerPtr& record : plan.changes.put_servers) {
    model_.PutServer(std::move(record), revision);
  }
  Changed();
  response.set_revision(revision);
  co_return response;
}

}  // namespace metamcp::catalog
