#include "services/workflow/check_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::workflow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kSchema[] =
    R"({"type":"object","required":["path"],"additionalProperties":false,"properties":{)"
    R"("path":{"type":"string"},"count":{"type":"integer","minimum":1},"of":{"$ref":"#/$defs/X"}},)"
    R"("$defs":{"X":{"enum":["a","b"]}}})";

std::vector<std::string> Problems(const std::string& arguments) {
  std::vector<Problem> read;
  const std::string source =
      R"({"name":"w","steps":[{"id":"s","tool":"x.y","arguments":)" + arguments + "}]}";
  const auto definition = ReadDefinition(source, Limits(), &read);
  EXPECT_THAT(read, IsEmpty());
  std::vector<Problem> problems;
  for (const auto& [path, task] : definition->by_path) {
    if (!task->tool.empty()) CheckArguments(definition->document, *task, kSchema, &problems);
  }
  std::vector<std::string> out;
  for (const Problem& problem : problems) out.push_back(problem.path + ": " + problem.message);
  return out;
}

TEST(CheckArgumentsTest, TakesWhatFits) {
  EXPECT_THAT(Problems(R"({"path":"a","count":2,"of":"b"})"), IsEmpty());
}

TEST(CheckArgumentsTest, LeavesExpressionsToTheRun) {
  EXPECT_THAT(Problems(R"({"path":"${input.x}","count":"${input.y}","of":"${input.z}"})"),
              IsEmpty());
}

TEST(CheckArgumentsTest, NamesWhatDoesNotFit) {
  RecordProperty("req", "M-FR-005.4");
  EXPECT_THAT(Problems("{}"), ElementsAre(HasSubstr("\"path\" of x.y is missing")));
  EXPECT_THAT(Problems(R"({"path":"a","nothing":1})"),
              ElementsAre(HasSubstr("x.y has no argument \"nothing\"")));
  EXPECT_THAT(Problems(R"({"path":1})"), ElementsAre(HasSubstr("/with/path: does not fit x.y")));
  EXPECT_THAT(Problems(R"({"path":"a","count":0,"of":"c"})"),
              ElementsAre(HasSubstr("/with/count"), HasSubstr("/with/of")));
}

}  // namespace
}  // namespace metamcp::workflow
