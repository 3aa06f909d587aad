// ai.providers.
#include <algorithm>
#include <vector>

#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {

void ReadAiProviders(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kObject) {
    context.Error(node.at,
                  StrCat("found ", KindName(node.kind), " for ai.providers, expected an object"),
                  "write { \"name\": { \"api\": \"chat\", \"model\": \"...\" } }");
    return;
  }
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("ai.providers.", member.key);
    if (Slug(member.key) != member.key) {
      context.Error(member.at,
                    StrCat("found the name \"", member.key,
                           "\" in ai.providers, expected lower case letters, digits and '-'"),
                    StrCat("write \"", Slug(member.key), "\""));
    }
    AiProviderConfig provider;
    ObjectReader reader(context, AiProviderFields(), &provider);
    reader.Read(member.value, "", where);
    if (provider.api.empty()) {
      context.Error(member.at, StrCat("found no api in ", where),
                    "add \"api\": \"responses\", \"chat\" or \"anthropic\"");
    }
    if (provider.model.empty()) {
      context.Error(member.at, StrCat("found no model in ", where), "add \"model\": \"...\"");
    }
    context.config().ai.providers.emplace(member.key, std::move(provider));
  }
}

void CheckAiOrder(ReadContext& context, const JsonNode& root) {
  const AiConfig& ai = context.config().ai;
  std::vector<std::string> names;
  for (const auto& [name, provider] : ai.providers) names.push_back(name);
  for (const std::string& name : ai.order) {
    if (ai.providers.count(name) > 0) continue;
    const JsonNode* section = root.Find("ai");
    const JsonNode* order = section == nullptr ? nullptr : section->Find("order");
    const std::string nearest = Nearest(name, names);
    context.Error(order == nullptr ? root.at : order->at,
                  StrCat("found \"", name, "\" in ai.order, which ai.providers does not have"),
                  nearest.empty() ? "remove it" : StrCat("did you mean \"", nearest, "\"?"));
  }
}

}  // namespace metamcp::config
