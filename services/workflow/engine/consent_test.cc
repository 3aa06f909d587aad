// Steps whose call the policy wants a person to allow: a run waits for it, whatever happens
// meanwhile, and what was allowed once is done once.
#include <gmock/gmock.h>

#include "services/workflow/engine/engine_fixture.h"

namespace metamcp::workflow::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kSteps[] =
    "name: t\nsteps:\n  - {id: w, tool: s.write, arguments: {path: a}}\n"
    "  - {id: after, tool: s.read, dependsOn: w}\n";
constexpr char kQuestion[] = "/do/0/w#consent";

class ConsentTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    engine_ = std::make_unique<EngineFixture>(GetParam());
    if (!engine_->usable()) GTEST_SKIP() << "no PostgreSQL here";
    FakeCaller& caller = engine_->caller();
    caller.handlers["s.write"] = caller.Asking(Answer(R"({"written":true})"));
    caller.handlers["s.read"] = Answer(R"({"n":1})");
    caller.repeatable.insert("s.read");
  }
  std::string Waiting(const std::string& source = kSteps) {
    const std::string id = engine_->Start(engine_->Store(source));
    engine_->WaitForState(id, {"waiting"});
    return id;
  }
  // As the face does it for who answers there.
  absl::Status Decide(const std::string& id, bool approve, int64_t attempt = 1,
                      const std::string& path = kQuestion) {
    DecisionRow answer;
    answer.path = path;
    answer.attempt = attempt;
    answer.decision = StrCat("{\"action\":\"", approve ? "approve" : "deny", "\",\"by\":\"ada\"}");
    std::optional<absl::Status> status;
    boost::asio::co_spawn(engine_->io(), Deciding(&engine_->engine(), id, answer, &status),
                          boost::asio::detached);
    engine_->TurnUntil([&] { return status.has_value(); });
    return *status;
  }
  static Awaitable<void> Deciding(Engine* engine, std::string id, DecisionRow answer,
                                  std::optional<absl::Status>* out) {
    auto who = std::make_shared<Principal>();
    who->subject = "ada";
    const CallContext ctx(who, CallContext::Clock::now() + std::chrono::seconds(10));
    auto deciding = engine->consents().Decide(ctx, id, answer);
    *out = co_await std::move(deciding);
  }
  // As `meta-mcp approve` does it: runs hear of it later.
  void DecideElsewhere(const std::string& state, const std::string& id = "approval-1") {
    engine_->caller().approvals[id].info.state = state;
    engine_->caller().approvals[id].info.decided_by = "boss";
  }
  std::string Error(const RunRow& run) { return run.error; }

  std::unique_ptr<EngineFixture> engine_;
};

INSTANTIATE_TEST_SUITE_P(Backends, ConsentTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

TEST_P(ConsentTest, TheRunWaitsAndShowsWhatFor) {
  RecordProperty("req", "M-FR-007.2 M-AC-5.5.2");
  const std::string id = Waiting();
  const auto pending = engine_->store().Pending(id);
  ASSERT_TRUE(pending.ok());
  ASSERT_EQ(pending->size(), 1u);
  const StepRow& question = pending->front();
  EXPECT_EQ(question.kind, "consent");
  EXPECT_EQ(question.path, kQuestion);
  for (const char* text : {"s.write", "path", "Files are precious.", "approval-1", "ask"}) {
    EXPECT_THAT(question.detail, HasSubstr(text));
  }
  EXPECT_EQ(engine_->caller().allowed, 0);
  ASSERT_TRUE(Decide(id, true).ok());
  const RunRow run = engine_->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(engine_->caller().allowed, 1);
  EXPECT_EQ(engine_->caller().approvals["approval-1"].info.state, "used");
  EXPECT_EQ(engine_->caller().approvals.size(), 1u);
}

TEST_P(ConsentTest, WhatIsDecidedElsewhereIsHeardOf) {
  const std::string id = Waiting();
  DecideElsewhere("approved");
  const RunRow run = engine_->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  const auto decisions = engine_->store().Decisions(id);
  ASSERT_EQ(decisions->size(), 1u);
  EXPECT_THAT(decisions->front().decision, HasSubstr("boss"));
}

TEST_P(ConsentTest, ADenialIsTheStepsError) {
  for (const bool here : {true, false}) {
    const std::string id = Waiting();
    if (here) {
      ASSERT_TRUE(Decide(id, false).ok());
    } else {
      DecideElsewhere("denied", "approval-2");
    }
    const RunRow run = engine_->WaitForEnd(id);
    EXPECT_EQ(run.state, "failed");
    EXPECT_THAT(run.error, HasSubstr("Not approved"));
    EXPECT_THAT(run.error, HasSubstr(here ? "denied by ada" : "denied by boss"));
  }
  EXPECT_EQ(engine_->caller().allowed, 0);
  // Told once: the next one is asked anew.
  const std::string id = Waiting();
  ASSERT_TRUE(Decide(id, true).ok());
  EXPECT_EQ(engine_->WaitForEnd(id).state, "completed");
  EXPECT_EQ(engine_->caller().allowed, 1);
}

TEST_P(ConsentTest, TheStepsErrorPolicyAppliesToADenial) {
  const std::string id = Waiting(
      "name: t\nsteps:\n  - {id: w, tool: s.write, arguments: {path: a}, onError: continue}\n"
      "  - {id: after, tool: s.read, dependsOn: w}\n");
  const auto pending = engine_->store().Pending(id);
  ASSERT_EQ(pending->size(), 1u);
  ASSERT_TRUE(Decide(id, false, 1, pending->front().path).ok());
  const RunRow run = engine_->WaitForEnd(id);
  EXPECT_EQ(run.state, "completed") << run.error;
  EXPECT_EQ(engine_->caller().Count("s.read"), 1u);
}

TEST_P(ConsentTest, ARetryAfterADenialAsksAgain) {
  const std::string id = Waiting();
  ASSERT_TRUE(Decide(id, false).ok());
  engine_->WaitForEnd(id);
  ASSERT_TRUE(engine_->store().Retry("default", id, NowMicros()).ok());
  engine_->engine().LookNow();
  engine_->TurnUntil([&] { return engine_->store().Pending(id)->size() == 1; });
  const auto pending = engine_->store().Pending(id);
  EXPECT_GT(pending->front().attempt, 1);
  ASSERT_TRUE(Decide(id, true, pending->front().attempt).ok());
  EXPECT_EQ(engine_->WaitForEnd(id).state, "completed");
  EXPECT_EQ(engine_->caller().allowed, 1);
}

TEST_P(ConsentTest, ItExpires) {
  engine_->caller().approval_us = 1;
  const std::string id = Waiting();
  const RunRow run = engine_->WaitForEnd(id);
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("Approval expired"));
  EXPECT_EQ(engine_->caller().allowed, 0);
  engine_->caller().approvals["approval-1"].info.state = "expired";
  EXPECT_FALSE(Decide(id, true).ok());
}

TEST_P(ConsentTest, AnAnswerIsTakenOnce) {
  const std::string id = Waiting();
  ASSERT_TRUE(Decide(id, true).ok());
  EXPECT_FALSE(Decide(id, false).ok());
  engine_->WaitForEnd(id);
  EXPECT_FALSE(Decide(id, true).ok());
  EXPECT_EQ(engine_->caller().allowed, 1);
}

TEST_P(ConsentTest, ARestartBeforeAndAfterTheAnswerChangesNothing) {
  const std::string id = Waiting();
  engine_->Restart();
  engine_->Turn(std::chrono::milliseconds(300));
  EXPECT_EQ(engine_->store().Pending(id)->size(), 1u);
  EXPECT_EQ(engine_->caller().approvals.size(), 1u);
  // The answer comes while no process works on it.
  engine_->Close();
  DecideElsewhere("approved");
  engine_->Open();
  EXPECT_EQ(engine_->WaitForEnd(id).state, "completed");
  EXPECT_EQ(engine_->caller().allowed, 1);
  EXPECT_EQ(engine_->caller().approvals.size(), 1u);
}

TEST_P(ConsentTest, OfTwoRunsThatWaitForTheSameCallOneGoesOn) {
  const std::string one = Waiting();
  const std::string other = engine_->Start("t");
  engine_->WaitForState(other, {"waiting"});
  EXPECT_EQ(engine_->caller().approvals.size(), 1u);
  DecideElsewhere("approved");
  engine_->TurnUntil([&] { return engine_->caller().approvals.size() == 2; });
  DecideElsewhere("approved", "approval-2");
  EXPECT_EQ(engine_->WaitForEnd(one).state, "completed");
  EXPECT_EQ(engine_->WaitForEnd(other).state, "completed");
  EXPECT_EQ(engine_->caller().allowed, 2);
  EXPECT_EQ(engine_->caller().approvals.size(), 2u);
}

TEST_P(ConsentTest, ACancelledRunDoesNotGoOn) {
  const std::string id = Waiting();
  ASSERT_TRUE(engine_->store().SetControl("default", id, kCancel, 0, NowMicros()).ok());
  engine_->engine().LookNow();
  EXPECT_EQ(engine_->WaitForEnd(id).state, "cancelled");
  DecideElsewhere("approved");
  engine_->Turn(std::chrono::milliseconds(1500));
  EXPECT_EQ(engine_->Get(id).state, "cancelled");
  EXPECT_EQ(engine_->caller().allowed, 0);
}

TEST_P(ConsentTest, ItIsAskedForThoughNobodyCanSayWhatIsShown) {
  engine_->caller().approvals_away = true;
  const std::string id = Waiting();
  EXPECT_THAT(engine_->store().Pending(id)->front().detail, HasSubstr("s.write"));
  DecideElsewhere("approved");
  engine_->caller().approvals_away = false;
  EXPECT_EQ(engine_->WaitForEnd(id).state, "completed");
}

TEST_P(ConsentTest, ACompensationWaitsToo) {
  FakeCaller& caller = engine_->caller();
  caller.handlers["s.write"] = Answer("{}");
  caller.handlers["s.undo"] = caller.Asking(Answer("{}"));
  caller.handlers["s.bad"] = Failing("no");
  const std::string id = engine_->Start(engine_->Store(
      "name: t\nsteps:\n  - id: w\n    tool: s.write\n    compensate: {tool: s.undo}\n"
      "  - {id: bad, tool: s.bad, dependsOn: w, onError: rollback}\n"));
  engine_->TurnUntil([&] { return engine_->store().Pending(id)->size() == 1; });
  EXPECT_EQ(engine_->Get(id).state, "rolling-back");
  DecideElsewhere("approved");
  EXPECT_EQ(engine_->WaitForEnd(id).state, "rolled-back");
  EXPECT_EQ(caller.Count("s.undo"), 2u);
  EXPECT_EQ(caller.allowed, 1);
}

TEST_P(ConsentTest, ADryRunAsksNobody) {
  engine_->caller().reads.insert("s.write");
  Engine::NewRun run;
  run.name = engine_->Store(kSteps);
  run.mode = run_mode::kReads;
  const auto started = engine_->TryStart(std::move(run));
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(engine_->WaitForEnd(started->id).state, "failed");
  EXPECT_TRUE(engine_->store().Pending(started->id)->empty());
}

TEST_P(ConsentTest, SeveralPersonsMustApprove) {
  const std::string source =
      "name: q\nsteps:\n  - {id: ok, approval: {title: Sure, quorum: 2}}\n"
      "  - {id: after, tool: s.read, dependsOn: ok}\n";
  const auto vote = [&](const std::string& id, const std::string& who, const char* action) {
    DecisionRow row;
    row.path = "/do/0/ok#approval";
    row.attempt = 1;
    row.decision = StrCat("{\"action\":\"", action, "\",\"by\":\"", who, "\"}");
    const absl::Status status = engine_->store().Decide("default", id, row, who, NowMicros());
    engine_->engine().LookNow();
    return status;
  };
  const std::string id = Waiting(source);
  EXPECT_TRUE(vote(id, "ada", "approve").ok());
  EXPECT_FALSE(vote(id, "ada", "approve").ok());
  engine_->Restart();
  engine_->Turn(std::chrono::milliseconds(300));
  EXPECT_EQ(engine_->Get(id).state, "waiting");
  EXPECT_TRUE(vote(id, "boss", "approve").ok());
  EXPECT_FALSE(vote(id, "carl", "approve").ok());
  EXPECT_EQ(engine_->WaitForEnd(id).state, "completed");
  const std::string other = Waiting(source);
  EXPECT_TRUE(vote(other, "ada", "approve").ok());
  EXPECT_TRUE(vote(other, "boss", "deny").ok());
  EXPECT_EQ(engine_->WaitForEnd(other).state, "failed");
  EXPECT_EQ(engine_->caller().Count("s.read"), 1u);
}

TEST_P(ConsentTest, AStepThatWaitsForAPersonMayTakeItsTimeLimit) {
  const std::string id =
      Waiting("name: t\nsteps:\n  - {id: w, tool: s.write, arguments: {path: a}, timeout: PT1S}\n");
  const RunRow run = engine_->WaitForEnd(id);
  EXPECT_EQ(run.state, "failed");
  EXPECT_THAT(run.error, HasSubstr("Timeout"));
  DecideElsewhere("approved");
  engine_->Turn(std::chrono::milliseconds(1200));
  EXPECT_EQ(engine_->caller().allowed, 0);
}

}  // namespace
}  // namespace metamcp::workflow::testing
