#include "services/catalog/exposure.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "absl/strings/ascii.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/override.h"

namespace metamcp::catalog {
namespace {

bool IsUriKind(pb::ItemKind kind) {
  return kind == pb::ITEM_KIND_RESOURCE || kind == pb::ITEM_KIND_TEMPLATE;
}

// Calls of further ones are told only that there is no such tool.
constexpr int kQuarantinedMax = 2000;

uint64_t Mix(uint64_t seed, uint64_t value) {
  return (seed ^ (value + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2))) *
         0xff51afd7ed558ccdull;
}
uint64_t Mix(uint64_t seed, std::string_view text) {
  return Mix(seed, std::hash<std::string_view>()(text));
}

Candidate MakeCandidate(const ViewSpec& spec, const Offer& offer, OfferedItem offered) {
  Candidate out;
  out.item = std::move(offered.item);
  const pb::Item& item = out.item->item;
  const std::string& original = item.original_name();
  out.change = spec.OverrideOf(offer.slug, original);
  out.name = spec.NameOf(offer.slug, item, out.change);
  const auto hide = [&out](HiddenReason reason, std::string detail) {
    out.hidden = reason;
    out.detail = std::move(detail);
  };
  if (!offer.enabled) {
    hide(HiddenReason::kDisabled, StrCat("the server ", offer.slug, " is disabled"));
  } else if (!out.item->invalid.empty()) {
    hide(HiddenReason::kInvalidDefinition, out.item->invalid);
  } else if (std::string why = spec.SelectorOf(item.kind()).WhyNot(offer.slug, *out.item);
             !why.empty()) {
    hide(HiddenReason::kFiltered, std::move(why));
  } else if (out.change != nullptr && out.change->disabled()) {
    hide(HiddenReason::kDisabled, "an override of the virtual server disables it");
  } else if (!offered.quarantine.empty()) {
    hide(HiddenReason::kQuarantined, offered.quarantine == "new"
                                         ? "nobody has approved it yet"
                                         : "its definition differs from the approved one");
  } else if (out.change != nullptr && ChangesDefinition(*out.change, item.kind())) {
    auto derived = DeriveDefinition(*out.item, *out.change, out.name);
    if (derived.ok()) {
      out.definition = *std::move(derived);
    } else {
      hide(HiddenReason::kInvalidDefinition, std::string(Sv(derived.status().message())));
    }
  }
  out.others = std::move(offered.others);
  return out;
}

uint64_t SignatureOf(const Contribution& from) {
  uint64_t h = Mix(0, from.upstream_id);
  for (const Candidate& c : from.candidates) {
    if (c.hidden != HiddenReason::kNone) continue;
    h = Mix(h, c.item->item.id());
    h = Mix(h, c.name);
    h = Mix(h, c.definition);
    for (const pb::Route& route : c.others) h = Mix(Mix(h, route.item_id()), route.fallback());
    if (c.change == nullptr) continue;
    for (const auto& [name, rule] : std::map<std::string, pb::ArgumentOverride>(
             c.change->arguments().begin(), c.change->arguments().end())) {
      h = Mix(Mix(h, name), rule.SerializeAsString());
    }
  }
  return h;
}

}  // namespace

std::string_view HiddenReasonName(HiddenReason reason) {
  switch (reason) {
    case HiddenReason::kNone:
      return "";
    case HiddenReason::kUpstreamDown:
      return "upstream-down";
    case HiddenReason::kDisabled:
      return "disabled";
    case HiddenReason::kFiltered:
      return "filtered";
    case HiddenReason::kConflict:
      return "conflict";
    case HiddenReason::kInvalidDefinition:
      return "invalid-definition";
    case HiddenReason::kPolicy:
      return "policy";
    case HiddenReason::kQuarantined:
      return "quarantined";
  }
  return "";
}

absl::StatusOr<std::shared_ptr<const ViewSpec>> ViewSpec::Create(std::string_view name, bool active,
                                                                 const pb::VirtualServerSpec& spec,
                                                                 std::string_view separator) {
  auto out = std::make_shared<ViewSpec>();
  out->name = std::string(name);
  out->active = active;
  out->spec = spec;
  out->separator = std::string(separator);
  METAMCP_ASSIGN_OR_RETURN(out->tools, CompiledSelector::Create(spec.tools()));
  METAMCP_ASSIGN_OR_RETURN(out->resources, CompiledSelector::Create(spec.resources()));
  METAMCP_ASSIGN_OR_RETURN(out->prompts, CompiledSelector::Create(spec.prompts()));
  for (const auto& [qualified, change] : spec.overrides()) {
    METAMCP_RETURN_IF_ERROR(CheckOverride(qualified, change));
    if (change.disabled()) out->disabled.insert(qualified);
  }
  return out;
}

bool ViewSpec::HasServer(std::string_view slug) const {
  if (spec.servers().empty()) return true;
  return std::any_of(spec.servers().begin(), spec.servers().end(),
                     [slug](const std::string& glob) { return GlobMatch(glob, slug); });
}

const CompiledSelector& ViewSpec::SelectorOf(pb::ItemKind kind) const {
  if (kind == pb::ITEM_KIND_TOOL) return tools;
  return kind == pb::ITEM_KIND_PROMPT ? prompts : resources;
}

const pb::ItemOverride* ViewSpec::OverrideOf(std::string_view slug,
                                             const std::string& original) const {
  if (spec.overrides().empty()) return nullptr;
  const auto it = spec.overrides().find(QualifiedName(slug, original));
  return it == spec.overrides().end() ? nullptr : &it->second;
}

std::string ViewSpec::NameOf(std::string_view slug, const pb::Item& item,
                             const pb::ItemOverride* change) const {
  const std::string& original = item.original_name();
  if (IsUriKind(item.kind())) return original;
  if (change != nullptr && !change->name().empty()) return ExposedName("", "", change->name());
  if (spec.prefix().empty() || spec.prefix() == "slug") {
    return ExposedName(slug, separator, original);
  }
  if (spec.prefix() == "none") return ExposedName("", "", original);
  const bool word_end = absl::ascii_isalnum(static_cast<unsigned char>(spec.prefix().back()));
  return ExposedName(spec.prefix(), word_end ? Sv(separator) : std::string_view(), original);
}

const Candidate* Contribution::Find(pb::ItemKind kind, std::string_view original) const {
  const auto key = [](const Candidate& c) {
    return std::pair<int, std::string_view>(c.item->item.kind(), c.item->item.original_name());
  };
  const std::pair<int, std::string_view> wanted(kind, original);
  const auto it =
      std::lower_bound(candidates.begin(), candidates.end(), wanted,
                       [&key](const Candidate& c, const auto& w) { return key(c) < w; });
  return it != candidates.end() && key(*it) == wanted ? &*it : nullptr;
}

ContributionPtr BuildContribution(std::shared_ptr<const ViewSpec> spec, Offer offer) {
  auto out = std::make_shared<Contribution>();
  out->spec = std::move(spec);
  out->upstream_id = offer.upstream_id;
  out->slug = offer.slug;
  out->priority = offer.priority;
  out->created_us = offer.created_us;
  out->candidates.reserve(offer.items.size());
  for (OfferedItem& item : offer.items) {
    out->candidates.push_back(MakeCandidate(*out->spec, offer, std::move(item)));
  }
  out->signature = SignatureOf(*out);
  return out;
}

std::string QualifiedUri(std::string_view slug, std::string_view uri) {
  const size_t colon = uri.find(':');
  const std::string_view scheme = colon == std::string_view::npos ? "" : uri.substr(0, colon);
  const bool has_scheme = !scheme.empty() &&
                          absl::ascii_isalpha(static_cast<unsigned char>(scheme[0])) &&
                          std::all_of(scheme.begin(), scheme.end(), [](unsigned char c) {
                            return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.';
                          });
  // RFC 3986, section 3.1: a scheme begins with a letter.
  const bool digit = !slug.empty() && absl::ascii_isdigit(static_cast<unsigned char>(slug[0]));
  const std::string head = StrCat(digit ? "x" : "", slug);
  if (scheme == "ui" && uri.substr(colon).starts_with("://")) {
    return StrCat("ui://", slug, "+", uri.substr(colon + 3));
  }
  if (!has_scheme) return StrCat(head, "+uri:", uri);
  return StrCat(head, "+", uri);
}

View::View(std::shared_ptr<const ViewSpec> spec, std::vector<ContributionPtr> by_slug)
    : spec_(std::move(spec)), contributions_(std::move(by_slug)) {
  Resolve();
  signature_ = ComputeSignature();
}

bool View::Claim(const Contribution& from, const Candidate& candidate, std::string_view name) {
  auto& names = by_name_[candidate.item->item.kind()];
  Found found;
  found.from = &from;
  found.candidate = &candidate;
  const bool won = names.emplace(name, found).second;
  if (won) ++exposed_;
  return won;
}

// First everybody claims the name it asks for, in order of precedence; then losers take their
// qualified form, which no first claim can be pushed out of.
void View::Resolve() {
  std::vector<const Contribution*> order;
  size_t total = 0;
  for (const auto& c : contributions_) {
    order.push_back(c.get());
    total += c->candidates.size();
  }
  std::sort(order.begin(), order.end(), [](const Contribution* a, const Contribution* b) {
    return std::make_tuple(-static_cast<int64_t>(a->priority), a->created_us, Sv(a->slug)) <
           std::make_tuple(-static_cast<int64_t>(b->priority), b->created_us, Sv(b->slug));
  });
  by_name_[pb::ITEM_KIND_TOOL].reserve(total);
  std::vector<Found> losers;
  for (const Contribution* from : order) {
    for (const Candidate& candidate : from->candidates) {
      if (candidate.hidden != HiddenReason::kNone) continue;
      if (Claim(*from, candidate, candidate.name)) continue;
      Found loser;
      loser.from = from;
      loser.candidate = &candidate;
      losers.push_back(loser);
    }
  }
  for (const Found& loser : losers) ResolveLoser(*loser.from, *loser.candidate);
}

void View::ResolveLoser(const Contribution& from, const Candidate& candidate) {
  const pb::Item& item = candidate.item->item;
  const Found holder = by_name_[item.kind()].at(candidate.name);
  Adjusted adjusted;
  adjusted.name = IsUriKind(item.kind())
                      ? QualifiedUri(from.slug, item.original_name())
                      : ExposedName(from.slug, spec_->separator, item.original_name());
  adjusted.detail =
      StrCat("'", candidate.name, "' belongs to ",
             QualifiedName(holder.from->slug, holder.candidate->item->item.original_name()),
             " (priority ", holder.from->priority, " against ", from.priority, ")");
  auto& slot = adjusted_[&candidate];
  slot = std::move(adjusted);
  if (Claim(from, candidate, slot.name)) return;
  slot.detail = StrCat(slot.detail, ", and '", slot.name,
                       "' is taken too; give it another name in the virtual server's overrides");
  slot.name.clear();
}

View::Outcome View::OutcomeOf(const Candidate& candidate) const {
  Outcome out;
  out.hidden = candidate.hidden;
  out.detail = candidate.detail;
  if (candidate.hidden != HiddenReason::kNone) return out;
  const auto it = adjusted_.find(&candidate);
  if (it == adjusted_.end()) {
    out.name = candidate.name;
    return out;
  }
  out.name = it->second.name;
  out.detail = it->second.detail;
  if (out.name.empty()) out.hidden = HiddenReason::kConflict;
  return out;
}

View::Found View::FindExposed(pb::ItemKind kind, std::string_view name) const {
  const auto it = by_name_[kind].find(name);
  return it == by_name_[kind].end() ? Found() : it->second;
}

const Contribution* View::FindContribution(std::string_view slug) const {
  const auto it = std::lower_bound(
      contributions_.begin(), contributions_.end(), slug,
      [](const ContributionPtr& c, std::string_view wanted) { return c->slug < wanted; });
  return it != contributions_.end() && (*it)->slug == slug ? it->get() : nullptr;
}

pb::ExposedItem View::Expose(const Contribution& from, const Candidate& candidate) const {
  const pb::Item& item = candidate.item->item;
  const Outcome outcome = OutcomeOf(candidate);
  pb::ExposedItem out;
  out.set_kind(item.kind());
  out.set_name(std::string(outcome.name));
  out.set_qualified_name(QualifiedName(from.slug, item.original_name()));
  out.set_item_id(item.id());
  pb::Route* own = out.add_routes();
  own->set_upstream_id(from.upstream_id);
  own->set_item_id(item.id());
  own->set_original_name(item.original_name());
  for (const pb::Route& route : candidate.others) *out.add_routes() = route;
  if (!candidate.definition.empty()) {
    if (outcome.name == candidate.name) {
      out.set_definition(candidate.definition);
    } else if (auto derived = DeriveDefinition(*candidate.item, *candidate.change, outcome.name);
               derived.ok()) {
      out.set_definition(*std::move(derived));
    }
  }
  if (candidate.change != nullptr) *out.mutable_arguments() = candidate.change->arguments();
  return out;
}

pb::VirtualServerView View::Head() const {
  pb::VirtualServerView out;
  out.set_name(spec_->name);
  out.set_title(spec_->spec.title());
  out.set_instructions(spec_->spec.instructions());
  out.set_active(spec_->active);
  out.set_metrics_label(spec_->spec.metrics_label().empty() ? spec_->name
                                                            : spec_->spec.metrics_label());
  out.set_mode(spec_->spec.mode());
  out.set_suggest(spec_->spec.suggest());
  out.set_max_output(spec_->spec.max_output());
  for (const auto& c : contributions_) out.add_upstream_ids(c->upstream_id);
  *out.mutable_resources() = spec_->spec.resources();
  out.mutable_resources()->clear_annotations();  // asked of tools only
  for (const std::string& name : spec_->disabled) out.add_disabled_items(name);
  out.set_owner(spec_->owner);
  out.set_team(spec_->team);
  out.set_visibility(spec_->visibility);
  for (const auto& from : contributions_) {
    for (const Candidate& candidate : from->candidates) {
      if (candidate.hidden != HiddenReason::kQuarantined) continue;
      if (out.quarantined_size() >= kQuarantinedMax) return out;
      pb::HiddenItem& item = *out.add_quarantined();
      item.set_kind(candidate.item->item.kind());
      item.set_name(candidate.name);
      item.set_qualified_name(QualifiedName(from->slug, candidate.item->item.original_name()));
      item.set_detail(candidate.detail);
    }
  }
  return out;
}

uint64_t View::ComputeSignature() const {
  uint64_t h = Mix(0, Head().SerializeAsString());
  for (const auto& c : contributions_) h = Mix(h, c->signature);
  // Which upstream won does not follow from the contributions' own signatures.
  uint64_t sum = 0;
  for (const auto& [candidate, adjusted] : adjusted_) {
    sum += Mix(Mix(1, candidate->item->item.id()), adjusted.name);
  }
  return Mix(h, sum);
}

}  // namespace metamcp::catalog
