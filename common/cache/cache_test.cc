// One suite over every place where values are kept.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <thread>

#include "common/cache/database_cache.h"
#include "common/db/testing.h"

namespace metamcp::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

KeyRing Ring(char secret = 'a') {
  return KeyRing::Create({{"k1", std::string(32, secret)}}).value();
}

template <typename T>
T Await(Awaitable<T> op) {
  boost::asio::io_context io(1);
  std::optional<T> out;
  boost::asio::co_spawn(io, std::move(op), [&](std::exception_ptr, T value) { out = value; });
  io.run();
  return std::move(*out);
}
void AwaitVoid(Awaitable<void> op) {
  boost::asio::io_context io(1);
  boost::asio::co_spawn(io, std::move(op), [](std::exception_ptr) {});
  io.run();
}

std::optional<std::string> Get(Cache& cache, const std::string& group, const std::string& item) {
  auto hit = Await(cache.Get(Key{group, item}));
  return hit ? std::optional<std::string>(std::move(hit->value)) : std::nullopt;
}
void Put(Cache& cache, const std::string& group, const std::string& item, std::string value,
         milliseconds ttl = minutes(5)) {
  AwaitVoid(cache.Put(Key{group, item}, std::move(value), ttl));
}

void KeepsAndForgets(Cache& cache) {
  const std::string bytes("\0\xff any bytes \n", 14);
  EXPECT_EQ(Get(cache, "a", "x"), std::nullopt);
  Put(cache, "a", "x", bytes);
  Put(cache, "a", "y", "2");
  Put(cache, "b", "x", "3");
  EXPECT_EQ(Get(cache, "a", "x"), bytes);
  EXPECT_EQ(Get(cache, "a", "y"), "2");
  const auto hit = Await(cache.Get(Key{"a", "x"}));
  EXPECT_LE(hit->left, minutes(5));
  EXPECT_GT(hit->left, minutes(4));
  Put(cache, "a", "x", "newer");
  EXPECT_EQ(Get(cache, "a", "x"), "newer");
  AwaitVoid(cache.Drop("a"));
  EXPECT_EQ(Get(cache, "a", "x"), std::nullopt);
  EXPECT_EQ(Get(cache, "a", "y"), std::nullopt);
  EXPECT_EQ(Get(cache, "b", "x"), "3");
}

void KeepsNothingStale(Cache& cache) {
  Put(cache, "a", "x", "1", milliseconds(30));
  std::this_thread::sleep_for(milliseconds(40));
  EXPECT_EQ(Get(cache, "a", "x"), std::nullopt);
  Put(cache, "a", "x", "1");
  Put(cache, "a", "x", "2", milliseconds(0));
  EXPECT_EQ(Get(cache, "a", "x"), std::nullopt) << "what may not be kept replaces what was";
}

// 100 values of 10 KiB where 200 KiB are allowed, and one that is too large.
void StaysWithinItsBounds(Cache& cache) {
  const std::string value(10 << 10, 'v');
  for (int i = 0; i < 100; ++i) Put(cache, "a", std::to_string(i), value, minutes(5 + i));
  EXPECT_LE(cache.bytes(), 200u << 10);
  int kept = 0;
  for (int i = 0; i < 100; ++i) kept += Get(cache, "a", std::to_string(i)) == value;
  EXPECT_GT(kept, 10);
  EXPECT_LT(kept, 40);
  EXPECT_EQ(Get(cache, "a", "99"), value) << "the last one is there";
  Put(cache, "a", "99", std::string(100 << 10, 'w'));
  EXPECT_EQ(Get(cache, "a", "99"), std::nullopt) << "too large to be kept, and the old one is old";
}

Limits Small() {
  Limits limits;
  limits.bytes_max = 200 << 10;
  limits.value_bytes_max = 50 << 10;
  return limits;
}

TEST(MemoryCacheTest, KeepsAndForgets) { KeepsAndForgets(*MakeMemoryCache({})); }
TEST(MemoryCacheTest, KeepsNothingStale) { KeepsNothingStale(*MakeMemoryCache({})); }
TEST(MemoryCacheTest, StaysWithinItsBounds) { StaysWithinItsBounds(*MakeMemoryCache(Small())); }

TEST(MemoryCacheTest, WhatIsUsedStays) {
  const auto cache = MakeMemoryCache(Small());
  Put(*cache, "a", "used", "1");
  for (int i = 0; i < 100; ++i) {
    Put(*cache, "a", std::to_string(i), std::string(10 << 10, 'v'));
    EXPECT_EQ(Get(*cache, "a", "used"), "1");
  }
}

class DatabaseCacheTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(MigrateBlocking(*db_).ok());
    executor_ = std::make_unique<db::DbExecutor>(*db_);
  }
  std::unique_ptr<Cache> Make(Limits limits = {}) {
    return MakeDatabaseCache(*executor_, ring_, limits);
  }
  KeyRing ring_ = Ring();
  std::unique_ptr<db::DbExecutor> executor_;
};

TEST_P(DatabaseCacheTest, KeepsAndForgets) { KeepsAndForgets(*Make()); }
TEST_P(DatabaseCacheTest, KeepsNothingStale) { KeepsNothingStale(*Make()); }
TEST_P(DatabaseCacheTest, StaysWithinItsBounds) { StaysWithinItsBounds(*Make(Small())); }

TEST_P(DatabaseCacheTest, IsSharedAndSealed) {
  RecordProperty("req", "P1-Cache-1");
  const auto one = Make(), other = Make();
  Put(*one, "a", "x", "planted-value");
  EXPECT_EQ(Get(*other, "a", "x"), "planted-value");
  const auto raw = db_->Read([](db::Transaction& tx) -> absl::StatusOr<std::string> {
    auto rows = tx.Query("SELECT value FROM cache_entries", {});
    if (!rows.ok()) return rows.status();
    return (*rows)[0].Get<db::Blob>("value")->bytes;
  });
  ASSERT_TRUE(raw.ok()) << raw.status();
  EXPECT_EQ(raw->find("planted"), std::string::npos);
  const KeyRing another = Ring('b');
  EXPECT_EQ(Get(*MakeDatabaseCache(*executor_, another, {}), "a", "x"), std::nullopt);
}

TEST_P(DatabaseCacheTest, ADatabaseThatFailsIsAnEmptyCache) {
  const auto cache = Make();
  Put(*cache, "a", "x", "1");
  const db::TransactOptions options;
  ASSERT_TRUE(db_->Transact(options,
                            [](db::Transaction& tx) {
                              return tx.Execute("DROP TABLE cache_entries", {}).status();
                            })
                  .ok());
  EXPECT_EQ(Get(*cache, "a", "x"), std::nullopt);
  Put(*cache, "a", "x", "1");
  AwaitVoid(cache->Drop("a"));
}

INSTANTIATE_TEST_SUITE_P(Backends, DatabaseCacheTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::cache
