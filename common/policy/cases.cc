#include "common/policy/cases.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/time/time.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::policy {
namespace {

constexpr std::string_view kMembers[] = {
    "name",        "subject",    "roles",     "teams",     "scopes",        "kind",
    "tool",        "resource",   "prompt",    "upstream",  "virtualServer", "readOnly",
    "destructive", "idempotent", "openWorld", "arguments", "client",        "at",
    "expect",      "rule",       "anonymous"};

class Reader {
 public:
  Reader(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  absl::StatusOr<Case> Read() {
    if (!object_.is_object()) return Wrong("", "must be an object");
    for (auto it = object_.begin(); it != object_.end(); ++it) {
      if (std::find(std::begin(kMembers), std::end(kMembers), it.key()) != std::end(kMembers)) {
        continue;
      }
      const std::string nearest = Nearest(it.key(), kMembers);
      return Wrong(it.key(), nearest.empty() ? "is not known"
                                             : StrCat("is not known; did you mean ", nearest, "?"));
    }
    Case out;
    METAMCP_RETURN_IF_ERROR(Text("name", &out.name));
    METAMCP_RETURN_IF_ERROR(Text("subject", &out.who.subject));
    METAMCP_RETURN_IF_ERROR(Text("kind", &out.who.kind));
    bool anonymous = false;
    METAMCP_RETURN_IF_ERROR(Bool("anonymous", &anonymous));
    if (anonymous) out.who.method = "loopback";
    METAMCP_RETURN_IF_ERROR(Texts("roles", &out.who.roles));
    METAMCP_RETURN_IF_ERROR(Texts("teams", &out.who.teams));
    METAMCP_RETURN_IF_ERROR(Texts("scopes", &out.who.scopes));
    METAMCP_RETURN_IF_ERROR(Text("client", &out.client));
    METAMCP_RETURN_IF_ERROR(Text("rule", &out.rule));
    METAMCP_RETURN_IF_ERROR(Text("expect", &out.expect));
    METAMCP_RETURN_IF_ERROR(ReadItem(&out.item));
    if (out.expect != "allow" && out.expect != "deny" && out.expect != "consent") {
      return Wrong("expect", "must be allow, deny or consent");
    }
    if (const auto* arguments = json::FindMember(object_, "arguments")) {
      if (!arguments->is_object()) return Wrong("arguments", "must be an object");
      out.arguments = json::DumpJson(*arguments);
    }
    METAMCP_RETURN_IF_ERROR(ReadTime(&out.at_us));
    if (out.name.empty()) out.name = where_;
    return out;
  }

 private:
  absl::Status Wrong(std::string_view member, std::string_view why) const {
    return MakeError("ARGUMENT_INVALID", "policy",
                     StrCat(where_, member.empty() ? "" : ".", member, " ", why));
  }
  absl::Status Text(std::string_view key, std::string* to) const {
    const auto* value = json::FindMember(object_, key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_string()) return Wrong(key, "must be a text");
    *to = value->get<std::string>();
    return absl::OkStatus();
  }
  absl::Status Texts(std::string_view key, std::vector<std::string>* to) const {
    const auto* value = json::FindMember(object_, key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_array()) return Wrong(key, "must be an array of texts");
    for (const auto& one : *value) {
      if (!one.is_string()) return Wrong(key, "must be an array of texts");
      to->push_back(one.get<std::string>());
    }
    return absl::OkStatus();
  }
  absl::Status Bool(std::string_view key, bool* to) const {
    const auto* value = json::FindMember(object_, key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_boolean()) return Wrong(key, "must be true or false");
    *to = value->get<bool>();
    return absl::OkStatus();
  }
  absl::Status ReadItem(Item* item) const {
    item->virtual_server = "default";
    METAMCP_RETURN_IF_ERROR(Text("virtualServer", &item->virtual_server));
    for (const std::string_view kind : {"tool", "resource", "prompt"}) {
      std::string name;
      METAMCP_RETURN_IF_ERROR(Text(kind, &name));
      if (name.empty()) continue;
      if (!item->kind.empty()) return Wrong(kind, StrCat("cannot be there beside ", item->kind));
      item->kind = std::string(kind);
      item->names.push_back(name);
      if (const size_t dot = name.find('.'); dot != std::string::npos && kind != "resource") {
        item->upstreams.push_back(name.substr(0, dot));
      }
    }
    if (item->kind.empty()) return Wrong("tool", "is missing (or resource, or prompt)");
    std::string upstream;
    METAMCP_RETURN_IF_ERROR(Text("upstream", &upstream));
    if (!upstream.empty()) item->upstreams = {upstream};
    METAMCP_RETURN_IF_ERROR(Bool("readOnly", &item->hints.read_only));
    if (item->hints.read_only) {
      item->hints.destructive = false;
      item->hints.idempotent = true;
    }
    // What a case says is said.
    METAMCP_RETURN_IF_ERROR(Bool("destructive", &item->hints.says_destructive));
    METAMCP_RETURN_IF_ERROR(Bool("destructive", &item->hints.destructive));
    METAMCP_RETURN_IF_ERROR(Bool("idempotent", &item->hints.idempotent));
    return Bool("openWorld", &item->hints.open_world);
  }
  absl::Status ReadTime(int64_t* at_us) const {
    std::string text;
    METAMCP_RETURN_IF_ERROR(Text("at", &text));
    if (text.empty()) return absl::OkStatus();
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
      return Wrong("at", "must be a time such as 2026-11-30T12:00:00Z");
    }
    *at_us = absl::ToUnixMicros(time);
    return absl::OkStatus();
  }

  const nlohmann::json& object_;
  const std::string where_;
};

}  // namespace

absl::StatusOr<std::vector<Case>> ReadCases(std::string_view text) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json root, json::ParseJson(text));
  const auto* cases = json::FindMember(root, "cases");
  if (cases == nullptr || !cases->is_array() || cases->empty()) {
    return MakeError("ARGUMENT_INVALID", "policy",
                     "the file must be {\"cases\": [...]} with at least one case");
  }
  std::vector<Case> out;
  for (const nlohmann::json& one : *cases) {
    METAMCP_ASSIGN_OR_RETURN(Case read, Reader(one, StrCat("cases[", out.size(), "]")).Read());
    out.push_back(std::move(read));
  }
  return out;
}

std::string Check(const Policy& policy, const Case& one) {
  Moment moment;
  moment.arguments = one.arguments;
  moment.client = one.client;
  moment.now_us = one.at_us;
  const Decision decision = policy.Decide(one.who, one.item, moment);
  const std::string_view effect = EffectName(decision.effect);
  const std::string by = decision.rule != nullptr ? StrCat("the rule ", decision.rule->name)
                                                  : std::string("policy.default");
  if (effect != one.expect) {
    return StrCat("expected ", one.expect, ", found ", effect, " by ", by);
  }
  const bool other =
      !one.rule.empty() && (decision.rule == nullptr || decision.rule->name != one.rule);
  return other ? StrCat("expected the rule ", one.rule, " to decide, found ", by) : "";
}

}  // namespace metamcp::policy
