#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/ai/plan/words.h"

namespace metamcp::ai {

// A value that stands in the task itself.
struct Literal {
  enum class Kind { kText, kPath, kUrl, kNumber, kDate, kTime, kZone, kMark, kRef, kCells };
  Kind kind = Kind::kText;
  std::string text;   // without quotes
  std::string label;  // the word before it, in its base form: "branch" of "branch main"
};

// One thing that the task asks for.
struct Clause {
  // How it is done: by a tool, or by an expression of the workflow over what tools gave.
  enum class Work { kTool, kFilter, kCompose, kGenerate };
  Work work = Work::kTool;
  bool implied = false;  // not said, but needed for what was
  std::string text;
  std::string verb;  // base form
  Action action = Action::kNone;
  std::vector<std::string> words;  // without stop words, literals and the verb
  std::vector<Literal> literals;
  std::string each;                  // "file" of "per file", "for each file"
  std::string many;                  // "file" of "these files"
  bool refers_back = false;          // it, them, the result
  std::vector<std::string> servers;  // after "with", "using": may name a server
};

// Splits a task into what it asks for, in its order. At most 20.
std::vector<Clause> SplitTask(std::string_view task);

// Puts in what a sentence takes for granted: files are read before lines are found in them, and
// what is to be improved is read, examined and written back.
std::vector<Clause> WithImplied(std::vector<Clause> clauses);

// What to look for in a catalog for that clause: its words and words that mean the same.
std::string SearchText(const Clause& clause);

}  // namespace metamcp::ai
