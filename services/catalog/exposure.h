#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "services/catalog/item.h"
#include "services/catalog/selector.h"

// What a virtual server exposes, computed in two steps so that a change in one upstream costs only
// that upstream: a Contribution per (view, upstream), then a merge that settles conflicts.
//
// Names: with the prefix "slug" (default) slug + separator + original, so that a name depends on
// its own upstream only. With "none" the original; with any other text that text, and the separator
// where the text ends in a letter or digit. A contested name goes to the higher priority, then to
// the upstream that was there first, then to the smaller slug, so that names do not change because
// another upstream appeared; upstreams that came with one configuration are equally old. Losers are
// exposed as slug + separator + original and say so in their note. Resources keep their URI; a
// contested URI or template becomes <slug>+<scheme>:<rest> (`ui:` keeps its scheme and takes the
// slug into the authority, because MCP Apps clients look at it).
namespace metamcp::catalog {

enum class HiddenReason : uint8_t {
  kNone,
  kUpstreamDown,
  kDisabled,
  kFiltered,
  kConflict,
  kInvalidDefinition,
  kPolicy,
  kQuarantined
};
// "upstream-down", "disabled", ...; empty for kNone.
std::string_view HiddenReasonName(HiddenReason reason);

// A virtual server's spec made ready for use. Immutable.
struct ViewSpec {
  std::string name;
  bool active = true;
  pb::VirtualServerSpec spec;
  std::string separator;
  CompiledSelector tools;
  CompiledSelector resources;  // templates too
  CompiledSelector prompts;
  std::set<std::string> disabled;  // qualified names that overrides disable
  std::string owner, team, visibility;

  // Errors: INVALID_ARGUMENT for a selector or an override that cannot be used.
  static absl::StatusOr<std::shared_ptr<const ViewSpec>> Create(std::string_view name, bool active,
                                                                const pb::VirtualServerSpec& spec,
                                                                std::string_view separator);
  bool HasServer(std::string_view slug) const;
  const CompiledSelector& SelectorOf(pb::ItemKind kind) const;
  // The name that an item asks for.
  std::string NameOf(std::string_view slug, const pb::Item& item,
                     const pb::ItemOverride* change) const;
  const pb::ItemOverride* OverrideOf(std::string_view slug, const std::string& original) const;
};

struct Candidate {
  ItemPtr item;
  std::string name;  // what it asks to be exposed as
  HiddenReason hidden = HiddenReason::kNone;
  std::string detail;                        // why hidden
  std::string definition;                    // derived, where an override changes it
  const pb::ItemOverride* change = nullptr;  // lives as long as the contribution's spec
  std::vector<pb::Route> others;             // routes behind the own one
};

// What one upstream offers to one view, ordered by (kind, original name). Immutable.
struct Contribution {
  std::shared_ptr<const ViewSpec> spec;
  std::string upstream_id;
  std::string slug;
  int32_t priority = 0;
  int64_t created_us = 0;
  std::vector<Candidate> candidates;
  uint64_t signature = 0;  // of everything that a gateway would see

  const Candidate* Find(pb::ItemKind kind, std::string_view original) const;
};
using ContributionPtr = std::shared_ptr<const Contribution>;

// The input of a contribution.
struct OfferedItem {
  ItemPtr item;
  std::string_view quarantine;  // "changed" or "new" where it waits for an approval; else empty
  std::vector<pb::Route> others;
};
struct Offer {
  std::string upstream_id;
  std::string slug;
  int32_t priority = 0;
  int64_t created_us = 0;
  bool enabled = true;
  std::vector<OfferedItem> items;  // ordered by (kind, original name)
};
ContributionPtr BuildContribution(std::shared_ptr<const ViewSpec> spec, Offer offer);

// What one virtual server exposes and hides. Immutable; safe to hold across changes of the model.
class View {
 public:
  struct Outcome {
    std::string_view name;  // the exposed name; empty when hidden
    HiddenReason hidden = HiddenReason::kNone;
    std::string_view detail;  // why hidden, or why it has another name than it asked for
  };
  struct Found {
    const Contribution* from = nullptr;
    const Candidate* candidate = nullptr;
  };

  View(std::shared_ptr<const ViewSpec> spec, std::vector<ContributionPtr> by_slug);

  const ViewSpec& spec() const { return *spec_; }
  // Ordered by slug.
  const std::vector<ContributionPtr>& contributions() const { return contributions_; }
  Outcome OutcomeOf(const Candidate& candidate) const;
  // By exposed name, URI or template.
  Found FindExposed(pb::ItemKind kind, std::string_view name) const;
  const Contribution* FindContribution(std::string_view slug) const;
  size_t exposed() const { return exposed_; }
  // Equal signatures mean that a gateway would see the same view.
  uint64_t signature() const { return signature_; }

  pb::ExposedItem Expose(const Contribution& from, const Candidate& candidate) const;
  // The view without its items.
  pb::VirtualServerView Head() const;

 private:
  struct Adjusted {
    std::string name;  // empty: hidden by the conflict
    std::string detail;
  };
  bool Claim(const Contribution& from, const Candidate& candidate, std::string_view name);
  void Resolve();
  void ResolveLoser(const Contribution& from, const Candidate& candidate);
  uint64_t ComputeSignature() const;

  std::shared_ptr<const ViewSpec> spec_;
  std::vector<ContributionPtr> contributions_;
  std::unordered_map<const Candidate*, Adjusted> adjusted_;
  std::array<std::unordered_map<std::string_view, Found>, kKinds> by_name_;
  size_t exposed_ = 0;
  uint64_t signature_ = 0;
};
using ViewPtr = std::shared_ptr<const View>;

// <slug>+<scheme>:<rest>, the form of a contested URI.
std::string QualifiedUri(std::string_view slug, std::string_view uri);

}  // namespace metamcp::catalog
