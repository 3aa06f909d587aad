// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/db/testing.h"
#include "services/ai/store/sql_store.h"

namespace metamcp::ai {
namespace {

class AiStoreTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(SqlStore::MigrateBlocking(*db_).ok());
    ASSERT_TRUE(SqlStore::MigrateBlocking(*db_).ok());
  }
  SqlStore store() { return SqlStore(*db_); }
  void Suggest(const std::string& id, const std::string& made_by, bool valid, int64_t at,
               const std::string& tenant = "default") {
    SuggestionRow row;
    row.id = id;
    row.tenant = tenant;
    row.subject = "ann";
    row.task = "read";
    row.made_by = made_by;
    row.valid = valid;
    row.created_us = at;
    EXPECT_TRUE(store().AddSuggestion(row).ok());
  }
  absl::Status Say(const std::string& id, const std::string& suggestion, const std::string& kind,
                   int64_t rating = 0) {
    FeedbackRow row;
    row.id = id;
    row.tenant = "default";
    row.suggestion_id = suggestion;
    row.subject = "ann";
    row.kind = kind;
    row.rating = rating;
    return store().AddFeedback(row);
  }
  void Use(const std::string& subject, const std::string& provider, int64_t day, int64_t tokens) {
    UsageRow row;
    row.tenant = "default";
    row.subject = subject;
    row.provider = provider;
    row.day = day;
    row.requests = 1;
    row.input_tokens = tokens;
    row.cost_micros = tokens * 2;
    EXPECT_TRUE(store().AddUsage(row).ok());
  }
};

TEST_P(AiStoreTest, CountsWhatBecameOfSuggestions) {
  RecordProperty("req", "M-EXEC-4");
  Suggest("a", "planner", true, 100);
  Suggest("b", "planner", false, 200);
  Suggest("c", "model", true, 200);
  Suggest("old", "model", true, 1);
  Suggest("other", "model", true, 200, "elsewhere");
  EXPECT_TRUE(Say("1", "a", "accepted").ok());
  EXPECT_TRUE(Say("2", "a", "failed").ok());
  EXPECT_TRUE(Say("3", "c", "rated", 4).ok());
  EXPECT_TRUE(Say("4", "c", "rated", 5).ok());
  EXPECT_TRUE(absl::IsNotFound(Say("5", "nobody", "accepted")));
  EXPECT_TRUE(absl::IsNotFound(Say("6", "other", "accepted")));
  EXPECT_EQ(store().Accepted("default", 10)->size(), 1u);
  const auto quality = store().Quality("default", 50);
  ASSERT_TRUE(quality.ok()) << quality.status();
  ASSERT_EQ(quality->size(), 2u);
  const QualityRow& model = (*quality)[0];
  EXPECT_EQ(model.made_by, "model");
  EXPECT_EQ(model.suggestions, 1);
  EXPECT_EQ(model.rated, 2);
  EXPECT_EQ(model.rating_sum, 9);
  const QualityRow& planner = (*quality)[1];
  EXPECT_EQ(planner.suggestions, 2);
  EXPECT_EQ(planner.valid, 1);
  EXPECT_EQ(planner.accepted, 1);
  EXPECT_EQ(planner.failed, 1);
}

TEST_P(AiStoreTest, ReadsWhatWasSaid) {
  RecordProperty("req", "M-EXEC-4");
  Suggest("a", "planner", true, 100);
  Suggest("b", "model", true, 200);
  ASSERT_TRUE(Say("1", "a", "edited").ok());
  ASSERT_TRUE(Say("2", "b", "rated", 4).ok());
  const auto all = store().Said("default", "", "", 10);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[1].feedback.rating, 4);
  EXPECT_EQ((*all)[1].made_by, "model");
  EXPECT_EQ((*all)[1].task, "read");
  EXPECT_EQ(store().Said("default", "", "a", 10)->at(0).feedback.kind, "edited");
  EXPECT_EQ(store().Said("default", "", "", 1)->size(), 1u);
  EXPECT_TRUE(store().Said("default", "bob", "", 10)->empty());
  EXPECT_TRUE(store().Said("elsewhere", "", "", 10)->empty());
}

TEST_P(AiStoreTest, ForgetsWhatIsOld) {
  Suggest("old", "planner", true, 10);
  ASSERT_TRUE(Say("1", "old", "accepted").ok());
  SuggestionRow row;
  row.id = "new";
  row.tenant = "default";
  row.created_us = 100;
  ASSERT_TRUE(store().AddSuggestion(row, 50).ok());
  EXPECT_TRUE(absl::IsNotFound(Say("2", "old", "accepted")));
  EXPECT_TRUE(Say("3", "new", "failed").ok());
  EXPECT_TRUE(store().Accepted("default", 10)->empty());
}

TEST_P(AiStoreTest, SumsUsageByDay) {
  RecordProperty("req", "M-FR-005.5");
  Use("ann", "one", 10, 5);
  Use("ann", "one", 10, 7);
  Use("ann", "two", 10, 1);
  Use("bob", "one", 10, 100);
  Use("ann", "one", 11, 3);
  const auto mine = store().UsageOfDay("default", 10, "ann", "");
  ASSERT_TRUE(mine.ok()) << mine.status();
  EXPECT_EQ(mine->requests, 3);
  EXPECT_EQ(mine->input_tokens, 13);
  EXPECT_EQ(mine->cost_micros, 26);
  EXPECT_EQ(store().UsageOfDay("default", 10, "", "one")->input_tokens, 112);
  EXPECT_EQ(store().UsageOfDay("default", 12, "", "")->requests, 0);
  EXPECT_EQ(store().UsageOfDay("elsewhere", 10, "", "")->requests, 0);
  const auto rows = store().Usage("default", 10, 3);
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[0].day, 11);
  EXPECT_EQ((*rows)[1].subject, "ann");
}

INSTANTIATE_TEST_SUITE_P(Backends, AiStoreTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::ai
