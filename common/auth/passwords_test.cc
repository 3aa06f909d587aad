#include "common/auth/passwords.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "absl/strings/escaping.h"
#include "common/async/run.h"
#include "common/auth/password_hash.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Header(std::string_view name, std::string_view password) {
  return StrCat("Basic ", absl::Base64Escape(StrCat(name, ":", password)));
}

Passwords::Clock::time_point g_now{std::chrono::hours(1000)};

class PasswordsTest : public ::testing::Test {
 protected:
  PasswordsTest() {
    PasswordUser ada;
    ada.name = "ada";
    ada.hash = *HashPasswordBlocking("correct horse");
    ada.roles = {"admin"};
    bool changed = false;
    EXPECT_TRUE(passwords_.SetUsers({ada}, &changed).ok());
    EXPECT_TRUE(changed);
    users_ = {ada};
  }
  // The subject, or the reason of the refusal.
  std::string Check(const std::string& header, const std::string& peer = "192.0.2.1") {
    using Result = absl::StatusOr<std::shared_ptr<const Principal>>;
    std::optional<Result> out;
    boost::asio::co_spawn(io_, passwords_.Check(header, peer),
                          [&out](std::exception_ptr e, Result result) {
                            out = e ? Result(StatusFromException(e)) : std::move(result);
                          });
    while (!out) {
      io_.restart();
      io_.run_one_for(std::chrono::seconds(20));
    }
    return out->ok() ? (**out)->subject : GetErrorInfo(out->status())->reason;
  }
  boost::asio::io_context io_{1};
  KeyRing keys_ = KeyRing::Ephemeral();
  Passwords passwords_{keys_, [] { return g_now; }};
  std::vector<PasswordUser> users_;
};

TEST(PasswordHashTest, MakesAndChecks) {
  const auto hash = HashPasswordBlocking("correct horse");
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_THAT(*hash, StartsWith("$argon2id$v=19$m=19456,t=2,p=1$"));
  EXPECT_TRUE(CheckPasswordBlocking(*hash, "correct horse"));
  EXPECT_FALSE(CheckPasswordBlocking(*hash, "correct horsf"));
  EXPECT_FALSE(CheckPasswordBlocking(*hash, ""));
  EXPECT_NE(*hash, *HashPasswordBlocking("correct horse"));
  EXPECT_TRUE(CheckPasswordHash(*hash).ok());
  EXPECT_FALSE(HashPasswordBlocking("").ok());
  EXPECT_FALSE(HashPasswordBlocking(std::string(2000, 'x')).ok());
}

TEST(PasswordHashTest, RefusesWhatCostsTooMuchOrTooLittle) {
  const auto why = [](const std::string& hash) {
    return std::string(CheckPasswordHash(hash).message());
  };
  EXPECT_THAT(why("$argon2id$v=19$m=4194304,t=2,p=1$c2FsdA$aGFzaA"), HasSubstr("too much"));
  EXPECT_THAT(why("$argon2id$v=19$m=19456,t=2000,p=1$c2FsdA$aGFzaA"), HasSubstr("too much"));
  EXPECT_THAT(why("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"), HasSubstr("too cheap"));
  EXPECT_THAT(why("$2b$12$abcdefg"), HasSubstr("no Argon2id hash"));
}

TEST_F(PasswordsTest, KnowsTheRightOneAndNoOther) {
  RecordProperty("req", "P1-Auth-2");
  EXPECT_EQ(Check(Header("ada", "correct horse")), "ada");
  EXPECT_EQ(Check(Header("ada", "correct horse")), "ada");  // known now
  EXPECT_EQ(Check(Header("ada", "wrong")), "AUTH_INVALID");
  EXPECT_EQ(Check(Header("eve", "correct horse")), "AUTH_INVALID");
  for (const char* broken : {"Basic", "Basic !!!", "Basic YWRh", "Basic ", "basic\tYWRhOng="}) {
    EXPECT_EQ(Check(broken), "AUTH_INVALID") << broken;
  }
  EXPECT_EQ(Check(StrCat("Basic ", std::string(5000, 'A'))), "AUTH_INVALID");
  EXPECT_EQ(Check(StrCat("Basic ", absl::Base64Escape(std::string("ada\0x:y", 7)))),
            "AUTH_INVALID");
}

TEST_F(PasswordsTest, ManyAtOnceAreOneTry) {
  int right = 0;
  for (int i = 0; i < 20; ++i) {
    boost::asio::co_spawn(
        io_, passwords_.Check(Header("ada", "correct horse"), "192.0.2.9"),
        [&right](std::exception_ptr, absl::StatusOr<std::shared_ptr<const Principal>> result) {
          right += result.ok();
        });
  }
  io_.run_for(std::chrono::seconds(20));
  EXPECT_EQ(right, 20);
}

TEST_F(PasswordsTest, GuessingGetsSlow) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Check(Header("ada", StrCat("guess", i))), "AUTH_INVALID");
  EXPECT_EQ(Check(Header("ada", "correct horse")), "RATE_LIMITED");
  // Who sits elsewhere is not kept out by it.
  EXPECT_EQ(Check(Header("ada", "correct horse"), "192.0.2.2"), "ada");
  g_now += std::chrono::seconds(2);
  EXPECT_EQ(Check(Header("ada", "guess")), "AUTH_INVALID");
  g_now += std::chrono::seconds(1);
  EXPECT_EQ(Check(Header("ada", "guess again")), "RATE_LIMITED");
  g_now += std::chrono::minutes(11);
  EXPECT_EQ(Check(Header("ada", "guess again")), "AUTH_INVALID");
}

TEST_F(PasswordsTest, OneAddressCannotTryAllNames) {
  int limited = 0;
  for (int i = 0; i < 25; ++i) {
    if (Check(Header(StrCat("user", i), "x"), "192.0.2.3") == "RATE_LIMITED") ++limited;
  }
  EXPECT_GE(limited, 4);
}

TEST_F(PasswordsTest, OtherUsersTakeEffectAtOnce) {
  EXPECT_EQ(Check(Header("ada", "correct horse")), "ada");
  bool changed = true;
  EXPECT_TRUE(passwords_.SetUsers(users_, &changed).ok());
  EXPECT_FALSE(changed);
  PasswordUser broken = users_[0];
  broken.hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA";
  EXPECT_THAT(std::string(passwords_.SetUsers({broken}, &changed).message()),
              HasSubstr("auth.basic.users.ada.hash"));
  EXPECT_EQ(Check(Header("ada", "correct horse")), "ada");
  EXPECT_TRUE(passwords_.SetUsers({}, &changed).ok());
  EXPECT_TRUE(changed);
  EXPECT_FALSE(passwords_.enabled());
  EXPECT_EQ(Check(Header("ada", "correct horse")), "AUTH_INVALID");
}

TEST(ThrottleTest, IsBoundedAndForgets) {
  Throttle throttle;
  auto now = Throttle::Clock::time_point(std::chrono::hours(1));
  for (size_t i = 0; i < Throttle::kMax + 100; ++i) throttle.Failed(std::to_string(i), 1, now);
  EXPECT_GT(throttle.Wait("7", now), Throttle::Clock::duration::zero());
  // Those that found no room share one allowance.
  EXPECT_GT(throttle.Wait("never seen", now), Throttle::Clock::duration::zero());
  now += std::chrono::hours(1);
  EXPECT_EQ(throttle.Wait("7", now), Throttle::Clock::duration::zero());
}

}  // namespace
}  // namespace metamcp::auth
