#include "services/ai/plan/words.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"

namespace metamcp::ai {
namespace {

const std::map<std::string_view, Action>& Verbs() {
  static const auto* verbs = [] {
    auto* out = new std::map<std::string_view, Action>;
    const auto add = [out](Action action, std::initializer_list<std::string_view> words) {
      for (const std::string_view word : words) out->emplace(word, action);
    };
    add(Action::kRead,
        {"read", "get", "show", "open", "view", "fetch", "load", "print", "display", "retrieve",
         "see", "download", "describe", "tell", "peek", "cat", "browse"});
    add(Action::kSearch, {"find", "search", "locate", "grep", "query", "select", "look", "collect",
                          "gather", "pick", "discover"});
    add(Action::kList, {"list", "enumerate"});
    add(Action::kCreate, {"create",     "make", "add",    "store",  "save",     "write", "insert",
                          "generate",   "put",  "record", "keep",   "remember", "draft", "init",
                          "initialize", "new",  "build",  "define", "append",   "note",  "produce",
                          "open_new",   "draw", "commit", "stage",  "stash",    "tag",   "import"});
    add(Action::kUpdate,
        {"update",   "edit",    "change",   "modify",  "replace", "set",      "fix",
         "refactor", "improve", "rewrite",  "patch",   "format",  "merge",    "rename",
         "revise",   "mark",    "complete", "apply",   "upsert",  "checkout", "switch",
         "reset",    "rebase",  "clean",    "unmerge", "optimize"});
    add(Action::kDelete,
        {"delete", "remove", "drop", "clear", "erase", "destroy", "forget", "purge", "discard"});
    add(Action::kMove, {"move"});
    add(Action::kCopy, {"copy", "duplicate", "clone"});
    add(Action::kSend, {"send", "post", "email", "mail", "notify", "publish", "push", "upload",
                        "export", "submit", "share", "echo", "repeat", "say", "greet"});
    add(Action::kRun, {"run", "execute", "call", "start", "invoke", "trigger", "launch", "test",
                       "toggle", "simulate"});
    add(Action::kCompute, {"calculate", "compute", "sum", "multiply", "divide", "subtract", "count",
                           "evaluate", "average"});
    add(Action::kConvert, {"convert", "translate", "transform", "pack", "zip", "compress", "gzip",
                           "encode", "decode", "bundle"});
    add(Action::kAnalyze,
        {"analyze", "analyse", "review",  "lint",    "check",    "inspect", "validate",
         "verify",  "examine", "compare", "diff",    "audit",    "blame",   "plan",
         "split",   "think",   "reason",  "reflect", "research", "judge"});
    add(Action::kSummarize, {"summarize", "summarise", "condense"});
    return out;
  }();
  return *verbs;
}

const std::vector<std::vector<std::string_view>>& Groups() {
  static const auto* groups = new std::vector<std::vector<std::string_view>>{
      {"file", "path", "document"},
      {"folder", "directory", "dir"},
      {"note", "entity", "memory", "knowledge", "fact", "remember", "observation"},
      {"observation", "fact", "detail"},
      {"graph", "memory", "knowledge", "entity"},
      {"sheet", "worksheet", "tab"},
      {"spreadsheet", "workbook", "excel", "xlsx"},
      {"database", "sql", "db", "table", "query"},
      {"row", "record", "query", "select", "sql"},
      {"schema", "column", "describe", "structure"},
      {"time", "clock", "hour", "date", "timezone", "now"},
      {"today", "current", "now"},
      {"web", "page", "website", "url", "http", "internet", "site", "html"},
      {"repository", "repo", "git", "codebase"},
      {"history", "log", "commit"},
      {"shell", "command", "terminal", "bash", "run", "execute"},
      {"math", "calculate", "expression", "sum", "arithmetic"},
      {"lint", "eslint", "style", "problem", "rule"},
      {"chart", "plot", "graph", "diagram"},
      {"image", "picture", "photo", "icon", "logo", "media"},
      {"diff", "difference", "change", "compare"},
      {"stage", "add"},
      {"big", "large", "size"},
      {"task", "todo", "job", "ticket"},
      {"relation", "relationship", "link", "connection"},
      {"search", "find", "grep", "locate", "look", "match"},
      {"list", "enumerate", "show"},
      {"read", "get", "show", "content", "view", "open"},
      {"create", "add", "new", "make"},
      {"write", "save", "store", "create"},
      {"store", "save", "keep", "add", "create"},
      {"update", "edit", "modify", "change", "replace"},
      {"delete", "remove", "drop", "clear"},
      {"move", "rename"},
      {"copy", "duplicate", "clone"},
      {"fetch", "download", "get", "retrieve"},
      {"analyze", "review", "inspect", "examine"},
      {"size", "metadata", "info", "modified", "permission"},
      {"info", "information", "metadata", "detail"},
      {"multiple", "several", "many"},
      {"environment", "env", "variable"},
      {"hello", "greet", "greeting"},
      {"echo", "repeat", "say"},
      {"merge", "join", "combine"},
      {"zip", "gzip", "compress", "archive"},
      {"pack", "bundle", "package"},
      {"think", "reason", "thought", "sequential"},
      {"status", "state"},
      {"branch", "checkout"},
      {"tree", "structure", "hierarchy"},
      {"text", "content"},
      {"formula", "function"},
      {"cell", "range"},
      {"weather", "temperature"},
      {"plan", "split", "task"},
      {"undo", "reset", "revert", "discard"},
      {"sum", "add", "total", "number"},
      {"annotate", "annotated", "annotation"},
      {"convert", "translate", "transform"},
      {"holiday", "date"},
      {"publish", "push"},
      {"download", "pull", "fetch"},
  };
  return *groups;
}

const std::set<std::string_view>& StopWords() {
  static const auto* words = new std::set<std::string_view>{
      "a",     "an",     "the",       "of",        "in",      "on",      "at",    "to",
      "for",   "from",   "with",      "by",        "and",     "or",      "then",  "that",
      "this",  "these",  "those",     "it",        "its",     "them",    "my",    "me",
      "our",   "your",   "is",        "are",       "be",      "was",     "all",   "any",
      "each",  "every",  "per",       "as",        "into",    "up",      "out",   "please",
      "i",     "you",    "we",        "what",      "which",   "how",     "when",  "there",
      "their", "so",     "also",      "just",      "some",    "one",     "using", "use",
      "named", "name",   "called",    "about",     "finally", "next",    "after", "before",
      "first", "second", "third",     "last",      "do",      "does",    "can",   "could",
      "would", "should", "not",       "no",        "if",      "has",     "have",  "only",
      "here",  "result", "results",   "following", "given",   "let",     "us",    "who",
      "where", "will",   "between",   "over",      "under",   "through", "via",   "than",
      "both",  "thing",  "everything"};
  return *words;
}

bool IsWordByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         (static_cast<unsigned char>(c) & 0x80);
}

}  // namespace

std::string Stem(std::string_view word) {
  std::string out(word);
  const auto known = [](const std::string& text) { return Verbs().count(text) > 0; };
  if (known(out)) return out;
  const auto cut = [&out](size_t n) { return out.substr(0, out.size() - n); };
  if (out.size() > 4 && out.ends_with("ies")) return cut(3) + "y";
  for (const std::string_view plural : {"ches", "shes", "sses", "xes"}) {
    if (out.ends_with(plural)) return cut(2);
  }
  for (const std::string_view ending : {"ing", "ed"}) {
    if (out.size() <= ending.size() + 2 || !out.ends_with(ending)) continue;
    std::string base = cut(ending.size());
    if (known(base)) return base;
    if (known(base + "e")) return base + "e";
    if (base.size() > 3 && base[base.size() - 1] == base[base.size() - 2]) {
      base.pop_back();
      if (known(base)) return base;
    }
  }
  const size_t n = out.size();
  if (n > 3 && out[n - 1] == 's' && out[n - 2] != 's' && !out.ends_with("us") &&
      !out.ends_with("is")) {
    out.pop_back();
  }
  return out;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    if (!IsWordByte(text[i])) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    const auto upper = [&](size_t at) {
      return at < text.size() && absl::ascii_isupper(static_cast<unsigned char>(text[at]));
    };
    const auto lower = [&](size_t at) {
      return at < text.size() && absl::ascii_islower(static_cast<unsigned char>(text[at]));
    };
    while (end < text.size() && IsWordByte(text[end]) &&
           !(upper(end) && (!upper(end - 1) || lower(end + 1)))) {
      ++end;
    }
    std::string word(text.substr(i, end - i));
    absl::AsciiStrToLower(&word);
    out.push_back(Stem(word));
    i = end;
  }
  return out;
}

Action ActionOf(std::string_view word) {
  const auto it = Verbs().find(word);
  return it == Verbs().end() ? Action::kNone : it->second;
}

std::vector<std::string_view> Synonyms(std::string_view word) {
  std::vector<std::string_view> out;
  for (const auto& group : Groups()) {
    if (std::find(group.begin(), group.end(), word) == group.end()) continue;
    for (const std::string_view other : group) {
      if (other != word && std::find(out.begin(), out.end(), other) == out.end()) {
        out.push_back(other);
      }
    }
  }
  return out;
}

bool IsStopWord(std::string_view word) { return StopWords().count(word) > 0; }

bool OnlyReads(Action action) {
  switch (action) {
    case Action::kRead:
    case Action::kSearch:
    case Action::kList:
    case Action::kCompute:
    case Action::kConvert:
    case Action::kAnalyze:
    case Action::kSummarize:
      return true;
    default:
      return false;
  }
}

double Compatibility(Action wanted, Action offered) {
  if (wanted == Action::kNone || offered == Action::kNone) return 0.35;
  if (wanted == offered) return 1.0;
  const auto pair = [&](Action a, Action b) {
    return (wanted == a && offered == b) || (wanted == b && offered == a);
  };
  if (wanted == Action::kDelete || offered == Action::kDelete) return -0.6;
  if (pair(Action::kRead, Action::kList)) return 0.7;
  if (pair(Action::kRead, Action::kSearch)) return 0.6;
  if (pair(Action::kSearch, Action::kList)) return 0.6;
  if (pair(Action::kCreate, Action::kUpdate)) return 0.6;
  if (pair(Action::kUpdate, Action::kMove)) return 0.4;
  if (pair(Action::kCreate, Action::kCopy)) return 0.3;
  if (pair(Action::kCreate, Action::kSend)) return 0.4;
  if (pair(Action::kAnalyze, Action::kRead)) return 0.5;
  if (pair(Action::kAnalyze, Action::kSearch)) return 0.4;
  if (pair(Action::kCompute, Action::kRun)) return 0.4;
  if (pair(Action::kCompute, Action::kRead)) return 0.5;
  if (pair(Action::kConvert, Action::kCreate)) return 0.5;
  if (pair(Action::kConvert, Action::kRead)) return 0.3;
  if (pair(Action::kSummarize, Action::kRead)) return 0.4;
  if (pair(Action::kSummarize, Action::kAnalyze)) return 0.6;
  if (pair(Action::kRun, Action::kAnalyze)) return 0.4;
  if (OnlyReads(wanted) && !OnlyReads(offered) && offered != Action::kRun) return -0.2;
  const bool changes = !OnlyReads(wanted) && wanted != Action::kRun && wanted != Action::kSend;
  if (changes && OnlyReads(offered) && offered != Action::kConvert) return -0.2;
  return 0.1;
}

bool LooksSecret(std::string_view text) {
  for (const std::string_view prefix :
       {"sk-", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "AKIA", "ASIA",
        "eyJhbGci", "AIza", "npm_", "pypi-", "Bearer "}) {
    if (text.starts_with(prefix) && text.size() >= prefix.size() + 12) return true;
  }
  return text.find("PRIVATE KEY-----") != std::string_view::npos;
}

}  // namespace metamcp::ai
