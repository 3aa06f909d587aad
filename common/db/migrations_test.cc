#include "common/db/migrations.h"

#include <array>
#include <barrier>
#include <thread>

#include "common/base/error.h"
#include "common/db/testing.h"
#include "migrations/db_sample.h"

namespace metamcp::db {
namespace {

constexpr std::string_view kFirst = "CREATE TABLE a (id TEXT PRIMARY KEY)";
constexpr std::string_view kSecond = "CREATE TABLE b (n BIGINT); INSERT INTO b (n) VALUES (1);";
constexpr std::string_view kThird = "ALTER TABLE a ADD COLUMN n BIGINT";
constexpr std::array<Migration, 3> kSteps = {Migration{1, "first", kFirst, kFirst},
                                             Migration{2, "second", kSecond, kSecond},
                                             Migration{3, "third", kThird, kThird}};

class MigrationsTest : public DatabaseTest {
 protected:
  absl::StatusOr<int> Migrate(size_t steps, std::string_view component = "part") {
    return MigrateBlocking(*db_, component, std::span(kSteps).first(steps));
  }
  bool Works(std::string_view sql) {
    return db_->Read([&](Transaction& tx) { return tx.Query(sql).status(); }).ok();
  }
};

TEST_P(MigrationsTest, AppliesWhatIsMissingInOrder) {
  RecordProperty("req", "P1-DB-4");
  EXPECT_EQ(Migrate(2).value(), 2);
  EXPECT_TRUE(Works("SELECT n FROM b"));
  EXPECT_FALSE(Works("SELECT n FROM a"));
  EXPECT_EQ(Migrate(3).value(), 1);
  EXPECT_TRUE(Works("SELECT n FROM a"));
  EXPECT_EQ(Migrate(3).value(), 0);
}

TEST_P(MigrationsTest, KeepsComponentsApart) {
  EXPECT_EQ(Migrate(2).value(), 2);
  const std::array<Migration, 1> other = {
      Migration{1, "other", "CREATE TABLE c (n BIGINT)", "CREATE TABLE c (n BIGINT)"}};
  EXPECT_EQ(MigrateBlocking(*db_, "other", other).value(), 1);
  EXPECT_EQ(Migrate(2).value(), 0);
}

TEST_P(MigrationsTest, RefusesAnEditedStep) {
  ASSERT_TRUE(Migrate(2).ok());
  auto edited = kSteps;
  edited[0].sqlite_sql = edited[0].postgres_sql = "CREATE TABLE a (id TEXT)";
  const auto result = MigrateBlocking(*db_, "part", edited);
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_NE(result.status().message().find("step 1"), absl::string_view::npos);
  EXPECT_FALSE(Works("SELECT n FROM a"));
}

TEST_P(MigrationsTest, RefusesADatabaseThatIsNewer) {
  ASSERT_TRUE(Migrate(3).ok());
  const auto result = Migrate(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_NE(result.status().message().find("step 3"), absl::string_view::npos);
}

TEST_P(MigrationsTest, AnOlderProgramTakesWhatNeedsNoMoreThanItKnows) {
  RecordProperty("req", "P1-DB-4");
  auto steps = kSteps;
  steps[1].needs = 1;
  steps[2].needs = 2;  // contracts what the first program uses
  EXPECT_EQ(MigrateBlocking(*db_, "part", std::span(steps).first(2)).value(), 2);
  EXPECT_EQ(Migrate(1).value(), 0);
  EXPECT_EQ(MigrateBlocking(*db_, "part", steps).value(), 1);
  EXPECT_EQ(Migrate(2).value(), 0);
  const auto refused = Migrate(1);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_NE(refused.status().message().find("needs step 2"), absl::string_view::npos);
  steps[2].needs = 4;
  EXPECT_TRUE(absl::IsInvalidArgument(MigrateBlocking(*db_, "part", steps).status()));
}

TEST_P(MigrationsTest, RefusesAListWithGaps) {
  const std::array<Migration, 2> gap = {kSteps[0], kSteps[2]};
  EXPECT_TRUE(absl::IsInvalidArgument(MigrateBlocking(*db_, "part", gap).status()));
}

TEST_P(MigrationsTest, AFailingStepLeavesNothingBehind) {
  auto broken = kSteps;
  broken[1].sqlite_sql = broken[1].postgres_sql = "CREATE TABLE b (n BIGINT); CREATE NONSENSE";
  const auto result = MigrateBlocking(*db_, "part", broken);
  EXPECT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("step 2 (second)"), absl::string_view::npos)
      << result.status();
  EXPECT_FALSE(Works("SELECT id FROM a"));
  EXPECT_EQ(Migrate(3).value(), 3);
}

TEST_P(MigrationsTest, SeveralStartersApplyEachStepOnce) {
  if (GetParam() == TestBackend::kSqliteMemory) GTEST_SKIP() << "memory cannot be shared";
  constexpr int kStarters = 4;
  std::barrier begin(kStarters);
  std::array<int, kStarters> applied{};
  std::vector<std::thread> threads;
  for (int& mine : applied) {
    threads.emplace_back([&, this] {
      const auto database = Open();
      ASSERT_NE(database, nullptr);
      begin.arrive_and_wait();
      const auto result = MigrateBlocking(*database, "part", kSteps);
      EXPECT_TRUE(result.ok()) << result.status();
      mine = result.value_or(0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(applied[0] + applied[1] + applied[2] + applied[3], 3);
  const auto row =
      db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT count(*) AS c FROM b"); });
  EXPECT_EQ(row->Get<int64_t>("c").value(), 1);
}

TEST_P(MigrationsTest, AppliesTheStepsThatTheBuildEmbedded) {
  const auto steps = metamcp::db_sample::Migrations();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].name, "people; with a semicolon");
  EXPECT_EQ(MigrateBlocking(*db_, "db_sample", steps).value(), 2);
  const auto row = db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT * FROM person"); });
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->Get<std::string>("name").value(), "a;b [c] ${d} \"e\"");
  EXPECT_EQ(row->Get<Blob>("photo").value(), Blob(std::string("\x00\xFF", 2)));
}

INSTANTIATE_TEST_SUITE_P(Backends, MigrationsTest, AllBackends(), BackendName);

}  // namespace
}  // namespace metamcp::db
