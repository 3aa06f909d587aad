#include "services/catalog/query.h"

#include <tuple>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/paging.h"
#include "services/catalog/summary.h"

namespace metamcp::catalog {
namespace {

// Hidden items shown with one virtual server; all of them come by ListItems, page by page.
constexpr int kHiddenMax = 1000;

// Reading a definition for a summary takes microseconds for each KiB; a page stops here.
constexpr size_t kPageBytesMax = 2 << 20;

using Position = std::tuple<std::string_view, int, std::string_view>;  // slug, kind, original

template <typename Map, typename Response, typename Append>
absl::Status PageByName(const Map& map, int32_t size, const std::string& token,
                        std::string_view filter, Response* response, const Append& append) {
  METAMCP_ASSIGN_OR_RETURN(const size_t limit, PageSize(size));
  METAMCP_ASSIGN_OR_RETURN(const auto key, ReadPageToken(filter, token, 1));
  auto it = key.empty() ? map.begin() : map.upper_bound(key[0]);
  for (size_t n = 0; n < limit && it != map.end(); ++n, ++it) append(it->second);
  if (it != map.end()) {
    response->set_next_page_token(MakePageToken(filter, {std::prev(it)->first}));
  }
  return absl::OkStatus();
}

absl::StatusOr<ViewPtr> RequireView(Model& model, const std::string& name) {
  ViewPtr view = model.FindView(name.empty() ? kDefaultView : Sv(name));
  if (view != nullptr) return view;
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no virtual server '", name, "'"));
}

}  // namespace

absl::StatusOr<pb::ListItemsResponse> ListItems(Model& model, const pb::ListItemsRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(const ViewPtr view, RequireView(model, request.virtual_server()));
  METAMCP_ASSIGN_OR_RETURN(const size_t limit, PageSize(request.page_size()));
  const std::string filter = StrCat("items\n", request.virtual_server(), "\n", request.kind(), "\n",
                                    request.upstream(), "\n", request.include_hidden());
  METAMCP_ASSIGN_OR_RETURN(const auto key, ReadPageToken(filter, request.page_token(), 3));
  if (!request.upstream().empty() && model.FindUpstream(request.upstream()) == nullptr) {
    return MakeError("NOT_FOUND", "catalog",
                     StrCat("there is no server '", request.upstream(), "'"));
  }
  int key_kind = 0;
  if (!key.empty()) key_kind = key[1].empty() ? 0 : key[1][0] - '0';
  pb::ListItemsResponse response;
  size_t bytes = 0;
  for (const ContributionPtr& from : view->contributions()) {
    if (!key.empty() && from->slug < key[0]) continue;
    const Model::UpstreamSlot* upstream = model.FindUpstream(from->slug);
    if (upstream == nullptr) continue;
    if (!request.upstream().empty() && model.FindUpstream(request.upstream()) != upstream) continue;
    for (const Candidate& candidate : from->candidates) {
      const pb::Item& item = candidate.item->item;
      if (request.kind() != pb::ITEM_KIND_UNSPECIFIED && item.kind() != request.kind()) continue;
      if (!key.empty() && Position(from->slug, item.kind(), item.original_name()) <=
                              Position(key[0], key_kind, key[2])) {
        continue;
      }
      const bool hidden = view->OutcomeOf(candidate).hidden != HiddenReason::kNone;
      if (hidden && !request.include_hidden()) continue;
      if (response.items_size() == static_cast<int>(limit) || bytes > kPageBytesMax) {
        const std::string& last = response.items(response.items_size() - 1).qualified_name();
        const size_t dot = last.find('.');
        const int last_kind = response.items(response.items_size() - 1).kind();
        response.set_next_page_token(MakePageToken(
            filter, {last.substr(0, dot), std::string(1, '0' + last_kind), last.substr(dot + 1)}));
        return response;
      }
      *response.add_items() = Summarize(*view, *upstream, candidate);
      bytes += item.definition().size();
    }
  }
  return response;
}

absl::StatusOr<pb::GetVirtualServerResponse> DescribeServer(Model& model, const std::string& name) {
  const VirtualServerPtr* record = model.FindServer(name);
  if (record == nullptr) {
    return MakeError("NOT_FOUND", "catalog", StrCat("there is no virtual server '", name, "'"));
  }
  METAMCP_ASSIGN_OR_RETURN(const ViewPtr view, RequireView(model, (*record)->server.meta().name()));
  pb::GetVirtualServerResponse response;
  *response.mutable_virtual_server() = (*record)->server;
  *response.mutable_view() = view->Head();
  const auto hide = [&response](pb::ItemKind kind, std::string qualified, HiddenReason reason,
                                std::string_view detail) {
    if (response.hidden_size() >= kHiddenMax) return;
    pb::HiddenItem* out = response.add_hidden();
    out->set_kind(kind);
    out->set_qualified_name(std::move(qualified));
    out->set_reason(std::string(HiddenReasonName(reason)));
    out->set_detail(std::string(detail));
  };
  for (const ContributionPtr& from : view->contributions()) {
    const Model::UpstreamSlot* upstream = model.FindUpstream(from->slug);
    if (upstream != nullptr && !upstream->record->Reported()) {
      const bool enabled = upstream->record->upstream.enabled();
      hide(pb::ITEM_KIND_UNSPECIFIED, QualifiedName(from->slug, "*"),
           enabled ? HiddenReason::kUpstreamDown : HiddenReason::kDisabled,
           enabled ? DownDetail(*upstream) : StrCat("the server ", from->slug, " is disabled"));
    }
    for (const Candidate& candidate : from->candidates) {
      const View::Outcome outcome = view->OutcomeOf(candidate);
      const pb::Item& item = candidate.item->item;
      if (outcome.hidden == HiddenReason::kNone) {
        *response.mutable_view()->add_items() = view->Expose(*from, candidate);
      } else {
        hide(item.kind(), QualifiedName(from->slug, item.original_name()), outcome.hidden,
             outcome.detail);
      }
    }
  }
  return response;
}

absl::StatusOr<pb::ListUpstreamsResponse> ListUpstreams(const Model& model,
                                                        const pb::ListUpstreamsRequest& request) {
  pb::ListUpstreamsResponse response;
  METAMCP_RETURN_IF_ERROR(PageByName(
      model.upstreams(), request.page_size(), request.page_token(), "upstreams", &response,
      [&response](const auto& slot) { *response.add_upstreams() = slot.record->upstream; }));
  return response;
}

absl::StatusOr<pb::ListVirtualServersResponse> ListServers(
    const Model& model, const pb::ListVirtualServersRequest& request) {
  std::map<std::string, VirtualServerPtr, std::less<>> all;
  all.emplace(kDefaultView, Model::ImplicitDefault());
  for (const auto& [name, slot] : model.servers()) all[name] = slot.record;
  pb::ListVirtualServersResponse response;
  METAMCP_RETURN_IF_ERROR(PageByName(
      all, request.page_size(), request.page_token(), "virtual-servers", &response,
      [&response](const auto& record) { *response.add_virtual_servers() = record->server; }));
  return response;
}

}  // namespace metamcp::catalog
