// What operators do to upstreams and virtual servers.
#include <utility>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/etag.h"
#include "services/catalog/registry.h"
#include "services/catalog/validate.h"

namespace metamcp::catalog {
namespace {

using common::v1::ObjectMeta;

absl::Status NoSuch(std::string_view what, const std::string& name) {
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no ", what, " '", name, "'"));
}

absl::Status Taken(std::string_view what, const std::string& name) {
  return MakeError("ALREADY_EXISTS", "catalog", StrCat("a ", what, " '", name, "' exists already"));
}

absl::Status CheckWritable(const ObjectMeta& meta, std::string_view what) {
  if (meta.origin() == "file") {
    return MakeError("OBJECT_READ_ONLY", "catalog",
                     StrCat("the ", what, " '", meta.name(),
                            "' is defined in the configuration file; change it there (only "
                            "'enabled' can be set here)"));
  }
  if (meta.origin() == "builtin") {
    return MakeError("OBJECT_READ_ONLY", "catalog",
                     StrCat("the ", what, " '", meta.name(),
                            "' is built in; define one of that name to change it"));
  }
  return absl::OkStatus();
}

absl::Status CheckEtag(const ObjectMeta& meta, const std::string& etag) {
  if (etag.empty() || etag == meta.etag()) return absl::OkStatus();
  return MakeError("ETAG_MISMATCH", "catalog",
                   StrCat("'", meta.name(), "' was changed by ", meta.updated_by(), " meanwhile"));
}

absl::Status CheckRequestId(const std::string& request_id) {
  if (request_id.size() <= 128 && request_id.find('\0') == std::string::npos) {
    return absl::OkStatus();
  }
  return MakeError("ARGUMENT_INVALID", "catalog", "requestId is longer than 128 bytes");
}

// Client-given members of the head; the rest is ours.
void CopyLabels(const ObjectMeta& from, ObjectMeta* to) {
  to->set_display_name(from.display_name());
  to->set_owner(from.owner());
  to->set_team(from.team());
  to->set_visibility(from.visibility());
  *to->mutable_tags() = from.tags();
}

}  // namespace

void Registry::FillNew(ObjectMeta* meta, const Actor& actor) const {
  ObjectMeta out;
  CopyLabels(*meta, &out);
  out.set_name(meta->name());
  out.set_id(NewUuidV7());
  out.set_tenant(options_.tenant);
  out.set_origin(meta->origin().empty() ? "api" : meta->origin());
  if (out.owner().empty()) out.set_owner(actor);
  if (out.visibility().empty()) out.set_visibility("team");
  out.set_created_by(actor);
  out.set_updated_by(actor);
  out.set_created_us(Now());
  out.set_updated_us(out.created_us());
  *meta = std::move(out);
}

void Registry::FillChanged(const ObjectMeta& old, const Actor& actor, ObjectMeta* meta) const {
  ObjectMeta out = old;
  CopyLabels(*meta, &out);
  if (out.display_name().empty()) out.set_display_name(old.display_name());
  if (out.owner().empty()) out.set_owner(old.owner());
  if (out.visibility().empty()) out.set_visibility(old.visibility());
  out.set_updated_by(actor);
  out.set_updated_us(Now());
  *meta = std::move(out);
}

Awaitable<absl::StatusOr<pb::Upstream>> Registry::StoreUpstream(
    UpstreamPtr record, std::optional<CreateRequest> request) {
  ChangeSet changes;
  changes.put_upstreams.push_back(record);
  changes.request = request;
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(changes)));
  Remember(request);
  const std::string id = record->upstream.meta().id();
  ShowUpstream(std::move(record), revision);
  Changed();
  co_return model_.FindUpstream(id)->record->upstream;
}

Awaitable<absl::StatusOr<pb::VirtualServer>> Registry::StoreServer(
    VirtualServerPtr record, std::optional<CreateRequest> request) {
  ChangeSet changes;
  changes.put_servers.push_back(record);
  changes.request = request;
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(changes)));
  Remember(request);
  pb::VirtualServer answer = record->server;
  model_.PutServer(std::move(record), revision);
  Changed();
  co_return answer;
}

Awaitable<absl::StatusOr<pb::Upstream>> Registry::CreateUpstream(pb::Upstream wanted,
                                                                 std::string request_id,
                                                                 Actor actor) {
  METAMCP_CO_RETURN_IF_ERROR(CheckRequestId(request_id));
  METAMCP_CO_RETURN_IF_ERROR(NormalizeName(wanted.mutable_meta()));
  METAMCP_CO_RETURN_IF_ERROR(Unmask(pb::UpstreamSpec(), wanted.mutable_spec()));
  METAMCP_CO_RETURN_IF_ERROR(CheckUpstream(wanted));
  if (wanted.meta().origin() == "file") wanted.mutable_meta()->set_origin("api");
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  std::optional<CreateRequest> request;
  if (const auto id = FindRequest(request_id)) {
    const Model::UpstreamSlot* slot = model_.FindUpstream(*id);
    if (slot == nullptr) co_return NoSuch("server", *id);
    co_return slot->record->upstream;
  }
  const std::string name = wanted.meta().name();
  if (model_.upstreams().count(name) > 0) co_return Taken("server", name);
  auto record = std::make_shared<UpstreamRecord>();
  FillNew(wanted.mutable_meta(), actor);
  wanted.clear_status();
  wanted.mutable_status()->set_state("configured");
  SetEtag(&wanted);
  record->config_enabled = wanted.enabled();
  if (!request_id.empty()) {
    request.emplace();
    request->request_id = request_id;
    request->object_id = wanted.meta().id();
  }
  record->upstream = std::move(wanted);
  co_return co_await StoreUpstream(std::move(record), std::move(request));
}

Awaitable<absl::StatusOr<pb::Upstream>> Registry::UpdateUpstream(std::string name,
                                                                 pb::Upstream wanted, Actor actor) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const Model::UpstreamSlot* slot = model_.FindUpstream(name);
  if (slot == nullptr) co_return NoSuch("server", name);
  const UpstreamPtr old = slot->record;
  METAMCP_CO_RETURN_IF_ERROR(CheckWritable(old->upstream.meta(), "server"));
  METAMCP_CO_RETURN_IF_ERROR(CheckEtag(old->upstream.meta(), wanted.meta().etag()));
  wanted.mutable_meta()->set_name(old->upstream.meta().name());
  METAMCP_CO_RETURN_IF_ERROR(Unmask(old->upstream.spec(), wanted.mutable_spec()));
  METAMCP_CO_RETURN_IF_ERROR(CheckUpstream(wanted));
  FillChanged(old->upstream.meta(), actor, wanted.mutable_meta());
  auto record = std::make_shared<UpstreamRecord>(*old);
  *record->upstream.mutable_meta() = wanted.meta();
  *record->upstream.mutable_spec() = wanted.spec();
  SetEtag(&record->upstream);
  co_return co_await StoreUpstream(std::move(record), std::nullopt);
}

Awaitable<absl::Status> Registry::DeleteUpstream(std::string name, std::string etag) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const Model::UpstreamSlot* slot = model_.FindUpstream(name);
  if (slot == nullptr) co_return NoSuch("server", name);
  const ObjectMeta meta = slot->record->upstream.meta();
  METAMCP_CO_RETURN_IF_ERROR(CheckWritable(meta, "server"));
  METAMCP_CO_RETURN_IF_ERROR(CheckEtag(meta, etag));
  ChangeSet changes;
  changes.remove_upstream_ids.push_back(meta.id());
  changes.tombstones.push_back({0, ObjectType::kUpstream, meta.id()});
  for (const auto& [key, item] : slot->items) {
    changes.tombstones.push_back({0, ObjectType::kItem, item.entry->item.id()});
  }
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(changes)));
  DropUpstream(meta.name(), revision);
  Changed();
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<pb::Upstream>> Registry::SetUpstreamEnabled(std::string name, bool enabled,
                                                                     Actor actor) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const Model::UpstreamSlot* slot = model_.FindUpstream(name);
  if (slot == nullptr) co_return NoSuch("server", name);
  if (slot->record->upstream.enabled() == enabled) co_return slot->record->upstream;
  auto record = std::make_shared<UpstreamRecord>(*slot->record);
  record->upstream.set_enabled(enabled);
  ObjectMeta meta = record->upstream.meta();
  FillChanged(record->upstream.meta(), actor, &meta);
  *record->upstream.mutable_meta() = std::move(meta);
  SetEtag(&record->upstream);
  co_return co_await StoreUpstream(std::move(record), std::nullopt);
}

Awaitable<absl::StatusOr<pb::VirtualServer>> Registry::CreateServer(pb::VirtualServer wanted,
                                                                    std::string request_id,
                                                                    Actor actor) {
  METAMCP_CO_RETURN_IF_ERROR(CheckRequestId(request_id));
  METAMCP_CO_RETURN_IF_ERROR(NormalizeName(wanted.mutable_meta()));
  METAMCP_CO_RETURN_IF_ERROR(CheckVirtualServer(wanted));
  if (wanted.meta().origin() == "file") wanted.mutable_meta()->set_origin("api");
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  if (const auto id = FindRequest(request_id)) {
    const VirtualServerPtr* done = model_.FindServer(*id);
    if (done == nullptr) co_return NoSuch("virtual server", *id);
    co_return (*done)->server;
  }
  const std::string name = wanted.meta().name();
  if (model_.servers().count(name) > 0) co_return Taken("virtual server", name);
  FillNew(wanted.mutable_meta(), actor);
  SetEtag(&wanted);
  std::optional<CreateRequest> request;
  if (!request_id.empty()) {
    request.emplace();
    request->request_id = request_id;
    request->object_id = wanted.meta().id();
  }
  auto record = std::make_shared<VirtualServerRecord>();
  record->config_enabled = wanted.enabled();
  record->server = std::move(wanted);
  co_return co_await StoreServer(std::move(record), std::move(request));
}

Awaitable<absl::StatusOr<pb::VirtualServer>> Registry::UpdateServer(std::string name,
                                                                    pb::VirtualServer wanted,
                                                                    Actor actor) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const VirtualServerPtr* found = model_.FindServer(name);
  if (found == nullptr) co_return NoSuch("virtual server", name);
  const VirtualServerPtr old = *found;
  METAMCP_CO_RETURN_IF_ERROR(CheckWritable(old->server.meta(), "virtual server"));
  METAMCP_CO_RETURN_IF_ERROR(CheckEtag(old->server.meta(), wanted.meta().etag()));
  wanted.mutable_meta()->set_name(old->server.meta().name());
  METAMCP_CO_RETURN_IF_ERROR(CheckVirtualServer(wanted));
  FillChanged(old->server.meta(), actor, wanted.mutable_meta());
  auto record = std::make_shared<VirtualServerRecord>(*old);
  *record->server.mutable_meta() = wanted.meta();
  *record->server.mutable_spec() = wanted.spec();
  SetEtag(&record->server);
  co_return co_await StoreServer(std::move(record), std::nullopt);
}

Awaitable<absl::Status> Registry::DeleteServer(std::string name, std::string etag) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const VirtualServerPtr* found = model_.FindServer(name);
  if (found == nullptr) co_return NoSuch("virtual server", name);
  const ObjectMeta meta = (*found)->server.meta();
  METAMCP_CO_RETURN_IF_ERROR(CheckWritable(meta, "virtual server"));
  METAMCP_CO_RETURN_IF_ERROR(CheckEtag(meta, etag));
  ChangeSet changes;
  changes.remove_server_ids.push_back(meta.id());
  if (meta.name() != kDefaultView) {
    changes.tombstones.push_back({0, ObjectType::kView, meta.name()});
  }
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t revision, co_await Commit(std::move(changes)));
  model_.RemoveServer(meta.name(), revision);
  Changed();
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<pb::VirtualServer>> Registry::SetServerEnabled(std::string name,
                                                                        bool enabled, Actor actor) {
  auto guard = co_await write_lock_.Lock();
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  const VirtualServerPtr* found = model_.FindServer(name);
  if (found == nullptr) co_return NoSuch("virtual server", name);
  const VirtualServerPtr old = *found;
  if (old->server.enabled() == enabled) co_return old->server;
  if (old->server.meta().origin() == "builtin") {
    co_return CheckWritable(old->server.meta(), "virtual server");
  }
  auto record = std::make_shared<VirtualServerRecord>(*old);
  record->server.set_enabled(enabled);
  ObjectMeta meta = old->server.meta();
  FillChanged(old->server.meta(), actor, &meta);
  *record->server.mutable_meta() = std::move(meta);
  SetEtag(&record->server);
  co_return co_await StoreServer(std::move(record), std::nullopt);
}

}  // namespace metamcp::catalog
