#include "gateway/access/replay.h"

#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/access/call_facts.h"
#include "gateway/routing/argument_map.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

using access::v1::ReplayChange;
using access::v1::ReplayPolicyResponse;
using access::v1::ReplaySkipped;

constexpr std::string_view kRule = "policy:";
constexpr std::string_view kUndecided = "undecided";

std::vector<std::string> Texts(std::string_view raw) {
  std::vector<std::string> out;
  const auto list = json::ScanArray(raw);
  if (!list.ok()) return out;
  for (const json::Value& one : *list) {
    if (auto text = json::JsonUnquote(one.raw); text.ok()) out.push_back(*std::move(text));
  }
  return out;
}

std::string_view KindOfMethod(std::string_view method) {
  return method == "tools/call"       ? "tool"
         : method == "prompts/get"    ? "prompt"
         : method == "resources/read" ? "resource"
                                      : "";
}

// The rule's name in what the audit says decided: "policy:NAME" or "policy:NAME approval:ID".
std::string_view RuleName(std::string_view text) {
  if (!text.starts_with(kRule)) return "";
  text.remove_prefix(kRule.size());
  return text.substr(0, text.find(" approval:"));
}

}  // namespace

// One call as the record has it.
struct Replay::Past {
  std::string id, shown, before;
  int64_t seq = 0;
  Principal who;
  policy::Item item;
  EntryPtr entry;
  std::string client, arguments;
  policy::Attributes unknown = policy::BitOf(policy::Attribute::kScope);
  policy::Moment moment;
};

std::string Replay::Before(std::string_view effect, std::string_view reason,
                           std::string_view rule) const {
  const std::string_view name = RuleName(rule);
  // Not the policy asked then.
  if (name == "taint.mode") return "allow";
  if (reason == "CONSENT_REQUIRED" || reason == "CONSENT_DENIED") return "consent";
  if (effect == "deny") return reason == "PERMISSION_DENIED" && !name.empty() ? "deny" : "";
  for (const auto& one : now_.rules()) {
    if (one->name == name) return one->effect == policy::Effect::kConsent ? "consent" : "allow";
  }
  return "allow";
}

std::string Replay::FindItem(std::string_view kind, const std::string& name, Past& past) const {
  const auto view = snapshot_.Find(past.item.virtual_server);
  if (view == nullptr) return "the virtual server is not there any more";
  if (kind == "resource") {
    const auto route = view->RouteResource(name);
    if (!route) return "the item is not there any more";
    past.entry = route->entry;
    const CallContext ctx(nullptr, CallContext::Clock::now());
    CallSpec spec;
    spec.view = view;
    spec.method = "resources/read";
    const bool listed =
        past.entry != nullptr && past.entry->kind != catalog::v1::ITEM_KIND_TEMPLATE;
    const StageCall call{ctx, spec, past.entry.get(), name, route->routes, false};
    past.item = listed ? ItemOf(*view, *past.entry) : ItemOf(call);
    past.shown = name;
    return "";
  }
  past.entry = view->Find(
      kind == "tool" ? catalog::v1::ITEM_KIND_TOOL : catalog::v1::ITEM_KIND_PROMPT, name);
  if (past.entry == nullptr) return "the item is not there any more";
  past.item = ItemOf(*view, *past.entry);
  past.shown = past.entry->qualified_name.empty() ? name : past.entry->qualified_name;
  return "";
}

// Returns why the call cannot be replayed, or "".
std::string Replay::Read(const audit::v1::Record& record, Past& past) const {
  const auto view = json::ScanObject(record.record());
  if (!view.ok()) return "the record cannot be read";
  past.id = view->String("id").value_or("");
  past.seq = record.seq();
  const auto decided = json::ScanObject(view->Raw("policy"));
  const std::string reason = view->String("reason").value_or("");
  past.before = decided.ok() ? Before(decided->String("effect").value_or(""), reason,
                                      decided->String("rule").value_or(""))
                             : "allow";
  if (past.before.empty()) {
    return StrCat("refused before the policy (", reason.empty() ? "denied" : reason, ")");
  }
  past.who.subject = view->String("subject").value_or("");
  past.who.kind = view->String("kind").value_or("user");
  past.who.method = view->String("via").value_or("");
  past.who.roles = Texts(view->Raw("roles"));
  past.item.virtual_server = view->String("virtualServer").value_or("");
  past.moment.now_us = json::RawInt64(view->Raw("timeUs")).value_or(0);
  const auto personal = json::ScanObject(record.personal());
  std::string payload, target;
  if (personal.ok() && !record.erased()) {
    past.who.subject = personal->String("name").value_or("");
    past.who.teams = Texts(personal->Raw("teams"));
    past.client = personal->String("client").value_or("");
    payload = personal->String("payload").value_or("");
    target = personal->String("target").value_or("");
  } else {
    past.unknown |=
        policy::BitOf(policy::Attribute::kSubject) | policy::BitOf(policy::Attribute::kTeam);
  }
  // Name and version; a client that gave no version cannot be told from what a token calls it.
  const size_t space = past.client.rfind(' ');
  if (space == std::string::npos) past.unknown |= policy::BitOf(policy::Attribute::kClient);
  past.client.resize(space == std::string::npos ? 0 : space);
  const std::string_view kind = KindOfMethod(view->String("action").value_or(""));
  std::string name = view->String("item").value_or("");
  if (name.empty()) name = std::move(target);
  if (name.empty()) return "what was called is erased or was not recorded";
  if (std::string why = FindItem(kind, name, past); !why.empty()) return why;
  const int64_t size = json::RawInt64(view->Raw("requestBytes")).value_or(0);
  if (size == 0) return "";
  // Kept whole, as it was sent; rules see it as the server is sent it.
  auto mapped = past.entry != nullptr && static_cast<int64_t>(payload.size()) == size
                    ? MapArguments(past.entry->arguments, payload)
                    : absl::StatusOr<std::string>(absl::NotFoundError("not kept"));
  if (mapped.ok()) {
    past.arguments = *std::move(mapped);
  } else {
    past.unknown |= policy::kAllArguments;
  }
  return "";
}

void Replay::Compare(const Past& past) {
  policy::Moment moment = past.moment;
  moment.arguments = past.arguments;
  moment.client = past.client;
  const policy::Outlook outlook = proposed_.Foresee(past.who, past.item, moment, past.unknown);
  const std::string after(outlook.certain ? policy::EffectName(outlook.effect) : kUndecided);
  if (after == past.before) {
    out_.set_same(out_.same() + 1);
    return;
  }
  const std::string rule = outlook.rule == nullptr ? "" : outlook.rule->name;
  ReplayChange& change =
      changes_[{past.who.subject, past.shown, past.item.virtual_server, past.before, after, rule}];
  if (change.calls() == 0) {
    change.set_subject(past.who.subject);
    change.set_item(past.shown);
    change.set_virtual_server(past.item.virtual_server);
    change.set_before(past.before);
    change.set_after(after);
    change.set_rule(rule);
    if (outlook.rule != nullptr) change.set_reason(outlook.rule->reason);
    change.set_example(past.id);
    change.set_example_seq(past.seq);
    change.set_last_us(past.moment.now_us);
  }
  change.set_calls(change.calls() + 1);
}

void Replay::Add(const audit::v1::Record& record) {
  const auto view = json::ScanObject(record.record());
  if (view.ok() && KindOfMethod(view->String("action").value_or("")).empty()) return;
  out_.set_calls(out_.calls() + 1);
  Past past;
  const std::string why = Read(record, past);
  if (why.empty()) {
    Compare(past);
    return;
  }
  ReplaySkipped& skipped = skipped_[why];
  if (skipped.calls() == 0) {
    skipped.set_why(why);
    skipped.set_example(past.id);
  }
  skipped.set_calls(skipped.calls() + 1);
}

ReplayPolicyResponse Replay::Take() {
  for (auto& [key, change] : changes_) *out_.add_changes() = std::move(change);
  for (auto& [why, skipped] : skipped_) *out_.add_skipped() = std::move(skipped);
  changes_.clear();
  skipped_.clear();
  return std::move(out_);
}

}  // namespace metamcp::gateway
