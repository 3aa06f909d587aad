#include "cli/eval_score.h"

#include <gtest/gtest.h>

namespace metamcp::cli {
namespace {

EvalTask Task(std::vector<std::vector<std::string>> gold) {
  EvalTask out;
  out.gold = std::move(gold);
  return out;
}

TEST(EvalScoreTest, AnyToolOfAStepCounts) {
  const EvalTask task = Task({{"a", "b"}, {"c"}});
  EXPECT_EQ(Covered(task, {"x", "b", "c"}, 2), 1);
  EXPECT_EQ(Covered(task, {"x", "b", "c"}, 10), 2);
  EXPECT_EQ(Matched(task, {"b", "c"}), 2);
  EXPECT_EQ(Matched(task, {"a", "b"}), 1);
  EXPECT_EQ(Matched(task, {}), 0);
}

TEST(EvalScoreTest, AToolIsPairedWhereItIsNeeded) {
  // "a" fits both steps, but only it does the second.
  EXPECT_EQ(Matched(Task({{"a", "b"}, {"a"}}), {"a", "b"}), 2);
}

TEST(EvalScoreTest, MeansAreOverAllTasks) {
  EvalAnswer good, none;
  good.considered = good.plan = {"a"};
  good.made = good.valid = true;
  good.took_ms = 10;
  const EvalScore score = Score({Task({{"a"}}), Task({{"b"}})}, {good, none});
  EXPECT_EQ(score.tasks, 2);
  EXPECT_EQ(score.plans, 1);
  EXPECT_DOUBLE_EQ(score.recall_10, 0.5);
  EXPECT_DOUBLE_EQ(score.complete_20, 0.5);
  EXPECT_DOUBLE_EQ(score.f1, 0.5);
  EXPECT_DOUBLE_EQ(score.exact, 0.5);
  EXPECT_DOUBLE_EQ(score.valid, 1.0);
}

}  // namespace
}  // namespace metamcp::cli
