#include "services/catalog/sharing.h"

#include <algorithm>

#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::catalog {
namespace {

// Removes the elements for which `gone` holds, keeping the order.
template <typename T, typename Gone>
void Erase(google::protobuf::RepeatedPtrField<T>* list, Gone gone) {
  list->erase(std::remove_if(list->begin(), list->end(), gone), list->end());
}

}  // namespace

bool MaySee(const CallContext& ctx, const common::v1::ObjectMeta& meta) {
  if (ctx.principal == nullptr) return true;
  auth::Ownership ownership;
  ownership.owner = meta.owner();
  ownership.team = meta.team();
  ownership.visibility = meta.visibility();
  return auth::MaySee(*ctx.principal, ownership);
}

bool MaySeeUpstream(const CallContext& ctx, const Model& model, std::string_view name) {
  const Model::UpstreamSlot* slot = model.FindUpstream(name);
  return slot != nullptr && MaySee(ctx, slot->record->upstream.meta());
}

bool MaySeeServer(const CallContext& ctx, const Model& model, std::string_view name) {
  const VirtualServerPtr* record = model.FindServer(name.empty() ? "default" : name);
  return record == nullptr || MaySee(ctx, (*record)->server.meta());
}

absl::Status NoServer(std::string_view name) {
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no server '", name, "'"));
}

absl::Status NoVirtualServer(std::string_view name) {
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no virtual server '", name, "'"));
}

void Filter(const CallContext& ctx, const Model& model,
            google::protobuf::RepeatedPtrField<pb::ItemSummary>* items) {
  if (ctx.principal == nullptr) return;
  Erase(items, [&](const pb::ItemSummary& item) {
    return !item.upstream().empty() && !MaySeeUpstream(ctx, model, item.upstream());
  });
}

void Filter(const CallContext& ctx, const Model& model, pb::GetVirtualServerResponse* response) {
  if (ctx.principal == nullptr) return;
  pb::VirtualServerView& view = *response->mutable_view();
  Erase(view.mutable_items(), [&](const pb::ExposedItem& item) {
    return std::any_of(item.routes().begin(), item.routes().end(), [&](const pb::Route& route) {
      return !MaySeeUpstream(ctx, model, route.upstream_id());
    });
  });
  Erase(view.mutable_upstream_ids(),
        [&](const std::string& id) { return !MaySeeUpstream(ctx, model, id); });
  const auto foreign = [&](const std::string& qualified) {
    return !MaySeeUpstream(ctx, model, qualified.substr(0, qualified.find('.')));
  };
  Erase(view.mutable_disabled_items(), foreign);
  Erase(response->mutable_hidden(),
        [&](const pb::HiddenItem& item) { return foreign(item.qualified_name()); });
}

}  // namespace metamcp::catalog
