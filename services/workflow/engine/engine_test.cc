#include <gmock/gmock.h>

#include "services/workflow/engine/engine_fixture.h"

namespace metamcp::workflow::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    engine = std::make_unique<EngineFixture>(GetParam());
    if (!engine->usable()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
  }
  FakeCaller& caller() { return engine->caller(); }
  std::vector<std::string> Called() {
    std::vector<std::string> out;
    for (const auto& call : caller().calls) out.push_back(call.tool);
    return out;
  }
  // An answer to whatever waits under `kind`.
  void Answer(const std::string& id, const std::string& path, const std::string& decision) {
    DecisionRow row;
    row.path = path;
    row.attempt = engine->Steps(id)[path].attempt;
    row.decision = decision;
    const absl::Status status = engine->store().Decide("default", id, row, "tester", NowMicros());
    EXPECT_TRUE(status.ok()) << status;
    engine->engine().LookNow();
  }
  std::unique_ptr<EngineFixture> engine;
};

INSTANTIATE_TEST_SUITE_P(Backends, EngineTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

TEST_P(EngineTest, StepsInOrderWithTheirResults) {
  RecordProperty("req", "M-AC-5.4.1, M-FR-006.1, M-FR-006.5");
  caller().handlers["s.a"] = testing::Answer(R"({"n":1})");
  caller().handlers["s.b"] = testing::Answer(R"({"n":2})");
  const RunRow run = engine->Run(
      "name: t\nsteps:\n  - {id: a, tool: s.a, arguments: {x: '${input.x}'}}\n"
      "  - {id: b, tool: s.b, arguments: {n: '${steps.a.n}', text: 'n is ${steps.a.n}'}}\n",
      R"({"x":7})");
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(run.output, R"({"a":{"n":1},"b":{"n":2}})");
  ASSERT_EQ(caller().calls.size(), 2u);
  EXPECT_EQ(caller().calls[0].arguments, R"({"x":7})");
  EXPECT_EQ(caller().calls[1].arguments, R"({"n":1,"text":"n is 1"})");
}

TEST_P(EngineTest, IndependentStepsTogether) {
  RecordProperty("req", "M-AC-5.4.3, M-FR-016");
  caller().delay = std::chrono::milliseconds(50);
  for (const char* tool : {"s.a", "s.b", "s.c"}) caller().handlers[tool] = testing::Answer("1");
  const RunRow run = engine->Run(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n  - {id: b, tool: s.b}\n"
      "  - {id: c, tool: s.c, dependsOn: [a, b]}\n");
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().most, 2);
  EXPECT_EQ(caller().calls.back().tool, "s.c");
  EXPECT_EQ(run.output, R"({"a":1,"b":1,"c":1})");
}

TEST_P(EngineTest, AFailedStepStopsAndCanBeRetried) {
  RecordProperty("req", "M-AC-5.4.2, M-P3");
  caller().handlers["s.a"] = testing::Answer("1");
  caller().handlers["s.b"] = Failing("no such file");
  caller().handlers["s.c"] = testing::Answer("3");
  const RunRow run = engine->Run(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n  - {id: b, tool: s.b, dependsOn: a}\n"
      "  - {id: c, tool: s.c, dependsOn: b}\n");
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("no such file"));
  EXPECT_THAT(Called(), ElementsAre("s.a", "s.b"));
  caller().handlers["s.b"] = testing::Answer("2");
  ASSERT_TRUE(engine->store().Retry("default", run.id, NowMicros()).ok());
  engine->engine().LookNow();
  EXPECT_EQ(engine->WaitForEnd(run.id).state, "completed");
  EXPECT_THAT(Called(), ElementsAre("s.a", "s.b", "s.b", "s.c"));
  // The server has said that nothing came of the first attempt: the second is another intent.
  EXPECT_NE(caller().calls[1].key, caller().calls[2].key);
}

TEST_P(EngineTest, OnErrorContinueGoesOn) {
  caller().handlers["s.a"] = Failing("bad");
  caller().handlers["s.b"] = testing::Answer("2");
  const RunRow run = engine->Run(
      "name: t\nsteps:\n  - {id: a, tool: s.a, onError: continue}\n"
      "  - {id: b, tool: s.b, dependsOn: a}\n");
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_THAT(run.output, HasSubstr(R"("detail":"bad")"));
}

TEST_P(EngineTest, RollbackUndoesInReverse) {
  RecordProperty("req", "M-FR-006.3, A-P4.4");
  for (const char* tool : {"s.a", "s.b", "u.a", "u.b"}) {
    caller().handlers[tool] = testing::Answer(R"({"id":5})");
  }
  caller().handlers["s.c"] = Failing("bad");
  const RunRow run = engine->Run(
      "name: t\nsteps:\n"
      "  - {id: a, tool: s.a, compensate: {tool: u.a, arguments: {id: '${steps.a.id}'}}}\n"
      "  - {id: b, tool: s.b, dependsOn: a, compensate: {tool: u.b}}\n"
      "  - {id: c, tool: s.c, dependsOn: b, onError: rollback}\n");
  EXPECT_EQ(run.state, "rolled-back");
  EXPECT_THAT(run.error, HasSubstr("bad"));
  EXPECT_THAT(Called(), ElementsAre("s.a", "s.b", "s.c", "u.b", "u.a"));
  EXPECT_EQ(caller().calls.back().arguments, R"({"id":5})");
}

TEST_P(EngineTest, ACommittedStepNeverRunsAgain) {
  RecordProperty("req", "M-FR-006.2, A-P4.2, M-FR-015");
  caller().handlers["s.a"] = testing::Answer("1");
  caller().handlers["s.b"] = testing::Answer("2");
  const std::string name = engine->Store(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n  - {id: w, wait: {seconds: 1}, dependsOn: a}\n"
      "  - {id: b, tool: s.b, arguments: {a: '${steps.a}'}, dependsOn: w}\n");
  const std::string id = engine->Start(name);
  engine->WaitForState(id, {"waiting"});
  engine->Restart();
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_THAT(Called(), ElementsAre("s.a", "s.b"));
  EXPECT_EQ(caller().calls[1].arguments, R"({"a":1})");
  EXPECT_GT(run.epoch, 1);
}

TEST_P(EngineTest, AnUnknownEffectNeedsADecision) {
  RecordProperty("req", "M-P3");
  caller().handlers["s.a"] = [](const FakeCaller::Call&) -> absl::StatusOr<ToolResult> {
    return MakeError("UPSTREAM_LOST", "upstream:s", "gone");
  };
  caller().handlers["s.b"] = testing::Answer("2");
  const std::string name = engine->Store(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n  - {id: b, tool: s.b, arguments: {a: "
      "'${steps.a.n}'}}\n");
  const std::string id = engine->Start(name);
  engine->WaitForState(id, {"needs-decision"});
  EXPECT_EQ(caller().Count("s.a"), 1u);
  engine->Restart();
  engine->Turn(std::chrono::milliseconds(300));
  EXPECT_EQ(caller().Count("s.a"), 1u);
  Answer(id, "/do/0/a#decision", R"({"action":"done","result":{"structuredContent":{"n":9}}})");
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().Count("s.a"), 1u);
  EXPECT_EQ(caller().calls.back().arguments, R"({"a":9})");
}

TEST_P(EngineTest, ARepeatableStepIsTriedAgainByItself) {
  int calls = 0;
  caller().repeatable.insert("s.a");
  caller().handlers["s.a"] = [&calls](const FakeCaller::Call& call) -> absl::StatusOr<ToolResult> {
    if (++calls == 1) return MakeError("UPSTREAM_LOST", "upstream:s", "gone");
    return testing::Answer("1")(call);
  };
  EXPECT_EQ(engine->Run("name: t\nsteps:\n  - {id: a, tool: s.a}\n").state, "completed");
  EXPECT_EQ(calls, 2);
}

TEST_P(EngineTest, WhatWasNotSentDoesNotCountAgainstWhatWasLost) {
  int calls = 0;
  caller().repeatable.insert("s.a");
  caller().handlers["s.a"] = [&calls](const FakeCaller::Call& call) -> absl::StatusOr<ToolResult> {
    if (++calls <= 6) return MakeError("UPSTREAM_UNAVAILABLE", "upstream:s", "on its way");
    if (calls == 7) return MakeError("UPSTREAM_LOST", "upstream:s", "gone");
    return testing::Answer("1")(call);
  };
  EXPECT_EQ(engine->Run("name: t\nsteps:\n  - {id: a, tool: s.a}\n").state, "completed");
  EXPECT_EQ(calls, 8);
}

TEST_P(EngineTest, PauseResumeAndCancel) {
  RecordProperty("req", "A-P4.1, M-FR-006.6");
  caller().handlers["s.a"] = testing::Answer("1");
  caller().handlers["s.b"] = testing::Answer("2");
  caller().delay = std::chrono::milliseconds(200);
  const std::string name = engine->Store(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n  - {id: b, tool: s.b, dependsOn: a}\n");
  const std::string id = engine->Start(name);
  engine->TurnUntil([&] { return caller().Count("s.a") == 1; });
  ASSERT_TRUE(engine->store().SetControl("default", id, kPause, 0, NowMicros()).ok());
  engine->engine().LookNow();
  engine->WaitForState(id, {"paused"});
  engine->Turn(std::chrono::milliseconds(100));
  EXPECT_EQ(caller().Count("s.b"), 0u);
  ASSERT_TRUE(engine->store().SetControl("default", id, 0, kPause, NowMicros()).ok());
  engine->engine().LookNow();
  engine->TurnUntil([&] { return caller().Count("s.b") == 1; });
  ASSERT_TRUE(engine->store().SetControl("default", id, kCancel, 0, NowMicros()).ok());
  engine->engine().LookNow();
  EXPECT_EQ(engine->WaitForEnd(id).state, "cancelled");
  EXPECT_EQ(caller().cancelled, 1);
  EXPECT_EQ(engine->Steps(id)["/do/1/b"].state, "cancelled");
}

TEST_P(EngineTest, AnApprovalSurvivesARestartAndIsConsumedOnce) {
  caller().handlers["s.a"] = testing::Answer("1");
  const std::string name = engine->Store(
      "name: t\nsteps:\n  - {id: ok, approval: {title: Sure}}\n"
      "  - {id: a, tool: s.a, dependsOn: ok}\n");
  const std::string id = engine->Start(name);
  engine->WaitForState(id, {"waiting"});
  engine->Restart();
  engine->Turn(std::chrono::milliseconds(100));
  EXPECT_EQ(caller().Count("s.a"), 0u);
  Answer(id, "/do/0/ok#approval", R"({"action":"approve"})");
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  DecisionRow again;
  again.path = "/do/0/ok#approval";
  again.attempt = 1;
  again.decision = "{}";
  EXPECT_FALSE(engine->store().Decide("default", id, again, "x", NowMicros()).ok());
}

TEST_P(EngineTest, ADeniedApprovalFails) {
  const std::string name =
      engine->Store("name: t\nsteps:\n  - {id: ok, approval: {title: Sure}}\n");
  const std::string id = engine->Start(name);
  engine->WaitForState(id, {"waiting"});
  Answer(id, "/do/0/ok#approval", R"({"action":"deny","comment":"too early"})");
  const RunRow run = engine->WaitForEnd(id);
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("too early"));
}

TEST_P(EngineTest, ARunKeepsItsVersion) {
  caller().handlers["s.a"] = testing::Answer("1");
  const std::string one =
      "name: t\nversion: 1.0.0\nsteps:\n  - {id: w, wait: {milliseconds: 300}}\n"
      "  - {id: a, tool: s.a, arguments: {v: 1}, dependsOn: w}\n";
  const std::string id = engine->Start(engine->Store(one));
  engine->WaitForState(id, {"waiting"});
  engine->Store("name: t\nversion: 2.0.0\nsteps:\n  - {id: a, tool: s.a, arguments: {v: 2}}\n");
  engine->Restart();
  EXPECT_EQ(engine->WaitForEnd(id).version, "1.0.0");
  EXPECT_EQ(caller().calls[0].arguments, R"({"v":1})");
  engine->WaitForEnd(engine->Start("t"));
  EXPECT_EQ(caller().calls[1].arguments, R"({"v":2})");
}

std::string Document(const std::string& name, const std::string& tasks) {
  return StrCat("document: {dsl: '1.0.3', namespace: default, name: ", name,
                ", version: '1.0.0'}\ndo:\n", tasks);
}

TEST_P(EngineTest, TryRetriesWithDelay) {
  int calls = 0;
  caller().handlers["s.a"] = [&calls](const FakeCaller::Call& call) -> absl::StatusOr<ToolResult> {
    return ++calls < 3 ? Failing("busy")(call) : testing::Answer("1")(call);
  };
  const RunRow run = engine->Run(
      Document("t",
               "  - t:\n      try:\n        - a: {call: s.a@mcp}\n      catch:\n        retry:\n"
               "          delay: {milliseconds: 10}\n          backoff: {exponential: {}}\n"
               "          limit: {attempt: {count: 3}}\n"));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(calls, 3);
  calls = -10;
  const RunRow exhausted = engine->Run(
      Document("u",
               "  - t:\n      try:\n        - a: {call: s.a@mcp}\n      catch:\n        retry:\n"
               "          delay: {milliseconds: 1}\n          limit: {attempt: {count: 2}}\n"));
  EXPECT_EQ(exhausted.state, "failed");
  EXPECT_EQ(calls, -8);
}

TEST_P(EngineTest, TimeoutCancelsTheCallAndCanBeCaught) {
  RecordProperty("req", "M-FR-006.6");
  caller().delay = std::chrono::milliseconds(5000);
  caller().handlers["s.a"] = testing::Answer("1");
  const RunRow run = engine->Run(Document(
      "t",
      "  - t:\n      try:\n        - a: {call: s.a@mcp, timeout: {after: {milliseconds: 100}}}\n"
      "      catch:\n        errors: {with: {status: 408}}\n        do:\n"
      "          - b: {set: {late: true}}\n"));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(run.output, R"({"late":true})");
  EXPECT_EQ(caller().cancelled, 1);
}

TEST_P(EngineTest, EventsReachListeners) {
  const std::string listener =
      engine->Store(Document("l", "  - l: {listen: {to: {one: {with: {type: t.done}}}}}\n"));
  const std::string id = engine->Start(listener);
  engine->WaitForState(id, {"waiting"});
  const RunRow run = engine->Run(
      Document("e", "  - e: {emit: {event: {with: {source: x, type: t.done, data: {n: 4}}}}}\n"));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(engine->WaitForEnd(id).output, R"([{"n":4}])");
}

TEST_P(EngineTest, ListensUntilAnExpressionOrAnEventEndsIt) {
  const auto emit = [&](const std::string& type, int n) {
    const std::string name = "e" + std::to_string(n) + type.substr(2);
    const RunRow run = engine->Run(
        Document(name.c_str(), StrCat("  - e: {emit: {event: {with: {source: x, type: ", type,
                                      ", data: {n: ", n, "}}}}}\n")));
    EXPECT_EQ(run.state, "completed") << run.error;
  };
  const std::string counts = engine->Start(engine->Store(Document(
      "c",
      "  - l: {listen: {to: {any: [{with: {type: t.beat}}], until: '(. | length) >= 3'}}}\n")));
  const std::string leaves = engine->Start(engine->Store(
      Document("u",
               "  - l: {listen: {read: envelope, to: {any: [{with: {type: t.beat}}], until: {one: "
               "{with: {type: t.gone}}}}}, output: {as: 'map([.type, .data.n])'}}\n")));
  engine->WaitForState(counts, {"waiting"});
  engine->WaitForState(leaves, {"waiting"});
  emit("t.beat", 1);
  emit("t.other", 2);
  // What was heard before a crash counts.
  engine->Restart();
  emit("t.beat", 3);
  EXPECT_EQ(engine->Get(counts).state, "waiting");
  emit("t.gone", 4);
  EXPECT_EQ(engine->WaitForEnd(leaves).output, R"([["t.beat",1],["t.beat",3]])");
  emit("t.beat", 5);
  EXPECT_EQ(engine->WaitForEnd(counts).output, R"([{"n":1},{"n":3},{"n":5}])");
}

TEST_P(EngineTest, ARunOfAnotherWorkflow) {
  engine->Store(Document("child", "  - s: {set: {twice: '${ .n * 2 }'}}\n"));
  const RunRow run = engine->Run(
      Document("parent",
               "  - c: {run: {workflow: {namespace: default, name: child, version: '1.0.0', "
               "input: {n: '${ .n }'}}}}\n"),
      R"({"n":21})");
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(run.output, R"({"twice":42})");
}

TEST_P(EngineTest, AForkOfFourHundred) {
  caller().handlers["s.a"] = testing::Answer("1");
  std::string branches;
  for (int i = 0; i < 400; ++i) branches += StrCat("            - b", i, ": {call: s.a@mcp}\n");
  const RunRow run =
      engine->Run(Document("t", StrCat("  - f:\n      fork:\n        branches:\n", branches)));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(caller().calls.size(), 400u);
}

TEST_P(EngineTest, ExpressionsThatMisbehaveFailOnlyTheirStep) {
  EXPECT_THAT(engine->Run(Document("a", "  - a: {set: {x: '${ error(\"no\") }'}}\n")).error,
              HasSubstr("no"));
  EXPECT_THAT(engine->Run(Document("b", "  - a: {set: {x: '${ [range(1e9)] | length }'}}\n")).error,
              HasSubstr("expression took"));
  EXPECT_EQ(
      engine->Run(Document("c", "  - a: {set: {x: '${ $ENV | length }', y: '${ env }'}}\n")).output,
      R"({"x":0,"y":{}})");
  EXPECT_GE(engine->jq().replaced(), 1);
  EXPECT_THAT(engine->Run(Document("d", "  - a: {set: {x: '${ 1, 2 }'}}\n")).error,
              HasSubstr("several values"));
}

TEST_P(EngineTest, ZombiesAreFenced) {
  caller().handlers["s.a"] = testing::Answer("1");
  const std::string id =
      engine->Start(engine->Store("name: t\nsteps:\n  - {id: w, wait: {seconds: 30}}\n"));
  RunRow run = engine->WaitForState(id, {"waiting"});
  RunCommit commit;
  commit.run_id = id;
  commit.owner = run.owner;
  commit.epoch = run.epoch - 1;
  commit.state = "completed";
  const auto results = engine->store().Apply({commit});
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_FALSE(results->at(0).ok());
  EXPECT_EQ(engine->Get(id).state, "waiting");
}

}  // namespace
}  // namespace metamcp::workflow::testing
