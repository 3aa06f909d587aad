#include "common/mcp/convert.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/error.h"

namespace metamcp::mcp {
namespace {

constexpr Revision k24 = Revision::k20241105;
constexpr Revision k2503 = Revision::k20250326;
constexpr Revision k2506 = Revision::k20250618;
constexpr Revision k2511 = Revision::k20251125;

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(ConvertResultTest, RemovesModernMembersForLegacyClients) {
  RecordProperty("req", "M-FR-001.5");
  EXPECT_EQ(ResultToLegacy("resources/read",
                           R"({"contents":[{"uri":"a","n":1.0}],"resultType":"complete","ttlMs":0,)"
                           R"("cacheScope":"private","_meta":{"x/y":1,)"
                           R"("io.modelcontextprotocol/serverInfo":{"name":"s"}}})",
                           k2511)
                .value(),
            R"({"contents":[{"uri":"a","n":1.0}],"_meta":{"x/y":1}})");
  EXPECT_EQ(ResultToLegacy("prompts/list",
                           R"({"prompts":[],"resultType":"complete","_meta":)"
                           R"({"io.modelcontextprotocol/serverInfo":{}}})",
                           k24)
                .value(),
            R"({"prompts":[]})");
  EXPECT_EQ(
      Reason(ResultToLegacy("tools/call", R"({"resultType":"input_required"})", k24).status()),
      "UPSTREAM_PROTOCOL");
  EXPECT_FALSE(ResultToLegacy("tools/call", "[]", k24).ok());
}

TEST(ConvertResultTest, AddsModernMembersToLegacyResults) {
  EXPECT_EQ(ResultToModern("tools/call", R"({"structuredContent":{"a":1.50},"_meta":)"
                                         R"({"io.modelcontextprotocol/related-task":{}}})")
                .value(),
            R"({"structuredContent":{"a":1.50},"resultType":"complete","content":[]})");
  EXPECT_EQ(ResultToModern("tools/list",
                           R"({"tools":[{"name":"a","inputSchema":{"type":"object"},)"
                           R"("execution":{"taskSupport":"required"}}]})",
                           CacheHint{60000, true})
                .value(),
            R"({"tools":[{"name":"a","inputSchema":{"type":"object"}}],"resultType":"complete",)"
            R"("ttlMs":60000,"cacheScope":"public"})");
  EXPECT_EQ(ResultToModern("completion/complete", R"({"completion":{"values":[]}})").value(),
            R"({"completion":{"values":[]},"resultType":"complete"})");
}

TEST(ConvertResultTest, WrapsStructuredContentAndKeepsATextCopy) {
  EXPECT_EQ(ResultToLegacy("tools/call",
                           R"({"resultType":"complete","content":[],)"
                           R"("structuredContent":[1,2]})",
                           k2511)
                .value(),
            R"({"content":[{"type":"text","text":"[1,2]"}],"structuredContent":{"result":[1,2]}})");
  // An object is wrapped too when the tool's schema was.
  EXPECT_EQ(
      ResultToLegacy("tools/call",
                     R"({"content":[{"type":"text","text":"x"}],"structuredContent":{"a":1}})",
                     k2506, true)
          .value(),
      R"({"content":[{"type":"text","text":"x"}],"structuredContent":{"result":{"a":1}}})");
  EXPECT_EQ(ResultToLegacy(
                "tools/call",
                R"({"content":[{"type":"text","text":"x"}],"structuredContent":{"a":1}})", k2503)
                .value(),
            R"({"content":[{"type":"text","text":"x"}]})");
}

TEST(ConvertResultTest, DowngradesContentBlocks) {
  const std::string result =
      R"({"content":[{"type":"resource_link","uri":"file:///a","name":"A","description":"d"},)"
      R"({"type":"audio","data":"QQ==","mimeType":"audio/wav"}]})";
  EXPECT_EQ(ConvertResult("tools/call", result, k2511, k2503).value(),
            R"({"content":[{"type":"text","text":"A: file:///a\nd"},)"
            R"({"type":"audio","data":"QQ==","mimeType":"audio/wav"}]})");
  EXPECT_EQ(ConvertResult("tools/call", result, k2511, k24).value(),
            R"({"content":[{"type":"text","text":"A: file:///a\nd"},{"type":"resource","resource":)"
            R"({"uri":"audio://content/1","mimeType":"audio/wav","blob":"QQ=="}}]})");
  EXPECT_EQ(ConvertResult("tools/call", result, k2506, k2511).value(), result);
  EXPECT_EQ(ResultToLegacy("prompts/get",
                           R"({"messages":[{"role":"user","content":)"
                           R"({"type":"resource_link","uri":"u","name":""}}]})",
                           k2503)
                .value(),
            R"({"messages":[{"role":"user","content":{"type":"text","text":"u"}}]})");
}

TEST(ConvertItemTest, WrapsOutputSchemasAndRewritesReferences) {
  EXPECT_EQ(
      WrapOutputSchema(R"({"$schema":"s","type":"array","items":{"$ref":"#/$defs/n"},"$defs":{"n":)"
                       R"({"anyOf":[{"$ref":"#"},{"$ref":"#anchor"},{"$ref":"http://x/#/a"}],)"
                       R"("const":{"$ref":"#/c"}},"own":{"$ref":"#/in","$id":"urn:x"}}})")
          .value(),
      R"({"$schema":"s","type":"object","properties":{"result":{"type":"array","items":)"
      R"({"$ref":"#/properties/result/$defs/n"},"$defs":{"n":{"anyOf":[{"$ref":)"
      R"("#/properties/result"},{"$ref":"#anchor"},{"$ref":"http://x/#/a"}],)"
      R"("const":{"$ref":"#/c"}},"own":{"$ref":"#/in","$id":"urn:x"}}}},)"
      R"("required":["result"]})");
  // A property may be called like a keyword.
  EXPECT_EQ(
      WrapOutputSchema(R"({"properties":{"default":{"$ref":"#/a"},"$ref":{"$ref":"#"}}})").value(),
      R"({"type":"object","properties":{"result":{"properties":{"default":{"$ref":)"
      R"("#/properties/result/a"},"$ref":{"$ref":"#/properties/result"}}}},)"
      R"("required":["result"]})");
  EXPECT_EQ(WrapOutputSchema("false").value(),
            R"({"type":"object","properties":{"result":{"not":{}}},"required":["result"]})");
}

TEST(ConvertItemTest, AdaptsToolsToRevisions) {
  const std::string tool =
      R"({"name":"t","inputSchema":{"type":"object","properties":{"a":true,"b":false,"c":{"x":1.0}}},)"
      R"("outputSchema":{"type":"array"}})";
  EXPECT_TRUE(NeedsOutputWrapping(tool));
  EXPECT_FALSE(NeedsOutputWrapping(R"({"outputSchema":{"type":"object"}})"));
  EXPECT_FALSE(NeedsOutputWrapping("{}"));
  EXPECT_EQ(ItemToRevision(ItemKind::kTool, tool, Revision::k20260728).value(), tool);
  EXPECT_EQ(ItemToRevision(ItemKind::kTool, tool, k2503).value(),
            R"({"name":"t","inputSchema":{"type":"object","properties":)"
            R"({"a":{},"b":{"not":{}},"c":{"x":1.0}}}})");
  EXPECT_EQ(ItemToRevision(ItemKind::kTool, tool, k2511).value(),
            R"({"name":"t","inputSchema":{"type":"object","properties":)"
            R"({"a":{},"b":{"not":{}},"c":{"x":1.0}}},"outputSchema":{"type":"object",)"
            R"("properties":{"result":{"type":"array"}},"required":["result"]}})");
  EXPECT_EQ(ItemToModern(ItemKind::kTool, R"({"name":"t","execution":{"taskSupport":"x","y":1}})")
                .value(),
            R"({"name":"t","execution":{"y":1}})");
}

TEST(ConvertParamsTest, AdaptsParams) {
  const auto view = json::ScanObject(
      R"({"name":"t","arguments":{"a":1.0},"inputResponses":{},"requestState":"s","_meta":{}})");
  EXPECT_EQ(ParamsToLegacy("tools/call", *view, R"({"progressToken":1})", k2511),
            R"({"name":"t","arguments":{"a":1.0},"_meta":{"progressToken":1}})");
  const auto task = json::ScanObject(R"({"name":"t","task":{"ttl":1}})");
  EXPECT_EQ(ParamsToModern("tools/call", *task, "{}"), R"({"name":"t","_meta":{}})");
  EXPECT_EQ(NotificationToRevision("notifications/progress", R"({"progress":1,"message":"m"})", k24)
                .value(),
            R"({"progress":1})");
  EXPECT_EQ(NotificationToRevision(
                "notifications/resources/updated",
                R"({"uri":"u","_meta":{"io.modelcontextprotocol/subscriptionId":1}})", k2511)
                .value(),
            R"({"uri":"u"})");
}

TEST(ConvertCapabilitiesTest, MapsBothWays) {
  EXPECT_EQ(ServerCapabilitiesToModern(R"({"tools":{},"tasks":{"list":{}},"x":1})").value(),
            R"({"tools":{},"x":1})");
  EXPECT_EQ(ServerCapabilitiesToLegacy(
                R"({"completions":{},"extensions":{"io.modelcontextprotocol/tasks":{}}})", k24)
                .value(),
            "{}");
  EXPECT_EQ(
      ClientCapabilitiesToModern(
          R"({"roots":{"listChanged":true},"sampling":{},"elicitation":{},"tasks":{}})", k2511)
          .value(),
      R"({"roots":{},"sampling":{},"elicitation":{"form":{}}})");
  EXPECT_EQ(ClientCapabilitiesToModern(R"({"elicitation":{"url":{}}})", k2511).value(),
            R"({"elicitation":{"url":{}}})");
  const std::string modern =
      R"({"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}})";
  EXPECT_EQ(ClientCapabilitiesToLegacy(modern, k2511).value(), modern);
  EXPECT_EQ(ClientCapabilitiesToLegacy(modern, k2506).value(),
            R"({"roots":{},"sampling":{},"elicitation":{}})");
  EXPECT_EQ(ClientCapabilitiesToLegacy(modern, k2503).value(), R"({"roots":{},"sampling":{}})");
  EXPECT_EQ(ClientCapabilitiesToLegacy(R"({"elicitation":{"url":{}}})", k2506).value(), "{}");
}

TEST(ConvertInputTest, MapsElicitation) {
  const std::string form =
      R"({"mode":"form","message":"m","requestedSchema":{"type":"object","properties":)"
      R"({"c":{"type":"string","oneOf":[{"const":"r","title":"Red"},{"const":"g"}],"default":"r"},)"
      R"("b":{"type":"boolean","default":true}}}})";
  EXPECT_EQ(
      InputParamsToLegacy("elicitation/create", form, k2506, "").value(),
      R"({"message":"m","requestedSchema":{"type":"object","properties":{"c":{"type":"string",)"
      R"("enum":["r","g"],"enumNames":["Red","g"]},"b":{"type":"boolean","default":true}}}})");
  EXPECT_EQ(InputParamsToLegacy("elicitation/create", form, k2511, "").value(), form);
  EXPECT_EQ(Reason(InputParamsToLegacy("elicitation/create", form, k2503, "").status()),
            "CAPABILITY_MISSING");
  const std::string url = R"({"mode":"url","message":"m","url":"https://x"})";
  const std::string with_id =
      R"({"mode":"url","message":"m","url":"https://x","elicitationId":"e1"})";
  EXPECT_EQ(InputParamsToLegacy("elicitation/create", url, k2511, "e1").value(), with_id);
  EXPECT_EQ(InputParamsToModern("elicitation/create", with_id).value(), url);
  EXPECT_FALSE(InputParamsToLegacy("elicitation/create", url, k2506, "e1").ok());
  EXPECT_FALSE(InputParamsToLegacy("elicitation/create",
                                   R"({"message":"m","requestedSchema":{"type":"object",)"
                                   R"("properties":{"a":{"type":"array"}}}})",
                                   k2506, "")
                   .ok());
  EXPECT_EQ(
      InputResultToModern("elicitation/create", R"({"action":"cancel","content":{"a":1}})").value(),
      R"({"action":"cancel"})");
}

TEST(ConvertInputTest, MapsSamplingAndRoots) {
  const std::string plain =
      R"({"messages":[{"role":"user","content":{"type":"text","text":"x"}}],"maxTokens":1})";
  EXPECT_EQ(InputParamsToLegacy("sampling/createMessage", plain, k24, "").value(), plain);
  for (const char* rich :
       {R"({"messages":[],"tools":[]})", R"({"messages":[{"role":"user","content":[]}]})",
        R"({"messages":[{"role":"user","content":{"type":"tool_use"}}]})"}) {
    EXPECT_EQ(Reason(InputParamsToLegacy("sampling/createMessage", rich, k2506, "").status()),
              "CAPABILITY_MISSING");
    EXPECT_TRUE(InputParamsToLegacy("sampling/createMessage", rich, k2511, "").ok());
  }
  EXPECT_EQ(InputParamsToLegacy("roots/list", "", k24, "").value(), "");
  EXPECT_FALSE(InputParamsToLegacy("elicitation/create", "", k2511, "").ok());
  EXPECT_EQ(InputResultToLegacy("sampling/createMessage", R"({"content":[{"type":"text"}]})", k2506)
                .value(),
            R"({"content":{"type":"text"}})");
}

TEST(ConvertErrorTest, MapsCodesPerEra) {
  jsonrpc::ErrorObject e = ErrorToModern({-32002, "gone", ""}, "file:///x");
  EXPECT_EQ(e.code, -32602);
  EXPECT_EQ(e.data, R"({"uri":"file:///x"})");
  e = ErrorToLegacy(e, "resources/read");
  EXPECT_EQ(e.code, -32002);
  EXPECT_EQ(ErrorToLegacy({-32602, "m", R"({"uri":"x"})"}, "tools/call").code, -32602);
  EXPECT_EQ(ErrorToLegacy({-32021, "m", "{}"}, "tools/call").code, -32603);
  EXPECT_EQ(ErrorToModern({-32002, "m", R"({"uri":"u"})"}, "x").data, R"({"uri":"u"})");
}

TEST(ConvertTaskTest, TheFlavoursDifferInNamesAndInFailedTools) {
  RecordProperty("req", "A12");
  const std::string legacy =
      R"({"taskId":"t","status":"working","statusMessage":"m","createdAt":"c","lastUpdatedAt":"l",)"
      R"("ttl":60000,"pollInterval":50})";
  const std::string modern =
      R"({"taskId":"t","status":"working","statusMessage":"m","createdAt":"c","lastUpdatedAt":"l",)"
      R"("ttlMs":60000,"pollIntervalMs":50})";
  EXPECT_EQ(TaskToModern(legacy).value(), modern);
  EXPECT_EQ(TaskToLegacy(modern).value(), legacy);
  EXPECT_EQ(TaskToLegacy(R"({"resultType":"complete","taskId":"t","status":"completed",)"
                         R"("createdAt":"c","ttlMs":null,"result":{"isError":true}})")
                .value(),
            R"({"taskId":"t","status":"failed","createdAt":"c","lastUpdatedAt":"c","ttl":null})");
  for (const char* bad : {"[]", "{}", R"({"taskId":1,"status":"working","createdAt":"c"})",
                          R"({"taskId":"t","createdAt":"c"})", R"({"taskId":"t","status":"s"})"}) {
    EXPECT_FALSE(TaskToModern(bad).ok()) << bad;
    EXPECT_FALSE(TaskToLegacy(bad).ok()) << bad;
  }
}

TEST(ConvertTaskTest, TheExtensionIsDeclaredPerRequest) {
  EXPECT_FALSE(ClientHasTasks("{}"));
  EXPECT_FALSE(ClientHasTasks(R"({"experimental":{"io.modelcontextprotocol/tasks":{}}})"));
  const std::string with = WithTasks(R"({"roots":{}})").value();
  EXPECT_EQ(with, R"({"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}})");
  EXPECT_TRUE(ClientHasTasks(with));
}

}  // namespace
}  // namespace metamcp::mcp
