#include "gateway/auth/access_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "gateway/auth/access_edge.h"

namespace metamcp::gateway {
namespace {

namespace pb = access::v1;
using testing::ElementsAre;
using testing::IsEmpty;

// Nobody asks it here.
class NoService : public pb::AccessService {
 public:
#define UNUSED(Method)                                                                            \
  Awaitable<absl::StatusOr<pb::Method##Response>> Method(const CallContext&, pb::Method##Request) \
      override {                                                                                  \
    co_return absl::UnimplementedError(#Method);                                                  \
  }
  UNUSED(CreateKey)
  UNUSED(ListKeys)
  UNUSED(RotateKey)
  UNUSED(RevokeKey)
  UNUSED(ListUsers)
  UNUSED(SetUser)
  UNUSED(ListTeams)
  UNUSED(CreateTeam)
  UNUSED(DeleteTeam)
  UNUSED(SetMember)
  UNUSED(ReportUse)
#undef UNUSED
  Awaitable<absl::Status> WatchAccess(const CallContext&, pb::WatchAccessRequest,
                                      Sink<pb::WatchAccessResponse>&) override {
    co_return absl::UnimplementedError("WatchAccess");
  }
};

class AccessMirrorTest : public ::testing::Test {
 protected:
  AccessMirrorTest()
      : mirror_(service_, ring_, [this](const AccessMirror::Gone& gone) {
          for (const auto& who : gone) gone_.push_back(who->subject);
        }) {}
  void AddKey(const std::string& id, const std::string& secret, int64_t until_us = 0) {
    pb::LiveKey* live = nullptr;
    for (pb::LiveKey& key : *all_.mutable_keys()) {
      if (key.key().id() == id) live = &key;
    }
    if (live == nullptr) live = all_.add_keys();
    live->mutable_key()->set_id(id);
    live->mutable_key()->set_owner(StrCat("owner-", id));
    pb::SecretMac& mac = *live->add_macs();
    mac.set_kid(ring_.Kids().front());
    mac.set_mac(ring_.Mac(SealPurpose::kToken, secret));
    mac.set_until_us(until_us);
  }
  std::string WhoIs(const std::string& secret) {
    const auto found = mirror_.FindKey(secret);
    if (!found.ok()) return GetErrorInfo(found.status()).value_or(ErrorInfo()).reason;
    return *found == nullptr ? "nobody" : (*found)->subject;
  }

  KeyRing ring_ = KeyRing::Ephemeral();
  NoService service_;
  AccessMirror mirror_;
  pb::WatchAccessResponse all_;
  std::vector<std::string> gone_;
};

TEST_F(AccessMirrorTest, KeysAreKnownAfterTheFirstMessage) {
  RecordProperty("req", "W-4.4.1");
  EXPECT_EQ(WhoIs("mmk_one"), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(WhoIs("something else"), "nobody");
  AddKey("1", "mmk_one");
  mirror_.Apply(all_);
  EXPECT_EQ(WhoIs("mmk_one"), "owner-1");
  EXPECT_EQ(WhoIs("mmk_other"), "nobody");
  EXPECT_EQ(WhoIs(""), "nobody");
  const auto seen = mirror_.TakeSeen();
  ASSERT_EQ(seen.keys_size(), 1);
  EXPECT_FALSE(seen.keys(0).has_mac());
  EXPECT_EQ(mirror_.TakeSeen().keys_size(), 0);
}

TEST_F(AccessMirrorTest, WhoLosesAKeyIsGoneAndOthersAreNot) {
  AddKey("1", "mmk_one");
  AddKey("2", "mmk_two");
  mirror_.Apply(all_);
  const auto two = *mirror_.FindKey("mmk_two");
  all_.mutable_keys()->DeleteSubrange(0, 1);
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, ElementsAre("owner-1"));
  EXPECT_EQ(WhoIs("mmk_one"), "nobody");
  EXPECT_EQ(*mirror_.FindKey("mmk_two"), two);
  Principal of_one;
  of_one.method = "apikey:1";
  EXPECT_FALSE(mirror_.StillKnown(of_one));
  EXPECT_TRUE(mirror_.StillKnown(*two));
  EXPECT_EQ(mirror_.AsNow(of_one), nullptr);
  gone_.clear();
  all_.mutable_keys(0)->mutable_key()->add_roles("admin");
  mirror_.Apply(all_);
  EXPECT_THAT(mirror_.AsNow(*two)->roles, ::testing::Contains("admin"));
  EXPECT_THAT(gone_, ElementsAre("owner-2")) << "it was opened with other rights";
}

TEST_F(AccessMirrorTest, TheOldSecretEndsWithTheOverlap) {
  RecordProperty("req", "P2-Sec-3");
  AddKey("1", "mmk_new");
  AddKey("1", "mmk_old", NowMicros() + 3'600'000'000);
  AddKey("2", "mmk_ended", NowMicros() - 1);
  mirror_.Apply(all_);
  EXPECT_EQ(WhoIs("mmk_new"), "owner-1");
  EXPECT_EQ(WhoIs("mmk_old"), "owner-1");
  EXPECT_GT((*mirror_.FindKey("mmk_old"))->expires_us, 0);
  EXPECT_EQ((*mirror_.FindKey("mmk_new"))->expires_us, 0);
  EXPECT_EQ(WhoIs("mmk_ended"), "nobody");
}

TEST_F(AccessMirrorTest, AKeyOfAnOlderRingIsReportedUnderTheNewOne) {
  const KeyRing::Key old_key{"old", std::string(32, 'o')};
  const KeyRing::Key new_key{"new", std::string(32, 'n')};
  ring_.Replace(*KeyRing::Create({old_key}));
  AddKey("1", "mmk_one");
  mirror_.Apply(all_);
  ring_.Replace(*KeyRing::Create({new_key, old_key}));
  EXPECT_EQ(WhoIs("mmk_one"), "owner-1");
  const auto seen = mirror_.TakeSeen();
  EXPECT_EQ(seen.keys(0).mac().kid(), "new");
  EXPECT_EQ(seen.keys(0).mac().mac(), ring_.Mac(SealPurpose::kToken, "mmk_one"));
  ring_.Replace(*KeyRing::Create({new_key}));
  EXPECT_EQ(WhoIs("mmk_one"), "nobody");
}

TEST_F(AccessMirrorTest, SomebodyKeptOutStaysOutAndTeamsJoinTheToken) {
  auto who = std::make_shared<Principal>();
  who->subject = "okta:1";
  who->issuer = "https://okta";
  who->method = "jwt:okta";
  who->teams = {"green"};
  pb::Team& team = *all_.add_teams();
  team.set_name("blue");
  team.add_members("okta:1");
  mirror_.Apply(all_);
  const auto with = *mirror_.Complete(who);
  EXPECT_THAT(with->teams, ElementsAre("green", "blue"));
  EXPECT_EQ(*mirror_.Complete(who), with);
  EXPECT_EQ(mirror_.TakeSeen().users(0).subject(), "okta:1");
  EXPECT_EQ(mirror_.TakeSeen().users_size(), 0);
  all_.add_disabled("okta:1");
  all_.add_disabled("local");
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, ElementsAre("local", "okta:1"));
  EXPECT_FALSE(mirror_.Complete(who).ok());
  EXPECT_FALSE(mirror_.StillKnown(*who));
  auto owner = std::make_shared<Principal>();
  owner->subject = "local";
  owner->method = "socket";
  EXPECT_TRUE(mirror_.Complete(owner).ok()) << "who owns the machine is not locked out of it";
  gone_.clear();
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, IsEmpty());
}

TEST_F(AccessMirrorTest, WhoIsTakenOutOfATeamLosesWhatIsOpen) {
  pb::Team& blue = *all_.add_teams();
  blue.set_name("blue");
  blue.add_members("okta:1");
  blue.add_members("okta:2");
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, IsEmpty());
  // One more right takes nothing away.
  pb::Team& green = *all_.add_teams();
  green.set_name("green");
  green.add_members("okta:1");
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, IsEmpty());
  all_.mutable_teams(0)->mutable_members()->DeleteSubrange(0, 1);
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, ElementsAre("okta:1"));
  gone_.clear();
  all_.clear_teams();
  mirror_.Apply(all_);
  EXPECT_THAT(gone_, ::testing::UnorderedElementsAre("okta:1", "okta:2"));
}

// Takes new keys, and remembers how.
class TakesKeys final : public NoService {
 public:
  Awaitable<absl::StatusOr<pb::CreateKeyResponse>> CreateKey(
      const CallContext&, pb::CreateKeyRequest request) override {
    created = std::move(request);
    pb::CreateKeyResponse out;
    out.set_secret("not of the service");
    co_return out;
  }
  pb::CreateKeyRequest created;
};

TEST(AccessEdgeTest, SecretsAreMadeHereAndOnlyProved) {
  RecordProperty("req", "W-4.4.1");
  const KeyRing ring = KeyRing::Ephemeral();
  TakesKeys service;
  AccessEdge edge(service, ring);
  pb::CreateKeyRequest request;
  request.set_name("ci");
  request.set_prefix("mine");
  request.mutable_mac()->set_kid("mine");
  request.mutable_mac()->set_mac("of a secret that I know");
  request.mutable_mac()->set_until_us(7);
  absl::StatusOr<pb::CreateKeyResponse> made = absl::CancelledError();
  boost::asio::io_context io;
  const CallContext ctx;
  boost::asio::co_spawn(io, edge.CreateKey(ctx, request),
                        [&made](std::exception_ptr, absl::StatusOr<pb::CreateKeyResponse> r) {
                          made = std::move(r);
                        });
  io.run();
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->secret().size(), 36u);
  EXPECT_EQ(service.created.prefix(), made->secret().substr(0, 10));
  EXPECT_EQ(service.created.mac().kid(), ring.Kids().front());
  EXPECT_EQ(service.created.mac().mac(), ring.Mac(SealPurpose::kToken, made->secret()));
  EXPECT_EQ(service.created.mac().until_us(), 0);
  EXPECT_EQ(service.created.SerializeAsString().find(made->secret()), std::string::npos);
}

}  // namespace
}  // namespace metamcp::gateway
