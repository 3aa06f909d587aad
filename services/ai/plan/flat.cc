// A plan in the flat form of workflows.
#include <algorithm>
#include <cmath>

#include "common/base/strings.h"
#include "services/ai/plan/draft.h"

namespace metamcp::ai {

std::string_view ConfidenceName(double confidence) {
  return confidence >= 0.75 ? "high" : confidence >= 0.55 ? "medium" : "low";
}

std::string NameOf(const std::vector<Clause>& clauses) {
  std::string name;
  for (const Clause& clause : clauses) {
    if (clause.implied) continue;
    for (const std::string& part :
         {clause.verb, clause.words.empty() ? std::string() : clause.words[0]}) {
      std::string plain = Identifier(part);
      std::replace(plain.begin(), plain.end(), '_', '-');
      if (!part.empty() && name.size() + plain.size() < 40) {
        name += StrCat(name.empty() ? "" : "-", plain);
      }
    }
  }
  return name.empty() ? "suggestion" : name;
}

double ConfidenceOf(const Plan& plan) {
  if (plan.steps.empty()) return 0;
  double product = 1;
  for (const PlanStep& step : plan.steps) product *= std::max(step.confidence, 0.05);
  const auto steps = static_cast<double>(plan.steps.size());
  return std::pow(product, 1.0 / steps) * steps / (steps + static_cast<double>(plan.gaps.size()));
}

Json ToFlat(const Plan& plan) {
  Json out = Json::object();
  out["name"] = plan.name;
  out["summary"] = plan.summary;
  if (!plan.input.empty()) {
    out["input"]["type"] = "object";
    Json required = Json::array();
    for (auto it = plan.input.begin(); it != plan.input.end(); ++it) required.push_back(it.key());
    out["input"]["required"] = std::move(required);
    out["input"]["properties"] = plan.input;
  }
  out["steps"] = Json::array();
  for (const PlanStep& step : plan.steps) {
    Json one = Json::object();
    one["id"] = step.id;
    if (step.tool.empty()) {
      one["ai"]["prompt"] = step.prompt;
      if (step.arguments.contains("input")) one["ai"]["input"] = step.arguments["input"];
    } else {
      one["tool"] = step.tool;
      one["arguments"] = step.arguments;
    }
    if (!step.for_each.empty()) one["forEach"] = step.for_each;
    if (!step.depends_on.empty()) one["dependsOn"] = step.depends_on;
    out["steps"].push_back(std::move(one));
  }
  if (!plan.output.is_null()) out["output"] = plan.output;
  return out;
}

}  // namespace metamcp::ai
