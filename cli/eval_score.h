#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace metamcp::cli {

// One task with the tools that do each step; any of a step's tools counts.
struct EvalTask {
  std::string id, task;
  std::vector<std::vector<std::string>> gold;
};

// What was suggested for it.
struct EvalAnswer {
  std::vector<std::string> considered;  // best first
  std::vector<std::string> plan;        // tools of the steps
  bool made = false;                    // there is a plan
  bool valid = false;
  std::string made_by;
  int64_t took_ms = 0;
  int64_t cost_micros = 0;
};

struct EvalScore {
  int tasks = 0, plans = 0, by_model = 0;
  double recall_10 = 0;    // of gold steps, mean over tasks
  double complete_20 = 0;  // tasks whose every gold step has a tool among the first 20
  double precision = 0, recall = 0, f1 = 0;  // of plans, mean over tasks
  double exact = 0;                          // plans with exactly the tools of the gold plan
  double valid = 0;                          // of the plans that were made
  int64_t p50_ms = 0, p95_ms = 0;
  int64_t cost_micros = 0;
};

// Gold steps that have a tool among the first `limit` considered ones.
int Covered(const EvalTask& task, const std::vector<std::string>& tools, size_t limit);
// The most gold steps that can be paired with plan steps, each with one.
int Matched(const EvalTask& task, const std::vector<std::string>& plan);

EvalScore Score(const std::vector<EvalTask>& tasks, const std::vector<EvalAnswer>& answers);

}  // namespace metamcp::cli
