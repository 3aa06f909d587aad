// Definitions: what is accepted, what is derived, what breaks callers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "services/catalog/compat.h"
#include "services/catalog/item.h"
#include "services/catalog/override.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

AnalyzedItem Tool(const std::string& name, const std::string& definition) {
  return AnalyzeItem("u1", "git", pb::ITEM_KIND_TOOL, name, definition);
}

TEST(DefinitionTest, AcceptsAndFingerprintsByContent) {
  RecordProperty("req", "M-FR-004.6 P1-Id-1");
  const auto a = Tool("x", R"({"name":"x","inputSchema":{"type":"object"},"title":"T"})");
  const auto b = Tool("x", R"({ "title":"T", "inputSchema":{"type":"object"}, "name":"x" })");
  const auto c = Tool("x", R"({"name":"x","inputSchema":{"type":"object"},"title":"U"})");
  EXPECT_EQ(a.entry->invalid, "");
  EXPECT_EQ(a.entry->item.fingerprint(), b.entry->item.fingerprint());
  EXPECT_NE(a.entry->item.fingerprint(), c.entry->item.fingerprint());
  EXPECT_EQ(a.entry->item.id(), ItemId("u1", pb::ITEM_KIND_TOOL, "x"));
  EXPECT_NE(a.entry->item.id(), ItemId("u2", pb::ITEM_KIND_TOOL, "x"));
  EXPECT_NE(a.entry->item.id(), ItemId("u1", pb::ITEM_KIND_PROMPT, "x"));
}

TEST(DefinitionTest, RefusesWhatClientsCouldNotUse) {
  const std::string deep =
      "{\"name\":\"x\",\"inputSchema\":" + std::string(200, '[') + std::string(200, ']') + "}";
  const std::string huge =
      ToolJson("x", "{}", ",\"description\":\"" + std::string(1 << 20, 'd') + "\"");
  const std::pair<std::string, std::string> kCases[] = {
      {R"({"name":"x"})", "inputSchema"},
      {R"({"name":"y","inputSchema":{}})", "name"},
      {R"({"name":7,"inputSchema":{}})", "name"},
      {R"({"name":"x","inputSchema":[]})", "inputSchema"},
      {R"({"name":"x","inputSchema":{"type":"array"}})", "type"},
      {R"({"name":"x","inputSchema":{"properties":3}})", "properties"},
      {R"({"name":"x","inputSchema":{"required":[1]}})", "required"},
      {R"({"name":"x","inputSchema":{},"annotations":1})", "annotations"},
      {R"({"name":"x","inputSchema":{},"description":{}})", "description"},
      {R"({"name":"x","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}})",
       "x-mcp-header"},
      {"[]", "object"},
      {"{\"name\":\"x\"", "JSON"},
      {"", "JSON"},
      {"{\"name\":\"x\xff\"}", "JSON"},
      {deep, "JSON"},
      {huge, "bytes"},
  };
  for (const auto& [definition, why] : kCases) {
    const auto item = Tool("x", definition);
    EXPECT_THAT(item.entry->invalid, HasSubstr(why)) << definition.substr(0, 80);
    EXPECT_THAT(item.entry->item.definition(), IsEmpty());
  }
  EXPECT_THAT(Tool("", ToolJson("")).entry->invalid, HasSubstr("empty"));
  const auto bad = Tool(std::string("a\0b\xff", 4), "{}");
  EXPECT_THAT(bad.entry->invalid, HasSubstr("UTF-8"));
  EXPECT_EQ(bad.entry->item.original_name(), "a?b\xef\xbf\xbd");
}

TEST(CompatTest, FindsWhatBreaksCallers) {
  RecordProperty("req", "M-FR-004.6");
  struct Case {
    const char* before;
    const char* after;
    const char* found;  // empty: compatible
  };
  const Case kCases[] = {
      {R"({"properties":{"a":{}}})", R"({"properties":{}})", "removed"},
      {R"({"properties":{"a":{}}})", R"({"properties":{"a":{},"b":{}}})", ""},
      {R"({"properties":{"a":{}}})", R"({"properties":{"a":{},"b":{}},"required":["b"]})",
       "'b' is now required"},
      {R"({"properties":{"a":{}},"required":["a"]})", R"({"properties":{"a":{}}})", ""},
      {R"({"properties":{"a":{"type":"number"}}})", R"({"properties":{"a":{"type":"integer"}}})",
       "type of 'a'"},
      {R"({"properties":{"a":{"type":"integer"}}})", R"({"properties":{"a":{"type":"number"}}})",
       ""},
      {R"({"properties":{"a":{}}})", R"({"properties":{"a":{"type":"string"}}})", "type of 'a'"},
      {R"({"properties":{"a":{"type":["string","null"]}}})",
       R"({"properties":{"a":{"type":"string"}}})", "type of 'a'"},
      {R"({"properties":{"a":{"enum":[1,2]}}})", R"({"properties":{"a":{"enum":[1]}}})",
       "allowed values"},
      {R"({"properties":{"a":{"enum":[1]}}})", R"({"properties":{"a":{"enum":[1,2]}}})", ""},
      {R"({"properties":{"a":{"properties":{"b":{}}}}})", R"({"properties":{"a":{}}})", "'a.b'"},
      {R"({"properties":{"a":{"items":{"type":"string"}}}})",
       R"({"properties":{"a":{"items":{"type":"number"}}}})", "a[]"},
      {R"({})", R"({"additionalProperties":false})", "additional"},
      {R"({"description":"x"})", R"({"description":"y"})", ""},
  };
  for (const Case& c : kCases) {
    const std::string before = std::string(R"({"name":"x","inputSchema":)") + c.before + "}";
    const std::string after = std::string(R"({"name":"x","inputSchema":)") + c.after + "}";
    const std::string found = FindBreakingChange(pb::ITEM_KIND_TOOL, before, after);
    if (*c.found == '\0') {
      EXPECT_EQ(found, "") << after;
    } else {
      EXPECT_THAT(found, HasSubstr(c.found)) << after;
    }
  }
}

TEST(CompatTest, FindsWhatOutputsGiveUp) {
  const auto tool = [](const std::string& output) {
    return R"({"name":"x","inputSchema":{})" + output + "}";
  };
  const auto find = [&tool](const std::string& a, const std::string& b) {
    return FindBreakingChange(pb::ITEM_KIND_TOOL, tool(a), tool(b));
  };
  EXPECT_THAT(find(R"(,"outputSchema":{"properties":{"r":{}}})", R"(,"outputSchema":{})"),
              HasSubstr("output property 'r' was removed"));
  EXPECT_THAT(find(R"(,"outputSchema":{})", ""), HasSubstr("output schema was removed"));
  EXPECT_EQ(find("", R"(,"outputSchema":{})"), "");
  EXPECT_EQ(find(R"(,"outputSchema":{})", R"(,"outputSchema":{"properties":{"r":{}}})"), "");
}

TEST(CompatTest, ComparesPromptArguments) {
  const auto find = [](const char* a, const char* b) {
    return FindBreakingChange(pb::ITEM_KIND_PROMPT, a, b);
  };
  EXPECT_THAT(find(R"({"name":"p","arguments":[{"name":"a"}]})", R"({"name":"p"})"),
              HasSubstr("'a' was removed"));
  EXPECT_THAT(find(R"({"name":"p"})", R"({"name":"p","arguments":[{"name":"a","required":true}]})"),
              HasSubstr("'a' is now required"));
  EXPECT_EQ(find(R"({"name":"p"})", R"({"name":"p","arguments":[{"name":"a"}]})"), "");
}

TEST(OverrideTest, DerivesTheExposedSchema) {
  RecordProperty("req", "M02-US-004.2");
  const auto item = Tool("find", R"({"name":"find","description":"old","inputSchema":{
      "type":"object","required":["q","limit","token","kind"],
      "properties":{"q":{"type":"string"},"limit":{"type":"integer"},"token":{"type":"string"},
                    "kind":{"enum":[1,true]},"deep":{"type":"boolean"}},
      "anyOf":[{"required":["q"]}],"dependentRequired":{"q":["limit","deep"],"token":["q"]}},
      "annotations":{"readOnlyHint":true,"x":1}})");
  ASSERT_EQ(item.entry->invalid, "");
  pb::ItemOverride change;
  change.set_title("Find");
  change.set_description("new \"text\"");
  change.set_annotations(R"({"x":null,"idempotentHint":true})");
  auto& args = *change.mutable_arguments();
  args["q"].set_rename("query");
  args["limit"].set_default_value("10");
  args["limit"].set_coerce("integer");
  args["token"].set_fixed_value("\"secret\"");
  args["kind"].set_coerce("integer");
  args["deep"].set_hidden(true);
  const auto derived = DeriveDefinition(*item.entry, change, "web__find");
  ASSERT_TRUE(derived.ok()) << derived.status();
  EXPECT_EQ(json::parse(*derived), json::parse(R"({"name":"web__find","description":"new \"text\"",
      "title":"Find","inputSchema":{"type":"object","required":["query","kind"],
      "properties":{"query":{"type":"string"},"limit":{"type":["integer","string"],"default":10},
                    "kind":{"enum":[1,true,"1","true"]}},
      "anyOf":[{"required":["query"]}],"dependentRequired":{"query":[]}},
      "annotations":{"readOnlyHint":true,"idempotentHint":true}})"));
  EXPECT_THAT(*derived, testing::Not(HasSubstr("secret")));
}

TEST(OverrideTest, RefusesTwoArgumentsOfOneName) {
  const auto item = Tool("f", ToolJson("f", R"({"a":{},"b":{}})"));
  pb::ItemOverride change;
  (*change.mutable_arguments())["a"].set_rename("b");
  EXPECT_FALSE(DeriveDefinition(*item.entry, change, "f").ok());
}

TEST(OverrideTest, RewritesPromptArguments) {
  RecordProperty("req", "M02-US-004.2");
  const auto item = AnalyzeItem(
      "u", "s", pb::ITEM_KIND_PROMPT, "p",
      R"({"name":"p","arguments":[{"name":"a","required":true},{"name":"b"},{"name":"c","required":true}]})");
  pb::ItemOverride change;
  (*change.mutable_arguments())["a"].set_rename("x");
  (*change.mutable_arguments())["b"].set_fixed_value("\"1\"");
  (*change.mutable_arguments())["c"].set_default_value("\"1\"");
  const auto derived = DeriveDefinition(*item.entry, change, "s__p");
  ASSERT_TRUE(derived.ok()) << derived.status();
  EXPECT_EQ(json::parse(*derived), json::parse(R"({"name":"s__p","arguments":[
      {"name":"x","required":true},{"name":"c","required":false}]})"));
  (*change.mutable_arguments())["c"].set_default_value("1");
  EXPECT_THAT(std::string(DeriveDefinition(*item.entry, change, "s__p").status().message()),
              ::testing::HasSubstr("no string"));
}

TEST(OverrideTest, ChecksValues) {
  const auto check = [](const std::function<void(pb::ArgumentOverride&)>& set) {
    pb::ItemOverride change;
    set((*change.mutable_arguments())["a"]);
    return CheckOverride("s.t", change).ok();
  };
  EXPECT_TRUE(check([](auto& a) { a.set_default_value("[1]"); }));
  EXPECT_FALSE(check([](auto& a) { a.set_default_value("[1"); }));
  EXPECT_FALSE(check([](auto& a) { a.set_fixed_value("nope"); }));
  EXPECT_FALSE(check([](auto& a) { a.set_coerce("array"); }));
  EXPECT_FALSE(CheckOverride("unqualified", pb::ItemOverride()).ok());
}

TEST(OverrideTest, AppliesInAViewAndRenames) {
  RecordProperty("req", "M02-US-004.2 P1-Virt-1 P1-Tool-3");
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("git")), {MakeTool("status"), MakeTool("push")});
  pb::VirtualServerSpec spec;
  (*spec.mutable_overrides())["git.status"].set_name("what_changed");
  (*spec.mutable_overrides())["git.status"].set_description("Says what changed.");
  (*spec.mutable_overrides())["git.push"].set_disabled(true);
  f.AddServer("v", spec);
  EXPECT_THAT(ExposedNames(f.registry->model(), "v"), testing::ElementsAre("what_changed"));
  const ViewPtr view = f.registry->model().FindView("v");
  const View::Found found = view->FindExposed(pb::ITEM_KIND_TOOL, "what_changed");
  const pb::ExposedItem exposed = view->Expose(*found.from, *found.candidate);
  EXPECT_THAT(exposed.definition(), HasSubstr("Says what changed."));
  EXPECT_EQ(exposed.routes(0).original_name(), "status");
}

}  // namespace
}  // namespace metamcp::catalog
