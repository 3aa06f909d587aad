#include <algorithm>

#include "common/base/strings.h"
#include "services/ai/plan/clause.h"

namespace metamcp::ai {
namespace {

bool Has(const std::vector<std::string>& words, std::initializer_list<std::string_view> any) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::find(any.begin(), any.end(), word) != any.end();
  });
}

const Literal* FirstOf(const Clause& clause, Literal::Kind kind) {
  for (const Literal& literal : clause.literals) {
    if (literal.kind == kind) return &literal;
  }
  return nullptr;
}

bool IsFileNoun(std::string_view noun) {
  return noun == "file" || noun == "document" || noun == "log" || noun == "script";
}

Clause Implied(std::string text, std::string verb, std::vector<std::string> words) {
  Clause out;
  out.implied = true;
  out.text = std::move(text);
  out.verb = std::move(verb);
  out.action = ActionOf(out.verb);
  out.words = std::move(words);
  return out;
}

// Lines with a word, in files that are named or counted.
bool FiltersFiles(const Clause& clause) {
  if (clause.action != Action::kSearch && clause.action != Action::kCompute) return false;
  const bool word = FirstOf(clause, Literal::Kind::kMark) != nullptr ||
                    FirstOf(clause, Literal::Kind::kText) != nullptr;
  const bool files = FirstOf(clause, Literal::Kind::kPath) != nullptr || IsFileNoun(clause.many) ||
                     IsFileNoun(clause.each);
  return word && files;
}

bool Composes(const Clause& clause) {
  if (clause.action == Action::kSummarize) return true;
  const bool writes = clause.action == Action::kCreate || clause.action == Action::kSend;
  return writes && clause.each.empty() && !clause.words.empty() &&
         Has({clause.words.front()}, {"summary", "report", "overview"});
}

bool Generates(const Clause& clause) {
  if (FirstOf(clause, Literal::Kind::kPath) == nullptr) return false;
  if (Has({clause.verb}, {"refactor", "improve", "rewrite", "optimize"})) return true;
  return clause.verb == "fix" &&
         Has(clause.words, {"bug", "typo", "code", "function", "class", "error"});
}

Clause ReadOf(const Clause& of) {
  Clause read = Implied("read the file", "read", {"file", "text", "content"});
  for (const Literal& literal : of.literals) {
    if (literal.kind == Literal::Kind::kPath) read.literals.push_back(literal);
  }
  read.many = of.many;
  read.each = IsFileNoun(of.each) ? of.each : std::string();
  if (!read.literals.empty()) read.text = StrCat("read ", read.literals[0].text);
  return read;
}

}  // namespace

std::vector<Clause> WithImplied(std::vector<Clause> clauses) {
  std::vector<Clause> out;
  bool read_before = false;
  for (Clause& clause : clauses) {
    if (FiltersFiles(clause)) {
      clause.work = Clause::Work::kFilter;
      if (!IsFileNoun(clause.each)) clause.each.clear();
      out.push_back(ReadOf(clause));
    } else if (Generates(clause)) {
      const std::string path = FirstOf(clause, Literal::Kind::kPath)->text;
      out.push_back(ReadOf(clause));
      Clause analyze = Implied(StrCat("analyze ", path), "analyze", {"code", "file", "problem"});
      analyze.literals = out.back().literals;
      out.push_back(std::move(analyze));
      Clause generate = clause;
      generate.work = Clause::Work::kGenerate;
      generate.implied = true;
      Clause write = Implied(StrCat("write the new text to ", path), "write", {"file", "content"});
      write.literals = out.back().literals;
      out.push_back(std::move(generate));
      clause = std::move(write);
    } else if (Composes(clause)) {
      // A single file that is summarized is read first.
      const bool reads = clause.action == Action::kSummarize && !read_before &&
                         (FirstOf(clause, Literal::Kind::kPath) != nullptr ||
                          IsFileNoun(clause.many) || IsFileNoun(clause.each));
      if (reads) out.push_back(ReadOf(clause));
      clause.work = Clause::Work::kCompose;
    }
    read_before = read_before || OnlyReads(clause.action);
    out.push_back(std::move(clause));
  }
  return out;
}

}  // namespace metamcp::ai
