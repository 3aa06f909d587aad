// limits.rules.
#include <set>

#include "common/base/strings.h"
#include "common/config/rate.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr size_t kRulesMax = 64;

std::string NameOf(const LimitRuleConfig& rule) {
  std::string out = rule.scope;
  if (!rule.per.empty()) out += StrCat("+", rule.per);
  if (rule.match != "*") out += StrCat(":", rule.match);
  return rule.surface == "calls" ? out : StrCat(rule.surface, ":", out);
}

Position PlaceOf(const JsonNode& item, std::string_view key) {
  const JsonNode* value = item.Find(key);
  return value == nullptr ? item.at : value->at;
}

bool IsOfCalls(std::string_view scope) {
  return scope == "client" || scope == "upstream" || scope == "tool";
}

void CheckRule(ReadContext& context, const JsonNode& item, const LimitRuleConfig& rule,
               const std::string& where) {
  if (rule.scope.empty()) {
    context.Error(item.at, StrCat("found no scope in ", where), "add \"scope\": \"principal\"");
  }
  if (!rule.rate.empty() && !ParseRate(rule.rate)) {
    context.Error(
        PlaceOf(item, "rate"),
        StrCat("found \"", rule.rate, "\" for ", where, ".rate, expected as \"100/minute\""),
        "write a whole number, / and second, minute or hour");
  }
  if (rule.rate.empty() && rule.burst > 0) {
    context.Error(PlaceOf(item, "burst"), StrCat("found burst without rate in ", where),
                  "add \"rate\": \"100/minute\"");
  }
  if (rule.rate.empty() && rule.concurrency == 0 && rule.daily_quota == 0) {
    context.Error(item.at, StrCat("found nothing that ", where, " limits"),
                  "add rate, concurrency or dailyQuota");
  }
  if (rule.surface == "admin" && (IsOfCalls(rule.scope) || IsOfCalls(rule.per))) {
    context.Error(PlaceOf(item, "scope"),
                  StrCat("found a scope in ", where, " that requests to the REST API do not have"),
                  "write global, tenant, principal or team");
  }
  if (!rule.per.empty() && rule.per == rule.scope) {
    context.Error(PlaceOf(item, "per"), StrCat("found scope and per the same in ", where),
                  "remove per");
  }
}

}  // namespace

void ReadLimitRules(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kArray || node.items.size() > kRulesMax) {
    context.Error(
        node.at,
        StrCat("found ",
               node.kind == JsonNode::Kind::kArray ? StrCat(node.items.size(), " elements")
                                                   : std::string(KindName(node.kind)),
               " for limits.rules, expected an array of at most ", kRulesMax),
        "write [{ \"scope\": \"principal\", \"rate\": \"100/minute\" }]");
    return;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < node.items.size(); ++i) {
    const JsonNode& item = node.items[i];
    const std::string where = StrCat("limits.rules[", i, "]");
    LimitRuleConfig rule;
    ObjectReader reader(context, LimitRuleFields(), &rule);
    reader.Read(item, "", where);
    if (item.kind != JsonNode::Kind::kObject) continue;
    CheckRule(context, item, rule, where);
    if (rule.name.empty()) rule.name = NameOf(rule);
    if (!names.insert(rule.name).second) {
      context.Error(item.at, StrCat("found the rule \"", rule.name, "\" twice in limits.rules"),
                    "give each a name of its own");
    }
    context.config().limits.rules.push_back(std::move(rule));
  }
}

}  // namespace metamcp::config
