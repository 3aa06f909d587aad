#include "cli/command_fixture.h"

namespace metamcp::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSuggestion[] = R"({"id":"s1","task":"t","valid":true,"confidence":0.8,
  "sure":"high","madeBy":"planner","tookMs":"7","steps":[
  {"id":"read","title":"read it","tool":"fs.read","effect":"reads","confidence":0.9,
   "arguments":{"path":"${item}"},"forEach":"${input.files}",
   "alternatives":[{"tool":"fs.open","score":0.5}]},
  {"id":"save","title":"save it","tool":"fs.write","effect":"may destroy","confidence":0.7,
   "arguments":{"path":"a.txt"}}],
  "gaps":[{"id":"fly","text":"fly","question":"No tool is known for \"fly\".","nearest":[]}],
  "notes":["a note\u001b[2J"],
  "workflow":{"name":"w","input":{"type":"object","properties":{"files":{"type":"array",
   "items":{"type":"string"}},"count":{"type":"integer"}}},"steps":[]}})";

class SuggestCommandTest : public CommandTest {
 protected:
  SuggestCommandTest() {
    rest_.When("POST /api/v1/suggestions", kSuggestion);
    rest_.When("POST /api/v1/suggestions/s1/feedback", "{}");
    rest_.When("POST /api/v1/workflows", R"({"workflow":{"name":"w","version":"1.0.0"}})");
    rest_.When("POST /api/v1/workflows/w/runs", R"({"run":{"id":"r1"}})");
    rest_.When("GET /api/v1/runs/r1",
               R"({"run":{"id":"r1","state":"completed","output":{"n":1}}})");
  }
  int Asked(const std::string& path) const {
    return static_cast<int>(
        std::count_if(rest_.asked.begin(), rest_.asked.end(), [&](const FakeRest::Asked& asked) {
          return asked.request.method == "POST" && asked.request.path == path;
        }));
  }
  std::string BodyOf(const std::string& path) const {
    for (const FakeRest::Asked& asked : rest_.asked) {
      if (asked.request.path == path) return asked.request.body;
    }
    return "";
  }
};

TEST_F(SuggestCommandTest, ShowsWhatWouldHappenAndDoesNothing) {
  RecordProperty("req", "M-UJ-A3.s3 M-AC-5.3.1");
  ASSERT_EQ(Run({"suggest", "read and save"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("Sure: high (80 %), made without a model"),
                          HasSubstr("read, for each of ${input.files}"), HasSubstr("or: fs.open"),
                          HasSubstr("A run will change something by: fs.write (may destroy)."),
                          HasSubstr("It asks for files"), HasSubstr("No tool is known for"),
                          HasSubstr("Nothing has happened."), Not(HasSubstr("\033"))));
  EXPECT_EQ(Asked("/api/v1/workflows"), 0);
}

TEST_F(SuggestCommandTest, NamesToolsAsTheClientsOfAServerDo) {
  rest_.When(
      "POST /api/v1/suggestions",
      R"({"valid":true,"steps":[{"id":"a","tool":"fs.read","exposed":"look","effect":"reads"}]})");
  ASSERT_EQ(Run({"suggest", "x", "--server", "lean"}), kExitDone) << err_;
  EXPECT_THAT(BodyOf("/api/v1/suggestions"), HasSubstr(R"("virtualServer":"lean")"));
  EXPECT_THAT(out_, AllOf(HasSubstr("look"), Not(HasSubstr("fs.read"))));
}

TEST_F(SuggestCommandTest, ProposesWhatWasDoneBefore) {
  rest_.When("POST /api/v1/suggestions:history",
             R"({"calls":"9","chains":[{"tools":["fs.read","fs.write"],"occurrences":"3",
                 "lastUs":"1","suggestion":)" +
                 std::string(kSuggestion) + "}]}");
  ASSERT_EQ(Run({"suggest", "--from-history"}), kExitDone) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("fs.read, fs.write"), HasSubstr("3")));
  EXPECT_EQ(Asked("/api/v1/workflows"), 0);
  ASSERT_EQ(Run({"suggest", "--from-history", "--pick", "1", "--save", "again", "--days", "7"}),
            kExitDone)
      << err_;
  EXPECT_EQ(Asked("/api/v1/workflows"), 1);
  EXPECT_THAT(BodyOf("/api/v1/workflows"), HasSubstr("again"));
  EXPECT_EQ(Run({"suggest", "--from-history", "--pick", "2"}), 2);
  EXPECT_EQ(Run({"suggest", "--from-history", "--run"}), 2);
  EXPECT_EQ(Run({"suggest", "x", "--from-history"}), 2);
  EXPECT_EQ(Run({"suggest"}), 2);
}

TEST_F(SuggestCommandTest, IsReadableLineByLine) {
  RecordProperty("req", "M-NFR-005.5");
  ASSERT_EQ(Run({"suggest", "x", "--plain"}), kExitDone);
  EXPECT_THAT(out_, HasSubstr("STEP: read\nTOOL: fs.read\nEFFECT: reads\n"));
}

TEST_F(SuggestCommandTest, PassesOnWhatWasSaid) {
  ASSERT_EQ(Run({"suggest", "x", "--refine", "without saving", "--refine", "use memory", "--choose",
                 "read=fs.open", "--output", "json"}),
            kExitDone)
      << err_;
  EXPECT_THAT(BodyOf("/api/v1/suggestions"),
              AllOf(HasSubstr(R"("refinements":["without saving","use memory"])"),
                    HasSubstr(R"("choices":{"read":"fs.open"})")));
  EXPECT_EQ(Run({"suggest", "x", "--choose", "read"}), kExitUsage);
}

TEST_F(SuggestCommandTest, SavesAndTells) {
  ASSERT_EQ(Run({"suggest", "x", "--save", "mine"}), kExitDone) << err_;
  EXPECT_EQ(Asked("/api/v1/workflows"), 1);
  EXPECT_THAT(BodyOf("/api/v1/suggestions/s1/feedback"), HasSubstr("accepted"));
  EXPECT_THAT(out_, HasSubstr("w 1.0.0 is stored"));
}

TEST_F(SuggestCommandTest, RunsNothingUnasked) {
  ASSERT_EQ(Run({"suggest", "x", "--run"}), kExitUsage);
  EXPECT_EQ(Asked("/api/v1/workflows/w/runs"), 0);
  ASSERT_EQ(Run({"suggest", "x", "--run", "--yes", "--input", R"({"files":["a"],"count":1})"}),
            kExitDone)
      << err_;
  EXPECT_THAT(BodyOf("/api/v1/workflows/w/runs"), HasSubstr(R"("files":["a"])"));
  EXPECT_THAT(out_, HasSubstr("run r1 is completed"));
}

TEST_F(SuggestCommandTest, IsTalkedOverOnATerminal) {
  RecordProperty("req", "M-UJ-A3.p1");
  ASSERT_EQ(Run({"suggest", "x"}, "leave it out\nr\n3\na.txt, b.txt\n", true), kExitDone) << err_;
  EXPECT_EQ(Asked("/api/v1/suggestions"), 3);
  EXPECT_THAT(BodyOf("/api/v1/workflows/w/runs"),
              HasSubstr(R"({"count":3,"files":["a.txt","b.txt"]})"));
  EXPECT_THAT(BodyOf("/api/v1/suggestions/s1/feedback"), HasSubstr("edited"));
}

TEST_F(SuggestCommandTest, FailsWhereThereIsNoPlan) {
  rest_.When("POST /api/v1/suggestions",
             R"({"id":"s2","valid":false,"steps":[],"gaps":[{"id":"fly","question":"Which?"}]})");
  EXPECT_EQ(Run({"suggest", "fly", "--save", "x"}), kExitFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("No tool was found"), HasSubstr("Question: Which?")));
  EXPECT_EQ(Asked("/api/v1/workflows"), 0);
}

}  // namespace
}  // namespace metamcp::cli
