// Finding items by words, and saying why they are or are not there.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/query.h"
#include "services/catalog/selector.h"
#include "services/catalog/summary.h"

namespace metamcp::catalog {
namespace {

constexpr int kSearchDefault = 10;
constexpr int kSearchMax = 100;
constexpr size_t kQueryBytesMax = 4096;
constexpr size_t kExplainMax = 100;
constexpr size_t kNearestMax = 3;
constexpr double kExactScore = 1000.0;
constexpr pb::ItemKind kAllKinds[] = {pb::ITEM_KIND_TOOL, pb::ITEM_KIND_RESOURCE,
                                      pb::ITEM_KIND_TEMPLATE, pb::ITEM_KIND_PROMPT};

struct Place {
  const Model::UpstreamSlot* upstream = nullptr;
  const Candidate* candidate = nullptr;  // null: the view does not have the upstream
  const ItemEntry* entry = nullptr;
};

Place PlaceOf(const View& view, const Model::UpstreamSlot& upstream, const ItemEntry& entry) {
  Place place;
  place.upstream = &upstream;
  place.entry = &entry;
  const Contribution* from = view.FindContribution(upstream.name());
  if (from != nullptr) {
    place.candidate = from->Find(entry.item.kind(), entry.item.original_name());
  }
  return place;
}

// Every item that `name` may mean: exposed, qualified or original name, in this order.
std::vector<Place> FindByName(const Model& model, const View& view, const std::string& name) {
  std::vector<Place> places;
  std::set<const ItemEntry*> seen;
  const auto add = [&](const Model::UpstreamSlot* upstream, const ItemEntry& entry) {
    if (upstream != nullptr && seen.insert(&entry).second) {
      places.push_back(PlaceOf(view, *upstream, entry));
    }
  };
  for (const pb::ItemKind kind : kAllKinds) {
    const View::Found found = view.FindExposed(kind, name);
    if (found.candidate != nullptr) {
      add(model.FindUpstream(found.from->slug), *found.candidate->item);
    }
  }
  const size_t dot = name.find('.');
  if (dot != std::string::npos) {
    const auto it = model.upstreams().find(Sv(name).substr(0, dot));
    for (const pb::ItemKind kind : kAllKinds) {
      if (it == model.upstreams().end()) break;
      const auto item = it->second.items.find(Model::ItemKey(kind, Sv(name).substr(dot + 1)));
      if (item != it->second.items.end()) add(&it->second, *item->second.entry);
    }
  }
  for (const auto& [slug, upstream] : model.upstreams()) {
    for (const pb::ItemKind kind : kAllKinds) {
      const auto item = upstream.items.find(Model::ItemKey(kind, name));
      if (item != upstream.items.end()) add(&upstream, *item->second.entry);
    }
  }
  // What the view would call it, were it not hidden.
  for (const ContributionPtr& from : view.contributions()) {
    for (const Candidate& candidate : from->candidates) {
      if (candidate.hidden != HiddenReason::kNone && candidate.name == name) {
        add(model.FindUpstream(from->slug), *candidate.item);
      }
    }
  }
  return places;
}

bool HasTag(const Model::UpstreamSlot& upstream, const std::string& tag) {
  const auto& tags = upstream.record->upstream.meta().tags();
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool Passes(const Place& place, const pb::SearchItemsRequest& request) {
  const pb::Item& item = place.entry->item;
  if (request.kind() != pb::ITEM_KIND_UNSPECIFIED && item.kind() != request.kind()) return false;
  if (!request.upstream().empty() && place.upstream->name() != request.upstream() &&
      place.upstream->id() != request.upstream()) {
    return false;
  }
  if (!request.tag().empty() && !HasTag(*place.upstream, request.tag())) return false;
  for (const std::string& wanted : request.annotations()) {
    if (item.kind() != pb::ITEM_KIND_TOOL) return false;
    const bool negated = wanted.starts_with("!");
    const std::string value =
        AnnotationValue(place.entry->facts, negated ? Sv(wanted).substr(1) : Sv(wanted));
    if (value != (negated ? "false" : "true")) return false;
  }
  return true;
}

bool IsExposed(const View& view, const Place& place) {
  return place.candidate != nullptr &&
         view.OutcomeOf(*place.candidate).hidden == HiddenReason::kNone;
}

// The server that a name which no item has speaks of: slug.x or slug__x.
const Model::UpstreamSlot* ServerOfName(const Model& model, const std::string& name) {
  for (const auto& [slug, upstream] : model.upstreams()) {
    if (!name.starts_with(slug)) continue;
    const std::string_view rest = Sv(name).substr(slug.size());
    if (rest.empty() || rest.starts_with(".") || rest.starts_with(model.separator())) {
      return &upstream;
    }
  }
  return nullptr;
}

// The nearest exposed and original names, best first. A name is compared only if its length could
// be near enough, so that ten thousand long names stay cheap.
std::vector<std::string> NearestNames(const Model& model, const View& view,
                                      const std::string& name) {
  std::set<std::pair<size_t, std::string>> best;
  const size_t limit = name.size() / 3 + 2;
  const auto consider = [&](std::string_view candidate) {
    const size_t longer = std::max(candidate.size(), name.size());
    const size_t shorter = std::min(candidate.size(), name.size());
    if (longer - shorter >= limit || longer > 256) return;
    const size_t distance = EditDistance(name, candidate);
    if (distance >= limit) return;
    best.emplace(distance, std::string(candidate));
    if (best.size() > kNearestMax) best.erase(std::prev(best.end()));
  };
  for (const ContributionPtr& from : view.contributions()) {
    for (const Candidate& candidate : from->candidates) {
      consider(view.OutcomeOf(candidate).name);
      consider(candidate.item->item.original_name());
    }
  }
  for (const auto& [slug, upstream] : model.upstreams()) consider(slug);
  std::vector<std::string> names;
  for (const auto& [distance, text] : best) names.push_back(text);
  return names;
}

absl::Status NotFound(const Model& model, const View& view, const std::string& name) {
  const auto nearest = NearestNames(model, view, name);
  std::string message = StrCat("no server offers anything named '", name, "'");
  std::string list;
  for (const std::string& n : nearest) list += StrCat(list.empty() ? "" : ", ", n);
  if (!nearest.empty()) message += StrCat("; did you mean ", list, "?");
  return MakeError("NOT_FOUND", "catalog", message, {{"nearest", list}});
}

absl::StatusOr<ViewPtr> RequireView(Model& model, const std::string& name) {
  ViewPtr view = model.FindView(name.empty() ? kDefaultView : Sv(name));
  if (view != nullptr) return view;
  return MakeError("NOT_FOUND", "catalog", StrCat("there is no virtual server '", name, "'"));
}

pb::ItemSummary Show(const View& view, const Place& place) {
  return place.candidate != nullptr ? Summarize(view, *place.upstream, *place.candidate)
                                    : SummarizeOutside(view, *place.upstream, *place.entry);
}

}  // namespace

absl::StatusOr<pb::SearchItemsResponse> SearchItems(Model& model,
                                                    const pb::SearchItemsRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(const ViewPtr view, RequireView(model, request.virtual_server()));
  if (request.limit() < 0 || request.query().size() > kQueryBytesMax) {
    return MakeError("ARGUMENT_INVALID", "catalog",
                     "limit must not be negative, and query not longer than 4096 bytes");
  }
  const int limit = request.limit() == 0 ? kSearchDefault : std::min(request.limit(), kSearchMax);
  pb::SearchItemsResponse response;
  std::set<const ItemEntry*> shown;
  const auto show = [&](const Place& place, double score) {
    if (!IsExposed(*view, place) || !Passes(place, request)) return;
    if (!shown.insert(place.entry).second) return;
    pb::ItemSummary* out = response.add_items();
    *out = Show(*view, place);
    out->set_score(score);
  };
  for (const Place& place : FindByName(model, *view, request.query())) {
    if (response.items_size() == limit) return response;
    show(place, kExactScore);
  }
  for (const SearchIndex::Hit& hit : model.index().Search(request.query())) {
    if (response.items_size() == limit) break;
    const ItemPtr& entry = model.index().item(hit.doc);
    const Model::UpstreamSlot* upstream = model.FindUpstream(entry->item.upstream_id());
    if (upstream != nullptr) show(PlaceOf(*view, *upstream, *entry), hit.score);
  }
  return response;
}

absl::StatusOr<pb::ExplainItemResponse> ExplainItem(Model& model,
                                                    const pb::ExplainItemRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(const ViewPtr view, RequireView(model, request.virtual_server()));
  if (request.name().empty() || request.name().size() > kUriBytesMax) {
    return MakeError("ARGUMENT_INVALID", "catalog", "name is missing or too long");
  }
  pb::ExplainItemResponse response;
  for (const Place& place : FindByName(model, *view, request.name())) {
    if (response.items_size() == static_cast<int>(kExplainMax)) break;
    *response.add_items() = Show(*view, place);
  }
  if (response.items_size() > 0) return response;
  const Model::UpstreamSlot* upstream = ServerOfName(model, request.name());
  const bool silent = upstream != nullptr &&
                      (!upstream->record->Reported() || !upstream->record->upstream.enabled());
  if (!silent) return NotFound(model, *view, request.name());
  *response.add_items() = SummarizeDown(*upstream, request.name());
  return response;
}

}  // namespace metamcp::catalog
