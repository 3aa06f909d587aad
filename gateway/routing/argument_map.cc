#include "gateway/routing/argument_map.h"

#include <charconv>
#include <set>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

absl::Status Bad(std::string_view name, std::string_view why) {
  return MakeError("INVALID_PARAMS", "gateway", StrCat("argument \"", name, "\" ", why));
}

// A client's string as the type the upstream wants; a scalar as string the other way round.
absl::StatusOr<std::string> Coerce(std::string_view name, std::string_view type,
                                   const json::Value& value) {
  if (type == "string") {
    if (value.is_string()) return std::string(value.raw);
    if (value.is_number() || value.is_bool()) return json::JsonQuote(value.raw);
    return Bad(name, "cannot be made a string");
  }
  if (!value.is_string()) return std::string(value.raw);
  METAMCP_ASSIGN_OR_RETURN(const std::string text, json::JsonUnquote(value.raw));
  if (type == "boolean") {
    if (text == "true" || text == "false") return text;
    return Bad(name, "must be true or false");
  }
  auto scanned = json::ScanValue(text);
  if (!scanned.ok() || !scanned->is_number() || (type == "integer" && !scanned->is_integer())) {
    return Bad(name, type == "integer" ? "must be an integer" : "must be a number");
  }
  return std::string(scanned->raw);
}

using Rules = std::map<std::string, catalog::v1::ArgumentOverride>;

std::map<std::string_view, const Rules::value_type*> ByExposedName(const Rules& rules) {
  std::map<std::string_view, const Rules::value_type*> out;
  for (const auto& rule : rules) {
    out[rule.second.rename().empty() ? rule.first : rule.second.rename()] = &rule;
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> MapArguments(
    const std::map<std::string, catalog::v1::ArgumentOverride>& rules, std::string_view raw) {
  const auto by_exposed = ByExposedName(rules);
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view,
                           json::ScanObject(raw.empty() ? std::string_view("{}") : raw));
  json::ObjectWriter out;
  std::set<std::string, std::less<>> given;
  for (const json::Member& member : view.members()) {
    const auto it = by_exposed.find(member.key);
    std::string name(member.key);
    std::string value(member.value.raw);
    if (it != by_exposed.end()) {
      const auto& rule = it->second->second;
      name = it->second->first;
      if (rule.hidden() || !rule.fixed_value().empty()) return Bad(member.key, "is not accepted");
      if (!rule.coerce().empty()) {
        METAMCP_ASSIGN_OR_RETURN(value, Coerce(member.key, rule.coerce(), member.value));
      }
    } else if (rules.count(name) > 0) {
      return Bad(member.key, "is not accepted");  // its original name, which has been renamed
    }
    if (!given.insert(name).second) return Bad(member.key, "is given twice");
    out.Add(name, value);
  }
  for (const auto& [name, rule] : rules) {
    if (!rule.fixed_value().empty()) {
      out.Add(name, rule.fixed_value());
    } else if (!rule.default_value().empty() && given.count(name) == 0) {
      out.Add(name, rule.default_value());
    }
  }
  return std::move(out).Build();
}

absl::Status MapCompletion(const std::map<std::string, catalog::v1::ArgumentOverride>& rules,
                           const json::ObjectView& params, json::Splicer& splicer) {
  auto argument = json::ScanObject(params.Raw("argument"));
  const auto name = argument.ok() ? argument->String("name") : std::nullopt;
  if (!name) return MakeError("INVALID_PARAMS", "gateway", "params.argument needs a name");
  const auto by_exposed = ByExposedName(rules);
  const auto it = by_exposed.find(*name);
  const bool hidden = it != by_exposed.end() &&
                      (it->second->second.hidden() || !it->second->second.fixed_value().empty());
  if (hidden || (it == by_exposed.end() && rules.count(*name) > 0)) {
    return Bad(*name, "is not accepted");
  }
  if (it != by_exposed.end()) {
    json::Splicer inner(*argument);
    inner.SetString("name", it->second->first);
    splicer.Set("argument", inner.Build());
  }
  if (auto context = json::ScanObject(params.Raw("context")); context.ok()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string known,
                             MapArguments(rules, context->Raw("arguments")));
    json::Splicer inner(*context);
    inner.Set("arguments", known);
    splicer.Set("context", inner.Build());
  }
  return absl::OkStatus();
}

}  // namespace metamcp::gateway
