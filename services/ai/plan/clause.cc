#include "services/ai/plan/clause.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"

namespace metamcp::ai {
namespace {

constexpr size_t kClausesMax = 20;
constexpr size_t kQueryWordsMax = 30;

bool IsSpace(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); }
bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsAlpha(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }

struct Token {
  std::string text;  // without surrounding punctuation; of a quoted one, what is inside
  bool quoted = false;
  std::string after;  // punctuation behind it
};

bool Opens(std::string_view text, size_t i, std::string_view* close) {
  if (text[i] == '"' || text[i] == '`') {
    *close = text.substr(i, 1);
    return true;
  }
  // An apostrophe inside a word is none.
  if (text[i] == '\'' && (i == 0 || IsSpace(text[i - 1]) || text[i - 1] == '(')) {
    *close = "'";
    return true;
  }
  if (text.substr(i).starts_with("\u201c")) {
    *close = "\u201d";
    return true;
  }
  return false;
}

// Where a quoted text ends: at the mark, which for an apostrophe must not stand inside a word.
size_t CloseOf(std::string_view text, size_t from, std::string_view close) {
  for (size_t at = text.find(close, from); at != std::string_view::npos;
       at = text.find(close, at + 1)) {
    const bool inside = close == "'" && at + 1 < text.size() && IsAlpha(text[at + 1]);
    if (!inside) return at;
  }
  return std::string_view::npos;
}

std::vector<Token> Tokens(std::string_view text) {
  std::vector<Token> out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\n') {
      if (!out.empty()) out.back().after += '\n';
      ++i;
      continue;
    }
    if (IsSpace(text[i])) {
      ++i;
      continue;
    }
    Token token;
    std::string_view close;
    const std::string_view mark = text.substr(i);
    const size_t width = mark.starts_with("\u201c") ? 3 : 1;
    const size_t end =
        Opens(text, i, &close) ? CloseOf(text, i + width, close) : std::string_view::npos;
    if (end != std::string_view::npos) {
      token.quoted = true;
      token.text = std::string(text.substr(i + width, end - i - width));
      i = end + close.size();
    } else {
      const size_t begin = i;
      while (i < text.size() && !IsSpace(text[i])) ++i;
      token.text = std::string(text.substr(begin, i - begin));
      while (!token.text.empty() &&
             std::string_view("([{<-*\"'").find(token.text[0]) != std::string_view::npos &&
             !(token.text[0] == '-' && token.text.size() > 1 && IsDigit(token.text[1]))) {
        token.text.erase(0, 1);
      }
      while (!token.text.empty() &&
             std::string_view(",;.:!?)]}>\"'").find(token.text.back()) != std::string_view::npos) {
        token.after.insert(0, 1, token.text.back());
        token.text.pop_back();
      }
      if (token.text.empty()) {
        if (!out.empty()) out.back().after += token.after;
        continue;
      }
    }
    while (i < text.size() && token.quoted && !IsSpace(text[i])) token.after += text[i++];
    out.push_back(std::move(token));
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  absl::AsciiStrToLower(&out);
  return out;
}

bool AllOf(std::string_view text, bool (*test)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}

bool LooksNumber(std::string_view text) {
  if (text.starts_with("-")) text.remove_prefix(1);
  return !text.empty() && IsDigit(text[0]) && IsDigit(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsDigit(c) || c == '.'; }) &&
         std::count(text.begin(), text.end(), '.') <= 1;
}

bool LooksDate(std::string_view t) {
  return t.size() >= 10 && AllOf(t.substr(0, 4), IsDigit) && t[4] == '-' && t[7] == '-' &&
         AllOf(t.substr(5, 2), IsDigit) && AllOf(t.substr(8, 2), IsDigit);
}

bool LooksTime(std::string_view t) {
  return (t.size() == 5 || t.size() == 4) && t[t.size() - 3] == ':' &&
         AllOf(t.substr(t.size() - 2), IsDigit) && AllOf(t.substr(0, t.size() - 3), IsDigit);
}

bool LooksZone(std::string_view t) {
  const size_t slash = t.find('/');
  for (const std::string_view area : {"Europe", "America", "Asia", "Africa", "Australia", "Pacific",
                                      "Atlantic", "Indian", "Antarctica", "Etc"}) {
    if (slash != std::string_view::npos && t.substr(0, slash) == area) return true;
  }
  return t == "UTC" || t == "GMT";
}

// A1, B2:D10.
bool LooksCells(std::string_view t) {
  const auto cell = [](std::string_view one) {
    size_t letters = 0;
    while (letters < one.size() && absl::ascii_isupper(static_cast<unsigned char>(one[letters]))) {
      ++letters;
    }
    return letters >= 1 && letters <= 3 && one.size() > letters &&
           AllOf(one.substr(letters), IsDigit);
  };
  const size_t colon = t.find(':');
  if (colon == std::string_view::npos) return cell(t) && t != "H1" && t != "H2";
  return cell(t.substr(0, colon)) && cell(t.substr(colon + 1));
}

bool LooksPath(std::string_view t) {
  if (t.starts_with("/") || t.starts_with("./") || t.starts_with("../") || t.starts_with("~/")) {
    return t.size() > 1;
  }
  if (t == "." || t == "..") return true;
  const size_t slash = t.find('/');
  const size_t dot = t.rfind('.');
  const bool extension = dot != std::string_view::npos && dot > 0 && dot + 1 < t.size() &&
                         t.size() - dot <= 6 && IsAlpha(t[dot + 1]) &&
                         std::all_of(t.begin() + static_cast<long>(dot) + 1, t.end(), [](char c) {
                           return absl::ascii_isalnum(static_cast<unsigned char>(c));
                         });
  if (slash == std::string_view::npos) return extension && t != "e.g" && t != "i.e";
  return slash > 0 && (extension || t.find('*') != std::string_view::npos || t.ends_with("/") ||
                       std::count(t.begin(), t.end(), '/') > 1 || Lower(t) == t);
}

bool LooksRef(std::string_view t) {
  if (t.size() > 1 && t[0] == '#' && AllOf(t.substr(1), IsDigit)) return true;
  const bool hex = t.size() >= 7 && t.size() <= 40 && std::all_of(t.begin(), t.end(), [](char c) {
                     return IsDigit(c) || (c >= 'a' && c <= 'f');
                   });
  return (hex && std::any_of(t.begin(), t.end(), IsDigit)) || t.starts_with("HEAD") ||
         (t.size() > 2 && t[0] == 'v' && IsDigit(t[1]) && t.find('.') != std::string_view::npos);
}

bool ReadLiteral(const Token& token, Literal* out) {
  using Kind = Literal::Kind;
  const std::string& t = token.text;
  out->text = t;
  if (t.starts_with("http://") || t.starts_with("https://")) {
    out->kind = Kind::kUrl;
  } else if (LooksDate(t)) {
    out->kind = Kind::kDate;
  } else if (LooksTime(t)) {
    out->kind = Kind::kTime;
  } else if (LooksZone(t)) {
    out->kind = Kind::kZone;
  } else if (LooksNumber(t)) {
    out->kind = Kind::kNumber;
  } else if (LooksCells(t)) {
    out->kind = Kind::kCells;
  } else if (t.find(' ') == std::string::npos && LooksRef(t)) {
    out->kind = Kind::kRef;
  } else if (t.find(' ') == std::string::npos && LooksPath(t)) {
    out->kind = Kind::kPath;
  } else if (token.quoted || t.find('@') != std::string::npos || LooksSecret(t)) {
    out->kind = Kind::kText;
  } else if (t.size() >= 3 &&
             std::all_of(t.begin(), t.end(),
                         [](char c) {
                           return absl::ascii_isupper(static_cast<unsigned char>(c)) || c == '_';
                         }) &&
             t != "SQL" && t != "URL" && t != "AND" && t != "CSV" && t != "JSON" && t != "HTML" &&
             t != "PDF") {
    out->kind = Kind::kMark;
  } else {
    return false;
  }
  return true;
}

bool IsLeadIn(const std::string& word) {
  static const std::set<std::string> words = {
      "and",   "then", "also",  "finally", "next",  "now",  "please", "afterwards", "lastly",
      "first", "can",  "could", "you",     "i",     "want", "to",     "need",       "would",
      "like",  "let",  "us",    "lets",    "let's", "we",   "after",  "that"};
  return words.count(word) > 0;
}

// The first word from `at` on that is no lead-in, if it is a verb.
bool BeginsWithVerb(const std::vector<Token>& tokens, size_t at) {
  while (at < tokens.size() && !tokens[at].quoted && IsLeadIn(Lower(tokens[at].text))) ++at;
  if (at >= tokens.size() || tokens[at].quoted) return false;
  const std::string word = Lower(tokens[at].text);
  // Also a noun, more often than not after "and".
  static const std::set<std::string> nouns = {"note",  "plan", "tag",   "new",  "list",
                                              "query", "test", "email", "mail", "diff",
                                              "count", "sum",  "record"};
  if (nouns.count(word) > 0) {
    if (at + 1 >= tokens.size()) return false;
    const std::string next = Lower(tokens[at + 1].text);
    return next == "the" || next == "all" || next == "a" || next == "an" || next == "every" ||
           next == "its" || next == "it" || next == "them" || next == "each" || next == "my" ||
           next == "how";
  }
  return ActionOf(word) != Action::kNone;
}

std::vector<std::vector<Token>> Cut(const std::vector<Token>& tokens) {
  std::vector<std::vector<Token>> out(1);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string word = tokens[i].quoted ? "" : Lower(tokens[i].text);
    const bool joins = word == "and" || word == "then" || word == "&";
    if (joins && !out.back().empty() &&
        (BeginsWithVerb(tokens, i + 1) || (word == "then" && i + 1 < tokens.size()))) {
      out.emplace_back();
      continue;
    }
    out.back().push_back(tokens[i]);
    const std::string& after = tokens[i].after;
    const bool hard = after.find_first_of(";\n.!?") != std::string::npos;
    const bool soft = after.find_first_of(",:") != std::string::npos;
    const bool last = i + 1 == tokens.size();
    if (!last && (hard || (soft && BeginsWithVerb(tokens, i + 1)))) out.emplace_back();
  }
  std::erase_if(out, [](const std::vector<Token>& one) { return one.empty(); });
  return out;
}

bool IsEach(const std::string& word) { return word == "each" || word == "every" || word == "per"; }

bool IsMany(const std::string& word) {
  return word == "these" || word == "those" || word == "following" || word == "given" ||
         word == "all" || word == "my" || word == "several" || word == "multiple";
}

void ReadWord(const std::vector<Token>& tokens, size_t i, Clause* clause) {
  const std::string word = Lower(tokens[i].text);
  const std::string base = Stem(word);
  const std::string before = i > 0 ? Lower(tokens[i - 1].text) : "";
  if (IsEach(before) && clause->each.empty()) clause->each = base;
  if (before == "the" && i > 1 && Lower(tokens[i - 2].text) == "all" && base != word) {
    clause->many = base;
  }
  if (IsMany(before) && base != word) clause->many = base;
  if (word == "it" || word == "them" || word == "result" || word == "results" || word == "output" ||
      word == "that") {
    clause->refers_back = true;
  }
  if (before == "with" || before == "using" || before == "via" || before == "in") {
    clause->servers.push_back(word);
  }
  if (clause->verb.empty() && ActionOf(base) != Action::kNone) {
    clause->verb = base;
    clause->action = ActionOf(base);
    return;
  }
  // What it runs for is not what it does.
  if (IsEach(before)) return;
  for (std::string& part : Words(tokens[i].text)) {
    if (!IsStopWord(part) &&
        std::find(clause->words.begin(), clause->words.end(), part) == clause->words.end()) {
      clause->words.push_back(std::move(part));
    }
  }
}

Clause ReadClause(const std::vector<Token>& tokens) {
  Clause clause;
  bool lead = true;
  bool said = false;  // what is to be kept, after "that"
  for (size_t i = 0; i < tokens.size(); ++i) {
    said = said || (clause.action == Action::kCreate && !tokens[i].quoted && i > 0 &&
                    Lower(tokens[i].text) == "that");
    const bool skipped = lead && !tokens[i].quoted && IsLeadIn(Lower(tokens[i].text));
    if (!skipped) {
      lead = false;
      clause.text += StrCat(clause.text.empty() ? "" : " ", tokens[i].text);
    }
    Literal literal;
    if (ReadLiteral(tokens[i], &literal)) {
      if (i > 0 && !tokens[i - 1].quoted) literal.label = Stem(Lower(tokens[i - 1].text));
      clause.literals.push_back(std::move(literal));
    } else if (!skipped && !said) {
      ReadWord(tokens, i, &clause);
    }
  }
  // A question changes nothing: its verb says what it is about.
  const std::string opening = tokens.empty() ? std::string() : Lower(tokens[0].text);
  for (const char* question : {"who", "what", "when", "which", "where", "how", "why", "is"}) {
    if (opening != question || tokens[0].quoted) continue;
    if (!OnlyReads(clause.action) && !clause.verb.empty()) clause.words.push_back(clause.verb);
    if (!OnlyReads(clause.action)) clause.verb.clear();
    clause.action = Action::kRead;
  }
  const auto numbers = std::count_if(clause.literals.begin(), clause.literals.end(),
                                     [](auto& one) { return one.kind == Literal::Kind::kNumber; });
  if (numbers > 1 && clause.words.empty()) clause.action = Action::kCompute;
  return clause;
}

// "1." before what is asked for.
bool IsListMark(const Clause& clause) {
  return clause.verb.empty() && clause.words.empty() && clause.literals.size() == 1 &&
         clause.literals[0].kind == Literal::Kind::kNumber;
}

}  // namespace

std::vector<Clause> SplitTask(std::string_view task) {
  std::vector<Clause> out;
  for (const std::vector<Token>& part : Cut(Tokens(task))) {
    if (out.size() == kClausesMax) break;
    Clause clause = ReadClause(part);
    const bool empty = clause.verb.empty() && clause.words.empty() && clause.literals.empty() &&
                       clause.each.empty();
    if (empty || IsListMark(clause)) continue;
    // "for each file: read it" and "after that" carry no action of their own.
    if (clause.verb.empty() && !clause.each.empty() && out.empty()) {
      out.push_back(std::move(clause));
      continue;
    }
    if (!out.empty() && out.back().verb.empty() && !out.back().each.empty()) {
      if (clause.each.empty()) clause.each = out.back().each;
      clause.text = StrCat(out.back().text, ": ", clause.text);
      clause.literals.insert(clause.literals.begin(), out.back().literals.begin(),
                             out.back().literals.end());
      out.back() = std::move(clause);
      continue;
    }
    out.push_back(std::move(clause));
  }
  return out;
}

std::string SearchText(const Clause& clause) {
  std::vector<std::string> words;
  const auto add = [&words](std::string_view word) {
    if (words.size() < kQueryWordsMax && !word.empty() &&
        std::find(words.begin(), words.end(), word) == words.end()) {
      words.emplace_back(word);
    }
  };
  add(clause.verb);
  for (const std::string& word : clause.words) add(word);
  add(clause.each);
  for (const Literal& literal : clause.literals) {
    if (literal.kind == Literal::Kind::kUrl) add("url");
    if (literal.kind == Literal::Kind::kPath) add("file");
    if (literal.kind == Literal::Kind::kZone) add("timezone");
    if (literal.kind == Literal::Kind::kCells) add("cell");
  }
  const std::vector<std::string> own = words;
  for (const std::string& word : own) {
    for (const std::string_view other : Synonyms(word)) add(other);
  }
  std::string out;
  for (const std::string& word : words) out += StrCat(out.empty() ? "" : " ", word);
  return out;
}

}  // namespace metamcp::ai
