#include "gateway/access/access_guard.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

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
// Entries that are looked at before others have a turn: with a thousand rules, about a millisecond.
constexpr size_t kPerTurn = 200;

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
    state.owned = OwnedItems(*view);
    state.shared = state.owned.empty() && IsShared(*view);
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

bool AccessGuard::MaySeeItem(const std::shared_ptr<const ServerView>& view,
                             const ExposedEntry* entry, const Principal& who) {
  const ViewState& state = StateOf(view);
  if (entry == nullptr || state.owned.empty()) return true;
  const auto owned = state.owned.find(entry);
  return owned == state.owned.end() || auth::MaySee(who, owned->second);
}

const policy::Item& AccessGuard::FactsOf(ViewState& state, const ExposedEntry& entry) {
  auto item = state.items.find(&entry);
  if (item == state.items.end()) {
    item = state.items.emplace(&entry, ItemOf(*state.view, entry)).first;
  }
  return item->second;
}

absl::StatusOr<policy::Decision> AccessGuard::Decide(const StageCall& call, const Principal& who) {
  std::string held, client;
  policy::Moment moment;
  const auto look = [&] {
    client = ClientOf(call.spec);
    moment.client = client;
    moment.now_us = clock_();
  };
  // A template stands for many URIs; each is an item of its own.
  const bool listed =
      call.entry != nullptr && (call.entry->kind != catalog::v1::ITEM_KIND_TEMPLATE);
  if (!listed) {
    look();
    const policy::Item item = ItemOf(call);
    const policy::Decision decision = policy_->Decide(who, item, moment);
    if (decision.effect == policy::Effect::kDeny) return Denied(item, decision);
    return decision;
  }
  ViewState& state = StateOf(call.spec.view);
  const policy::Plan& plan = PlanOf(state, PlansOf(state, who), who, *call.entry);
  const policy::Item& item = FactsOf(state, *call.entry);
  if (!plan.open.empty() && plan.deny == nullptr) {
    look();
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
  if (!MaySeeRoutes(view, call.routes, who) || !MaySeeItem(call.spec.view, call.entry, who)) {
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

AccessGuard::Sieve AccessGuard::BeginSieve(const ServerView& view) {
  Sieve out;
  for (const ItemKind kind : {catalog::v1::ITEM_KIND_TOOL, catalog::v1::ITEM_KIND_RESOURCE,
                              catalog::v1::ITEM_KIND_TEMPLATE, catalog::v1::ITEM_KIND_PROMPT}) {
    const std::vector<EntryPtr> entries = view.AllEntries(kind);
    out.entries.insert(out.entries.end(), entries.begin(), entries.end());
  }
  return out;
}

void AccessGuard::Sift(ViewState& state, const Principal& who, size_t count, Sieve& sieve) {
  const bool nothing = !auth::Allows(who, auth::Permission::kUse);
  for (; count > 0 && sieve.next < sieve.entries.size(); --count) {
    const ExposedEntry& entry = *sieve.entries[sieve.next++];
    const auto owned = state.owned.find(&entry);
    const bool kept = !nothing && MaySeeRoutes(*state.view, entry.routes, who) &&
                      (owned == state.owned.end() || auth::MaySee(who, owned->second)) &&
                      !policy_->Prepare(who, FactsOf(state, entry)).hidden;
    sieve.keep[&entry] = kept;
    if (!kept) {
      sieve.hidden += StrCat(static_cast<int>(entry.kind), ":", entry.name.size(), entry.name);
    }
  }
}

std::shared_ptr<const ServerView> AccessGuard::EndSieve(ViewState& state, PrincipalPlans& plans,
                                                        const Principal& who, Sieve& sieve) {
  const bool nothing = !auth::Allows(who, auth::Permission::kUse);
  std::string upstreams;
  const auto sees = [&](const UpstreamInfo& upstream) {
    return !nothing && auth::MaySee(who, upstream.ownership);
  };
  for (const auto& upstream : state.view->upstreams()) {
    if (!sees(*upstream)) upstreams += StrCat("|", upstream->id);
  }
  // By its digest: the names themselves may be megabytes.
  plans.seen_key = Sha256(StrCat(sieve.hidden, upstreams));
  auto& made = state.seen[plans.seen_key];
  if (made != nullptr) return made;
  if (sieve.hidden.empty() && upstreams.empty()) {
    made = state.view;
    return made;
  }
  const auto kept =
      state.view->Filtered([&](const EntryPtr& entry) { return sieve.keep[entry.get()]; }, sees);
  if (state.seen_entries > kSeenEntriesMax) {
    state.seen.clear();
    state.seen_entries = 0;
  }
  state.seen_entries += sieve.keep.size();
  state.seen[plans.seen_key] = kept;
  return kept;
}

std::shared_ptr<const ServerView> AccessGuard::MakeSeen(ViewState& state, PrincipalPlans& plans,
                                                        const Principal& who) {
  if (const auto found = state.seen.find(plans.seen_key); found != state.seen.end()) {
    return found->second;
  }
  Sieve sieve = BeginSieve(*state.view);
  Sift(state, who, sieve.entries.size(), sieve);
  return EndSieve(state, plans, who, sieve);
}

AccessGuard::ViewState* AccessGuard::HeldState(const std::shared_ptr<const ServerView>& view) {
  const auto held = views_.find(view->name());
  return held == views_.end() || held->second.view != view ? nullptr : &held->second;
}

bool AccessGuard::IsPrepared(ViewState& state, const Principal& who) {
  if (!policy_->hides() && state.shared) return true;
  return state.seen.count(PlansOf(state, who).seen_key) > 0;
}

Awaitable<void> AccessGuard::Prepare(std::shared_ptr<const ServerView> view,
                                     std::shared_ptr<const Principal> who) {
  if (who == nullptr || IsPrepared(StateOf(view), *who)) co_return;
  Sieve sieve = BeginSieve(*view);
  if (sieve.entries.size() <= kPerTurn) co_return;
  const auto executor = co_await boost::asio::this_coro::executor;
  for (;;) {
    ViewState* state = HeldState(view);
    if (state == nullptr || IsPrepared(*state, *who)) co_return;
    const std::shared_ptr<Signal> other = PlansOf(*state, *who).preparing;
    if (other == nullptr) break;
    co_await other->Wait();
  }
  // Whoever waits goes on, however this ends.
  struct Turn {
    ~Turn() { signal->Notify(); }
    std::shared_ptr<Signal> signal;
  } turn{std::make_shared<Signal>(executor)};
  PlansOf(*HeldState(view), *who).preparing = turn.signal;
  struct Leave {
    ~Leave() {
      ViewState* state = guard.HeldState(view);
      if (state == nullptr) return;
      std::shared_ptr<Signal>& preparing = guard.PlansOf(*state, who).preparing;
      if (preparing == signal) preparing = nullptr;
    }
    AccessGuard& guard;
    const std::shared_ptr<const ServerView>& view;
    const Principal& who;
    std::shared_ptr<Signal> signal;
  } leave{*this, view, *who, turn.signal};
  const auto policy = policy_;
  while (sieve.next < sieve.entries.size()) {
    ViewState* state = HeldState(view);
    // Of other rules, or another view, nothing of this holds.
    if (state == nullptr || policy != policy_) co_return;
    Sift(*state, *who, kPerTurn, sieve);
    co_await boost::asio::post(executor, boost::asio::use_awaitable);
  }
  ViewState* state = HeldState(view);
  if (state != nullptr && policy == policy_) EndSieve(*state, PlansOf(*state, *who), *who, sieve);
}

std::shared_ptr<const ServerView> AccessGuard::Seen(const std::shared_ptr<const ServerView>& view,
                                                    const Principal& who) {
  ViewState& state = StateOf(view);
  if (!policy_->hides() && state.shared && auth::Allows(who, auth::Permission::kUse)) return view;
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
  } else if (const auto owned = OwnedItems(*view);
             !MaySeeRoutes(*view, routes, who) ||
             (owned.count(entry) > 0 && !auth::MaySee(who, owned.at(entry)))) {
    out.barred = "the server is not shared with this principal";
  }
  out.hidden = !out.barred.empty() || policy_->Prepare(who, item).hidden;
  out.decision = policy_->Decide(who, item, moment);
  out.verdicts = policy_->Explain(who, item, moment);
  return out;
}

}  // namespace metamcp::gateway
