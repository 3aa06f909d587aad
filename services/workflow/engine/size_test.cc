// What runs of unusual size do: wide forks, long loops, many steps, large results.
#include <gmock/gmock.h>

#include "services/workflow/engine/engine_fixture.h"

namespace metamcp::workflow::testing {
namespace {

std::string Document(const std::string& name, const std::string& tasks) {
  return StrCat("document: {dsl: '1.0.3', namespace: default, name: ", name,
                ", version: '1.0.0'}\ndo:\n", tasks);
}

class SizeTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    engine = std::make_unique<EngineFixture>(GetParam());
    if (!engine->usable()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
    engine->patience = std::chrono::seconds(150);
  }
  FakeCaller& caller() { return engine->caller(); }
  std::unique_ptr<EngineFixture> engine;
};

INSTANTIATE_TEST_SUITE_P(Backends, SizeTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

TEST_P(SizeTest, AForkOfAThousandAcrossARestart) {
  RecordProperty("req", "M-FR-016, M-AC-5.4.3");
  engine->tune = [](EngineOptions& options) { options.limits.tasks_max = 1'100; };
  engine->Restart();
  caller().handlers["s.a"] = Answer("1");
  std::string branches;
  for (int i = 0; i < 1'000; ++i) branches += StrCat("            - b", i, ": {call: s.a@mcp}\n");
  Limits limits;
  limits.tasks_max = 1'100;
  const std::string name = engine->Store(
      Document("t", StrCat("  - f:\n      fork:\n        branches:\n", branches)), limits);
  const std::string id = engine->Start(name);
  engine->TurnUntil([&] { return caller().calls.size() > 300; });
  engine->Restart();
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().calls.size(), 1'000u) << "each once";
}

TEST_P(SizeTest, ALoopOfTenThousandRoundsAcrossARestart) {
  RecordProperty("req", "M-FR-015");
  const std::string id = engine->Start(engine->Store(
      Document("t",
               "  - each:\n      for: {each: i, in: '${ [range(10000)] }'}\n      do:\n"
               "        - add: {set: {sum: '${ (.sum // 0) + $i }'}}\n")));
  engine->TurnUntil([&] {
    const auto steps = engine->store().StepsPage(id, 3'000, 1);
    return steps.ok() && !steps->empty();
  });
  engine->Restart();
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(run.output, R"({"sum":49995000})");
}

TEST_P(SizeTest, FiveHundredSteps) {
  caller().handlers["s.a"] = Answer("1");
  std::string tasks;
  for (int i = 0; i < 500; ++i) tasks += StrCat("  - s", i, ": {call: s.a@mcp}\n");
  const RunRow run = engine->Run(Document("t", tasks));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().calls.size(), 500u);
  std::vector<Problem> problems;
  EXPECT_EQ(
      ReadDefinition(Document("t", tasks + "  - s500: {call: s.a@mcp}\n"), Limits(), &problems),
      nullptr);
}

TEST_P(SizeTest, ResultsOfTwentyMegabytesAcrossARestart) {
  RecordProperty("req", "M-P3");
  caller().handlers["s.big"] = Answer(StrCat("{\"text\":\"", std::string(20'000'000, 'x'), "\"}"));
  caller().handlers["s.b"] = Answer("1");
  const std::string id = engine->Start(engine->Store(
      "name: t\nsteps:\n  - {id: big, tool: s.big}\n"
      "  - {id: w, wait: {seconds: 1}, dependsOn: big}\n"
      "  - {id: b, tool: s.b, arguments: {n: '${steps.big.text | length}'}, dependsOn: w}\n"
      "output: { n: '${steps.big.text | length}' }\n"));
  engine->WaitForState(id, {"waiting"});
  engine->Restart();
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().Count("s.big"), 1u);
  EXPECT_EQ(caller().calls.back().arguments, R"({"n":20000000})");
  EXPECT_EQ(run.output, R"({"n":20000000})");
  // What people look at names it and does not carry it.
  const StepRow step = engine->Steps(id)["/do/0/big"];
  EXPECT_TRUE(IsReference(step.output));
  EXPECT_GE(SizeOf(step.output), 20'000'000);
  EXPECT_EQ(engine->store().GetValue(id, step.output)->size(),
            static_cast<size_t>(SizeOf(step.output)));
}

}  // namespace
}  // namespace metamcp::workflow::testing
