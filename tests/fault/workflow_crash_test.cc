// Processes are killed in the middle of runs; a ledger says what really happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "common/db/testing.h"
#include "tests/fault/workflow_shapes.h"
#include "tests/support/fleet.h"

namespace metamcp::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A principal may have a hundred calls that wait for a person; runs of the shape that needs one are
// answered before there are so many.
constexpr int kAnswerEvery = 77;

// How many runs: as the variable says, else `full` for METAMCP_TEST_FULL.
int Runs(const char* variable, int few, int full) {
  const char* text = std::getenv(variable);
  const int runs = text == nullptr ? 0 : std::atoi(text);
  if (runs > 0) return runs;
  return std::getenv("METAMCP_TEST_FULL") == nullptr ? few : full;
}

// Runs that settle take their time after faults.
std::chrono::seconds Patience(int runs) { return std::chrono::seconds(180 + runs); }

// No step was concluded twice, and each question has one answer.
void CheckHistory(const std::string& url) {
  auto database = db::OpenDatabaseBlocking(url);
  ASSERT_TRUE(database.ok()) << database.status();
  const auto count = [&](const std::string& sql) {
    const auto row = (*database)->Read([&](db::Transaction& tx) { return tx.QueryOne(sql); });
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() ? row->Get<int64_t>("n").value_or(-1) : -1;
  };
  EXPECT_EQ(
      count("SELECT COUNT(*) AS n FROM (SELECT run_id, path FROM workflow_events WHERE type = "
            "'step.done' GROUP BY run_id, path HAVING COUNT(*) > 1) AS twice"),
      0);
  EXPECT_EQ(
      count("SELECT COUNT(*) AS n FROM (SELECT run_id, path FROM workflow_events WHERE type = "
            "'step.decided' AND path LIKE '%#approval' GROUP BY run_id, path HAVING COUNT(*) > "
            "1) AS twice"),
      0);
  EXPECT_EQ(count("SELECT COUNT(*) AS n FROM workflow_runs WHERE owner <> '' AND ended_us > 0"), 0);
  // What a person allowed was used by one call, and no guarded run went on without.
  const auto guarded = count(
      "SELECT COUNT(*) AS n FROM workflow_runs WHERE name = 'guarded' AND state = 'completed'");
  EXPECT_GE(count("SELECT COUNT(*) AS n FROM approvals WHERE state = 'used'"), guarded);
  EXPECT_EQ(count("SELECT COUNT(*) AS n FROM approvals WHERE state = 'approved'"), 0);
}

class WorkflowCrash : public ::testing::TestWithParam<db::TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, WorkflowCrash,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

TEST_P(WorkflowCrash, EveryRunEndsAndNothingHappensTwice) {
  RecordProperty("req", "M-FR-006.2 A-P4.2 M-FR-015");
  const db::ScratchDatabase database(GetParam());
  if (database.url().empty()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
  const std::vector<std::string> flags = {"--database-url", database.url()};
  TempDir folder;
  const std::string ledger = folder.File("ledger");
  Gateway gateway;
  const Json server = {{"command", BinaryPath("metamcp-fixture-ledger")}, {"args", {ledger}}};
  gateway.Configure({{"mcpServers", {{"ledger", server}}}, {"policy", WorkflowShapes::Policy()}});
  ASSERT_TRUE(gateway.Start(flags)) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"ledger__add"})) << gateway.Log();
  WorkflowShapes shapes([&](const std::string& method, const std::string& path,
                            const std::string& body) { return gateway.Rest(method, path, body); },
                        ledger);
  ASSERT_TRUE(shapes.Store()) << gateway.Log();
  std::mt19937 random(7);
  const int runs = Runs("METAMCP_CRASH_RUNS_ONE", 40, 300);
  for (int i = 0; i < runs; ++i) {
    shapes.Start(i);
    if (i % 7 != 6) continue;
    std::this_thread::sleep_for(milliseconds(random() % 150));
    if (i % kAnswerEvery == kAnswerEvery - 1) shapes.Settle();
    gateway.Kill();
    ASSERT_TRUE(gateway.Start(flags)) << gateway.Log();
    ASSERT_TRUE(gateway.WaitForTools({"ledger__add"})) << gateway.Log();
  }
  EXPECT_EQ(shapes.started(), static_cast<size_t>(runs));
  EXPECT_TRUE(Eventually(Patience(runs), [&] { return shapes.Settle(); })) << shapes.Unfinished();
  shapes.Check();
  ASSERT_EQ(gateway.Stop(), 0) << gateway.Log();
  CheckHistory(database.url());
  RecordProperty("decided", shapes.decided());
  RecordProperty("allowed", shapes.allowed());
  std::cout << runs << " runs: " << shapes.decided() << " decisions about unknown effects, "
            << shapes.approved() << " approvals, " << shapes.allowed() << " of them of calls\n";
}

HttpAnswer RestOf(const std::string& mcp, const std::string& method, const std::string& path,
                  const std::string& body) {
  const Url url(mcp);
  HttpConnection connection(url.port);
  connection.Send(method + " /api/v1" + path + " HTTP/1.1\r\nHost: " + url.host +
                  "\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
  return connection.Read().value_or(HttpAnswer());
}

// Stops and starts the test's PostgreSQL as a crash would. False where that cannot be done here.
bool RestartDatabase() {
  const char* control = std::getenv("METAMCP_TEST_POSTGRES_CONTROL");
  if (control == nullptr) return false;
  Process::Options options;
  Process process({control, "restart"}, options);
  return process.Wait(seconds(60)).value_or(-1) == 0;
}

TEST(WorkflowFleet, ProcessesConnectorsAndTheDatabaseMayDie) {
  RecordProperty("req", "M-FR-006.2 A-P4.2 M-FR-015 M-P3");
  const db::ScratchDatabase database(db::TestBackend::kPostgres);
  if (database.url().empty()) GTEST_SKIP() << "no PostgreSQL here (scripts/with_postgres)";
  TempDir folder;
  const std::string ledger = folder.File("ledger");
  Fleet fleet(database.url(),
              {{"ledger", {{"command", BinaryPath("metamcp-fixture-ledger")}, {"args", {ledger}}}}},
              {{"c", "catalog"},
               {"n1", "connector"},
               {"n2", "connector"},
               {"g", "gateway"},
               {"w1", "workflow"},
               {"w2", "workflow"}},
              {{"policy", WorkflowShapes::Policy()}});
  ASSERT_TRUE(fleet.StartAll()) << fleet.Log();
  ASSERT_TRUE(fleet.WaitForTools("g", {"ledger__add"})) << fleet.Log();
  WorkflowShapes shapes(
      [&](const std::string& method, const std::string& path, const std::string& body) {
        return RestOf(fleet.mcp("g"), method, path, body);
      },
      ledger);
  ASSERT_TRUE(shapes.Store()) << fleet.Log();
  std::mt19937 random(11);
  const int runs = Runs("METAMCP_CRASH_RUNS", 64, 2'000);
  const int every = runs >= 500 ? 20 : 8;
  int restarts = 0;
  for (int i = 0; i < runs; ++i) {
    shapes.Start(i);
    if (i % kAnswerEvery == kAnswerEvery - 1) shapes.Settle();
    if (i % every != every - 1) continue;
    std::this_thread::sleep_for(milliseconds(random() % 200));
    const int fault = (i / every) % 4;
    if (fault == 3) {
      restarts += RestartDatabase() ? 1 : 0;
      continue;
    }
    const char* const names[] = {"w1", "w2", (i / every) % 8 < 4 ? "n1" : "n2"};
    fleet.Kill(names[fault]);
    ASSERT_TRUE(fleet.Start(names[fault])) << names[fault] << fleet.Log();
  }
  // One that freezes for longer than its lease comes back to runs that are another's.
  fleet.Freeze("w1", SIGSTOP);
  std::this_thread::sleep_for(seconds(11));
  fleet.Freeze("w1", SIGCONT);
  EXPECT_EQ(shapes.started(), static_cast<size_t>(runs));
  EXPECT_TRUE(Eventually(Patience(runs), [&] { return shapes.Settle(); }))
      << shapes.Unfinished() << fleet.Log();
  shapes.Check();
  for (const char* name : {"w1", "w2", "g", "n1", "n2", "c"}) {
    EXPECT_EQ(fleet.End(name), 0) << name << fleet.Log();
  }
  CheckHistory(database.url());
  RecordProperty("decided", shapes.decided());
  RecordProperty("allowed", shapes.allowed());
  std::cout << runs << " runs: " << shapes.decided() << " decisions about unknown effects, "
            << shapes.approved() << " approvals, " << shapes.allowed() << " of them of calls\n";
  RecordProperty("approved", shapes.approved());
  RecordProperty("database_restarts", restarts);
}

}  // namespace
}  // namespace metamcp::testing
