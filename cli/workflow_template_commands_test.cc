#include <nlohmann/json.hpp>

#include "cli/command_fixture.h"

namespace metamcp::cli {
namespace {

constexpr char kTemplate[] = R"({"template":{"name":"t","description":"Does it",
  "parameters":[{"name":"tool","description":"the tool","schema":{"type":"string"},"slot":true},
                {"name":"name","schema":{"type":"string"},"defaultValue":"t"}],
  "body":{"steps":[]}}})";

class TemplateCommandsTest : public CommandTest {
 protected:
  TemplateCommandsTest() {
    rest_.When("GET /api/v1/templates/t", kTemplate);
    rest_.When("POST /api/v1/templates/t/fill", R"({"source":{"name":"t"}})");
    rest_.When("GET /api/v1/items:search",
               R"({"items":[{"qualifiedName":"s.read","description":"Reads","definition":
                   {"inputSchema":{"type":"object"}}}]})");
  }
  nlohmann::json Sent(const std::string& path) {
    for (const auto& asked : rest_.asked) {
      if (asked.request.path == path) return nlohmann::json::parse(asked.request.body);
    }
    return nlohmann::json();
  }
};

TEST_F(TemplateCommandsTest, AModelFillsTheSlotsThatAreNotGiven) {
  RecordProperty("req", "M-FR-014");
  rest_.When("POST /api/v1/ai/fill", R"({"value":{"tool":"s.read","other":1}})");
  ASSERT_EQ(RunRemote({"workflow", "template", "new", "t", "--task", "read it"}), 0) << err_;
  const nlohmann::json asked = Sent("/api/v1/ai/fill");
  EXPECT_EQ(asked["input"]["task"], "read it");
  EXPECT_EQ(asked["input"]["tools"][0]["name"], "s.read");
  EXPECT_EQ(asked["schema"]["required"], nlohmann::json({"tool"}));
  EXPECT_EQ(Sent("/api/v1/templates/t/fill")["values"], nlohmann::json({{"tool", "s.read"}}));
}

TEST_F(TemplateCommandsTest, WhatIsGivenIsNotAskedOfAModel) {
  ASSERT_EQ(RunRemote({"workflow", "template", "new", "t", "--task", "x", "--set", "tool=s.write"}),
            0)
      << err_;
  EXPECT_TRUE(Sent("/api/v1/ai/fill").is_null());
  EXPECT_EQ(Sent("/api/v1/templates/t/fill")["values"]["tool"], "s.write");
}

TEST_F(TemplateCommandsTest, WithoutAModelPeopleFillThem) {
  RecordProperty("req", "M-FR-005.6");
  ASSERT_EQ(
      Run({"--url", "https://gateway.test", "workflow", "template", "new", "t", "--task", "x"},
          "s.list\n", true),
      0)
      << err_;
  EXPECT_NE(err_.find("no model fills the slots"), std::string::npos);
  EXPECT_EQ(Sent("/api/v1/templates/t/fill")["values"]["tool"], "s.list");
}

TEST_F(TemplateCommandsTest, AFileIsWritten) {
  const std::string file = Path("out.json");
  ASSERT_EQ(RunRemote({"workflow", "template", "new", "t", "--set", "tool=s.t", "--file", file}),
            0);
  std::ifstream in(file);
  EXPECT_EQ(nlohmann::json::parse(in)["name"], "t");
  EXPECT_NE(RunRemote({"workflow", "template", "new", "t", "--set", "tool"}), 0);
}

}  // namespace
}  // namespace metamcp::cli
