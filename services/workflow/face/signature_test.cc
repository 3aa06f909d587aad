#include "services/workflow/face/signature.h"

#include <gtest/gtest.h>

#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

// The example of Standard Webhooks' own documentation.
constexpr char kSecret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr char kId[] = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr char kBody[] = R"({"test": 2432232314})";
constexpr char kSignature[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
constexpr int64_t kTime = 1614265330;

absl::Status Check(std::string_view header, int64_t now = kTime, std::string_view body = kBody,
                   std::string_view id = kId, std::string_view time = "1614265330") {
  return CheckSignature(*SecretBytes(kSecret), id, time, header, body, now, 300);
}

TEST(SignatureTest, IsStandardWebhooks) {
  RecordProperty("req", "M-FR-023");
  EXPECT_EQ(Sign(*SecretBytes(kSecret), kId, kTime, kBody), kSignature);
  EXPECT_TRUE(Check(kSignature).ok());
  EXPECT_TRUE(Check(StrCat("v1,AAAA v2,x ", kSignature)).ok());
}

TEST(SignatureTest, AnythingElseIsRefused) {
  EXPECT_FALSE(Check("").ok());
  EXPECT_FALSE(Check("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=").ok());
  EXPECT_FALSE(Check(kSignature, kTime, R"({"test": 1})").ok());
  EXPECT_FALSE(Check(kSignature, kTime, kBody, "msg_other").ok());
  EXPECT_FALSE(Check(kSignature, kTime, kBody, "").ok());
  EXPECT_FALSE(Check(kSignature, kTime, kBody, kId, "soon").ok());
}

TEST(SignatureTest, TheTimeMustBeNow) {
  EXPECT_TRUE(Check(kSignature, kTime + 300).ok());
  EXPECT_FALSE(Check(kSignature, kTime + 301).ok());
  EXPECT_TRUE(Check(kSignature, kTime - 300).ok());
  EXPECT_FALSE(Check(kSignature, kTime - 301).ok());
}

TEST(SignatureTest, SecretsHaveOneForm) {
  EXPECT_EQ(SecretBytes(MakeSecret())->size(), 32u);
  EXPECT_NE(MakeSecret(), MakeSecret());
  for (const char* bad : {"", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                          "whsec_not base64 at all, really not"}) {
    EXPECT_FALSE(SecretBytes(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace metamcp::workflow
