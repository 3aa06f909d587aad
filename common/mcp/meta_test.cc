#include "common/mcp/meta.h"

#include <gtest/gtest.h>

#include "common/base/error.h"

namespace metamcp::mcp {
namespace {

json::ObjectView View(std::string_view text) { return json::ScanObject(text).value(); }

TEST(MetaTest, ReadsTheModernEnvelope) {
  RecordProperty("req", "M-FR-001.5");
  const std::string text =
      R"({"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
      R"("io.modelcontextprotocol/clientInfo":{"name":"n","version":"1"},)"
      R"("io.modelcontextprotocol/clientCapabilities":{"roots":{}},)"
      R"("io.modelcontextprotocol/logLevel":"info","progressToken":3,"traceparent":"00-a",)"
      R"("com.example/x":[1.0]})";
  const auto meta = ParseModernMeta(View(text));
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(meta->protocol_version, "2026-07-28");
  EXPECT_EQ(meta->client_capabilities, R"({"roots":{}})");
  EXPECT_EQ(meta->progress_token, jsonrpc::Id::Int(3));
  ASSERT_EQ(meta->other.size(), 1u);
  EXPECT_EQ(BuildModernMeta(*meta), text);
  EXPECT_EQ(BuildLegacyMeta(*meta),
            R"({"progressToken":3,"traceparent":"00-a","com.example/x":[1.0]})");
}

TEST(MetaTest, NamesEveryMissingOrMalformedKey) {
  const auto missing = ParseModernMeta(json::ObjectView());
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(GetErrorInfo(missing.status())->metadata.at("keys"),
            "io.modelcontextprotocol/protocolVersion,io.modelcontextprotocol/clientCapabilities");
  const std::string text = R"({"io.modelcontextprotocol/protocolVersion":1,)"
                           R"("io.modelcontextprotocol/clientCapabilities":[],)"
                           R"("io.modelcontextprotocol/clientInfo":{"name":"n"},)"
                           R"("io.modelcontextprotocol/logLevel":"loud","progressToken":1.5})";
  const auto bad = ParseModernMeta(View(text));
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(GetErrorInfo(bad.status())->reason, "INVALID_PARAMS");
  EXPECT_EQ(GetErrorInfo(bad.status())->metadata.at("keys"),
            "io.modelcontextprotocol/protocolVersion,io.modelcontextprotocol/clientCapabilities,"
            "io.modelcontextprotocol/clientInfo,io.modelcontextprotocol/logLevel,progressToken");
}

TEST(MetaTest, LegacyReadingIgnoresModernKeys) {
  const std::string text = R"({"io.modelcontextprotocol/logLevel":5,"progressToken":"t","a/b":1})";
  const auto view = View(text);
  EXPECT_FALSE(HasModernClaim(view));
  const auto meta = ParseLegacyMeta(view);
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(BuildLegacyMeta(*meta), R"({"progressToken":"t","a/b":1})");
  EXPECT_EQ(BuildLegacyMeta(RequestMeta()), "");
}

TEST(MetaTest, ReplacesMetaInParams) {
  const auto params = View(R"({"name":"x","_meta":{"a":1},"n":1.0})");
  EXPECT_EQ(WithMeta(params, ""), R"({"name":"x","n":1.0})");
  EXPECT_EQ(WithMeta(params, "{}"), R"({"name":"x","_meta":{},"n":1.0})");
  EXPECT_EQ(WithMeta(json::ObjectView(), "{}"), R"({"_meta":{}})");
}

TEST(MetaTest, OrdersLogLevels) {
  EXPECT_EQ(LogSeverity("debug"), 0);
  EXPECT_EQ(LogSeverity("emergency"), 7);
  EXPECT_EQ(LogSeverity("trace"), std::nullopt);
}

}  // namespace
}  // namespace metamcp::mcp
