#include "common/policy/policy.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::policy {
namespace {

bool IsItemAttribute(Attribute attribute) {
  return attribute == Attribute::kItem || attribute == Attribute::kTool ||
         attribute == Attribute::kResource || attribute == Attribute::kPrompt;
}

// The comparison by which a rule is found: one that must hold for the rule to match, with exact
// names of items, or else of upstreams. Null where there is none.
const Node* KeyOf(const Node* node) {
  if (node == nullptr) return nullptr;
  if (node->kind == Node::Kind::kAnd) {
    const Node* best = nullptr;
    for (const auto& child : node->children) {
      const Node* key = KeyOf(child.get());
      if (key != nullptr && (best == nullptr || IsItemAttribute(key->attribute))) best = key;
    }
    return best;
  }
  const bool exact = node->kind == Node::Kind::kCompare && node->op == Operator::kEqual;
  const bool keyed = IsItemAttribute(node->attribute) || node->attribute == Attribute::kUpstream;
  return exact && keyed ? node : nullptr;
}

bool Mentions(const Node* node, Attribute attribute) {
  if (node == nullptr) return false;
  if (node->kind == Node::Kind::kCompare && node->attribute == attribute) return true;
  return std::any_of(node->children.begin(), node->children.end(),
                     [&](const auto& child) { return Mentions(child.get(), attribute); });
}

Truth TruthOf(const Rule& rule, const Scope& scope) {
  return rule.condition == nullptr ? Truth::kTrue : Evaluate(*rule.condition, scope);
}

void AppendList(const std::vector<std::string>& list, std::string* out) {
  for (const std::string& one : list) *out += StrCat(one.size(), ":", one);
  out->push_back('|');
}

const Rule* Earlier(const Rule* a, const Rule* b) {
  return a == nullptr || (b != nullptr && b->order < a->order) ? b : a;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Compile(const std::vector<Source>& sources,
                                                              Effect otherwise) {
  std::shared_ptr<Policy> out(new Policy());
  out->otherwise_ = otherwise;
  for (const Source& source : sources) {
    METAMCP_ASSIGN_OR_RETURN(auto rules, ParseRules(source.text, source.file));
    for (auto& rule : rules) {
      rule->order = out->rules_.size();
      out->asks_ = out->asks_ || rule->effect == Effect::kConsent;
      out->denies_ = out->denies_ || rule->effect == Effect::kDeny;
      out->uses_subject_ =
          out->uses_subject_ || Mentions(rule->condition.get(), Attribute::kSubject);
      out->rules_.push_back(std::move(rule));
      out->AddToIndex(static_cast<uint32_t>(out->rules_.size() - 1));
    }
  }
  return std::shared_ptr<const Policy>(std::move(out));
}

void Policy::AddToIndex(uint32_t rule) {
  const Node* key = KeyOf(rules_[rule]->condition.get());
  if (key == nullptr) {
    rest_.push_back(rule);
    return;
  }
  Index& index = key->attribute == Attribute::kUpstream ? by_upstream_ : by_name_;
  for (const Operand& operand : key->operands) index[operand.text].push_back(rule);
}

std::vector<uint32_t> Policy::Candidates(const Item& item) const {
  std::vector<uint32_t> out = rest_;
  const auto add = [&out](const Index& index, const std::vector<std::string>& keys) {
    if (index.empty()) return;
    for (const std::string& key : keys) {
      if (const auto at = index.find(key); at != index.end()) {
        out.insert(out.end(), at->second.begin(), at->second.end());
      }
    }
  };
  add(by_name_, item.names);
  add(by_upstream_, item.upstreams);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Plan Policy::Prepare(const Principal& who, const Item& item) const {
  Plan plan;
  const Scope scope{who, item};
  bool may_allow = otherwise_ != Effect::kDeny;
  for (const uint32_t i : Candidates(item)) {
    const Rule& rule = *rules_[i];
    const Truth truth = TruthOf(rule, scope);
    if (truth == Truth::kFalse) continue;
    may_allow = may_allow || rule.effect != Effect::kDeny;
    if (truth == Truth::kUnknown) {
      plan.open.push_back(&rule);
      continue;
    }
    const Rule*& first = rule.effect == Effect::kDeny      ? plan.deny
                         : rule.effect == Effect::kConsent ? plan.consent
                                                           : plan.allow;
    if (first == nullptr) first = &rule;
    if (plan.deny != nullptr) break;
  }
  plan.hidden = plan.deny != nullptr || !may_allow;
  return plan;
}

Decision Policy::Decide(const Plan& plan, const Principal& who, const Item& item,
                        const Moment& moment) const {
  Decision out;
  const Rule* found[3] = {plan.allow, plan.consent, plan.deny};
  if (plan.deny == nullptr && !plan.open.empty()) {
    Arguments arguments(moment.arguments);
    const Scope scope{who, item, &moment, &arguments};
    for (const Rule* rule : plan.open) {
      if (TruthOf(*rule, scope) != Truth::kTrue) continue;
      const Rule*& first = found[static_cast<size_t>(rule->effect)];
      first = Earlier(first, rule);
    }
    if (arguments.ambiguous()) {
      out.effect = Effect::kDeny;
      out.ambiguous = true;
      return out;
    }
  }
  for (const Effect effect : {Effect::kDeny, Effect::kConsent, Effect::kAllow}) {
    const Rule* rule = found[static_cast<size_t>(effect)];
    if (rule == nullptr) continue;
    out.effect = effect;
    out.rule = rule;
    return out;
  }
  out.effect = otherwise_;
  return out;
}

Outlook Policy::Foresee(const Principal& who, const Item& item, const Moment& moment,
                        Attributes unknown) const {
  Arguments arguments(moment.arguments);
  const Scope scope{who, item, &moment, &arguments, unknown};
  const Rule* sure[3] = {};
  const Rule* open[3] = {};
  for (const uint32_t i : Candidates(item)) {
    const Rule& rule = *rules_[i];
    const Truth truth = TruthOf(rule, scope);
    if (truth == Truth::kFalse) continue;
    const Rule*& first = (truth == Truth::kTrue ? sure : open)[static_cast<size_t>(rule.effect)];
    if (first == nullptr) first = &rule;
  }
  Outlook out;
  if (arguments.ambiguous()) {
    out.effect = Effect::kDeny;
    return out;
  }
  // What holds if no open rule matches; open rules leave it open where one of them that is stronger
  // would say something else.
  out.effect = otherwise_;
  const Rule* might = nullptr;
  std::vector<Effect> could;
  for (const Effect effect : {Effect::kDeny, Effect::kConsent, Effect::kAllow}) {
    const size_t at = static_cast<size_t>(effect);
    if (sure[at] != nullptr) {
      out.effect = effect;
      out.rule = sure[at];
      break;
    }
    if (open[at] == nullptr) continue;
    if (might == nullptr) might = open[at];
    could.push_back(effect);
  }
  out.certain = std::all_of(could.begin(), could.end(),
                            [&out](Effect effect) { return effect == out.effect; });
  if (!out.certain) out.rule = might;
  return out;
}

std::vector<Verdict> Policy::Explain(const Principal& who, const Item& item,
                                     const Moment& moment) const {
  Arguments arguments(moment.arguments);
  const Scope scope{who, item, &moment, &arguments};
  std::vector<Verdict> out;
  for (const auto& rule : rules_) {
    Verdict verdict;
    verdict.rule = rule.get();
    verdict.truth = TruthOf(*rule, scope);
    out.push_back(verdict);
  }
  return out;
}

std::string Policy::Fingerprint(const Principal& who) const {
  // Each text after its length, so that no text can pass for several.
  std::string out;
  if (uses_subject_) out = StrCat(who.subject.size(), ":", who.subject);
  out += StrCat(IsAnonymous(who) ? "-" : "+", who.kind.size(), ":", who.kind, "|");
  AppendList(who.roles, &out);
  AppendList(who.teams, &out);
  AppendList(who.scopes, &out);
  return out;
}

}  // namespace metamcp::policy
