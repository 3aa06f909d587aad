// The process is killed in the middle of runs; a ledger says what really happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "common/db/testing.h"
#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

constexpr char kWorkflow[] = R"(
name: mixed
steps:
  - {id: one, tool: ledger.add, arguments: {key: "${input.key}-one", ms: 20}}
  - {id: two, tool: ledger.put, arguments: {key: "${input.key}-two", ms: 20}}
  - {id: wait, wait: {milliseconds: 50}, dependsOn: [one, two]}
  - {id: three, tool: ledger.add, arguments: {key: "${input.key}-three", ms: 20}, dependsOn: wait}
  - {id: four, tool: ledger.put, arguments: {key: "${input.key}-four", ms: 5}, dependsOn: three}
)";

int Runs() { return std::getenv("METAMCP_TEST_FULL") == nullptr ? 30 : 300; }

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
  gateway.ConfigureServers(
      {{"ledger", {{"command", BinaryPath("metamcp-fixture-ledger")}, {"args", {ledger}}}}});
  ASSERT_TRUE(gateway.Start(flags)) << gateway.Log();
  ASSERT_TRUE(gateway.WaitForTools({"ledger__add"})) << gateway.Log();
  const Json source = {{"source", kWorkflow}};
  ASSERT_EQ(gateway.Rest("POST", "/workflows", source.dump()).status, 200) << gateway.Log();

  std::map<std::string, std::string> keys;  // by run
  const auto start = [&](int i) {
    const std::string key = "k" + std::to_string(i);
    const Json body = {{"input", {{"key", key}}}, {"requestId", key}};
    const HttpAnswer answer = gateway.Rest("POST", "/workflows/mixed/runs", body.dump());
    if (answer.status == 200) {
      keys[Json::parse(answer.body)["run"]["id"]] = key;
    }
  };
  std::mt19937 random(7);
  const int kills = Runs() / 6;
  for (int i = 0, killed = 0; i < Runs(); ++i) {
    start(i);
    if (i % 6 != 5 || killed == kills) continue;
    ++killed;
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 150));
    gateway.Kill();
    ASSERT_TRUE(gateway.Start(flags)) << gateway.Log();
    ASSERT_TRUE(gateway.WaitForTools({"ledger__add"})) << gateway.Log();
  }
  EXPECT_EQ(keys.size(), static_cast<size_t>(Runs()));

  // A person looks at the ledger and answers for steps whose effect is unknown.
  int decided = 0;
  const auto settle = [&](const std::string& id, const std::string& key) {
    const Json run = Json::parse(gateway.Rest("GET", "/runs/" + id).body)["run"];
    if (run["state"] == "completed") return true;
    for (const Json& pending : run.value("pending", Json::array())) {
      const std::string path = pending["path"];
      const std::string step = path.substr(path.rfind('/') + 1);
      const bool there =
          ReadFile(ledger).find("add " + key + "-" + step + "\n") != std::string::npos;
      Json answer = {{"path", path}, {"action", there ? "done" : "retry"}};
      if (there) answer["result"] = {{"content", Json::array()}};
      if (gateway.Rest("POST", "/runs/" + id + "/decide", answer.dump()).status == 200) ++decided;
    }
    return false;
  };
  for (const auto& [id, key] : keys) {
    EXPECT_TRUE(Eventually(kPatience, [&, run = id, name = key] { return settle(run, name); }))
        << gateway.Rest("GET", "/runs/" + id).body;
  }

  std::map<std::string, int> lines;
  std::istringstream in(ReadFile(ledger));
  for (std::string line; std::getline(in, line);) ++lines[line];
  for (const auto& [id, key] : keys) {
    for (const std::string step : {"one", "three"}) {
      EXPECT_EQ(lines["add " + key + "-" + step], 1) << key << " " << step;
    }
    for (const std::string step : {"two", "four"}) {
      EXPECT_GE(lines["put " + key + "-" + step], 1) << key << " " << step;
    }
  }
  RecordProperty("decided", decided);
}

}  // namespace
}  // namespace metamcp::testing
