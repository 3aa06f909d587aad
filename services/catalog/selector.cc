#include "services/catalog/selector.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::catalog {

absl::StatusOr<CompiledSelector> CompiledSelector::Create(const pb::Selector& selector) {
  CompiledSelector out;
  out.include_.assign(selector.include().begin(), selector.include().end());
  out.exclude_.assign(selector.exclude().begin(), selector.exclude().end());
  if (selector.annotations().empty()) return out;
  const auto parsed = metamcp::json::ParseJson(selector.annotations(), kDefinitionDepthMax);
  if (!parsed.ok() || !parsed->is_object()) {
    return MakeError("ARGUMENT_INVALID", "catalog",
                     "annotations of a selector must be a JSON object such as "
                     "{\"readOnlyHint\": true}");
  }
  for (const auto& [name, value] : parsed->items()) {
    out.annotations_.emplace_back(name, metamcp::json::CanonicalJson(value));
  }
  return out;
}

std::string CompiledSelector::WhyNot(std::string_view slug, const ItemEntry& item) const {
  const std::string& original = item.item.original_name();
  if (!include_.empty() && !MatchesAnyGlob(include_, slug, original)) {
    return "no include pattern of the virtual server matches it";
  }
  if (!exclude_.empty() && MatchesAnyGlob(exclude_, slug, original)) {
    return "an exclude pattern of the virtual server matches it";
  }
  if (item.item.kind() != pb::ITEM_KIND_TOOL) return "";
  for (const auto& [name, wanted] : annotations_) {
    const std::string value = AnnotationValue(item.facts, name);
    if (value == wanted) continue;
    return StrCat("its annotation ", name, " is ", value.empty() ? "absent" : Sv(value),
                  ", the virtual server asks for ", wanted);
  }
  return "";
}

std::string AnnotationValue(const ItemFacts& facts, std::string_view name) {
  const auto text = [](bool value) { return std::string(value ? "true" : "false"); };
  if (name == "readOnlyHint") return text(facts.read_only);
  if (name == "destructiveHint") return text(facts.destructive);
  if (name == "idempotentHint") return text(facts.idempotent);
  if (name == "openWorldHint") return text(facts.open_world);
  if (facts.annotations.empty()) return "";
  const auto parsed = metamcp::json::ParseJson(facts.annotations, kDefinitionDepthMax);
  if (!parsed.ok()) return "";
  const nlohmann::json* value = metamcp::json::FindMember(*parsed, name);
  return value == nullptr ? "" : metamcp::json::CanonicalJson(*value);
}

}  // namespace metamcp::catalog
