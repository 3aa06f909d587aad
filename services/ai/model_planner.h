#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "metamcp/workflow/v1/workflow_service.metamcp.h"
#include "services/ai/finder.h"
#include "services/ai/model/pool.h"
#include "services/ai/plan/plan.h"

namespace metamcp::ai {

// A plan by a model, and what it took.
struct ModelPlan {
  Plan plan;
  std::map<std::string, std::string> exposed;  // names of its tools as clients see them
  std::string provider;
  std::string model;
  ModelUsage usage;
  int64_t cost_micros = 0;
  bool cached = false;
};

struct CacheOptions {
  CacheOptions() = default;
  size_t entries = 1000;
  std::chrono::milliseconds lifetime{600'000};
};

// Plans by a model: its sub-goals, retrieval for each, a plan over these tools and no others,
// checks, one more try with what was wrong. The model has no tools, and nothing of what it says is
// taken before it has passed the checks that a stored workflow passes. Thread: the io thread.
class ModelPlanner {
 public:
  ModelPlanner(ModelPool& pool, ToolFinder& finder,
               metamcp::workflow::v1::WorkflowService& workflows, CacheOptions cache)
      : pool_(pool), finder_(finder), workflows_(workflows), cache_options_(cache) {}

  // `known` are tools that the planner without a model considered. Errors: as ModelPool::Ask;
  // AI_ANSWER_INVALID where the second try is no usable plan either.
  Awaitable<absl::StatusOr<ModelPlan>> Make(const CallContext& ctx, const ToolScope& scope,
                                            std::string task, std::vector<std::string> refinements,
                                            std::vector<Tool> known);

 private:
  struct Kept {
    std::string key;
    ModelPlan plan;
    std::chrono::steady_clock::time_point until;
  };
  Awaitable<absl::StatusOr<std::vector<Tool>>> Gather(const CallContext& ctx,
                                                      const ToolScope& scope,
                                                      const std::vector<std::string>& goals,
                                                      std::vector<Tool> known);
  Awaitable<absl::StatusOr<ModelReply>> Ask(const CallContext& ctx, const ModelRequest& request,
                                            ModelPlan* sum);
  // Reads an answer and checks it as a workflow. The problems are empty where it can be used.
  Awaitable<absl::StatusOr<std::vector<std::string>>> Check(const CallContext& ctx,
                                                            const std::string& answer,
                                                            const std::string& task,
                                                            const std::vector<Tool>& tools,
                                                            Plan* plan);
  const ModelPlan* Cached(const std::string& key);
  void Keep(std::string key, ModelPlan plan);

  ModelPool& pool_;
  ToolFinder& finder_;
  metamcp::workflow::v1::WorkflowService& workflows_;
  const CacheOptions cache_options_;
  std::list<Kept> kept_;  // the newest first
  std::map<std::string, std::list<Kept>::iterator> by_key_;
};

}  // namespace metamcp::ai
