// One suite over every back-end; METAMCP_TEST_POSTGRES_URL names the PostgreSQL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/db/testing.h"
#include "services/catalog/directory/directory_store.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kLeaseUs = 5'000'000;

class DirectoryTest : public db::DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || db_ == nullptr) return;
    ASSERT_TRUE(DirectoryStore::MigrateBlocking(*db_).ok());
  }
  // Instances whose lease runs after this heartbeat.
  std::vector<std::string> Announce(const std::string& instance, const std::string& address,
                                    int64_t now) {
    const v1::Member member = MemberWithAllRoles(instance, address);
    const auto members = DirectoryStore(*db_).Announce(member, now, kLeaseUs);
    EXPECT_TRUE(members.ok()) << members.status();
    std::vector<std::string> out;
    if (!members.ok()) return out;
    for (const v1::Member& each : *members) {
      EXPECT_THAT(each.roles(), ElementsAre("gateway", "connector"));
      out.push_back(each.instance() + "@" + each.address());
    }
    return out;
  }
  static v1::Member MemberWithAllRoles(const std::string& instance, const std::string& address) {
    v1::Member member = MemberOf(instance, address, "gateway");
    member.add_roles("connector");
    return member;
  }
  static v1::Member MemberOf(const std::string& instance, const std::string& address,
                             const std::string& role) {
    v1::Member member;
    member.set_instance(instance);
    member.set_address(address);
    member.add_roles(role);
    return member;
  }
  // "owner/epoch" of one upstream after `instance` asked to run it.
  std::string Take(const std::string& instance, const std::string& id, int64_t now) {
    v1::TakeUpstreamsRequest request;
    request.set_instance(instance);
    request.add_take_ids(id);
    return Ask(request, now);
  }
  std::string Ask(const v1::TakeUpstreamsRequest& request, int64_t now) {
    const auto leases = DirectoryStore(*db_).Take(request, now);
    if (!leases.ok()) return leases.status().ToString();
    std::string out;
    for (const v1::UpstreamLease& lease : *leases) {
      out += lease.owner() + "/" + std::to_string(lease.epoch());
    }
    return out;
  }
  static v1::SessionMark MarkOf(const std::string& handle, bool ended, const std::string& level,
                                int64_t expires) {
    v1::SessionMark mark;
    mark.set_handle(handle);
    mark.set_ended(ended);
    mark.set_log_level(level);
    mark.set_expires_us(expires);
    return mark;
  }
  std::vector<std::string> Marks(int64_t after, int64_t now, int64_t* head = nullptr) {
    const auto page = DirectoryStore(*db_).ListMarks(after, now);
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<std::string> out;
    if (!page.ok()) return out;
    for (const v1::SessionMark& mark : page->marks()) {
      out.push_back(mark.handle() + (mark.ended() ? " ended " : " ") + mark.log_level());
    }
    if (head != nullptr) *head = page->head();
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, DirectoryTest, db::AllBackends(), db::BackendName);

TEST_P(DirectoryTest, WhoIsSilentForALeaseIsGone) {
  EXPECT_THAT(Announce("a", "h:1", 0), ElementsAre("a@h:1"));
  EXPECT_THAT(Announce("b", "h:2", kLeaseUs - 1), ElementsAre("a@h:1", "b@h:2"));
  EXPECT_THAT(Announce("b", "h:2", kLeaseUs), ElementsAre("b@h:2"));
  EXPECT_THAT(Announce("a", "h:1", kLeaseUs + 1), ElementsAre("a@h:1", "b@h:2"));
}

TEST_P(DirectoryTest, AnAddressIsOneProcess) {
  Announce("a", "h:1", 0);
  EXPECT_EQ(Take("a", "u", 1), "a/1");
  EXPECT_THAT(Announce("again", "h:1", 2), ElementsAre("again@h:1"));
  EXPECT_EQ(Take("again", "u", 3), "again/2");
}

TEST_P(DirectoryTest, WhoHasOtherRolesEndsNobody) {
  RecordProperty("req", "M-FR-007.3");
  DirectoryStore store(*db_);
  ASSERT_TRUE(store.Announce(MemberOf("g", "h:1", "gateway"), 0, kLeaseUs).ok());
  // At the same address, and by its name.
  auto members = store.Announce(MemberOf("n", "h:1", "connector"), 1, kLeaseUs);
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_EQ(members->size(), 2u);
  ASSERT_TRUE(store.Leave(MemberOf("g", "h:9", "connector")).ok());
  members = store.Announce(MemberOf("n", "h:1", "connector"), 2, kLeaseUs);
  EXPECT_EQ(members->size(), 2u);
  ASSERT_TRUE(store.Leave(MemberOf("g", "h:1", "gateway")).ok());
  members = store.Announce(MemberOf("n", "h:1", "connector"), 3, kLeaseUs);
  EXPECT_EQ(members->size(), 1u);
}

TEST_P(DirectoryTest, OneRunsAnUpstreamUntilItIsGone) {
  Announce("a", "h:1", 0);
  Announce("b", "h:2", 0);
  EXPECT_EQ(Take("a", "u", 1), "a/1");
  EXPECT_EQ(Take("b", "u", 2), "a/1");
  EXPECT_EQ(Take("a", "u", 3), "a/1");
  Announce("b", "h:2", kLeaseUs - 1);
  EXPECT_EQ(Take("b", "u", kLeaseUs - 1), "a/1");
  EXPECT_EQ(Take("b", "u", kLeaseUs), "b/2");
  EXPECT_THAT(Take("a", "u", kLeaseUs), testing::HasSubstr("no lease"));
  Announce("a", "h:1", kLeaseUs + 1);  // a zombie that wakes
  EXPECT_EQ(Take("a", "u", kLeaseUs + 2), "b/2");
}

TEST_P(DirectoryTest, AbsentOnesGetTimeToComeBack) {
  RecordProperty("req", "M-NFR-002.3");
  Announce("a", "h:1", 0);
  EXPECT_EQ(Take("a", "u", 1), "a/1");
  const int64_t later = 10 * kLeaseUs;
  Announce("b", "h:2", later);
  v1::TakeUpstreamsRequest request;
  request.set_instance("b");
  request.add_take_ids("u");
  request.add_take_ids("free");
  const auto unsure = DirectoryStore(*db_).Take(request, later, false);
  ASSERT_TRUE(unsure.ok());
  EXPECT_EQ((*unsure)[0].owner(), "a");
  EXPECT_EQ((*unsure)[1].owner(), "b");  // nobody had it
  Announce("a", "h:1", later + 1);
  EXPECT_EQ(Take("b", "u", later + 2), "a/1");
}

TEST_P(DirectoryTest, WhoGivesUpOrLeavesMakesRoomAtOnce) {
  Announce("a", "h:1", 0);
  Announce("b", "h:2", 0);
  Take("a", "u", 1);
  v1::TakeUpstreamsRequest release;
  release.set_instance("b");
  release.add_release_ids("u");
  EXPECT_EQ(Ask(release, 2), "");
  EXPECT_EQ(Take("b", "u", 2), "a/1");  // only the owner can
  release.set_instance("a");
  EXPECT_EQ(Ask(release, 3), "");
  EXPECT_EQ(Take("b", "u", 4), "b/2");
  ASSERT_TRUE(DirectoryStore(*db_).Leave(MemberWithAllRoles("b", "h:2")).ok());
  v1::TakeUpstreamsRequest ask;
  ask.set_instance("a");
  ask.add_ask_ids("u");
  ask.add_ask_ids("never");
  EXPECT_EQ(Ask(ask, 5), "/2/0");
  EXPECT_EQ(Take("a", "u", 6), "a/3");
}

TEST_P(DirectoryTest, MarksAreFollowedInTheirOrder) {
  DirectoryStore store(*db_);
  EXPECT_THAT(Marks(0, 0), IsEmpty());
  ASSERT_TRUE(store.Mark({MarkOf("s1", false, "debug", 100), MarkOf("s2", true, "", 50)}, 0).ok());
  int64_t head = 0;
  EXPECT_THAT(Marks(0, 0, &head), ElementsAre("s1 debug", "s2 ended "));
  EXPECT_THAT(Marks(head, 0), IsEmpty());
  // What is told later neither revives a session nor forgets its level.
  ASSERT_TRUE(store.Mark({MarkOf("s1", true, "", 100), MarkOf("s2", false, "info", 50)}, 0).ok());
  EXPECT_THAT(Marks(head, 0, &head), ElementsAre("s1 ended debug", "s2 ended info"));
  // Expired ones go; numbers are never used twice.
  ASSERT_TRUE(store.Mark({MarkOf("s3", true, "", 900)}, 500).ok());
  EXPECT_THAT(Marks(0, 500), ElementsAre("s3 ended "));
  EXPECT_THAT(Marks(head, 500), ElementsAre("s3 ended "));
}

}  // namespace
}  // namespace metamcp::catalog
