#include "common/mcp/headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/error.h"

namespace metamcp::mcp {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(HeaderValueTest, EncodesOnlyWhatNeedsIt) {
  EXPECT_EQ(EncodeHeaderValue("search_docs"), "search_docs");
  EXPECT_EQ(EncodeHeaderValue(""), "");
  EXPECT_EQ(EncodeHeaderValue("a b\tc"), "a b\tc");
  EXPECT_EQ(EncodeHeaderValue(" a"), "=?base64?IGE=?=");
  EXPECT_EQ(EncodeHeaderValue("caf\xC3\xA9"), "=?base64?Y2Fmw6k=?=");
  EXPECT_EQ(EncodeHeaderValue("a\r\nX: y"), "=?base64?YQ0KWDogeQ==?=");
  EXPECT_EQ(EncodeHeaderValue("=?base64?YQ==?="), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
}

TEST(HeaderValueTest, DecodingInvertsEncoding) {
  for (const std::string& value :
       {std::string("x"), std::string(), std::string("  "), std::string("\xE2\x82\xAC\n"),
        std::string("=?base64?\?="), std::string("=?BASE64?YQ==?="), std::string("a\0b", 3)}) {
    EXPECT_EQ(DecodeHeaderValue(EncodeHeaderValue(value)).value(), value);
  }
}

TEST(HeaderValueTest, DecodesStrictly) {
  EXPECT_EQ(DecodeHeaderValue("  =?base64?YQ==?= ").value(), "a");
  EXPECT_EQ(DecodeHeaderValue("=?base64?\?=").value(), "");
  EXPECT_EQ(DecodeHeaderValue("=?BASE64?YQ==?=").value(), "=?BASE64?YQ==?=");
  EXPECT_EQ(DecodeHeaderValue("=?base64?YQ==").value(), "=?base64?YQ==");
  EXPECT_EQ(DecodeHeaderValue("=?base64?=").value(), "=?base64?=");
  for (const char* bad : {"=?base64?YQ?=", "=?base64?YR==?=", "=?base64?Y Q==?=", "=?base64?Y-8=?=",
                          "=?base64?/w==?=", "caf\xC3\xA9", "a\x01"}) {
    EXPECT_EQ(Reason(DecodeHeaderValue(bad).status()), "HEADER_MISMATCH") << bad;
  }
}

TEST(HeaderValueTest, ComparesMirrors) {
  EXPECT_TRUE(CheckMirror("Mcp-Name", "=?base64?YQ==?=", "a").ok());
  EXPECT_EQ(Reason(CheckMirror("Mcp-Name", std::nullopt, "a")), "HEADER_MISMATCH");
  EXPECT_EQ(Reason(CheckMirror("Mcp-Name", "A", "a")), "HEADER_MISMATCH");
  EXPECT_EQ(Reason(CheckMirror("Mcp-Name", "=?base64?Y?=", "a")), "HEADER_MISMATCH");
}

constexpr std::string_view kSchema = R"({"type":"object","properties":{
  "region":{"type":"string","x-mcp-header":"Region"},
  "opts":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"Count"}}},
  "x-mcp-header":{"type":"string"},
  "dry":{"type":"boolean","x-mcp-header":"Dry","default":{"x-mcp-header":"data"}}}})";

TEST(ParamHeaderTest, FindsAnnotations) {
  const auto found = ExtractParamHeaders(kSchema);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 3u);
  EXPECT_EQ((*found)[1].name, "Count");
  EXPECT_THAT((*found)[1].path, ElementsAre("opts", "n"));
  EXPECT_TRUE(ExtractParamHeaders(R"({"type":"object"})")->empty());
}

TEST(ParamHeaderTest, RefusesWhatTheSpecificationForbids) {
  for (const char* bad : {
           R"({"x-mcp-header":"A","type":"string"})",
           R"({"properties":{"a":{"type":"number","x-mcp-header":"A"}}})",
           R"({"properties":{"a":{"x-mcp-header":"A"}}})",
           R"({"properties":{"a":{"type":["string","null"],"x-mcp-header":"A"}}})",
           R"({"properties":{"a":{"type":"string","x-mcp-header":""}}})",
           R"({"properties":{"a":{"type":"string","x-mcp-header":"a b"}}})",
           R"({"properties":{"a":{"type":"string","x-mcp-header":1}}})",
           R"({"properties":{"a":{"type":"string","x-mcp-header":"A"},
               "b":{"type":"string","x-mcp-header":"a"}}})",
           R"({"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}})",
           R"({"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]})",
           R"({"$defs":{"d":{"type":"string","x-mcp-header":"A"}}})",
           R"({"$defs":{"d":{"type":"string","x\u002dmcp-header":"A"}}})",
       }) {
    EXPECT_EQ(Reason(ExtractParamHeaders(bad).status()), "INVALID_PARAMS") << bad;
  }
}

TEST(ParamHeaderTest, ComputesHeadersFromArguments) {
  const auto params = ExtractParamHeaders(kSchema).value();
  const auto headers =
      ComputeParamHeaders(params, R"({"region":"caf\u00e9","opts":{"n":42.0},"dry":null})");
  ASSERT_TRUE(headers.ok()) << headers.status();
  EXPECT_THAT(*headers,
              testing::UnorderedElementsAre(Pair("Mcp-Param-Region", "=?base64?Y2Fmw6k=?="),
                                            Pair("Mcp-Param-Count", "42")));
  EXPECT_TRUE(ComputeParamHeaders(params, "")->empty());
  EXPECT_FALSE(ComputeParamHeaders(params, R"({"region":1})").ok());
  EXPECT_FALSE(ComputeParamHeaders(params, R"({"opts":{"n":9007199254740992}})").ok());
  EXPECT_FALSE(ComputeParamHeaders(params, R"({"opts":{"n":1.5}})").ok());
}

TEST(ParamHeaderTest, ChecksReceivedHeaders) {
  const auto params = ExtractParamHeaders(kSchema).value();
  const ParamHeader* region = nullptr;
  const ParamHeader* count = nullptr;
  for (const ParamHeader& p : params) {
    if (p.name == "Region") region = &p;
    if (p.name == "Count") count = &p;
  }
  EXPECT_TRUE(CheckParamHeader(*region, "eu", R"({"region":"eu"})").ok());
  EXPECT_TRUE(CheckParamHeader(*region, std::nullopt, R"({"region":null})").ok());
  EXPECT_EQ(Reason(CheckParamHeader(*region, "eu", "{}")), "HEADER_MISMATCH");
  EXPECT_EQ(Reason(CheckParamHeader(*region, std::nullopt, R"({"region":"eu"})")),
            "HEADER_MISMATCH");
  EXPECT_TRUE(CheckParamHeader(*count, "7", R"({"opts":{"n":7.0}})").ok());
  EXPECT_TRUE(CheckParamHeader(*count, "7.0", R"({"opts":{"n":7}})").ok());
  EXPECT_EQ(Reason(CheckParamHeader(*count, "8", R"({"opts":{"n":7}})")), "HEADER_MISMATCH");
  EXPECT_EQ(Reason(CheckParamHeader(*count, "x", R"({"opts":{"n":7}})")), "HEADER_MISMATCH");
}

}  // namespace
}  // namespace metamcp::mcp
