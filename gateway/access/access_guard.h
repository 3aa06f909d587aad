#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/async/async_lock.h"
#include "common/policy/policy.h"
#include "gateway/routing/call_stage.h"
#include "gateway/routing/view_filter.h"
#include "gateway/routing/view_preparer.h"

namespace metamcp::gateway {

// Who may use what of a virtual server: roles, teams, then the policy. The one place for lists and
// calls alike. Remembers what it decided of an item for principals whom no rule tells apart, until
// the item or the policy changes; what depends on a call is looked at in each. Thread: the io
// thread.
class AccessGuard final : public CallStage, public ViewFilter, public ViewPreparer {
 public:
  using Clock = std::function<int64_t()>;  // microseconds since the epoch
  explicit AccessGuard(std::shared_ptr<const policy::Policy> policy, Clock clock = {});

  // From now on; calls that run are not looked at again.
  void SetPolicy(std::shared_ptr<const policy::Policy> policy);
  const policy::Policy& policy() const { return *policy_; }
  std::shared_ptr<const policy::Policy> shared_policy() const { return policy_; }

  // Errors: PERMISSION_DENIED with the rule and its reason (domain "policy"); NOT_FOUND,
  // TOOL_NOT_FOUND, PROMPT_NOT_FOUND or RESOURCE_NOT_FOUND for what is not there for this
  // principal; INVALID_PARAMS for arguments that could be read in two ways.
  absl::Status Before(const StageCall& call) override;
  // Says in the outcome which rule let the call pass.
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override;

  bool MayUse(const ServerView& view, const Principal& who) override;
  std::shared_ptr<const ServerView> Seen(const std::shared_ptr<const ServerView>& view,
                                         const Principal& who) override;
  absl::Status MayWatch(const std::shared_ptr<const ServerView>& view, const Principal& who,
                        std::string_view uri) override;
  // One at a time does the work for all whom no rule tells apart.
  Awaitable<void> Prepare(std::shared_ptr<const ServerView> view,
                          std::shared_ptr<const Principal> who) override;

  // The rule by which a call that passed Before must wait for a person; null where it need not.
  const policy::Rule* ConsentRule(const StageCall& call) const;

  // What would be decided, for people; nothing is remembered.
  struct Explained {
    std::string barred;  // by a role or a team, before any rule
    policy::Decision decision;
    bool hidden = false;
    std::vector<policy::Verdict> verdicts;
  };
  Explained Explain(const std::shared_ptr<const ServerView>& view, const Principal& who,
                    const ExposedEntry* entry, std::string_view name,
                    const policy::Moment& moment) const;

 private:
  struct PrincipalPlans {
    std::unordered_map<const ExposedEntry*, policy::Plan> plans;
    std::string seen_key;               // in ViewState::seen; empty: not looked at yet
    std::shared_ptr<Signal> preparing;  // while somebody does
  };
  // What is left out of a view for a principal, as far as it has been looked at.
  struct Sieve {
    std::vector<EntryPtr> entries;
    size_t next = 0;
    std::string hidden;
    std::unordered_map<const ExposedEntry*, bool> keep;
  };
  // What is remembered of one virtual server as it is now.
  struct ViewState {
    std::shared_ptr<const ServerView> view;
    bool shared = true;  // nothing in it is for some only
    // Of items of our own services, which have their owners (workflows); others are their server's.
    std::unordered_map<const ExposedEntry*, auth::Ownership> owned;
    std::unordered_map<const ExposedEntry*, policy::Item> items;
    std::unordered_map<std::string, PrincipalPlans> principals;
    size_t plans = 0;  // of all principals
    // What lists show, by what they leave out: most principals share one.
    std::unordered_map<std::string, std::shared_ptr<const ServerView>> seen;
    size_t seen_entries = 0;
  };
  ViewState& StateOf(const std::shared_ptr<const ServerView>& view);
  PrincipalPlans& PlansOf(ViewState& state, const Principal& who);
  const policy::Plan& PlanOf(ViewState& state, PrincipalPlans& plans, const Principal& who,
                             const ExposedEntry& entry);
  const policy::Item& FactsOf(ViewState& state, const ExposedEntry& entry);
  // Null where it is not held any more.
  ViewState* HeldState(const std::shared_ptr<const ServerView>& view);
  bool IsPrepared(ViewState& state, const Principal& who);
  static Sieve BeginSieve(const ServerView& view);
  // Looks at `count` more entries.
  void Sift(ViewState& state, const Principal& who, size_t count, Sieve& sieve);
  std::shared_ptr<const ServerView> EndSieve(ViewState& state, PrincipalPlans& plans,
                                             const Principal& who, Sieve& sieve);
  std::shared_ptr<const ServerView> MakeSeen(ViewState& state, PrincipalPlans& plans,
                                             const Principal& who);
  absl::StatusOr<policy::Decision> Decide(const StageCall& call, const Principal& who);
  bool MaySeeItem(const std::shared_ptr<const ServerView>& view, const ExposedEntry* entry,
                  const Principal& who);
  bool trivial() const { return policy_->rules().empty(); }

  std::shared_ptr<const policy::Policy> policy_;
  const Clock clock_;
  std::unordered_map<std::string, ViewState> views_;  // by name
  // Rules by which calls that run were let pass.
  std::unordered_map<const CallSpec*, policy::Decision> running_;
  // Policies whose rules running calls may still name.
  std::vector<std::shared_ptr<const policy::Policy>> older_;
};

}  // namespace metamcp::gateway
