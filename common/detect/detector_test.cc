#include "common/detect/detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::detect {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "kind:rule" of everything that is found.
std::vector<std::string> Found(std::string_view text, Kind kind) {
  std::vector<std::string> out;
  for (const Finding& finding : Scan(text, kind)) {
    EXPECT_LE(finding.begin + finding.size, text.size());
    out.emplace_back(finding.rule);
  }
  return out;
}
std::string Masked(std::string_view text, Kinds kinds) { return Mask(text, Scan(text, kinds)); }

constexpr Kinds Everything() {
  Kinds all;
  for (const Kind kind : kAllKinds) all = all | kind;
  return all;
}

TEST(HiddenTest, FindsWhatNobodySees) {
  EXPECT_THAT(Found("a\u200Bb", Kind::kHiddenUnicode), ElementsAre("zero-width"));
  EXPECT_THAT(Found("a\u202Eb", Kind::kHiddenUnicode), ElementsAre("direction"));
  EXPECT_THAT(Found("x\U000E0041\U000E0042\U000E0043", Kind::kHiddenUnicode),
              ElementsAre("tag-characters"));
  EXPECT_THAT(Found("\U0001F600\uFE0F\uFE01\uFE02", Kind::kHiddenUnicode),
              ElementsAre("variation-selectors"));
  EXPECT_EQ(Masked("pay\u200Bload \U000E0041", Kind::kHiddenUnicode), "payload ");
}

TEST(HiddenTest, LetsWritingPass) {
  for (const char* text :
       {"\U0001F468\u200D\U0001F469\u200D\U0001F467", "\u0646\u0645\u06CC\u200C\u0634\u0648\u062F",
        "\u0915\u094D\u200D\u0937",
        "\U0001F3F4\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F",
        "\u2764\uFE0F 1\uFE0F\u20E3", "\u05E9\u05DC\u05D5\u05DD \u200E(hi)\u200E", "\uFEFFtext",
        "plain \u00E9\u4E2D\u6587"}) {
    EXPECT_THAT(Found(text, Kind::kHiddenUnicode), IsEmpty()) << text;
  }
}

TEST(MaskTest, PutsTheRestOutOfSight) {
  EXPECT_EQ(Masked("key ghp_abcdefghijklmnopqrstuvwxyz0123456789 end", Kind::kSecrets),
            "key [masked: github-token] end");
  EXPECT_EQ(Masked("write to ada@lovelace.org, please", Kind::kPersonalData),
            "write to [masked: mail], please");
  EXPECT_EQ(Masked("nothing", Everything()), "nothing");
}

TEST(PersonalTest, ChecksWhatCanBeChecked) {
  EXPECT_THAT(Found("4111 1111 1111 1111", Kind::kPersonalData), ElementsAre("card"));
  EXPECT_THAT(Found("4111 1111 1111 1112", Kind::kPersonalData), IsEmpty());
  EXPECT_THAT(Found("DE89 3704 0044 0532 0130 00", Kind::kPersonalData), ElementsAre("iban"));
  EXPECT_THAT(Found("DE89 3704 0044 0532 0130 01", Kind::kPersonalData), IsEmpty());
  EXPECT_THAT(Found("call +49 30 1234567 now", Kind::kPersonalData), ElementsAre("telephone"));
  EXPECT_THAT(Found("(415) 555-0132", Kind::kPersonalData), ElementsAre("telephone"));
  EXPECT_THAT(Found("git@github.com:a/b.git", Kind::kPersonalData), IsEmpty());
}

TEST(JsonTest, MaskedJsonStaysJsonAndTheRestStaysAsItWas) {
  const std::string json =
      R"({"a": [1, "x \"y\" \u0041", {"password": "p", "mail":"ada@lovelace.org\n2"}], "b":"ok"})";
  const JsonScan scan = ScanJson(json, Everything(), Kind::kPersonalData);
  EXPECT_TRUE(scan.kinds.Has(Kind::kPersonalData));
  EXPECT_EQ(
      scan.masked,
      R"({"a": [1, "x \"y\" \u0041", {"password": "p", "mail":"[masked: mail]\n2"}], "b":"ok"})");
  EXPECT_TRUE(json::ScanValue(scan.masked).ok());
}

TEST(JsonTest, EscapesHideNothing) {
  const JsonScan scan =
      ScanJson(R"({"t":"\u0061da\u0040lovelace.org a\u200bb"})", Everything(), Everything());
  EXPECT_EQ(scan.masked, R"({"t":"[masked: mail] ab"})");
}

TEST(JsonTest, NamesAreNotTouchedAndNothingIsCopiedWhereNothingIsFound) {
  const JsonScan scan = ScanJson(R"({"ada@lovelace.org" : "x"})", Everything(), Everything());
  EXPECT_TRUE(scan.masked.empty());
  EXPECT_TRUE(scan.kinds.empty());
  EXPECT_TRUE(ScanJson(R"({"t":"ada@lovelace.org"})", Kinds(), Kinds()).found.empty());
}

TEST(JsonTest, MoreFindingsThanAreKeptAreMaskedAllTheSame) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += StrCat("u", i, "@corp.io ");
  const JsonScan scan = ScanJson(StrCat("\"", text, "\""), Everything(), Everything());
  EXPECT_EQ(scan.masked.find("@corp.io"), std::string::npos);
  EXPECT_TRUE(json::ScanValue(scan.masked).ok());
}

TEST(JsonTest, BrokenTextsDoNoHarm) {
  for (const char* text : {"", "\"", "\"\\", "\"abc", "{\"a\":\"\\u12\"}", "\"\\ud800 a@b.co\""}) {
    ScanJson(text, Everything(), Everything());
  }
}

// Twice the text takes about twice the time, also where it is made to be slow.
TEST(LinearTest, HostileTextsTakeNoLongerThanOthers) {
  const auto repeat = [](std::string_view part, size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += part;
    return out;
  };
  for (const std::string_view part :
       {"eyJ-", "glpat-", "token=", "-----BEGIN PRIVATE KEY-----", "://a:", "http://", "![](http",
        "ignore all ", "a@", "4111-", "+1 ", "DE89 ", "\u202E", "\U0001F3F4\U000E0067", "<system",
        "before using tool ", "\\u0041", "aaaa"}) {
    const std::string text = repeat(part, 1 << 20);
    const auto start = std::chrono::steady_clock::now();
    Scan(text, Everything());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    // Quadratic time would be minutes.
    EXPECT_LT(took.count(), 10) << part;
  }
}

}  // namespace
}  // namespace metamcp::detect
