#include "services/workflow/face/templates.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "services/workflow/definition/definition.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::json;

TEST(TemplatesTest, EachBuiltInOneMakesAWorkflowThatIsValid) {
  RecordProperty("req", "M-FR-013");
  const std::map<std::string, std::string> values = {
      {"approve-then-run", R"({"tool":"s.t","arguments":{"a":"${input.a}"},"separate":true})"},
      {"for-each", R"({"tool":"s.t","arguments":{"a":"${item}"}})"},
      {"collect-to-file", R"({"sources":["a","b"],"target":"/tmp/x"})"},
      {"scheduled", R"({"tool":"s.t","cron":"0 7 * * mon"})"},
      {"do-and-undo", R"({"first":{"tool":"s.a","arguments":{"n":1}},
          "undo":{"tool":"s.b","arguments":{}},"second":"s.c"})"}};
  EXPECT_EQ(BuiltinTemplates().size(), values.size());
  for (const TemplateSpec& spec : BuiltinTemplates()) {
    ASSERT_EQ(values.count(spec.name), 1u) << spec.name;
    const auto filled = FillTemplate(spec, values.at(spec.name));
    ASSERT_TRUE(filled.ok()) << spec.name << ": " << filled.status();
    EXPECT_EQ(filled->find("{{"), std::string::npos) << *filled;
    std::vector<Problem> problems;
    const auto definition = ReadDefinition(*filled, Limits(), &problems);
    for (const Problem& one : problems) {
      ADD_FAILURE() << spec.name << one.path << ": " << one.message << "\n" << *filled;
    }
    ASSERT_TRUE(definition != nullptr);
    EXPECT_FALSE(definition->tools.empty());
    EXPECT_FALSE(spec.title.empty() || spec.description.empty());
  }
}

TEST(TemplatesTest, ValuesAreWhatTheParametersSay) {
  const TemplateSpec& spec = *FindTemplate("scheduled");
  const auto message = [&](const char* values) {
    return std::string(FillTemplate(spec, values).status().message());
  };
  EXPECT_NE(message("{}").find("\"tool\" is needed"), std::string::npos);
  EXPECT_NE(message(R"({"tool":7})").find("\"tool\""), std::string::npos);
  EXPECT_NE(message(R"({"tool":"t","often":1})").find("no parameter \"often\""), std::string::npos);
  EXPECT_NE(message("[]").find("JSON object"), std::string::npos);
  EXPECT_EQ(FindTemplate("nothing"), nullptr);
}

TEST(TemplatesTest, AValueAloneKeepsItsTypeAndInATextBecomesText) {
  const auto read = ReadTemplates(R"([{"name":"x","workflow":{
    "a":"{{v}}","b":"<{{v}}> {{w}} {{none}}","c":["{{v.n}}"],"{{v}}":1,"{{w}}":2},
    "parameters":{"v":{"schema":{"type":"object"}},"w":{"default":"word"}}}])");
  ASSERT_TRUE(read.ok()) << read.status();
  const Json filled = Json::parse(*FillTemplate(read->at(0), R"({"v":{"n":[1]}})"));
  EXPECT_EQ(filled["a"], Json::parse(R"({"n":[1]})"));
  EXPECT_EQ(filled["b"], R"(<{"n":[1]}> word {{none}})");
  EXPECT_EQ(filled["c"][0], Json::parse("[1]"));
  EXPECT_EQ(filled["{{v}}"], 1);
  EXPECT_EQ(filled["word"], 2);
  for (const char* bad : {"{}", "[1]", R"([{"name":"x"}])", R"([{"workflow":{}}])"}) {
    EXPECT_FALSE(ReadTemplates(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace metamcp::workflow
