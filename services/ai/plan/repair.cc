#include "services/ai/plan/repair.h"

#include <algorithm>

#include "common/json/dom.h"
#include "common/json/schema.h"
#include "services/ai/plan/draft.h"

namespace metamcp::ai {
namespace {

const Tool* Find(const std::vector<const Tool*>& tools, const std::string& name) {
  for (const Tool* tool : tools) {
    if (tool->name == name) return tool;
  }
  return nullptr;
}

bool Fits(const Json& schema, const Json& value) {
  const auto compiled = json::CompileSchema(json::DumpJson(schema));
  // What cannot be compiled here is the server's own matter.
  return !compiled.ok() || (*compiled)->ValidateText(json::DumpJson(value)).ok();
}

}  // namespace

bool HasExpression(const Json& value) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const size_t begin = text.find("${");
    return begin != std::string::npos && text.find('}', begin) != std::string::npos;
  }
  if (!value.is_structured()) return false;
  return std::any_of(value.begin(), value.end(),
                     [](const Json& one) { return HasExpression(one); });
}

void Repair(const std::vector<const Tool*>& tools, Plan* plan) {
  for (PlanStep& step : plan->steps) {
    const Tool* tool = Find(tools, step.tool);
    if (tool == nullptr || !tool->input.is_object()) continue;
    const auto properties = tool->input.find("properties");
    if (properties == tool->input.end() || !properties->is_object()) continue;
    const auto more = tool->input.find("additionalProperties");
    const bool closed = more != tool->input.end() && more->is_boolean() && !more->get<bool>();
    Json kept = Json::object();
    for (auto it = step.arguments.begin(); it != step.arguments.end(); ++it) {
      const auto schema = properties->find(it.key());
      if (schema == properties->end()) {
        if (!closed) kept[it.key()] = *it;
        continue;
      }
      if (HasExpression(*it) || Fits(*schema, *it)) {
        kept[it.key()] = *it;
      } else if (tool->Requires(it.key())) {
        Draft draft;
        draft.plan.input = std::move(plan->input);
        kept[it.key()] = draft.Ask(it.key(), *schema);
        plan->input = std::move(draft.plan.input);
      }
    }
    step.arguments = std::move(kept);
  }
}

}  // namespace metamcp::ai
