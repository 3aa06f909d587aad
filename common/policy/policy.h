#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/policy/expression.h"
#include "common/policy/facts.h"
#include "common/policy/parse.h"

namespace metamcp::policy {

// What a policy says about one call. Deny wins over consent, consent over allow; where no rule
// matches, the default holds.
struct Decision {
  Effect effect = Effect::kAllow;
  const Rule* rule = nullptr;  // null: the default, or the arguments
  // A rule had to look at arguments that could be read in two ways; then the effect is deny.
  bool ambiguous = false;
};

// What is decided of an item for a principal before any call, and what remains to be looked at.
// Points into its policy.
struct Plan {
  const Rule* deny = nullptr;
  const Rule* consent = nullptr;
  const Rule* allow = nullptr;
  std::vector<const Rule*> open;  // depend on the call; in order
  // No call can be allowed: what lists leave out.
  bool hidden = false;
};

// What a policy would say of a call of which some things are not known.
struct Outlook {
  // False: it depends on what is not known; then `rule` is the first that does, and `effect` says
  // nothing.
  bool certain = true;
  Effect effect = Effect::kAllow;
  const Rule* rule = nullptr;  // null: the default, or the arguments
};

// Which rule an explanation is about, and whether it matched.
struct Verdict {
  const Rule* rule = nullptr;
  Truth truth = Truth::kFalse;
};

// The rules of one policy, compiled. Immutable; any thread.
class Policy {
 public:
  struct Source {
    std::string text;
    std::string file;  // as errors name it
  };
  // Rules of several texts together; names are unique in each. Errors: CONFIG_INVALID with
  // file:line:column and a mend.
  static absl::StatusOr<std::shared_ptr<const Policy>> Compile(const std::vector<Source>& sources,
                                                               Effect otherwise);

  Plan Prepare(const Principal& who, const Item& item) const;
  // `plan` is what Prepare made of the same principal and item.
  Decision Decide(const Plan& plan, const Principal& who, const Item& item,
                  const Moment& moment) const;
  // Both at once.
  Decision Decide(const Principal& who, const Item& item, const Moment& moment) const {
    return Decide(Prepare(who, item), who, item, moment);
  }
  // What would be decided without knowing `unknown`.
  Outlook Foresee(const Principal& who, const Item& item, const Moment& moment,
                  Attributes unknown) const;
  // Every rule, in order, as it stands to that call.
  std::vector<Verdict> Explain(const Principal& who, const Item& item, const Moment& moment) const;

  // Equal texts of two principals mean equal plans for every item.
  std::string Fingerprint(const Principal& who) const;

  const std::vector<std::unique_ptr<Rule>>& rules() const { return rules_; }
  Effect otherwise() const { return otherwise_; }
  // Whether any rule may ask for consent.
  bool asks() const { return asks_; }
  // Whether lists may leave something out.
  bool hides() const { return denies_ || otherwise_ == Effect::kDeny; }

 private:
  using Index = std::unordered_map<std::string, std::vector<uint32_t>>;
  Policy() = default;
  void AddToIndex(uint32_t rule);
  std::vector<uint32_t> Candidates(const Item& item) const;

  std::vector<std::unique_ptr<Rule>> rules_;
  Effect otherwise_ = Effect::kAllow;
  bool asks_ = false;
  bool denies_ = false;
  bool uses_subject_ = false;
  // Rules that only concern items with one of these names, or of one of these upstreams; the rest
  // concern any.
  Index by_name_;
  Index by_upstream_;
  std::vector<uint32_t> rest_;
};

}  // namespace metamcp::policy
