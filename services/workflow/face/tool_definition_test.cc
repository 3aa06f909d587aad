#include "services/workflow/face/tool_definition.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/strings.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::json;

std::unique_ptr<Definition> Read(const std::string& source) {
  std::vector<Problem> problems;
  auto out = ReadDefinition(source, Limits(), &problems);
  for (const Problem& one : problems) ADD_FAILURE() << one.path << ": " << one.message;
  return out;
}

Hints Of(bool read_only, bool destructive, bool idempotent, bool open_world) {
  Hints out;
  out.read_only = read_only;
  out.destructive = destructive;
  out.idempotent = idempotent;
  out.open_world = open_world;
  return out;
}

constexpr char kTwo[] = R"({"name":"two","version":"1.2.0","summary":"Does two things",
  "input":{"type":"object","properties":{"a":{"type":"string"}}},
  "steps":[{"id":"a","tool":"s.one"},{"id":"b","tool":"s.two","dependsOn":["a"]}]})";

Json Annotations(const HintsByName& known) {
  return Json::parse(ToolDefinition(*Read(kTwo), known, Sharing()))["annotations"];
}

TEST(ToolDefinitionTest, ItIsWhatItsStepsAre) {
  RecordProperty("req", "M-FR-013");
  const Hints reads = Of(true, true, false, false);
  const Hints adds = Of(false, false, true, true);
  Hints deletes = Of(false, true, true, false);
  deletes.says_destructive = true;
  Json hints = Annotations({{"s.one", reads}, {"s.two", reads}});
  EXPECT_EQ(hints["readOnlyHint"], true);
  EXPECT_EQ(hints["destructiveHint"], false);
  EXPECT_EQ(hints["idempotentHint"], true);
  EXPECT_EQ(hints["openWorldHint"], false);
  hints = Annotations({{"s.one", reads}, {"s.two", adds}});
  EXPECT_EQ(hints["readOnlyHint"], false);
  EXPECT_EQ(hints["destructiveHint"], false);
  EXPECT_EQ(hints["idempotentHint"], true);
  EXPECT_EQ(hints["openWorldHint"], true);
  hints = Annotations({{"s.one", deletes}, {"s.two", reads}});
  EXPECT_EQ(hints["destructiveHint"], true);
  EXPECT_EQ(hints["idempotentHint"], true);
}

TEST(ToolDefinitionTest, AnUnknownToolIsFeared) {
  const Json hints = Annotations({{"s.one", Of(true, false, true, false)}});
  EXPECT_EQ(hints["readOnlyHint"], false);
  // By MCP's default, but nobody says so: policy.consent tells the two apart.
  EXPECT_FALSE(hints.contains("destructiveHint"));
  EXPECT_EQ(hints["idempotentHint"], false);
  EXPECT_EQ(hints["openWorldHint"], true);
}

TEST(ToolDefinitionTest, ItNamesItsVersionAndTakesTheInputsSchema) {
  const auto definition = Read(kTwo);
  const Json tool = Json::parse(ToolDefinition(*definition, {}, Sharing()));
  EXPECT_EQ(tool["name"], "two");
  EXPECT_EQ(tool["description"], "Does two things");
  EXPECT_EQ(tool["inputSchema"]["properties"]["a"]["type"], "string");
  EXPECT_EQ(tool["_meta"]["meta-mcp/workflow"]["version"], "1.2.0");
  EXPECT_EQ(tool["_meta"]["meta-mcp/workflow"]["digest"], definition->digest);
  EXPECT_FALSE(tool.contains("outputSchema"));
  EXPECT_EQ(ToolName("default", "two"), "two");
  EXPECT_EQ(ToolName("team", "two"), "team.two");
}

TEST(ToolDefinitionTest, WithWhomItIsSharedIsSaid) {
  const auto definition = Read(kTwo);
  const auto meta = [&](const std::string& team, const std::string& visibility) {
    Sharing sharing;
    sharing.owner = "ada";
    sharing.team = team;
    sharing.visibility = visibility;
    return Json::parse(ToolDefinition(*definition, {}, sharing))["_meta"];
  };
  EXPECT_EQ(meta("core", "team")["meta-mcp/sharing"]["team"], "core");
  EXPECT_EQ(meta("core", "team")["meta-mcp/sharing"]["owner"], "ada");
  EXPECT_EQ(meta("", "private")["meta-mcp/sharing"]["visibility"], "private");
  EXPECT_FALSE(meta("", "team").contains("meta-mcp/sharing"));
  EXPECT_FALSE(meta("core", "public").contains("meta-mcp/sharing"));
}

TEST(ToolDefinitionTest, ApprovalsAndOutputSchemasAreTold) {
  const auto definition = Read(R"({"document":{"dsl":"1.0.3","namespace":"default","name":"x",
    "version":"1.0.0"},"output":{"schema":{"document":{"type":"object","required":["n"]}}},
    "do":[{"ok":{"call":"approval","with":{"title":"go?"}}},
          {"get":{"call":"http","with":{"method":"get","endpoint":"http://a.example/"}}}]})");
  const Json tool = Json::parse(ToolDefinition(*definition, {}, Sharing()));
  EXPECT_EQ(tool["outputSchema"]["required"][0], "n");
  EXPECT_NE(tool["description"].get<std::string>().find("approve"), std::string::npos);
  EXPECT_EQ(tool["annotations"]["readOnlyHint"], true);
  EXPECT_EQ(tool["annotations"]["openWorldHint"], true);
}

TEST(ToolDefinitionTest, ItTakesAnObjectOrIsNoTool) {
  EXPECT_TRUE(CheckPublishable(*Read(kTwo)).ok());
  const auto list =
      Read(R"({"name":"x","input":{"type":"array"},"steps":[{"id":"a","tool":"s.t"}]})");
  EXPECT_FALSE(CheckPublishable(*list).ok());
}

}  // namespace
}  // namespace metamcp::workflow
