// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/db/testing.h"
#include "services/connector/login/sql_secret_store.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::hours kLong(1);

// What a store promises, whatever it keeps its secrets in.
void KeepsClaimsApart(SecretStore& store) {
  boost::asio::io_context io(1);
  const auto claim = [&](const SecretKey& key, const std::string& who,
                         std::chrono::microseconds time) {
    const auto claimed = Await(io, store.Claim(key, who, time));
    EXPECT_TRUE(claimed.ok()) << claimed.status();
    return claimed.ok() && *claimed;
  };
  const auto release = [&](const SecretKey& key, const std::string& who) {
    EXPECT_TRUE(Await(io, store.Release(key, who)).ok());
  };
  const SecretKey key{"t", "token", "alice", "https://mcp.example/mcp", ""};
  SecretKey other = key;
  other.owner = "bob";
  EXPECT_TRUE(claim(key, "a", kLong));
  EXPECT_TRUE(claim(key, "a", kLong)) << "who has it keeps it";
  EXPECT_FALSE(claim(key, "b", kLong));
  EXPECT_TRUE(claim(other, "b", kLong)) << "another owner is another matter";
  release(key, "b");
  EXPECT_FALSE(claim(key, "b", kLong)) << "what is another's cannot be given back";
  release(key, "a");
  EXPECT_TRUE(claim(key, "b", std::chrono::microseconds(0)));
  EXPECT_TRUE(claim(key, "c", kLong)) << "the time of b is over";
  EXPECT_FALSE(claim(key, "b", kLong));
}

TEST(MemorySecretStoreTest, OneClaimantAtATime) {
  MemorySecretStore store;
  KeepsClaimsApart(store);
}

class SqlSecretStoreTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(SqlSecretStore::MigrateBlocking(*db_).ok());
  }
};

TEST_P(SqlSecretStoreTest, OneClaimantAtATime) {
  RecordProperty("req", "M02-US-002.3");
  db::DbExecutor executor(*db_);
  SqlSecretStore store(executor);
  KeepsClaimsApart(store);
}

TEST_P(SqlSecretStoreTest, OfManyAtOnceOneGetsIt) {
  db::DbExecutor executor(*db_);
  SqlSecretStore store(executor);
  boost::asio::io_context io(1);
  const SecretKey key{"t", "token", "", "https://mcp.example/mcp", ""};
  int asked = 0;
  int claimed = 0;
  const auto done = [&](std::exception_ptr e, absl::StatusOr<bool> got) {
    ASSERT_FALSE(e);
    ASSERT_TRUE(got.ok()) << got.status();
    ++asked;
    claimed += *got ? 1 : 0;
  };
  for (int i = 0; i < 20; ++i) {
    boost::asio::co_spawn(io, store.Claim(key, std::to_string(i), kLong), done);
  }
  ASSERT_TRUE(RunUntilTrue(io, [&asked] { return asked == 20; }));
  EXPECT_EQ(claimed, 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, SqlSecretStoreTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::connector
