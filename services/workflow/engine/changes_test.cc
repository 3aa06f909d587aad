// Runs that are run again, changed, tried out and explained.
#include "services/workflow/engine/changes.h"

#include <gmock/gmock.h>

#include "services/workflow/engine/engine_fixture.h"
#include "services/workflow/engine/explain.h"

namespace metamcp::workflow::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Document(const std::string& name, const std::string& tasks) {
  return StrCat("document: {dsl: '1.0.3', namespace: default, name: ", name,
                ", version: '1.0.0'}\ndo:\n", tasks);
}

class ChangesTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    engine = std::make_unique<EngineFixture>(GetParam());
    if (!engine->usable()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
    for (const char* tool : {"s.a", "s.b", "s.c", "s.d"}) {
      caller().handlers[tool] = Answer(R"({"n":1})");
    }
  }
  FakeCaller& caller() { return engine->caller(); }
  std::vector<std::string> Called() {
    std::vector<std::string> out;
    for (const auto& call : caller().calls) out.push_back(call.tool);
    return out;
  }
  std::vector<StepRow> Rows(const std::string& id) { return *engine->store().Steps(id); }
  absl::Status RetryFrom(const std::string& id, const std::string& step) {
    const std::vector<StepRow> rows = Rows(id);
    const auto path = FindStep(rows, step);
    if (!path.ok()) return path.status();
    const auto again = RowsFrom(rows, *path);
    if (!again.ok()) return again.status();
    const absl::Status status =
        engine->store().RetryFrom("default", id, *again, engine->Get(id).event_seq, NowMicros());
    engine->engine().LookNow();
    return status;
  }
  std::vector<StepExplanation> Explained(const std::string& id) {
    const RunRow run = engine->Get(id);
    const auto row = engine->store().GetDefinition("default", "default", run.name, run.version);
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(row->document, Limits(), &problems);
    return ExplainSteps(*definition, run, Rows(id));
  }
  std::unique_ptr<EngineFixture> engine;
};

INSTANTIATE_TEST_SUITE_P(Backends, ChangesTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

constexpr char kFour[] =
    "name: t\nsteps:\n  - {id: a, tool: s.a}\n"
    "  - {id: b, tool: s.b, dependsOn: a, arguments: {n: '${steps.a.n}'}}\n"
    "  - {id: c, tool: s.c, dependsOn: a}\n"
    "  - {id: d, tool: s.d, arguments: {n: '${steps.b.n}', m: '${steps.c.n}'}}\n";

TEST_P(ChangesTest, ARetryFromAStepRepeatsItAndWhatFollows) {
  RecordProperty("req", "M-AC-5.4.2, M-P3");
  const RunRow run = engine->Run(kFour);
  ASSERT_EQ(run.state, "completed") << run.error;
  ASSERT_EQ(caller().calls.size(), 4u);
  const std::string before = caller().calls[3].key;
  caller().handlers["s.b"] = Answer(R"({"n":7})");
  ASSERT_TRUE(RetryFrom(run.id, "b").ok());
  const RunRow again = engine->WaitForEnd(run.id);
  EXPECT_EQ(again.state, "completed") << again.error;
  // c is beside b, not after it.
  std::vector<std::string> called = Called();
  called.erase(called.begin(), called.begin() + 4);
  EXPECT_THAT(called, ElementsAre("s.b", "s.d"));
  EXPECT_EQ(caller().calls.back().arguments, R"({"n":7,"m":1})");
  EXPECT_NE(caller().calls.back().key, before) << "it is meant to happen again";
  EXPECT_THAT(again.output, HasSubstr(R"("b":{"n":7})"));
  EXPECT_FALSE(RetryFrom(run.id, "nothing").ok());
}

TEST_P(ChangesTest, ARetryFromARoundOfALoopRepeatsTheRoundsBehindIt) {
  const std::string name = engine->Store(
      Document("t",
               "  - each:\n      for: {each: i, in: '${ [0, 1, 2] }'}\n      do:\n"
               "        - a: {call: s.a@mcp, with: {i: '${ $i }'}}\n  - b: {call: s.b@mcp}\n"));
  const std::string id = engine->WaitForEnd(engine->Start(name)).id;
  ASSERT_TRUE(RetryFrom(id, "/do/0/each[1]/do/0/a").ok());
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  ASSERT_EQ(caller().calls.size(), 7u);
  EXPECT_EQ(caller().calls[4].arguments, R"({"i":1})");
  EXPECT_EQ(caller().calls[5].arguments, R"({"i":2})");
}

TEST_P(ChangesTest, AnApprovalIsAskedForAgain) {
  const std::string id =
      engine->Start(engine->Store("name: t\nsteps:\n  - {id: ok, approval: {title: Sure}}\n  - "
                                  "{id: a, tool: s.a, dependsOn: ok}\n"));
  const auto approve = [&] {
    engine->WaitForState(id, {"waiting"});
    DecisionRow row;
    row.path = "/do/0/ok#approval";
    row.attempt = engine->Steps(id)[row.path].attempt;
    row.decision = R"({"action":"approve"})";
    EXPECT_TRUE(engine->store().Decide("default", id, row, "tester", NowMicros()).ok());
    engine->engine().LookNow();
    EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  };
  approve();
  ASSERT_TRUE(RetryFrom(id, "ok").ok());
  approve();
  EXPECT_EQ(caller().Count("s.a"), 2u);
}

TEST_P(ChangesTest, AResultCanBePutInThePlaceOfAnother) {
  RecordProperty("req", "M-AC-5.4.2, M-MIT-3");
  caller().handlers["s.d"] = Failing("the number is too small");
  const RunRow run = engine->Run(kFour);
  ASSERT_EQ(run.state, "failed");
  const std::vector<StepRow> rows = Rows(run.id);
  const std::string path = *FindStep(rows, "b");
  SqlStore::Edit edit;
  edit.again = *RowsFrom(rows, path);
  std::erase_if(edit.again, [&](const StepKey& key) { return key.path == path; });
  edit.step = StepKey{path, 1};
  edit.output = AsToolResult(R"({"n":40})");
  edit.event = "{}";
  ASSERT_TRUE(engine->store().EditRun("default", run.id, edit, run.event_seq, NowMicros()).ok());
  EXPECT_FALSE(engine->store().EditRun("default", run.id, edit, run.event_seq, NowMicros()).ok())
      << "it has changed since";
  caller().handlers["s.d"] = Answer("1");
  ASSERT_TRUE(engine->store().Retry("default", run.id, NowMicros()).ok());
  engine->engine().LookNow();
  EXPECT_EQ(engine->WaitForEnd(run.id).state, "completed");
  EXPECT_EQ(caller().Count("s.b"), 1u);
  EXPECT_EQ(caller().calls.back().arguments, R"({"n":40,"m":1})");
}

TEST_P(ChangesTest, ArgumentsOfAStepToComeCanBeChanged) {
  caller().handlers["s.d"] = Failing("no");
  const RunRow run = engine->Run(kFour);
  ASSERT_EQ(run.state, "failed");
  ASSERT_TRUE(engine->store()
                  .EditArguments("default", run.id, *FindStep(Rows(run.id), "d") + "#edit",
                                 R"({"action":"edit","arguments":{"n":5}})", "tester", NowMicros())
                  .ok());
  caller().handlers["s.d"] = Answer("1");
  ASSERT_TRUE(engine->store().Retry("default", run.id, NowMicros()).ok());
  engine->engine().LookNow();
  EXPECT_EQ(engine->WaitForEnd(run.id).state, "completed");
  EXPECT_EQ(caller().calls.back().arguments, R"({"n":5})");
}

TEST_P(ChangesTest, ARunGoesOnWithAnotherVersionThatHasWhatHappened) {
  RecordProperty("req", "M-P3");
  caller().handlers["s.b"] = Failing("no");
  const RunRow run = engine->Run(
      "name: t\nversion: 1.0.0\nsteps:\n  - {id: a, tool: s.a}\n"
      "  - {id: b, tool: s.b, dependsOn: a}\n");
  ASSERT_EQ(run.state, "failed");
  const auto read = [](const std::string& source) {
    std::vector<Problem> problems;
    return ReadDefinition(source, Limits(), &problems);
  };
  const std::string other = "name: t\nversion: 2.0.0\nsteps:\n  - {id: x, tool: s.a}\n";
  EXPECT_THAT(std::string(CheckFits(*read(other), Rows(run.id)).message()), HasSubstr("/do/0/a"));
  const std::string mended =
      "name: t\nversion: 3.0.0\nsteps:\n  - {id: a, tool: s.a}\n"
      "  - {id: b, tool: s.b, dependsOn: a, arguments: {better: true}}\n"
      "  - {id: c, tool: s.c, dependsOn: b}\n";
  ASSERT_TRUE(CheckFits(*read(mended), Rows(run.id)).ok());
  engine->Store(mended);
  SqlStore::Edit edit;
  edit.version = "3.0.0";
  edit.event = "{}";
  ASSERT_TRUE(engine->store().EditRun("default", run.id, edit, run.event_seq, NowMicros()).ok());
  caller().handlers["s.b"] = Answer("1");
  ASSERT_TRUE(engine->store().Retry("default", run.id, NowMicros()).ok());
  engine->engine().LookNow();
  const RunRow ended = engine->WaitForEnd(run.id);
  EXPECT_EQ(ended.state, "completed") << ended.error;
  EXPECT_EQ(ended.version, "3.0.0");
  EXPECT_THAT(Called(), ElementsAre("s.a", "s.b", "s.b", "s.c"));
  EXPECT_EQ(caller().calls[2].arguments, R"({"better":true})");
}

TEST_P(ChangesTest, ARunThatIsAtWorkIsNotChanged) {
  const std::string id =
      engine->Start(engine->Store("name: t\nsteps:\n  - {id: w, wait: PT60S}\n"));
  const RunRow run = engine->WaitForState(id, {"waiting"});
  SqlStore::Edit edit;
  edit.version = run.version;
  edit.event = "{}";
  const absl::Status status =
      engine->store().EditRun("default", id, edit, run.event_seq, NowMicros());
  EXPECT_THAT(std::string(status.message()), HasSubstr("pause it first"));
}

TEST_P(ChangesTest, ADryRunChangesNothing) {
  RecordProperty("req", "M-P3");
  caller().reads.insert("s.a");
  caller().samples["s.b"] = R"({"n":3})";
  Engine::NewRun run;
  run.name = engine->Store(
      "name: t\nsteps:\n  - {id: a, tool: s.a}\n"
      "  - {id: b, tool: s.b, dependsOn: a, arguments: {n: '${steps.a.n}'}}\n"
      "  - {id: ok, approval: {title: Sure}, dependsOn: b}\n"
      "  - {id: w, wait: PT60S, dependsOn: ok}\n"
      "  - {id: c, tool: s.c, arguments: {n: '${steps.b.n}'}, dependsOn: w}\n");
  run.mode = run_mode::kReads;
  const RunRow ended = engine->WaitForEnd(engine->TryStart(run)->id);
  EXPECT_EQ(ended.state, "completed") << ended.error;
  EXPECT_THAT(Called(), ElementsAre("s.a"));
  auto steps = engine->Steps(ended.id);
  EXPECT_EQ(steps["/do/1/b"].arguments, R"({"n":1})");
  EXPECT_EQ(steps["/do/1/b"].detail, R"({"dryRun":"simulated"})");
  EXPECT_EQ(steps["/do/4/c"].arguments, R"({"n":3})");
  run.mode = run_mode::kNothing;
  EXPECT_EQ(engine->WaitForEnd(engine->TryStart(run)->id).state, "completed");
  EXPECT_THAT(Called(), ElementsAre("s.a"));
  const auto figures = engine->store().Figures("default", "default", "t", 0);
  ASSERT_TRUE(figures.ok()) << figures.status();
  EXPECT_TRUE(figures->by_state.empty()) << "dry runs do not count";
}

TEST_P(ChangesTest, StepsAreExplained) {
  RecordProperty("req", "M-UJ-A3.u4, M-FR-006.5, M-AC-5.4.1");
  caller().handlers["s.b"] = Failing("no such file");
  const std::string id = engine->Start(
      engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a}\n"
                    "  - {id: skip, tool: s.c, if: '${steps.a.n > 5}', dependsOn: a}\n"
                    "  - {id: b, tool: s.b, arguments: {n: '${steps.a.n}'}, dependsOn: skip}\n"
                    "  - {id: d, tool: s.d, dependsOn: b}\n"));
  ASSERT_EQ(engine->WaitForEnd(id).state, "failed");
  std::map<std::string, StepExplanation> by_name;
  for (StepExplanation& one : Explained(id)) by_name[one.name] = one;
  EXPECT_EQ(by_name["a"].state, "done");
  EXPECT_THAT(by_name["a"].outcome, HasSubstr("gave"));
  EXPECT_EQ(by_name["skip"].state, "skipped");
  EXPECT_THAT(by_name["skip"].why, HasSubstr("does not hold"));
  EXPECT_THAT(by_name["skip"].uses, ElementsAre("a"));
  EXPECT_THAT(by_name["b"].why, HasSubstr("after \"skip\""));
  EXPECT_EQ(by_name["b"].arguments, R"({"n":1})");
  EXPECT_THAT(by_name["b"].outcome, HasSubstr("no such file"));
  EXPECT_EQ(by_name["d"].state, "not-reached");
  EXPECT_THAT(by_name["d"].why, HasSubstr("failed before"));
  EXPECT_THAT(ExplainRun(engine->Get(id), Rows(id)), HasSubstr("1 failed"));
  const std::string json = ResultJson(engine->Get(id), Rows(id));
  EXPECT_TRUE(json::ParseJson(json).ok()) << json;
  EXPECT_THAT(json, HasSubstr(R"("tool":"s.b")"));
  EXPECT_THAT(ResultText(engine->Get(id), Rows(id), true), HasSubstr("| b | s.b | failed |"));
}

TEST_P(ChangesTest, FiguresTellHowRunsWent) {
  RecordProperty("req", "M-NFR-002.2");
  const std::string name = engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a}\n");
  for (int i = 0; i < 3; ++i) engine->WaitForEnd(engine->Start(name));
  caller().handlers["s.a"] = Failing("no");
  engine->WaitForEnd(engine->Start(name));
  const auto figures = engine->store().Figures("default", "default", "t", 0);
  ASSERT_TRUE(figures.ok()) << figures.status();
  EXPECT_EQ(figures->by_state.at("completed"), 3);
  EXPECT_EQ(figures->by_state.at("failed"), 1);
  EXPECT_EQ(figures->completed_us.size(), 3u);
  ASSERT_EQ(figures->steps.size(), 1u);
  EXPECT_EQ(figures->steps[0].tool, "s.a");
  EXPECT_EQ(figures->steps[0].done, 3);
  EXPECT_EQ(figures->steps[0].failed, 1);
  EXPECT_TRUE(
      engine->store().Figures("default", "default", "t", NowMicros() + 1)->by_state.empty());
}

}  // namespace
}  // namespace metamcp::workflow::testing
