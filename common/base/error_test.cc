#include "common/base/error.h"

#include <gtest/gtest.h>

#include "common/base/error_registry.h"

namespace metamcp {
namespace {

TEST(ErrorTest, CarriesReasonDomainAndMetadata) {
  const absl::Status s = MakeError("TOOL_NOT_FOUND", "gateway", "no tool x", {{"tool", "x"}});
  EXPECT_EQ(s.code(), absl::StatusCode::kNotFound);
  const auto info = GetErrorInfo(Annotate(s, "while calling: "));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason, "TOOL_NOT_FOUND");
  EXPECT_EQ(info->domain, "gateway");
  EXPECT_EQ(info->metadata.at("tool"), "x");
  EXPECT_EQ(Annotate(s, "while calling: ").message(), "while calling: no tool x");
}

TEST(ErrorTest, PlainStatusHasNoInfo) {
  EXPECT_FALSE(GetErrorInfo(absl::InternalError("x")).has_value());
  EXPECT_TRUE(WithErrorInfo(absl::OkStatus(), {}).ok());
}

// M-P3, A-P5.5: every error says what to do and what kind of recovery there is.
TEST(ErrorRegistryTest, IsSortedAndEveryEntryHasAHintAndLegalCodes) {
  RecordProperty("req", "A-P5.3,A-P5.5,M-NFR-005.3");
  std::string_view last;
  for (const ErrorEntry& e : ErrorRegistry()) {
    EXPECT_LT(last, e.reason);
    last = e.reason;
    EXPECT_FALSE(e.hint.empty()) << e.reason;
    EXPECT_NE(e.code, absl::StatusCode::kOk) << e.reason;
    for (const int code : {e.jsonrpc_legacy, e.jsonrpc_modern}) {
      // MCP 2026-07-28, basic/index: no new codes in -32000..-32019, -32020..-32099 are the
      // specification's own.
      const bool own = code > -32000;
      const bool standard = code == -32700 || (code <= -32600 && code >= -32603);
      const bool mcp = code == -32002 || (code <= -32020 && code >= -32022);
      EXPECT_TRUE(own || standard || mcp) << e.reason << " " << code;
    }
    EXPECT_NE(e.jsonrpc_modern, -32002) << e.reason;
    EXPECT_EQ(FindError(e.reason), &e);
  }
  EXPECT_EQ(FindError("NOPE"), nullptr);
}

}  // namespace
}  // namespace metamcp
