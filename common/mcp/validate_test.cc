#include "common/mcp/validate.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/error.h"
#include "common/mcp/jsonrpc.h"

namespace metamcp::mcp {
namespace {

namespace fs = std::filesystem;
constexpr Revision kModern = Revision::k20260728;

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(ValidateTest, FindsMissingAndMistypedParams) {
  RecordProperty("req", "M-FR-001.5");
  for (const Revision r : {Revision::k20241105, Revision::k20251125}) {
    EXPECT_TRUE(ValidateParams(r, "tools/call", R"({"name":"a","arguments":{},"x":1})").ok());
    EXPECT_TRUE(ValidateParams(r, "tools/list", "").ok());
    EXPECT_TRUE(ValidateParams(r, "tools/list", R"({"cursor":""})").ok());
    for (const char* bad : {"", "{}", R"({"name":1})", R"({"name":"a","arguments":[]})", "[]",
                            R"({"n\u0061me":null})"}) {
      EXPECT_EQ(Reason(ValidateParams(r, "tools/call", bad)), "INVALID_PARAMS") << bad;
    }
    EXPECT_FALSE(ValidateParams(r, "tools/list", R"({"cursor":1})").ok());
    EXPECT_FALSE(ValidateParams(r, "logging/setLevel", R"({"level":"loud"})").ok());
    EXPECT_TRUE(ValidateParams(r, "logging/setLevel", R"({"level":"debu\u0067"})").ok());
    EXPECT_FALSE(ValidateParams(r, "prompts/get", R"({"name":"a","arguments":{"x":1}})").ok());
  }
  const absl::Status status =
      ValidateParams(Revision::k20251125, "completion/complete",
                     R"({"ref":{"type":"ref/prompt"},"argument":{"name":"n","value":"v"}})");
  EXPECT_NE(status.message().find("ref"), std::string::npos) << status;
}

TEST(ValidateTest, ModernRequestsNeedTheirEnvelope) {
  EXPECT_FALSE(ValidateParams(kModern, "tools/list", "{}").ok());
  EXPECT_TRUE(ValidateParams(kModern, "tools/list",
                             R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                             R"("io.modelcontextprotocol/clientCapabilities":{}}})")
                  .ok());
}

TEST(ValidateTest, ChecksResultsOfUpstreams) {
  const Revision r = Revision::k20250618;
  EXPECT_TRUE(ValidateResult(r, "tools/call",
                             R"({"content":[{"type":"text","text":"x"},{"type":"audio","data":"",)"
                             R"("mimeType":"a/b"}],"isError":false})")
                  .ok());
  for (const char* bad :
       {R"({"content":[{"type":"text"}]})", R"({"content":{}})", R"({"content":[1]})", "[]",
        R"({"content":[],"isError":"no"})", R"({"content":[],"structuredContent":[]})"}) {
    EXPECT_EQ(Reason(ValidateResult(r, "tools/call", bad)), "UPSTREAM_PROTOCOL") << bad;
  }
  EXPECT_TRUE(ValidateResult(kModern, "tools/call",
                             R"({"content":[],"resultType":"complete",)"
                             R"("structuredContent":[1]})")
                  .ok());
  EXPECT_TRUE(ValidateResult(r, "ping", "{}").ok());
  EXPECT_TRUE(ValidateResult(Revision::k20251125, "tools/call",
                             R"({"task":{"taskId":"t","status":"working","createdAt":"c",)"
                             R"("lastUpdatedAt":"l","ttl":null}})")
                  .ok());
}

std::string Canonical(Revision from, std::string_view method, std::string_view result) {
  auto answer = CanonicalResult(from, method, std::string(result));
  return answer.ok() ? answer->json : Reason(answer.status());
}

TEST(CanonicalResultTest, RepairsWhatPeersLeaveOut) {
  EXPECT_EQ(Canonical(Revision::k20251125, "tools/call", R"({"isError":true})"),
            R"({"isError":true,"resultType":"complete","content":[]})");
  EXPECT_EQ(Canonical(kModern, "tools/call", R"({"content":null})"),
            R"({"content":[],"resultType":"complete"})");
  EXPECT_EQ(Canonical(kModern, "resources/read", R"({"contents":[],"ttlMs":-5})"),
            R"({"contents":[],"ttlMs":0,"resultType":"complete","cacheScope":"private"})");
  EXPECT_EQ(Canonical(Revision::k20241105, "resources/read", R"({"contents":[]})"),
            R"({"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"})");
  EXPECT_EQ(
      Canonical(Revision::k20250618, "tools/call", R"({"structuredContent":null,"isError":null})"),
      R"({"isError":null,"resultType":"complete","content":[]})");
}

TEST(CanonicalResultTest, KeepsTheBytesOfWhatIsInOrder) {
  const std::string_view complete =
      R"({ "resultType":"complete", "content" : [ {"type":"text","text":"\u00e4"} ],"n":1.0e2})";
  EXPECT_EQ(Canonical(kModern, "tools/call", complete), complete);
  const std::string_view asks = R"({"resultType":"input_required","requestState":"s"})";
  EXPECT_EQ(Canonical(kModern, "tools/call", asks), asks);
  EXPECT_EQ(CanonicalResult(kModern, "tools/call", std::string(asks))->type,
            ResultType::kInputRequired);
}

TEST(CanonicalResultTest, LegacyMembersGo) {
  EXPECT_EQ(Canonical(Revision::k20251125, "tools/call",
                      R"({"content":[],"_meta":{"io.modelcontextprotocol/related-task":{}}})"),
            R"({"content":[],"resultType":"complete"})");
  // A legacy server's resultType means nothing.
  EXPECT_EQ(Canonical(Revision::k20251125, "tools/call", R"({"resultType":"task","content":[]})"),
            R"({"resultType":"complete","content":[]})");
}

TEST(CanonicalResultTest, TellsTheTypesOfResultsApart) {
  const auto type = [](Revision from, std::string result) {
    return CanonicalResult(from, "tools/call", std::move(result))->type;
  };
  EXPECT_EQ(type(kModern, R"({"resultType":"task","taskId":"t"})"), ResultType::kTask);
  EXPECT_EQ(type(kModern, R"({"resultType":"vendor/x"})"), ResultType::kOther);
  EXPECT_EQ(type(Revision::k20251125, R"({"task":{"taskId":"t"}})"), ResultType::kTask);
  EXPECT_EQ(type(Revision::k20250618, R"({"task":{"taskId":"t"}})"), ResultType::kComplete);
}

TEST(CanonicalResultTest, NamesThePlaceOfAFault) {
  for (const Revision from : kRevisions) {
    for (const char* bad :
         {"nope", "[]", R"({"content":"x"})", R"({"content":[{"type":"text"}]})",
          R"({"content":[],"isError":"no"})", R"({"content":[{"type":"image","data":""}]})"}) {
      EXPECT_EQ(Canonical(from, "tools/call", bad), "UPSTREAM_PROTOCOL") << bad;
    }
    EXPECT_EQ(Canonical(from, "resources/read", "{}"), "UPSTREAM_PROTOCOL");
    EXPECT_EQ(Canonical(from, "prompts/get", R"({"messages":[{"role":"x","content":{}}]})"),
              "UPSTREAM_PROTOCOL");
    EXPECT_EQ(Canonical(from, "completion/complete", R"({"completion":{"values":[1]}})"),
              "UPSTREAM_PROTOCOL");
  }
  EXPECT_EQ(Canonical(kModern, "tools/call",
                      R"({"resultType":"input_required","inputRequests":{"a":{"method":"x"}}})"),
            "UPSTREAM_PROTOCOL");
  const auto answer =
      CanonicalResult(kModern, "tools/call", R"({"content":[{"type":"text","text":1}]})");
  EXPECT_NE(answer.status().message().find("result.content[0].text"), std::string::npos)
      << answer.status();
}

TEST(ValidateTest, ChecksOneItemOfAList) {
  EXPECT_TRUE(ValidateItem(kModern, ItemKind::kTool,
                           R"({"name":"a","inputSchema":{"type":"object"},"description":null})")
                  .ok());
  for (const char* bad :
       {R"({"name":"a"})", R"({"name":"a","inputSchema":{"type":"string"}})", "7", "null",
        R"({"name":"a","inputSchema":{"type":"object"},"description":7})",
        R"({"name":"a","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":"yes"}})",
        R"({"name":"a","inputSchema":{"type":"object"},"outputSchema":"x"})"}) {
    EXPECT_FALSE(ValidateItem(kModern, ItemKind::kTool, bad).ok()) << bad;
  }
  EXPECT_FALSE(ValidateItem(kModern, ItemKind::kResource, R"({"uri":"x://1"})").ok());
  EXPECT_TRUE(ValidateItem(kModern, ItemKind::kResource, R"({"uri":"x://1","name":"n"})").ok());
  EXPECT_FALSE(ValidateItem(kModern, ItemKind::kPrompt, R"({"name":"p","arguments":[{}]})").ok());
  EXPECT_FALSE(ValidateItem(kModern, ItemKind::kTemplate, R"({"uriTemplate":1,"name":"t"})").ok());
}

TEST(ValidateTest, KnowsEachMethodInItsRevisions) {
  EXPECT_TRUE(ValidationKnown(Revision::k20241105, "initialize", Part::kParams));
  EXPECT_TRUE(ValidationKnown(Revision::k20241105, "initialize", Part::kResult));
  EXPECT_FALSE(ValidationKnown(kModern, "initialize", Part::kParams));
  EXPECT_TRUE(ValidationKnown(kModern, "server/discover", Part::kResult));
  EXPECT_TRUE(ValidationKnown(Revision::k20251125, "tasks/result", Part::kParams));
  EXPECT_FALSE(ValidationKnown(kModern, "notifications/progress", Part::kResult));
}

fs::path Examples() {
  const char* shared = std::getenv("METAMCP_SHARED_DATA");
  const fs::path root = shared != nullptr ? fs::path(shared) : fs::path("../shared/data");
  return root / "mcp" / "examples";
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The published example messages: every request and notification, and every result whose folder
// names its method's request.
TEST(ValidateTest, AcceptsThePublishedExamples) {
  RecordProperty("req", "M-FR-001.5");
  if (!fs::exists(Examples())) GTEST_SKIP() << "no example messages at " << Examples();
  const std::pair<std::string, std::string> results[] = {
      {"CallToolResult", "tools/call"},
      {"CompleteResult", "completion/complete"},
      {"DiscoverResult", "server/discover"},
      {"GetPromptResult", "prompts/get"},
      {"ListPromptsResult", "prompts/list"},
      {"ListResourcesResult", "resources/list"},
      {"ListToolsResult", "tools/list"},
      {"ReadResourceResult", "resources/read"},
      {"InputRequiredResult", "tools/call"},
      {"ElicitResult", "elicitation/create"},
      {"ListRootsResult", "roots/list"},
      {"CreateMessageResult", "sampling/createMessage"},
      {"ListResourceTemplatesResult", "resources/templates/list"}};
  int checked = 0;
  for (const auto& [folder, method] : results) {
    for (const auto& file : fs::directory_iterator(Examples() / folder)) {
      EXPECT_TRUE(ValidateResult(kModern, method, ReadFile(file.path())).ok())
          << file.path() << ValidateResult(kModern, method, ReadFile(file.path()));
      ++checked;
    }
  }
  for (const auto& folder : fs::directory_iterator(Examples())) {
    const std::string name = folder.path().filename();
    if (!name.ends_with("Request") && !name.ends_with("Notification")) continue;
    for (const auto& file : fs::directory_iterator(folder.path())) {
      const std::string text = ReadFile(file.path());
      const auto view = json::ScanObject(text);
      ASSERT_TRUE(view.ok()) << file.path();
      const absl::Status status =
          ValidateParams(kModern, view->String("method").value_or(""), view->Raw("params"));
      EXPECT_TRUE(status.ok()) << file.path() << status;
      ++checked;
    }
  }
  EXPECT_GT(checked, 30);
}

}  // namespace
}  // namespace metamcp::mcp
