#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "common/json/dom.h"

namespace metamcp::json {
namespace {

std::string Canonical(std::string_view text) { return CanonicalJson(text).value(); }

// The example of RFC 8785, 3.2.2 and 3.2.3.
TEST(CanonicalTest, WritesTheExampleOfTheStandard) {
  EXPECT_EQ(
      Canonical(R"({"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
      "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]})"),
      "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
      "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

TEST(CanonicalTest, SortsByUtf16CodeUnits) {
  // U+1F600 is D83D DE00 in UTF-16 and sorts before U+FB33.
  EXPECT_EQ(Canonical(R"({"\ufb33":1,"\ud83d\ude00":2,"1":3,"\r":4})"),
            "{\"\\r\":4,\"1\":3,\"\xF0\x9F\x98\x80\":2,\"\xEF\xAC\xB3\":1}");
}

TEST(CanonicalTest, FormatsNumbersAsEcmaScript) {
  EXPECT_EQ(Canonical("[0.0,-0.0,1.0,-1.5,1e21,1e20,123456.789,1e-6,1e-7,5e-324,0.1]"),
            "[0,0,1,-1.5,1e+21,100000000000000000000,123456.789,0.000001,1e-7,5e-324,0.1]");
  EXPECT_EQ(Canonical("[9007199254740993,-3]"), "[9007199254740993,-3]");
}

TEST(FingerprintTest, IsEqualForEqualValuesOnly) {
  EXPECT_EQ(Fingerprint(R"({"a":1,"b":[1.0]})").value(),
            Fingerprint(R"( {"b":[1],"a":1})").value());
  EXPECT_NE(Fingerprint("9007199254740993").value(), Fingerprint("9007199254740992").value());
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(Fingerprint("{").ok());
}

}  // namespace
}  // namespace metamcp::json
