#include "services/ai/plan/clause.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::ai {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

std::vector<std::string> Verbs(std::string_view task) {
  std::vector<std::string> out;
  for (const Clause& clause : SplitTask(task)) out.push_back(clause.verb);
  return out;
}

TEST(ClauseTest, SplitsWhereSomethingElseIsAskedFor) {
  EXPECT_THAT(Verbs("find every TODO in these files, store a note per file, and write a summary"),
              ElementsAre("find", "store", "write"));
  EXPECT_THAT(Verbs("Read a.txt then delete it. List the branches; fetch https://a.example/x"),
              ElementsAre("read", "delete", "list", "fetch"));
  EXPECT_THAT(Verbs("1. read a.txt\n2. write b.txt"), ElementsAre("read", "write"));
}

TEST(ClauseTest, KeepsTogetherWhatBelongsTogether) {
  EXPECT_THAT(Verbs("list names and descriptions of branches"), ElementsAre("list"));
  EXPECT_THAT(Verbs("write \"stop, and delete it\" to a.txt"), ElementsAre("write"));
  EXPECT_THAT(Verbs("read src/auth.py"), ElementsAre("read"));
}

TEST(ClauseTest, FindsValuesByTheirLooks) {
  const auto clauses = SplitTask(
      "copy 'my note' from src/a.txt on 2026-01-02 at 14:30 in Europe/Paris 5 times, see "
      "https://a.example/b, cells A1:B2, every TODO");
  ASSERT_FALSE(clauses.empty());
  std::vector<Literal::Kind> kinds;
  for (const Clause& clause : clauses) {
    for (const Literal& one : clause.literals) kinds.push_back(one.kind);
  }
  using Kind = Literal::Kind;
  EXPECT_THAT(kinds, ElementsAre(Kind::kText, Kind::kPath, Kind::kDate, Kind::kTime, Kind::kZone,
                                 Kind::kNumber, Kind::kUrl, Kind::kCells, Kind::kMark));
  EXPECT_EQ(clauses[0].literals[0].text, "my note");
}

TEST(ClauseTest, KnowsLoops) {
  EXPECT_EQ(SplitTask("store a note per file")[0].each, "file");
  EXPECT_EQ(SplitTask("for each page: fetch it")[0].each, "page");
  EXPECT_EQ(SplitTask("read these files")[0].many, "file");
  EXPECT_EQ(SplitTask("read the file")[0].many, "");
}

TEST(ClauseTest, LooksForWordsOfTheSameMeaning) {
  const std::string text = SearchText(SplitTask("erase the folder")[0]);
  EXPECT_THAT(text, ::testing::HasSubstr("directory"));
  EXPECT_THAT(text, ::testing::HasSubstr("erase"));
}

TEST(ClauseTest, IsBounded) {
  std::string task;
  for (int i = 0; i < 500; ++i) task += "read a.txt; ";
  EXPECT_LE(SplitTask(task).size(), 20u);
  EXPECT_TRUE(SplitTask("").empty());
  EXPECT_TRUE(SplitTask(" ,;. \n").empty());
  (void)SplitTask(std::string(8192, '\''));
  (void)SplitTask("\xff\xfe \" ` ' \u201c");
}

TEST(ClauseTest, ReadsBeforeItLooksIntoFiles) {
  const auto clauses = WithImplied(SplitTask("find every TODO in a.txt"));
  ASSERT_EQ(clauses.size(), 2u);
  EXPECT_EQ(clauses[0].verb, "read");
  EXPECT_TRUE(clauses[0].implied);
  EXPECT_EQ(clauses[1].work, Clause::Work::kFilter);
}

TEST(ClauseTest, KnowsWhatRefactoringTakes) {
  RecordProperty("req", "M-AC-5.3.1");
  std::vector<std::string> verbs;
  for (const Clause& one :
       WithImplied(SplitTask("Refactor the authentication function in src/auth.py"))) {
    verbs.push_back(one.verb);
  }
  EXPECT_THAT(verbs, ElementsAre("read", "analyze", "refactor", "write"));
}

TEST(WordsTest, BringsFormsTogether) {
  EXPECT_THAT(Words("createEntities HTTPServer git_log searching stored"),
              ElementsAre("create", "entity", "http", "server", "git", "log", "search", "store"));
}

TEST(WordsTest, KnowsSecrets) {
  EXPECT_TRUE(LooksSecret("ghp_0123456789abcdef0123"));
  EXPECT_TRUE(LooksSecret("-----BEGIN RSA PRIVATE KEY-----"));
  EXPECT_FALSE(LooksSecret("notes.txt"));
  EXPECT_FALSE(LooksSecret("sk-1"));
}

}  // namespace
}  // namespace metamcp::ai
