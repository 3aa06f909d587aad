#include "gateway/access/access_guard.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "gateway/access/call_facts.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

// Bounds of what is remembered for one virtual server; beyond them it starts over. A plan takes
// about 100 bytes; a list of other entries than all, about 1 KB for each.
constexpr size_t kPrincipalsMax = 4096;
constexpr size_t kPlansMax = 200'000;
constexpr size_t kSeenEntriesMax = 100'000;

const Principal& WhoOf(const CallContext& ctx) {
  static const Principal kNobody;
  return ctx.principal ? *ctx.principal : kNobody;
}

bool IsShared(const ServerView& view) {
  return std::all_of(view.upstreams().begin(), view.upstreams().end(),
                     [](const auto& upstream) { return auth::IsOpen(upstream->ownership); });
}

// Of the first names by which people know it.
std::string Shown(const policy::Item& item) {
  const std::string& name = item.names.size() > 1 ? item.names[1] : item.names[0];
  return name.substr(0, 256);
}

absl::Status Denied(const policy::Item& item, const policy::Decision& decision) {
  if (decision.ambiguous) {
    return MakeError("INVALID_PARAMS", "policy",
                     "the arguments name a key twice, so that a rule and the upstream might read "
                     "them differently");
  }
  if (decision.rule == nullptr) {
    return MakeError("PERMISSION_DENIED", "policy",
                     StrCat("no rule allows ", item.kind, " ", Shown(item), " for you"),
                     {{"rule", "policy.default"}});
  }
  const policy::Rule& rule = *decision.rule;
  return MakeError("PERMISSION_DENIED", "policy",
                   StrCat("the rule \"", rule.name, "\" denies ", item.kind, " ", Shown(item),
                          rule.reason.empty() ? "" : ": ", rule.reason),
                   {{"rule", rule.name}, {"because", rule.reason}});
}

}  // namespace

AccessGuard::AccessGuard(std::shared_ptr<const policy::Policy> policy, Clock clock)
    : policy_(std::move(policy)), clock_(clock ? std::move(clock) : [] { return NowMicros(); }) {}

void AccessGuard::SetPolicy(std::shared_ptr<const policy::Policy> policy) {
  if (running_.empty()) {
    older_.clear();
  } else {
    older_.push_back(std::move(policy_));
  }
  policy_ = std::move(policy);
  views_.clear();
}

AccessGuard::ViewState& AccessGuard::StateOf(const std::shared_ptr<const ServerView>& view) {
  ViewState& state = views_[view->name()];
  if (state.view != view) {
    state = ViewState();
    state.view = view;
    state.shared = IsShared(*view);
  }
  return state;
}

AccessGuard::PrincipalPlans& AccessGuard::PlansOf(ViewState& state, const Principal& who) {
  std::string key = StrCat(who.tenant.size(), ":", who.tenant, policy_->Fingerprint(who));
  if (!state.shared) key += StrCat("|", who.subject);
  if (const auto found = state.principals.find(key); found != state.principals.end()) {
    return found->second;
  }
  if (state.principals.size() >= kPrincipalsMax || state.plans >= kPlansMax) {
    state.principals.clear();
    state.plans = 0;
  }
  return state.principals[std::move(key)];
}

const policy::Plan& AccessGuard::PlanOf(ViewState& state, PrincipalPlans& plans,
                                        const Principal& who, const ExposedEntry& entry) {
  if (const auto found = plans.plans.find(&entry); found != plans.plans.end()) {
    return found->second;
  }
  ++state.plans;
  return plans.plans.emplace(&entry, policy_->Prepare(who, FactsOf(state, entry))).first->second;
}

const policy::Item& AccessGuard::FactsOf(ViewState& state, const ExposedEntry& entry) {
  auto item = state.items.find(&entry);
  if (item == state.items.end()) {
    item = state.items.emplace(&entry, ItemOf(*state.view, entry)).first;
  }
  return item->second;
}

absl::StatusOr<policy::Decision> AccessGuard::Decide(const StageCall& call, const Principal& who) {
  std::string held;
  const std::string client = ClientOf(call.spec);
  policy::Moment moment;
  moment.client = client;
  moment.now_us = clock_();
  // A template stands for many URIs; each is an item of its own.
  const bool listed =
      call.entry != nullptr && (call.entry->kind != catalog::v1::ITEM_KIND_TEMPLATE);
  if (!listed) {
    const policy::Item item = ItemOf(call);
    const policy::Decision decision = policy_->Decide(who, item, moment);
    if (decision.effect == policy::Effect::kDeny) return Denied(item, decision);
    return decision;
  }
  ViewState& state = StateOf(call.spec.view);
  const policy::Plan& plan = PlanOf(state, PlansOf(state, who), who, *call.entry);
  const policy::Item& item = FactsOf(state, *call.entry);
  if (!plan.open.empty() && plan.deny == nullptr) {
    METAMCP_ASSIGN_OR_RETURN(moment.arguments, ArgumentsOf(call, held));
  }
  const policy::Decision decision = policy_->Decide(plan, who, item, moment);
  if (decision.effect == policy::Effect::kDeny) return Denied(item, decision);
  return decision;
}

absl::Status AccessGuard::Before(const StageCall& call) {
  const Principal& who = WhoOf(call.ctx);
  const ServerView& view = *call.spec.view;
  if (!MayUse(view, who)) {
    return MakeError("NOT_FOUND", "gateway", StrCat("no virtual server \"", view.name(), "\""));
  }
  if (!MaySeeRoutes(view, call.routes, who)) {
    const std::string_view kind =
        call.entry != nullptr ? KindOf(call.entry->kind) : std::string_view("resource");
    return NotThere(view, kind, call.name);
  }
  if (trivial() && policy_->otherwise() == policy::Effect::kAllow) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const policy::Decision decision, Decide(call, who));
  if (decision.rule != nullptr) running_[&call.spec] = decision;
  return absl::OkStatus();
}

void AccessGuard::After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) {
  const auto found = running_.find(&call.spec);
  if (found == running_.end()) return;
  if (outcome != nullptr && outcome->ok()) {
    (*outcome)->rule = StrCat("policy:", found->second.rule->name);
  }
  running_.erase(found);
}

const policy::Rule* AccessGuard::ConsentRule(const StageCall& call) const {
  const auto found = running_.find(&call.spec);
  if (found == running_.end() || found->second.effect != policy::Effect::kConsent) return nullptr;
  return found->second.rule;
}

bool AccessGuard::MayUse(const ServerView& view, const Principal& who) {
  return auth::MaySee(who, view.ownership());
}

std::shared_ptr<const ServerView> AccessGuard::MakeSeen(ViewState& state, PrincipalPlans& plans,
                                                        const Principal& who) {
  if (const auto found = state.seen.find(plans.seen_key); found != state.seen.end()) {
    return found->second;
  }
  const bool nothing = !auth::Allows(who, auth::Permission::kUse);
  std::string hidden;
  std::unordered_map<const ExposedEntry*, bool> keep;
  for (const ItemKind kind : {catalog::v1::ITEM_KIND_TOOL, catalog::v1::ITEM_KIND_RESOURCE,
                              catalog::v1::ITEM_KIND_TEMPLATE, catalog::v1::ITEM_KIND_PROMPT}) {
    for (const EntryPtr& entry : state.view->AllEntries(kind)) {
      const bool kept = !nothing && MaySeeRoutes(*state.view, entry->routes, who) &&
                        !policy_->Prepare(who, FactsOf(state, *entry)).hidden;
      keep[entry.get()] = kept;
      if (!kept) hidden += StrCat(static_cast<int>(kind), ":", entry->name.size(), entry->name);
    }
  }
  std::string upstreams;
  const auto sees = [&](const UpstreamInfo& upstream) {
    return !nothing && auth::MaySee(who, upstream.ownership);
  };
  for (const auto& upstream : state.view->upstreams()) {
    if (!sees(*upstream)) upstreams += StrCat("|", upstream->id);
  }
  // By its digest: the names themselves may be megabytes.
  plans.seen_key = Sha256(StrCat(hidden, upstreams));
  auto& made = state.seen[plans.seen_key];
  if (made != nullptr) return made;
  if (hidden.empty() && upstreams.empty()) {
    made = state.view;
    return made;
  }
  const auto kept =
      state.view->Filtered([&](const EntryPtr& entry) { return keep[entry.get()]; }, sees);
  if (state.seen_entries > kSeenEntriesMax) {
    state.seen.clear();
    state.seen_entries = 0;
  }
  state.seen_entries += keep.size();
  state.seen[plans.seen_key] = kept;
  return kept;
}

std::shared_ptr<const ServerView> AccessGuard::Seen(const std::shared_ptr<const ServerView>& view,
                                                    const Principal& who) {
  ViewState& state = StateOf(view);
  const bool everything = trivial() && policy_->otherwise() == policy::Effect::kAllow;
  if (everything && state.shared && auth::Allows(who, auth::Permission::kUse)) return view;
  return MakeSeen(state, PlansOf(state, who), who);
}

absl::Status AccessGuard::MayWatch(const std::shared_ptr<const ServerView>& view,
                                   const Principal& who, std::string_view uri) {
  if (!auth::Allows(who, auth::Permission::kUse)) {
    return MakeError("PERMISSION_DENIED", "gateway", "none of your roles may use MCP");
  }
  const auto route = view->RouteResource(uri);
  if (!route) return NotThere(*view, "resource", uri);
  CallSpec spec;
  spec.view = view;
  spec.method = "resources/read";
  const CallContext ctx(std::make_shared<Principal>(who), CallContext::Clock::now());
  const StageCall call{ctx, spec, route->entry.get(), uri, route->routes, false};
  const absl::Status may = Before(call);
  After(call, nullptr);
  return may;
}

AccessGuard::Explained AccessGuard::Explain(const std::shared_ptr<const ServerView>& view,
                                            const Principal& who, const ExposedEntry* entry,
                                            std::string_view name,
                                            const policy::Moment& moment) const {
  Explained out;
  CallSpec spec;
  spec.view = view;
  spec.method = entry == nullptr ? "resources/read" : "";
  std::vector<catalog::v1::Route> routes;
  if (entry != nullptr) routes = entry->routes;
  if (entry == nullptr || entry->kind == catalog::v1::ITEM_KIND_TEMPLATE) {
    if (auto route = view->RouteResource(name)) routes = std::move(route->routes);
  }
  const CallContext ctx(std::make_shared<Principal>(who), CallContext::Clock::now());
  const StageCall call{ctx, spec, entry, name, routes, false};
  const bool listed = entry != nullptr && entry->kind != catalog::v1::ITEM_KIND_TEMPLATE;
  const policy::Item item = listed ? ItemOf(*view, *entry) : ItemOf(call);
  if (!auth::Allows(who, auth::Permission::kUse)) {
    out.barred = "none of the roles may use MCP";
  } else if (!auth::MaySee(who, view->ownership())) {
    out.barred = "the virtual server is not shared with this principal";
  } else if (!MaySeeRoutes(*view, routes, who)) {
    out.barred = "the server is not shared with this principal";
  }
  out.hidden = !out.barred.empty() || policy_->Prepare(who, item).hidden;
  out.decision = policy_->Decide(who, item, moment);
  out.verdicts = policy_->Explain(who, item, moment);
  return out;
}

}  // namespace metamcp::gateway
