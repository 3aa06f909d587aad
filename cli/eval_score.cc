#include "cli/eval_score.h"

#include <algorithm>
#include <functional>

namespace metamcp::cli {
namespace {

bool Has(const std::vector<std::string>& list, const std::string& one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

int64_t Percentile(std::vector<int64_t> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  return values[at];
}

}  // namespace

int Covered(const EvalTask& task, const std::vector<std::string>& tools, size_t limit) {
  const std::vector<std::string> first(
      tools.begin(), tools.begin() + static_cast<long>(std::min(limit, tools.size())));
  return static_cast<int>(std::count_if(task.gold.begin(), task.gold.end(), [&](const auto& step) {
    return std::any_of(step.begin(), step.end(),
                       [&](const std::string& tool) { return Has(first, tool); });
  }));
}

int Matched(const EvalTask& task, const std::vector<std::string>& plan) {
  // Augmenting paths: the first tool that fits may be needed elsewhere.
  std::vector<int> taken(plan.size(), -1);
  int pairs = 0;
  for (size_t step = 0; step < task.gold.size(); ++step) {
    std::vector<bool> tried(plan.size(), false);
    std::function<bool(size_t)> place = [&](size_t wanted) {
      for (size_t i = 0; i < plan.size(); ++i) {
        if (tried[i] || !Has(task.gold[wanted], plan[i])) continue;
        tried[i] = true;
        if (taken[i] >= 0 && !place(static_cast<size_t>(taken[i]))) continue;
        taken[i] = static_cast<int>(wanted);
        return true;
      }
      return false;
    };
    if (place(step)) ++pairs;
  }
  return pairs;
}

EvalScore Score(const std::vector<EvalTask>& tasks, const std::vector<EvalAnswer>& answers) {
  EvalScore out;
  std::vector<int64_t> times;
  int valid = 0;
  for (size_t i = 0; i < tasks.size() && i < answers.size(); ++i) {
    const auto gold = static_cast<double>(tasks[i].gold.size());
    const EvalAnswer& answer = answers[i];
    ++out.tasks;
    out.recall_10 += Covered(tasks[i], answer.considered, 10) / gold;
    out.complete_20 += Covered(tasks[i], answer.considered, 20) == static_cast<int>(gold) ? 1 : 0;
    const double matched = Matched(tasks[i], answer.plan);
    const auto planned = static_cast<double>(answer.plan.size());
    out.precision += planned > 0 ? matched / planned : 0;
    out.recall += matched / gold;
    out.f1 += planned > 0 ? 2 * matched / (planned + gold) : 0;
    out.exact += matched == gold && planned == gold ? 1 : 0;
    if (answer.made) {
      ++out.plans;
      if (answer.valid) ++valid;
    }
    if (answer.made_by == "model") ++out.by_model;
    times.push_back(answer.took_ms);
    out.cost_micros += answer.cost_micros;
  }
  const double n = std::max(out.tasks, 1);
  for (double* mean :
       {&out.recall_10, &out.complete_20, &out.precision, &out.recall, &out.f1, &out.exact}) {
    *mean /= n;
  }
  out.valid = out.plans == 0 ? 0 : static_cast<double>(valid) / out.plans;
  out.p50_ms = Percentile(times, 0.5);
  out.p95_ms = Percentile(times, 0.95);
  return out;
}

}  // namespace metamcp::cli
