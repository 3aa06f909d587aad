// What durability means where things go wrong: lost answers, lost leases, keys, children, limits.
#include <gmock/gmock.h>

#include "services/workflow/engine/engine_fixture.h"
#include "services/workflow/engine/paths.h"

namespace metamcp::workflow::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Document(const std::string& name, const std::string& tasks) {
  return StrCat("document: {dsl: '1.0.3', namespace: default, name: ", name,
                ", version: '1.0.0'}\ndo:\n", tasks);
}

FakeCaller::Handler Refusing(std::string reason) {
  return [reason](const FakeCaller::Call&) -> absl::StatusOr<ToolResult> {
    return MakeError(reason, "upstream:s", "it went wrong");
  };
}

class DurableTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    engine = std::make_unique<EngineFixture>(GetParam());
    if (!engine->usable()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
  }
  FakeCaller& caller() { return engine->caller(); }
  std::vector<std::string> Keys() {
    std::vector<std::string> out;
    for (const auto& call : caller().calls) out.push_back(call.key);
    return out;
  }
  absl::Status Decide(const std::string& id, const std::string& path, const std::string& decision) {
    DecisionRow row;
    row.path = path;
    row.attempt = engine->Steps(id)[path].attempt;
    row.decision = decision;
    const absl::Status status = engine->store().Decide("default", id, row, "tester", NowMicros());
    engine->engine().LookNow();
    return status;
  }
  void Retry(const std::string& id) {
    const absl::Status status = engine->store().Retry("default", id, NowMicros());
    EXPECT_TRUE(status.ok()) << status;
    engine->engine().LookNow();
  }
  int64_t Count(const std::string& table, const std::string& where = "1 = 1") {
    const auto rows = engine->database().Read([&](db::Transaction& tx) {
      return tx.QueryOne(StrCat("SELECT COUNT(*) AS n FROM ", table, " WHERE ", where));
    });
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? *rows->Get<int64_t>("n") : -1;
  }
  void Write(const std::string& sql, const db::Params& params) {
    const db::TransactOptions options;
    const absl::Status status = engine->database().Transact(
        options, [&](db::Transaction& tx) { return tx.Execute(sql, params).status(); });
    EXPECT_TRUE(status.ok()) << status;
  }
  std::unique_ptr<EngineFixture> engine;
};

INSTANTIATE_TEST_SUITE_P(Backends, DurableTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

TEST_P(DurableTest, WhatWasClaimedAndNeverHeardOfIsGivenBack) {
  RecordProperty("req", "A-P4.2, M-FR-015");
  caller().handlers["s.a"] = Answer("1");
  const std::string name = engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a}\n");
  const std::string other =
      engine->Start(engine->Store("name: u\nsteps:\n  - {id: w, wait: PT60S}\n"));
  const RunRow waiting = engine->WaitForState(other, {"waiting"});
  // As after a claim that the database has and whose answer was lost.
  Engine::NewRun run;
  run.name = name;
  const auto created = engine->TryStart(run);
  ASSERT_TRUE(created.ok());
  engine->WaitForEnd(created->id);
  Write(
      "UPDATE workflow_runs SET ended_us = 0, state = 'pending', owner = :owner, epoch = epoch + "
      "1, due_us = :now WHERE id = :id",
      {{"owner", waiting.owner}, {"now", NowMicros()}, {"id", created->id}});
  EXPECT_EQ(engine->WaitForEnd(created->id).state, "completed");
  EXPECT_EQ(engine->Get(other).owner, waiting.owner) << "what is worked on stays";
}

TEST_P(DurableTest, AnAttemptAfterAnUnknownOutcomeCarriesItsKey) {
  RecordProperty("req", "M-P3");
  caller().repeatable.insert("s.a");
  caller().handlers["s.a"] = Refusing("UPSTREAM_LOST");
  const std::string id = engine->Start(engine->Store(
      Document("t",
               "  - t:\n      try:\n        - a: {call: s.a@mcp}\n      catch:\n        retry:\n"
               "          delay: {milliseconds: 1}\n          limit: {attempt: {count: 2}}\n")));
  engine->WaitForEnd(id);
  // Two rounds of `try` with four attempts each, then four more by a person.
  ASSERT_THAT(caller().calls, SizeIs(8));
  Retry(id);
  engine->WaitForEnd(id);
  EXPECT_GT(caller().calls.size(), 8u);
  EXPECT_THAT(Keys(), Each(Keys().front()));
}

TEST_P(DurableTest, AnAttemptAfterADefiniteFailureHasAnotherKey) {
  caller().handlers["s.a"] = Failing("no");
  const std::string id = engine->Start(engine->Store(
      Document("t",
               "  - t:\n      try:\n        - a: {call: s.a@mcp}\n      catch:\n        retry:\n"
               "          delay: {milliseconds: 1}\n          limit: {attempt: {count: 3}}\n")));
  EXPECT_EQ(engine->WaitForEnd(id).state, "failed");
  const std::vector<std::string> keys = Keys();
  EXPECT_EQ(std::set<std::string>(keys.begin(), keys.end()).size(), 3u);
}

TEST_P(DurableTest, ACallThatTookTooLongIsTriedAgainWithItsKey) {
  caller().delay = std::chrono::milliseconds(3000);
  caller().handlers["s.a"] = Answer("1");
  const std::string id = engine->Start(engine->Store(Document(
      "t",
      "  - t:\n      try:\n        - a: {call: s.a@mcp, timeout: {after: {milliseconds: 50}}}\n"
      "      catch:\n        retry:\n          delay: {milliseconds: 1}\n"
      "          limit: {attempt: {count: 2}}\n")));
  EXPECT_EQ(engine->WaitForEnd(id).state, "failed");
  ASSERT_THAT(caller().calls, SizeIs(2));
  EXPECT_EQ(Keys()[0], Keys()[1]);
}

TEST_P(DurableTest, ARetryAsksBeforeItRepeatsWhatWasCutOff) {
  RecordProperty("req", "M-P3");
  caller().delay = std::chrono::milliseconds(5000);
  caller().handlers["s.a"] = Answer("1");
  const std::string id = engine->Start(engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a}\n"));
  engine->TurnUntil([&] { return caller().calls.size() == 1; });
  ASSERT_TRUE(engine->store().SetControl("default", id, kCancel, 0, NowMicros()).ok());
  engine->engine().LookNow();
  ASSERT_EQ(engine->WaitForEnd(id).state, "cancelled");
  caller().delay = std::chrono::milliseconds(0);
  Retry(id);
  engine->WaitForState(id, {"needs-decision"});
  EXPECT_THAT(caller().calls, SizeIs(1));
  ASSERT_TRUE(Decide(id, "/do/0/a#decision", R"({"action":"retry"})").ok());
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  ASSERT_THAT(caller().calls, SizeIs(2));
  EXPECT_EQ(Keys()[0], Keys()[1]);
}

TEST_P(DurableTest, ADecisionMayNameOtherArguments) {
  RecordProperty("req", "M-P3");
  int calls = 0;
  caller().handlers["s.a"] = [&calls](const FakeCaller::Call& call) -> absl::StatusOr<ToolResult> {
    if (++calls == 1) return MakeError("UPSTREAM_LOST", "upstream:s", "gone");
    return Answer("1")(call);
  };
  const std::string id =
      engine->Start(engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a, arguments: {n: 1}}\n"));
  engine->WaitForState(id, {"needs-decision"});
  EXPECT_THAT(engine->Steps(id)["/do/0/a#decision"].detail, HasSubstr(R"("arguments":{"n":1})"));
  ASSERT_TRUE(Decide(id, "/do/0/a#decision", R"({"action":"edit","arguments":{"n":2}})").ok());
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  ASSERT_THAT(caller().calls, SizeIs(2));
  EXPECT_EQ(caller().calls[1].arguments, R"({"n":2})");
  EXPECT_NE(Keys()[0], Keys()[1]) << "another effect";
}

TEST_P(DurableTest, CancellingReachesTheRunsBelow) {
  RecordProperty("req", "A-P4.1");
  engine->Store(Document("leaf", "  - w: {wait: {seconds: 60}}\n"));
  engine->Store(Document("middle",
                         "  - c: {run: {workflow: {namespace: default, name: leaf, version: "
                         "'1.0.0'}}}\n"));
  const std::string id = engine->Start(engine->Store(
      Document("top",
               "  - c: {run: {workflow: {namespace: default, name: middle, version: '1.0.0'}}}\n"
               "  - d: {run: {workflow: {namespace: default, name: leaf, version: '1.0.0'}, await: "
               "false}}\n")));
  engine->TurnUntil([&] { return Count("workflow_runs", "state = 'waiting'") == 3; });
  ASSERT_TRUE(engine->store().SetControl("default", id, kCancel, 0, NowMicros()).ok());
  engine->engine().LookNow();
  engine->TurnUntil([&] { return Count("workflow_runs", "state = 'cancelled'") == 3; });
}

TEST_P(DurableTest, ATimeLimitEndsTheRunThatWasWaitedFor) {
  engine->Store(Document("leaf", "  - w: {wait: {seconds: 60}}\n"));
  const RunRow run = engine->Run(
      Document("top",
               "  - t:\n      try:\n        - c:\n            run: {workflow: {namespace: default, "
               "name: leaf, version: '1.0.0'}}\n            timeout: {after: {milliseconds: 100}}\n"
               "      catch: {}\n"));
  EXPECT_EQ(run.state, "completed") << run.error;
  engine->TurnUntil([&] { return Count("workflow_runs", "state = 'cancelled'") == 1; });
}

TEST_P(DurableTest, ARetryStartsTheFailedRunBelowAnew) {
  caller().handlers["s.a"] = Failing("not yet");
  engine->Store(Document("leaf", "  - a: {call: s.a@mcp}\n"));
  const std::string id = engine->Start(engine->Store(Document(
      "top", "  - c: {run: {workflow: {namespace: default, name: leaf, version: '1.0.0'}}}\n")));
  ASSERT_EQ(engine->WaitForEnd(id).state, "failed");
  caller().handlers["s.a"] = Answer("1");
  Retry(id);
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
}

TEST_P(DurableTest, ARunThatCallsItselfEnds) {
  const RunRow run = engine->Run(
      Document("t", "  - c: {run: {workflow: {namespace: default, name: t, version: '1.0.0'}}}\n"));
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("calls itself"));
  EXPECT_LE(Count("workflow_runs"), 9);
}

TEST_P(DurableTest, ListenersRestAndMissNothing) {
  RecordProperty("req", "A-P4.2");
  const std::string listener = engine->Store(Document(
      "l", "  - l: {listen: {to: {all: [{with: {type: t.one}}, {with: {type: t.two}}]}}}\n"));
  const std::string id = engine->Start(listener);
  engine->WaitForState(id, {"waiting"});
  engine->TurnUntil([&] { return engine->Get(id).owner.empty() && !engine->engine().Holds(id); });
  const auto emit = [&](const std::string& type) {
    engine->Run(Document(StrCat("e-", type.substr(2)),
                         StrCat("  - e: {emit: {event: {with: {source: x, type: ", type,
                                ", data: ", type, "}}}}\n")));
  };
  emit("t.other");
  engine->Turn(std::chrono::milliseconds(200));
  EXPECT_TRUE(engine->Get(id).owner.empty()) << "nobody is woken by what he does not wait for";
  emit("t.one");
  engine->TurnUntil([&] {
    return engine->Get(id).owner.empty() &&
           engine->Steps(id)["/do/0/l#listen"].detail.find("t.one") != std::string::npos;
  });
  engine->Restart();
  emit("t.two");
  EXPECT_EQ(engine->WaitForEnd(id).output, R"(["t.one","t.two"])");
}

TEST_P(DurableTest, TimersGoOnWhileNobodyIsThere) {
  RecordProperty("req", "M-FR-006.2");
  const int64_t began = NowMicros();
  const std::string id =
      engine->Start(engine->Store(Document("t", "  - w: {wait: {milliseconds: 400}}\n")));
  engine->WaitForState(id, {"waiting"});
  const int64_t due = engine->Steps(id)["/do/0/w#wait"].due_us;
  engine->Close();
  engine->Turn(std::chrono::milliseconds(500));
  engine->Open();
  EXPECT_EQ(engine->WaitForEnd(id).state, "completed");
  EXPECT_EQ(engine->Steps(id)["/do/0/w#wait"].due_us, due) << "it does not begin anew";
  EXPECT_LE(due, began + 10'000'000);
}

TEST_P(DurableTest, ATimeLimitBeginsAnewWithARetry) {
  const std::string id =
      engine->Start(engine->Store(StrCat(Document("t", "  - w: {wait: {milliseconds: 300}}\n"),
                                         "timeout: {after: {milliseconds: "
                                         "100}}\n")));
  ASSERT_EQ(engine->WaitForEnd(id).state, "failed");
  const RunRow before = engine->Get(id);
  EXPECT_EQ(before.began_us, before.created_us);
  Retry(id);
  EXPECT_GT(engine->Get(id).began_us, before.created_us);
}

TEST_P(DurableTest, BranchesWithOddNamesAreUndoneToo) {
  RecordProperty("req", "M-FR-006.3");
  for (const char* tool : {"s.a", "u.a"}) caller().handlers[tool] = Answer("1");
  caller().handlers["s.b"] = Failing("bad");
  const RunRow run = engine->Run(
      Document("t",
               "  - f:\n      fork:\n        branches:\n"
               "          - \"a/1~x\":\n              call: s.a@mcp\n              metadata:\n"
               "                compensate: [{undo: {call: u.a@mcp}}]\n"
               "  - b: {call: s.b@mcp, metadata: {onError: rollback}}\n"));
  EXPECT_EQ(run.state, "rolled-back") << run.error;
  EXPECT_EQ(caller().Count("u.a"), 1u);
}

TEST_P(DurableTest, ContextsOfTwoHundredThousandMembersAreMerged) {
  RecordProperty("req", "M-P3");
  const RunRow run = engine->Run(Document(
      "t",
      "  - s:\n      set: '${ [range(200000)] | map({(\"k\\(.)\"): .}) | add }'\n"
      "      export: {as: '${ . }'}\n"
      "  - f:\n      fork:\n        branches:\n"
      "          - a: {set: {x: 1}, export: {as: '${ $context + {a: 1} }'}}\n"
      "          - b: {set: {x: 2}, export: {as: '${ $context + {b: 2, k7: 0} }'}}\n"
      "      output: {as: '${ [$context.a, $context.b, $context.k7, ($context | length)] }'}\n"));
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(run.output, "[1,2,0,200002]");
}

TEST_P(DurableTest, EndedRunsGoWithAllThatBelongsToThem) {
  caller().handlers["s.a"] = Answer(StrCat("\"", std::string(20'000, 'x'), "\""));
  const std::string name = engine->Store("name: t\nsteps:\n  - {id: a, tool: s.a}\n");
  const std::string old = engine->WaitForEnd(engine->Start(name)).id;
  const std::string kept =
      engine->Start(engine->Store("name: u\nsteps:\n  - {id: w, wait: PT60S}\n"));
  engine->WaitForState(kept, {"waiting"});
  ASSERT_GT(Count("workflow_values"), 0);
  auto none = engine->store().Prune(NowMicros() - 3'600'000'000, 10);
  EXPECT_EQ(*none, 0);
  EXPECT_EQ(engine->Get(old).state, "completed");
  auto pruned = engine->store().Prune(NowMicros(), 10);
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(*pruned, 1);
  EXPECT_FALSE(engine->store().GetRun("default", old).ok());
  EXPECT_EQ(Count("workflow_values"), 0);
  EXPECT_EQ(Count("workflow_steps", StrCat("run_id = '", old, "'")), 0);
  EXPECT_EQ(engine->Get(kept).state, "waiting");
}

TEST_P(DurableTest, OnePrincipalHasSoManyRuns) {
  engine->tune = [](EngineOptions& options) { options.runs_per_principal_max = 2; };
  engine->Restart();
  Engine::NewRun run;
  run.name = engine->Store("name: t\nsteps:\n  - {id: w, wait: PT60S}\n");
  ASSERT_TRUE(engine->TryStart(run).ok());
  ASSERT_TRUE(engine->TryStart(run).ok());
  const auto third = engine->TryStart(run);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(GetErrorInfo(third.status())->reason, "RUN_LIMIT");
  run.principal = R"({"subject":"another"})";
  EXPECT_TRUE(engine->TryStart(run).ok());
}

TEST_P(DurableTest, ARunKeepsSoMuchData) {
  engine->tune = [](EngineOptions& options) { options.limits.run_bytes_max = 100'000; };
  engine->Restart();
  const RunRow run =
      engine->Run(Document("t",
                           "  - f:\n      for: {each: i, in: '${ [range(20)] }'}\n      do:\n"
                           "        - s: {set: {x: '${ \"y\" * 9000 + ($i | tostring) }'}}\n"));
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("Too much data"));
}

TEST(Paths, SayWhatTheyStandFor) {
  EXPECT_EQ(EscapePart("a/b~c"), "a~1b~0c");
  EXPECT_EQ(PlainPath("/do/2/each[7]/do/0/try#2/0/save@3"), "/do/2/each[7]/do/0/try/0/save");
  EXPECT_EQ(PlaceOf("/do/2/each[7]/do/0/try#2/0/save@3"), "/do/2/each/do/0/try/0/save");
  EXPECT_EQ(EffectOf("/do/0/t/try#12/0/a@2"), "/do/0/t/try/0/a@2");
  EXPECT_TRUE(IsMark("/do/0/a#decision"));
  EXPECT_FALSE(IsMark("/do/0/t/try#2/0/a"));
  EXPECT_TRUE(IsBelow("/do/0/a/do/1/b", "/do/0/a"));
  EXPECT_TRUE(IsBelow("/do/0/a[3]/do/1/b", "/do/0/a"));
  EXPECT_FALSE(IsBelow("/do/0/ab", "/do/0/a"));
}

}  // namespace
}  // namespace metamcp::workflow::testing
