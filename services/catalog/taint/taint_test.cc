// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/db/testing.h"
#include "services/catalog/taint/taint_service.h"
#include "services/catalog/taint/taint_store.h"

namespace metamcp::catalog {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kNow = 1'800'000'000'000'000;

class TaintTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(TaintStore::MigrateBlocking(*db_).ok());
  }
  static std::string Key(char c) { return std::string(64, c); }
  static v1::MarkTaintRequest Request(char key, const std::string& source, int64_t until_us) {
    v1::MarkTaintRequest request;
    auto& scope = *request.add_scopes();
    scope.set_key(Key(key));
    scope.add_sources(source);
    scope.set_until_us(until_us);
    return request;
  }
  void Mark(char key, const std::string& source, int64_t until_us, int64_t now_us = kNow) {
    const absl::Status marked = TaintStore(*db_).Mark(Request(key, source, until_us), now_us);
    EXPECT_TRUE(marked.ok()) << marked;
  }
  TaintStore::Changes Since(int64_t after, int64_t now_us = kNow) {
    auto found = TaintStore(*db_).Since(after, now_us);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *std::move(found) : TaintStore::Changes();
  }
};

TEST_P(TaintTest, JoinsSourcesAndKeepsTheLaterEnd) {
  Mark('a', "web", kNow + 100);
  Mark('a', "mail", kNow + 50);
  Mark('b', "web", kNow + 10);
  const auto all = Since(0);
  ASSERT_EQ(all.scopes.size(), 2u);
  EXPECT_EQ(all.scopes[0].key(), Key('a'));
  EXPECT_THAT(all.scopes[0].sources(), ElementsAre("mail", "web"));
  EXPECT_EQ(all.scopes[0].until_us(), kNow + 100);
  EXPECT_TRUE(Since(all.seq).scopes.empty());
  // What has ended begins anew, and is seen by who has seen all before.
  Mark('b', "feed", kNow + 500, kNow + 20);
  const auto more = Since(all.seq, kNow + 20);
  ASSERT_EQ(more.scopes.size(), 1u);
  EXPECT_THAT(more.scopes[0].sources(), ElementsAre("feed"));
}

TEST_P(TaintTest, WhatHasEndedGoesAndLaterOnesAreStillSeen) {
  Mark('a', "web", kNow + 100);
  const int64_t seen = Since(0).seq;
  ASSERT_TRUE(TaintStore(*db_).Prune(kNow + 100).ok());
  EXPECT_TRUE(Since(0).scopes.empty());
  Mark('b', "web", kNow + 1000, kNow + 200);
  EXPECT_EQ(Since(seen, kNow + 200).scopes.size(), 1u);
}

class Watcher final : public Sink<v1::WatchTaintResponse> {
 public:
  Awaitable<absl::Status> Write(v1::WatchTaintResponse message) override {
    for (const auto& scope : message.scopes()) keys.push_back(scope.key());
    ++messages;
    co_return absl::OkStatus();
  }
  std::vector<std::string> keys;
  int messages = 0;
};

// Two replicas of the catalog.
TEST_P(TaintTest, WhoFollowsAtOneHearsOfWhatIsMarkedAtTheOther) {
  boost::asio::io_context io{1};
  db::DbExecutor executor(*db_);
  TaintService::Options options;
  options.poll = std::chrono::milliseconds(20);
  TaintService here(io.get_executor(), executor, options);
  TaintService there(io.get_executor(), executor, options);
  Watcher watcher;
  auto stop = std::make_shared<Canceller>();
  const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
  absl::Status wrong, marked;
  boost::asio::co_spawn(
      io,
      [&]() -> Awaitable<void> {
        auto watching = there.WatchTaint(ctx, v1::WatchTaintRequest(), watcher);
        auto bounded = RunCancellable(stop, std::move(watching));
        (void)co_await std::move(bounded);
      },
      [](std::exception_ptr) {});
  boost::asio::co_spawn(
      io,
      [&]() -> Awaitable<void> {
        v1::MarkTaintRequest bad = Request('x', "web", NowMicros() + 1'000'000);
        auto refusing = here.MarkTaint(ctx, std::move(bad));
        wrong = (co_await std::move(refusing)).status();
        v1::MarkTaintRequest good = Request('c', "web", NowMicros() + 60'000'000);
        auto marking = here.MarkTaint(ctx, std::move(good));
        marked = (co_await std::move(marking)).status();
        while (watcher.keys.empty()) {
          const bool slept = co_await Sleep(std::chrono::milliseconds(2));
          if (!slept) co_return;
        }
        stop->Cancel();
      },
      [](std::exception_ptr) {});
  io.run();
  EXPECT_EQ(GetErrorInfo(wrong)->reason, "ARGUMENT_INVALID");
  EXPECT_TRUE(marked.ok()) << marked;
  EXPECT_THAT(watcher.keys, ElementsAre(Key('c')));
}

INSTANTIATE_TEST_SUITE_P(Backends, TaintTest, db::AllBackends(), db::BackendName);

}  // namespace
}  // namespace metamcp::catalog
