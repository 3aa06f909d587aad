#include "services/workflow/definition/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/yaml.h"
#include "services/workflow/definition/sample.h"

namespace metamcp::workflow {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<Problem> ProblemsOf(std::string_view source, Limits limits = Limits()) {
  std::vector<Problem> problems;
  const auto definition = ReadDefinition(source, limits, &problems);
  EXPECT_EQ(definition == nullptr, !problems.empty());
  return problems;
}

auto At(const std::string& path, const std::string& message) {
  return Contains(AllOf(Field(&Problem::path, path), Field(&Problem::message, HasSubstr(message))));
}

std::string Document(std::string_view tasks) {
  return StrCat("document: {dsl: '1.0.3', namespace: default, name: test, version: '1.0.0'}\ndo:\n",
                tasks);
}

TEST(Definition, ReadsYamlAndJsonAlike) {
  std::vector<Problem> problems;
  const auto yaml = ReadDefinition(Document("  - a: {set: {x: 1}}\n"), Limits(), &problems);
  ASSERT_NE(yaml, nullptr);
  const auto json = ReadDefinition(
      R"({"document":{"dsl":"1.0.3","namespace":"default","name":"test","version":"1.0.0"},
          "do":[{"a":{"set":{"x":1}}}]})",
      Limits(), &problems);
  ASSERT_NE(json, nullptr);
  EXPECT_EQ(yaml->digest, json->digest);
  EXPECT_EQ(yaml->tasks[0].path, "/do/0/a");
}

TEST(Definition, RefusesByName) {
  RecordProperty("req", "A-CP3");
  EXPECT_THAT(ProblemsOf(Document("  - a: {run: {shell: {command: ls}}}\n")),
              At("/do/0/a/run/shell", "refused"));
  EXPECT_THAT(ProblemsOf(Document("  - a: {run: {container: {image: x}}}\n")),
              At("/do/0/a/run/container", "refused"));
  EXPECT_THAT(ProblemsOf(Document("  - a: {run: {script: {language: js}}}\n")),
              At("/do/0/a/run/script", "refused"));
  for (const char* kind : {"grpc", "openapi", "asyncapi", "a2a"}) {
    EXPECT_THAT(ProblemsOf(Document(StrCat("  - a: {call: ", kind, ", with: {}}\n"))),
                At("/do/0/a/call", StrCat("calls of ", kind, " are not supported")));
  }
  EXPECT_THAT(
      ProblemsOf(Document("  - a: {call: mcp, with: {method: tools/call, parameters: {name: x},"
                          " transport: {stdio: {command: npx}}}}\n")),
      At("/do/0/a/with/transport/stdio", "inline commands are refused"));
  EXPECT_THAT(ProblemsOf(StrCat(Document("  - a: {set: {x: 1}}\n"), "schedule: {on: {all: []}}\n")),
              At("/schedule/on/all", "not supported"));
}

TEST(Definition, ReadsSchedules) {
  RecordProperty("req", "M-FR-006");
  const auto schedule = [](const std::string& text) {
    std::vector<Problem> problems;
    const auto read =
        ReadDefinition(StrCat(Document("  - a: {set: {x: 1}}\n"), text), Limits(), &problems);
    return read == nullptr ? std::optional<ScheduleSpec>() : read->schedule;
  };
  const auto cron =
      schedule("schedule: {cron: '0 6 * * mon'}\nmetadata: {schedule: {missed: skip}}\n");
  ASSERT_TRUE(cron.has_value());
  EXPECT_EQ(cron->kind, "cron");
  EXPECT_EQ(cron->missed, "skip");
  EXPECT_EQ(schedule("schedule: {every: PT5M}\n")->ms, 300'000);
  EXPECT_EQ(schedule("schedule: {after: {hours: 1}}\n")->kind, "after");
  EXPECT_EQ(
      schedule("schedule: {on: {any: [{with: {type: a}}, {with: {type: b}}]}}\n")->events.size(),
      2u);
  for (const char* bad :
       {"schedule: {}\n", "schedule: {cron: '* *'}\n", "schedule: {cron: '0 0 31 2 *'}\n",
        "schedule: {every: PT0.1S}\n", "schedule: {every: PT1M, cron: '* * * * *'}\n",
        "schedule: {often: true}\n", "schedule: {every: '${ .x }'}\n",
        "schedule: {every: PT1M}\nmetadata: {schedule: {missed: maybe}}\n"}) {
    EXPECT_FALSE(schedule(bad).has_value()) << bad;
  }
}

TEST(Definition, NamesThePlaceOfEveryMistake) {
  const auto problems = ProblemsOf(
      Document("  - a: {set: {x: 1}, then: nowhere}\n  - b: {wait: {fortnights: 1}}\n  - c: {}\n"
               "  - a: {set: {x: 2}}\n"));
  EXPECT_THAT(problems, At("/do/0/a/then", "no task \"nowhere\""));
  EXPECT_THAT(problems, At("/do/1/b/wait", "unknown unit"));
  EXPECT_THAT(problems, At("/do/2/c", "says nothing to do"));
  EXPECT_THAT(problems, At("/do/3", "occurs twice"));
}

TEST(Definition, YamlKeepsToWhatJsonCanSay) {
  EXPECT_THAT(ProblemsOf("a: &x 1\nb: *x\n"), At("", "anchors"));
  EXPECT_THAT(ProblemsOf("a: !!binary aGk=\n"), At("", "tags"));
  EXPECT_THAT(ProblemsOf("a: 1\na: 2\n"), At("", "occurs twice"));
  EXPECT_THAT(ProblemsOf("a: [1\n"), At("", "line"));
}

TEST(Definition, HasLimits) {
  Limits limits;
  limits.tasks_max = 2;
  EXPECT_THAT(ProblemsOf(Document("  - a: {set: {x: 1}}\n  - b: {set: {x: 1}}\n"), limits),
              IsEmpty());
  EXPECT_THAT(
      ProblemsOf(Document("  - a: {set: {x: 1}}\n  - b: {set: {x: 1}}\n  - c: {set: {x: 1}}\n"),
                 limits),
      At("", "more than 2 tasks"));
  limits = Limits();
  limits.depth_max = 2;
  EXPECT_THAT(ProblemsOf(Document("  - a: {do: [{b: {set: {x: 1}}}]}\n"), limits), IsEmpty());
  EXPECT_THAT(ProblemsOf(Document("  - a: {do: [{b: {do: [{c: {set: {x: 1}}}]}}]}\n"), limits),
              At("/do/0/a/do/0/b/do", "nested deeper than 2"));
  limits.document_bytes_max = 10;
  EXPECT_THAT(ProblemsOf(Document("  - a: {set: {x: 1}}\n"), limits),
              At("", "larger than 10 bytes"));
}

TEST(Definition, DurationsInBothForms) {
  EXPECT_EQ(*DurationMs("\"PT1M30S\""), 90'000);
  EXPECT_EQ(*DurationMs("\"P1DT0.5S\""), 86'400'500);
  EXPECT_EQ(*DurationMs("{\"minutes\":1,\"milliseconds\":5}"), 60'005);
  EXPECT_FALSE(DurationMs("\"1 minute\"").ok());
  EXPECT_FALSE(DurationMs("\"PT\"").ok());
  EXPECT_FALSE(DurationMs("{}").ok());
  EXPECT_FALSE(DurationMs("{\"years\":1}").ok());
}

constexpr char kFlat[] = R"(
name: notes
steps:
  - {id: a, tool: s.read, arguments: {path: "${input.dir}/x"}}
  - {id: b, tool: s.read, arguments: {path: y}}
  - {id: c, tool: s.write, arguments: {text: "${steps.a}"}, dependsOn: b}
)";

TEST(Flat, IndependentStepsAreBranches) {
  RecordProperty("req", "M-FR-006.1, M-FR-016");
  std::vector<Problem> problems;
  const auto definition = ReadDefinition(kFlat, Limits(), &problems);
  ASSERT_NE(definition, nullptr) << problems[0].path << problems[0].message;
  ASSERT_EQ(definition->tasks.size(), 2u);
  EXPECT_EQ(definition->tasks[0].kind, TaskKind::kFork);
  EXPECT_EQ(definition->tasks[0].tasks.size(), 2u);
  EXPECT_EQ(definition->tasks[1].name, "c");
  EXPECT_EQ(definition->tasks[1].tool, "s.write");
  EXPECT_EQ(definition->tasks[1].on_error, "stop");
  // Text with an expression in it; a whole one keeps its type.
  const Task& a = definition->tasks[0].tasks[0];
  EXPECT_THAT(a.value.text, HasSubstr(R"("\($workflow.input.dir)/x")"));
  EXPECT_THAT(definition->tasks[1].value.text, HasSubstr("$context.steps.a"));
}

TEST(Flat, NamesCyclesAndWhatDoesNotExist) {
  EXPECT_THAT(
      ProblemsOf("name: x\nsteps:\n  - {id: a, tool: t, dependsOn: b}\n  - {id: b, tool: t, "
                 "dependsOn: [a]}\n"),
      At("/steps/0", "a -> b -> a"));
  EXPECT_THAT(ProblemsOf("name: x\nsteps:\n  - {id: a, tool: t, arguments: {x: '${steps.z.y}'}}\n"),
              At("/steps/0", "\"z\", which does not exist"));
  EXPECT_THAT(ProblemsOf("name: x\nsteps:\n  - {id: a, tool: t, onError: panic}\n"),
              At("/steps/0/onError", "stop, rollback or continue"));
  EXPECT_THAT(ProblemsOf("name: x\nsteps: []\n"), At("/steps", "at least one"));
}

TEST(Flat, AModelFillsASlot) {
  std::vector<Problem> problems;
  const auto definition = ReadDefinition(
      R"({"name":"w","steps":[{"id":"read","tool":"fs.read"},{"id":"sum","ai":{"prompt":"short",
          "input":"${steps.read}","schema":{"type":"object"}}}]})",
      Limits(), &problems);
  ASSERT_NE(definition, nullptr);
  const Task& task = *definition->by_path.at("/do/1/sum");
  EXPECT_EQ(task.tool, kFillTool);
  EXPECT_THAT(definition->tools, Contains(std::string(kFillTool)));
  EXPECT_THAT(task.value.text, HasSubstr("$context.steps.read"));
  EXPECT_THAT(ProblemsOf(R"({"name":"w","steps":[{"id":"a","ai":{"input":1}}]})"),
              At("/steps/0/ai/prompt", "is missing"));
  EXPECT_THAT(ProblemsOf(R"({"name":"w","steps":[{"id":"a","tool":"x.y","ai":{"prompt":"p"}}]})"),
              At("/steps/0", "needs one of"));
}

TEST(Template, OneExpressionForAValue) {
  const auto value = json::ParseOrderedJson(R"({"a":1,"b":["${ .x }",{"c":"text"}]})");
  const Template compiled = CompileValue(*value);
  EXPECT_FALSE(compiled.constant);
  EXPECT_EQ(compiled.text, "{\"a\":(1),\"b\":([(_one( .x \n)),({\"c\":\"text\"})])}");
  EXPECT_TRUE(CompileValue(*json::ParseOrderedJson(R"({"a":"$x"})")).constant);
  EXPECT_THAT(CompileExpression("${ $a + $b }").variables, testing::ElementsAre("a", "b"));
}

TEST(Sample, IsWhatASchemaDescribes) {
  EXPECT_EQ(SampleOf(R"({"type":"object","properties":{"n":{"type":"integer","minimum":3},
      "s":{"type":"string"},"l":{"type":"array","items":{"type":"boolean"}},
      "e":{"enum":["a","b"]},"d":{"default":{"x":1}},"u":{"type":["null","string"]}}})"),
            R"({"n":3,"s":"","l":[false],"e":"a","d":{"x":1},"u":""})");
  EXPECT_EQ(SampleOf(R"({"oneOf":[{"const":7},{"type":"string"}]})"), "7");
  EXPECT_EQ(SampleOf("{}"), "null");
  EXPECT_EQ(SampleOf("not json"), "");
  std::string deep = "{\"type\":\"array\",\"items\":";
  for (int i = 0; i < 20; ++i) deep += "{\"type\":\"array\",\"items\":";
  deep += "{}" + std::string(21, '}');
  EXPECT_EQ(SampleOf(deep), "[[[[[[[[[null]]]]]]]]]");
}

// Quadratic work would take longer than any test may.
TEST(Yaml, AMappingOfManyKeysIsReadInTime) {
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "k" + std::to_string(i) + ": 1\n";
  const auto parsed = json::ParseJsonOrYaml(text, 8);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->size(), 30'000u);
  EXPECT_FALSE(json::ParseJsonOrYaml(text + "k7: 2\n", 8).ok());
}

}  // namespace
}  // namespace metamcp::workflow
