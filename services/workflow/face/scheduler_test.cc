#include "services/workflow/face/scheduler.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "services/workflow/engine/engine_fixture.h"
#include "services/workflow/face/face_store.h"

namespace metamcp::workflow {
namespace {

using testing::EngineFixture;
using Json = nlohmann::ordered_json;

constexpr int64_t kSecond = 1'000'000;

ScheduleSpec Every(int64_t ms, const std::string& missed = "once") {
  ScheduleSpec out;
  out.kind = "every";
  out.ms = ms;
  out.missed = missed;
  return out;
}

TEST(ScheduleTimesTest, MissedTimesAreOneRunOrAll) {
  const int64_t was = 1000 * kSecond;
  EXPECT_EQ(NextTime(Every(10'000), was, was + kSecond), was + 10 * kSecond);
  EXPECT_EQ(NextTime(Every(10'000), was, was + 35 * kSecond), was + 40 * kSecond);
  EXPECT_EQ(NextTime(Every(10'000, "all"), was, was + 35 * kSecond), was + 10 * kSecond);
  ScheduleSpec hourly;
  hourly.kind = "cron";
  hourly.cron = "@hourly";
  const int64_t hour = 3600 * kSecond;
  EXPECT_EQ(NextTime(hourly, 10 * hour, 13 * hour + 5), 14 * hour);
  hourly.missed = "all";
  EXPECT_EQ(NextTime(hourly, 10 * hour, 13 * hour + 5), 11 * hour);
}

class SchedulerTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  SchedulerTest() : engine_(GetParam()) {
    if (!engine_.usable()) return;
    EXPECT_TRUE(FaceStore::MigrateBlocking(engine_.database()).ok());
    engine_.caller().handlers["s.tick"] = testing::Answer("{}");
    for (auto& one : schedulers_) one = Make();
  }
  ~SchedulerTest() override {
    for (auto& one : schedulers_) Stop(one.get());
  }
  void SetUp() override {
    if (!engine_.usable()) GTEST_SKIP() << "no PostgreSQL";
  }
  std::unique_ptr<Scheduler> Make() {
    Scheduler::Options options;
    options.look = std::chrono::milliseconds(20);
    options.late = std::chrono::milliseconds(1000);
    return std::make_unique<Scheduler>(engine_.io().get_executor(), engine_.db_executor(),
                                       engine_.engine(), engine_.jq(), options);
  }
  static Awaitable<void> Stopping(Scheduler* scheduler, bool* stopped) {
    auto stopping = scheduler->Stop();
    co_await std::move(stopping);
    *stopped = true;
  }
  void Stop(Scheduler* scheduler) {
    if (scheduler == nullptr) return;
    bool stopped = false;
    boost::asio::co_spawn(engine_.io(), Stopping(scheduler, &stopped), boost::asio::detached);
    engine_.TurnUntil([&] { return stopped; });
  }
  void StartAll() {
    for (auto& one : schedulers_) one->Start();
  }
  // Stores a workflow with that schedule, due at `next_us`.
  ScheduleRow Schedule(const std::string& schedule, int64_t next_us,
                       const std::string& missed = "once") {
    const std::string source = R"({"name":"tick","version":"1.0.)" + std::to_string(++version_) +
                               R"(","schedule":)" + schedule +
                               R"(,"steps":[{"id":"t","tool":"s.tick"}]})";
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(source, Limits(), &problems);
    EXPECT_TRUE(definition != nullptr) << (problems.empty() ? "" : problems[0].message);
    ScheduleRow row;
    row.tenant = row.name_space = "default";
    row.name = engine_.Store(source);
    row.version = definition->version;
    row.kind = definition->schedule->kind;
    row.spec = ScheduleJson(definition->document);
    row.missed = missed;
    row.input = R"({"n":1})";
    row.principal = R"({"subject":"anna","roles":["operator"]})";
    row.next_us = next_us;
    EXPECT_TRUE(store().Put(row).ok());
    return row;
  }
  ScheduleStore store() { return ScheduleStore(engine_.database()); }
  ScheduleRow Now() { return *store().Get("default", "default", "tick"); }
  std::vector<RunRow> Runs() { return *engine_.store().ListRuns("default", "tick", "", "", 100); }

  EngineFixture engine_;
  int version_ = 0;
  std::unique_ptr<Scheduler> schedulers_[2];  // as in two processes
};

TEST_P(SchedulerTest, OneRunForEachTimeWhoeverLooks) {
  RecordProperty("req", "M-FR-006");
  const int64_t now = NowMicros();
  Schedule(R"({"every":"PT1S"})", now - kSecond / 2);
  StartAll();
  engine_.TurnUntil([&] { return Now().fired >= 2; });
  engine_.Turn(std::chrono::milliseconds(100));
  const ScheduleRow row = Now();
  EXPECT_EQ(Runs().size(), static_cast<size_t>(row.fired));
  const RunRow run = engine_.WaitForEnd(Runs().back().id);
  EXPECT_EQ(run.state, run_state::kCompleted);
  EXPECT_EQ(Json::parse(run.input)["n"], 1);
  EXPECT_EQ(Json::parse(run.principal)["subject"], "anna");
}

TEST_P(SchedulerTest, MissedTimesAreMadeUpForAsThePolicySays) {
  RecordProperty("req", "M-FR-006.2");
  const int64_t hour = 3600 * kSecond;
  const int64_t due = NowMicros() - 5 * hour;
  Schedule(R"({"every":{"hours":2}})", due);
  StartAll();
  engine_.TurnUntil([&] { return Now().fired == 1; });
  engine_.Turn(std::chrono::milliseconds(100));
  EXPECT_EQ(Runs().size(), 1u);
  EXPECT_EQ(Now().next_us, due + 6 * hour);
  Schedule(R"({"every":{"hours":3}})", due - 1, "all");
  engine_.TurnUntil([&] { return Now().next_us > NowMicros(); });
  EXPECT_EQ(Runs().size(), 3u);
  Schedule(R"({"every":{"hours":4}})", due - 2, "skip");
  engine_.TurnUntil([&] { return Now().next_us > NowMicros(); });
  EXPECT_EQ(Runs().size(), 3u);
  EXPECT_EQ(Now().note, "a time was missed");
}

TEST_P(SchedulerTest, AfterCountsFromTheEnd) {
  engine_.caller().delay = std::chrono::milliseconds(300);
  Schedule(R"({"after":"PT1S"})", NowMicros());
  StartAll();
  engine_.TurnUntil([&] { return Runs().size() == 2; });
  const auto runs = Runs();  // the newest first
  const RunRow first = engine_.Get(runs[1].id);
  EXPECT_GE(runs[0].created_us, first.ended_us + kSecond);
}

TEST_P(SchedulerTest, AnEventStartsOneRun) {
  RecordProperty("req", "M-FR-006");
  Schedule(R"({"on":{"any":[{"with":{"type":"order","source":"${ .data.n == 7 }"}}]}})", 0);
  StartAll();
  const auto emit = [&](const std::string& type) {
    engine_.Run(R"({"document":{"dsl":"1.0.3","namespace":"default","name":"emit-)" + type +
                R"(","version":"1.0.0"},"do":[{"e":{"emit":{"event":{"with":{"source":"shop",
                "type":")" +
                type + R"(","data":{"n":7}}}}}}]})");
  };
  emit("other");
  emit("order");
  engine_.TurnUntil([&] { return Now().fired == 1; });
  engine_.Turn(std::chrono::milliseconds(100));
  ASSERT_EQ(Runs().size(), 1u);
  EXPECT_EQ(Json::parse(Runs()[0].input)[0]["data"]["n"], 7);
}

TEST_P(SchedulerTest, AWorkflowThatEmitsWhatStartsItEnds) {
  const std::string document = R"({"document":{"dsl":"1.0.3","namespace":"default","name":"tick",
    "version":"1.0.0"},"schedule":{"on":{"one":{"with":{"type":"loop"}}}},
    "do":[{"e":{"emit":{"event":{"with":{"source":"x","type":"loop"}}}}}]})";
  ScheduleRow row;
  row.tenant = row.name_space = "default";
  row.name = engine_.Store(document);
  row.version = "1.0.0";
  row.kind = "on";
  row.spec = R"({"on":{"one":{"with":{"type":"loop"}}}})";
  row.missed = "once";
  row.principal = R"({"subject":"anna","roles":["operator"]})";
  EXPECT_TRUE(store().Put(row).ok());
  StartAll();
  engine_.Start("tick");
  engine_.TurnUntil([&] { return !Now().note.empty(); });
  EXPECT_NE(Now().note.find("calls itself"), std::string::npos) << Now().note;
  EXPECT_EQ(Runs().size(), 8u);
}

TEST_P(SchedulerTest, APausedOneRestsAndANewVersionKeepsThat) {
  Schedule(R"({"every":"PT1S"})", NowMicros() - kSecond / 2);
  EXPECT_TRUE(store().SetPaused("default", "default", "tick", true, 1, 0).ok());
  StartAll();
  engine_.Turn(std::chrono::milliseconds(150));
  EXPECT_TRUE(Runs().empty());
  Schedule(R"({"every":"PT2S"})", NowMicros() - kSecond / 2);
  EXPECT_TRUE(Now().paused);
  EXPECT_TRUE(absl::IsNotFound(store().SetPaused("default", "default", "no", true, 1, 0)));
}

TEST_P(SchedulerTest, WhatCannotStartSaysWhyAndMovesOn) {
  const ScheduleRow row = Schedule(R"({"every":"PT1S"})", NowMicros() - kSecond / 2);
  ScheduleRow gone = row;
  gone.version = "9.9.9";
  EXPECT_TRUE(store().Put(gone).ok());
  StartAll();
  engine_.TurnUntil([&] { return !Now().note.empty(); });
  EXPECT_NE(Now().note.find("9.9.9"), std::string::npos);
  EXPECT_EQ(Now().fired, 0);
  EXPECT_GT(Now().next_us, row.next_us);
}

INSTANTIATE_TEST_SUITE_P(Databases, SchedulerTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres));

}  // namespace
}  // namespace metamcp::workflow
