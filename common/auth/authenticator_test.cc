#include "common/auth/authenticator.h"

#include <gtest/gtest.h>

#include "common/base/error.h"

namespace metamcp::auth {
namespace {

constexpr char kSecret[] = "0123456789abcdef0123";

class AuthenticatorTest : public ::testing::Test {
 protected:
  std::unique_ptr<Authenticator> Make(bool anonymous) {
    StaticKey key;
    key.name = "ci";
    key.secret = kSecret;
    key.roles = {"operator"};
    return *Authenticator::Create({key}, anonymous, ring_);
  }
  static Credentials Show(std::string_view authorization, bool loopback) {
    Credentials c;
    c.authorization = authorization;
    c.loopback = loopback;
    return c;
  }
  KeyRing ring_ = KeyRing::Ephemeral();
};

TEST_F(AuthenticatorTest, AKeyGivesItsPrincipal) {
  const auto who = Make(false)->Authenticate(Show("bEARER  0123456789abcdef0123", false));
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ((*who)->subject, "ci");
  EXPECT_TRUE(HasRole(**who, "viewer"));
  EXPECT_FALSE(HasRole(**who, "admin"));
  Credentials api_key;
  api_key.api_key = kSecret;
  EXPECT_TRUE(Make(false)->Authenticate(api_key).ok());
}

TEST_F(AuthenticatorTest, AWrongKeyIsRefusedEvenOnLoopback) {
  for (const char* header : {"Bearer wrong", "Bearer ", "Basic abc", "0123456789abcdef0123"}) {
    const auto who = Make(true)->Authenticate(Show(header, true));
    EXPECT_EQ(GetErrorInfo(who.status()).value_or(ErrorInfo()).reason, "AUTH_INVALID") << header;
  }
}

TEST_F(AuthenticatorTest, OnlyLoopbackMayBeAnonymousAndOnlyWhereAllowed) {
  EXPECT_TRUE(Make(true)->Authenticate(Show("", true)).ok());
  for (const auto& who :
       {Make(true)->Authenticate(Show("", false)), Make(false)->Authenticate(Show("", true))}) {
    EXPECT_EQ(GetErrorInfo(who.status()).value_or(ErrorInfo()).reason, "AUTH_REQUIRED");
  }
}

TEST_F(AuthenticatorTest, WhatAProxyForwardsIsNotLocal) {
  Credentials socket;
  socket.unix_socket = true;
  for (Credentials c : {Show("", true), socket}) {
    EXPECT_TRUE(Make(true)->Authenticate(c).ok());
    c.forwarded_by = "X-Forwarded-For";
    const auto who = Make(true)->Authenticate(c);
    EXPECT_EQ(GetErrorInfo(who.status()).value_or(ErrorInfo()).reason, "AUTH_REQUIRED");
    EXPECT_NE(who.status().message().find("X-Forwarded-For"), std::string::npos);
    c.authorization = "Bearer 0123456789abcdef0123";
    EXPECT_EQ((*Make(true)->Authenticate(c))->subject, "ci");
  }
}

TEST_F(AuthenticatorTest, RefusesWeakAndDoubleKeys) {
  StaticKey weak;
  weak.secret = "short";
  EXPECT_FALSE(Authenticator::Create({weak}, true, ring_).ok());
  StaticKey key;
  key.secret = kSecret;
  EXPECT_FALSE(Authenticator::Create({key, key}, true, ring_).ok());
}

TEST_F(AuthenticatorTest, OtherKeysTakeEffectAndSayWhoIsGone) {
  auto all = Make(true);
  const auto ci = *all->Authenticate(Show("Bearer 0123456789abcdef0123", true));
  const auto local = *all->Authenticate(Show("", true));
  StaticKey same;
  same.name = "ci";
  same.secret = kSecret;
  same.roles = {"operator"};
  StaticKey other = same;
  other.name = "other";
  other.secret = "another secret of 27 bytes!";
  auto gone = all->SetKeys({other, same}, false);
  ASSERT_TRUE(gone.ok());
  ASSERT_EQ(gone->size(), 1u);
  EXPECT_EQ(gone->front(), local);
  EXPECT_EQ(*all->Authenticate(Show("Bearer 0123456789abcdef0123", false)), ci);
  EXPECT_FALSE(all->Authenticate(Show("", true)).ok());

  EXPECT_FALSE(all->SetKeys({same, same}, true).ok());
  EXPECT_FALSE(all->Authenticate(Show("", true)).ok()) << "a mistake changes nothing";

  for (const bool less : {true, false}) {
    StaticKey changed = same;
    if (less) {
      changed.roles = {"viewer"};
    } else {
      changed.secret = "a new secret of some length";
    }
    all = Make(false);
    const auto before = *all->Authenticate(Show("Bearer 0123456789abcdef0123", false));
    gone = all->SetKeys({changed}, false);
    ASSERT_TRUE(gone.ok());
    ASSERT_EQ(gone->size(), 1u);
    EXPECT_EQ(gone->front(), before);
  }
  EXPECT_FALSE(all->Authenticate(Show("Bearer 0123456789abcdef0123", false)).ok());
}

TEST_F(AuthenticatorTest, SaysWhetherAKeyOfEarlierIsStillThere) {
  auto all = Make(true);
  const auto ci = *all->Authenticate(Show("Bearer 0123456789abcdef0123", false));
  const auto local = *all->Authenticate(Show("", true));
  EXPECT_TRUE(all->StillKnown(*ci));
  EXPECT_TRUE(all->StillKnown(*local));
  StaticKey other;
  other.name = "other";
  other.secret = "another secret of some length";
  ASSERT_TRUE(all->SetKeys({other}, false).ok());
  EXPECT_FALSE(all->StillKnown(*ci));
  EXPECT_FALSE(all->StillKnown(*local));
  Principal socket;
  socket.method = "socket";
  EXPECT_TRUE(all->StillKnown(socket));
  // A key of that name that belongs to another tenant is another one.
  other.name = "ci";
  other.tenant = "elsewhere";
  ASSERT_TRUE(all->SetKeys({other}, false).ok());
  EXPECT_FALSE(all->StillKnown(*ci));
}

TEST_F(AuthenticatorTest, SaysWhatSomebodyOfEarlierIsToday) {
  auto all = Make(true);
  auto run = **all->Authenticate(Show("Bearer 0123456789abcdef0123", false));
  run.kind = "run";
  run.actors = {"run:1"};
  StaticKey now;
  now.name = "ci";
  now.secret = "0123456789abcdef0123";
  now.roles = {"auditor"};
  ASSERT_TRUE(all->SetKeys({now}, true).ok());
  const auto today = all->AsNow(run);
  ASSERT_NE(today, nullptr);
  EXPECT_EQ(today->roles, std::vector<std::string>{"auditor"});
  EXPECT_EQ(today->kind, "run");
  EXPECT_EQ(today->actors, run.actors);
  EXPECT_EQ(today->subject, run.subject);
  // What tokens said is not known here.
  Principal token;
  token.method = "token:issuer";
  token.roles = {"developer"};
  EXPECT_EQ(all->AsNow(token)->roles, token.roles);
  now.name = "other";
  ASSERT_TRUE(all->SetKeys({now}, true).ok());
  EXPECT_EQ(all->AsNow(run), nullptr);
}

TEST(Roles, AnAuditorStandsBesideTheOthers) {
  Principal who;
  who.roles = {"auditor"};
  EXPECT_TRUE(HasRole(who, "auditor"));
  EXPECT_FALSE(HasRole(who, "viewer"));
  who.roles = {"admin"};
  EXPECT_FALSE(HasRole(who, "auditor"));
  who.roles = {"admin", "auditor"};
  EXPECT_TRUE(HasRole(who, "auditor"));
}

}  // namespace
}  // namespace metamcp::auth
