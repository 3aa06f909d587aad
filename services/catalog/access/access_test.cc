// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/db/testing.h"
#include "services/catalog/access/access_service.h"
#include "services/catalog/access/access_store.h"
#include "services/catalog/sql_store.h"

namespace metamcp::catalog {
namespace {

namespace pb = access::v1;
using testing::ElementsAre;
using testing::IsEmpty;

class AccessTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(SqlStore::MigrateBlocking(*db_).ok());
  }
  AccessStore Store(const std::string& tenant = "default") { return AccessStore(*db_, tenant); }
  static StoredKey KeyOf(const std::string& id, const std::string& name, int64_t expires = 0) {
    StoredKey out;
    out.key.set_id(id);
    out.key.set_name(name);
    out.key.set_owner("alice");
    out.key.set_expires_us(expires);
    out.key.set_created_us(1);
    out.key.add_roles("viewer");
    out.key.add_scopes("a");
    out.key.add_scopes("b");
    out.mac.set_kid("k1");
    out.mac.set_mac(std::string("\x00\xff mac of ", 10) + id);
    return out;
  }
  std::vector<std::string> Live(int64_t now) {
    const auto all = Store().Snapshot(now);
    EXPECT_TRUE(all.ok()) << all.status();
    std::vector<std::string> out;
    for (const pb::LiveKey& key : all->keys()) {
      out.push_back(key.key().id() + "/" + std::to_string(key.macs_size()));
    }
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AccessTest, db::AllBackends(), db::BackendName);

TEST_P(AccessTest, KeysLiveUntilTheyEndOrAreRevoked) {
  RecordProperty("req", "W-4.4.1 M-NFR-004.2");
  EXPECT_EQ(*Store().Revision(), 0);
  ASSERT_TRUE(Store().AddKey(KeyOf("1", "ci"), 10).ok());
  ASSERT_TRUE(Store().AddKey(KeyOf("2", "cd", 100), 10).ok());
  EXPECT_EQ(*Store().Revision(), 2);
  EXPECT_TRUE(absl::IsAlreadyExists(Store().AddKey(KeyOf("3", "cd"), 10)));
  EXPECT_EQ(*Store().Revision(), 2) << "what fails changes nothing";
  EXPECT_THAT(Live(10), ElementsAre("1/1", "2/1"));
  EXPECT_THAT(Live(100), ElementsAre("1/1"));
  EXPECT_TRUE(Store().AddKey(KeyOf("3", "cd"), 100).ok()) << "the name is free again";
  const auto read = *Store().Snapshot(10);
  EXPECT_EQ(read.keys(0).macs(0).mac(), KeyOf("1", "ci").mac.mac());
  EXPECT_THAT(read.keys(0).key().scopes(), ElementsAre("a", "b"));

  EXPECT_EQ(Store().Revoke("1", 50)->revoked_us(), 50);
  EXPECT_EQ(Store().Revoke("1", 60)->revoked_us(), 50);
  EXPECT_TRUE(absl::IsNotFound(Store().Revoke("9", 60).status()));
  EXPECT_THAT(Live(60), ElementsAre("2/1", "3/1"));
  EXPECT_EQ(Store().Keys(false, 60)->size(), 2u);
  EXPECT_EQ(Store().Keys(true, 60)->size(), 3u);
  EXPECT_THAT(*Store("other").Keys(true, 60), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(Store("other").Revoke("2", 60).status()));
}

TEST_P(AccessTest, RotationOverlaps) {
  RecordProperty("req", "P2-Sec-3 P3-Sec-3");
  ASSERT_TRUE(Store().AddKey(KeyOf("1", "ci", 1000), 1).ok());
  pb::SecretMac next;
  next.set_kid("k2");
  next.set_mac("new");
  const auto rotated = Store().Rotate("1", "mmk_new", next, 300, 201);
  ASSERT_TRUE(rotated.ok()) << rotated.status();
  EXPECT_EQ(rotated->expires_us(), 1200) << "as long as before, from now";
  EXPECT_EQ(rotated->prefix(), "mmk_new");
  EXPECT_THAT(Live(250), ElementsAre("1/2"));
  EXPECT_THAT(Live(300), ElementsAre("1/1"));
  EXPECT_EQ(Store().Snapshot(300)->keys(0).macs(0).mac(), "new");
  ASSERT_TRUE(Store().Revoke("1", 310).ok());
  EXPECT_TRUE(absl::IsNotFound(Store().Rotate("1", "p", next, 400, 320).status()));
}

TEST_P(AccessTest, PeopleAreSeenAndKeptOut) {
  RecordProperty("req", "P2-Usr-1");
  pb::ReportUseRequest seen;
  pb::User& user = *seen.add_users();
  user.set_subject("okta:1");
  user.set_display_name("Ann");
  user.add_roles("viewer");
  user.set_last_seen_us(5);
  ASSERT_TRUE(Store().Report(seen).ok());
  ASSERT_TRUE(Store().SetUser("okta:1", true, 6).ok());
  user.set_last_seen_us(9);
  ASSERT_TRUE(Store().Report(seen).ok());
  const auto users = *Store().Users();
  ASSERT_EQ(users.size(), 1u);
  EXPECT_EQ(users[0].first_seen_us(), 5);
  EXPECT_EQ(users[0].last_seen_us(), 9);
  EXPECT_TRUE(users[0].disabled()) << "being seen lets nobody in";
  ASSERT_TRUE(Store().SetUser("nobody-yet", true, 6).ok());
  EXPECT_THAT(Store().Snapshot(9)->disabled(), ElementsAre("nobody-yet", "okta:1"));
  ASSERT_TRUE(Store().SetUser("okta:1", false, 7).ok());
  EXPECT_THAT(Store().Snapshot(9)->disabled(), ElementsAre("nobody-yet"));
}

TEST_P(AccessTest, UseIsNotedAndMovesAKeyToTheRingsFirstKey) {
  ASSERT_TRUE(Store().AddKey(KeyOf("1", "ci"), 1).ok());
  const int64_t before = *Store().Revision();
  pb::ReportUseRequest seen;
  pb::KeyUse& use = *seen.add_keys();
  use.set_id("1");
  use.set_used_us(70);
  ASSERT_TRUE(Store().Report(seen).ok());
  EXPECT_EQ(*Store().Revision(), before);
  use.set_used_us(60);
  use.mutable_mac()->set_kid("k2");
  use.mutable_mac()->set_mac("again");
  ASSERT_TRUE(Store().Report(seen).ok());
  EXPECT_GT(*Store().Revision(), before);
  const auto all = *Store().Snapshot(80);
  EXPECT_EQ(all.keys(0).key().last_used_us(), 70);
  EXPECT_EQ(all.keys(0).macs(0).kid(), "k2");
}

TEST_P(AccessTest, TeamsHaveMembers) {
  ASSERT_TRUE(Store().AddTeam("blue", 1).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Store().AddTeam("blue", 1).status()));
  EXPECT_TRUE(absl::IsNotFound(Store().SetMember("red", "a", false).status()));
  ASSERT_TRUE(Store().SetMember("blue", "b", false).ok());
  ASSERT_TRUE(Store().SetMember("blue", "b", false).ok());
  EXPECT_THAT(Store().SetMember("blue", "a", false)->members(), ElementsAre("a", "b"));
  EXPECT_THAT(Store().SetMember("blue", "b", true)->members(), ElementsAre("a"));
  ASSERT_TRUE(Store().RemoveTeam("blue").ok());
  EXPECT_TRUE(absl::IsNotFound(Store().RemoveTeam("blue")));
  ASSERT_TRUE(Store().AddTeam("blue", 1).ok());
  EXPECT_THAT((*Store().Teams())[0].members(), IsEmpty()) << "nobody comes back with the name";
}

// What the service sends to one watcher.
class Watcher final : public Sink<pb::WatchAccessResponse> {
 public:
  Awaitable<absl::Status> Write(pb::WatchAccessResponse message) override {
    seen.push_back(std::move(message));
    co_return seen.size() >= stop_at ? absl::CancelledError("enough") : absl::OkStatus();
  }
  std::vector<pb::WatchAccessResponse> seen;
  size_t stop_at = 2;
};

TEST_P(AccessTest, TheServiceChecksWhatItIsToldAndTellsOfChanges) {
  RecordProperty("req", "W-4.4.1");
  boost::asio::io_context io{1};
  db::DbExecutor executor(*db_);
  AccessService::Options options;
  options.key_max_age_days = 30;
  options.poll = std::chrono::hours(1);
  AccessService service(io.get_executor(), executor, options);
  Watcher watcher;
  pb::CreateKeyResponse made;
  absl::Status too_old, no_role, no_mac, watched;
  boost::asio::co_spawn(
      io,
      [&]() -> Awaitable<void> {
        const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
        watched = co_await service.WatchAccess(ctx, pb::WatchAccessRequest(), watcher);
      },
      [](std::exception_ptr) {});
  boost::asio::co_spawn(
      io,
      [&]() -> Awaitable<void> {
        const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(20));
        while (watcher.seen.empty()) {
          const bool slept = co_await Sleep(std::chrono::milliseconds(2));
          if (!slept) co_return;
        }
        pb::CreateKeyRequest request;
        request.set_name("ci");
        request.set_owner("alice");
        request.add_roles("viewer");
        auto bare = co_await service.CreateKey(ctx, request);
        no_mac = bare.status();
        request.set_prefix("mmk_abcdef");
        request.mutable_mac()->set_kid("k1");
        request.mutable_mac()->set_mac(std::string(32, 'm'));
        auto created = co_await service.CreateKey(ctx, request);
        if (created.ok()) made = *created;
        request.set_name("old");
        request.set_expires_us(NowMicros() + int64_t{31} * 86'400 * 1'000'000);
        auto old = co_await service.CreateKey(ctx, request);
        too_old = old.status();
        request.set_expires_us(0);
        request.add_roles("boss");
        auto boss = co_await service.CreateKey(ctx, request);
        no_role = boss.status();
      },
      [](std::exception_ptr) {});
  io.run();
  EXPECT_TRUE(absl::IsCancelled(watched)) << watched;
  EXPECT_TRUE(absl::IsInvalidArgument(too_old));
  EXPECT_TRUE(absl::IsInvalidArgument(no_role));
  ASSERT_EQ(watcher.seen.size(), 2u);
  ASSERT_EQ(watcher.seen[1].keys_size(), 1);
  EXPECT_TRUE(absl::IsInvalidArgument(no_mac));
  EXPECT_EQ(made.secret(), "");
  EXPECT_EQ(made.key().prefix(), "mmk_abcdef");
  EXPECT_EQ(watcher.seen[1].keys(0).macs(0).mac(), std::string(32, 'm'));
}

}  // namespace
}  // namespace metamcp::catalog
