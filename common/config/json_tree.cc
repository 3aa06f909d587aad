#include "common/config/json_tree.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"
#include "common/config/json_scanner.h"

namespace metamcp::config {
namespace {

// RFC 8259, section 6.
bool IsNumber(std::string_view s) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < s.size() && absl::ascii_isdigit(s[i])) ++i;
    return i > begin;
  };
  if (i < s.size() && s[i] == '-') ++i;
  const size_t first = i;
  if (!digits() || (s[first] == '0' && i > first + 1)) return false;
  if (i < s.size() && s[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    ++i;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == s.size();
}

// Recursive descent, at most kConfigDepthMax deep. After an error it goes on as a person would
// read it, so that one slip gives one message and the next slip is found too.
class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : in_(text, file) {}

  JsonTree Parse() {
    JsonTree tree;
    in_.SkipSpace();
    if (in_.AtEnd()) {
      in_.Report(in_.at(), "found an empty file, expected an object", "write {} for the defaults");
    } else {
      tree.root = ReadValue(0);
      in_.SkipSpace();
      if (!in_.AtEnd()) {
        in_.Report(in_.at(), StrCat("found ", in_.Describe(), " after the end of the value"),
                   "remove it, or a closing bracket before it");
      }
    }
    tree.errors = std::move(in_.errors());
    return tree;
  }

 private:
  JsonNode ReadValue(int depth) {
    JsonNode node;
    node.at = in_.at();
    node.begin = in_.offset();
    const char c = in_.Peek();
    if (c == '{' || c == '[') {
      if (depth >= kConfigDepthMax) {
        in_.Report(node.at, StrCat("found more than ", kConfigDepthMax, " nested values"),
                   "flatten it");
        in_.GoToEnd();
      } else {
        ReadContainer(c == '{', depth, &node);
      }
    } else if (c == '"' || c == '\'') {
      node.kind = JsonNode::Kind::kString;
      node.text = in_.ReadString();
    } else {
      ReadScalar(&node);
    }
    node.end = in_.offset();
    return node;
  }

  void ReadScalar(JsonNode* node) {
    const std::string found = in_.Describe();
    const std::string word(in_.ReadWord());
    if (word == "true" || word == "false") {
      node->kind = JsonNode::Kind::kBool;
      node->boolean = word == "true";
    } else if (word == "null") {
      node->kind = JsonNode::Kind::kNull;
    } else if (IsNumber(word)) {
      node->kind = JsonNode::Kind::kNumber;
      node->text = word;
      const auto [end, error] =
          std::from_chars(word.data(), word.data() + word.size(), node->integer);
      node->is_integer = error == std::errc() && end == word.data() + word.size();
    } else {
      in_.Report(node->at, StrCat("found ", found, ", expected a value"), MendScalar(word));
      // Not a bracket or a comma, which the caller understands.
      if (word.empty() && !in_.AtEnd() &&
          std::string_view(",:]}").find(in_.Peek()) == std::string_view::npos) {
        in_.Advance();
      }
    }
  }

  static std::string MendScalar(std::string_view word) {
    const std::string lower = absl::AsciiStrToLower(Av(word));
    if (lower == "true" || lower == "false" || lower == "null") return StrCat("write ", lower);
    if (lower == "none" || lower == "undefined" || lower == "nil") return "write null";
    if (word.empty()) return "add a value";
    if (absl::ascii_isdigit(word[0]) || word[0] == '-' || word[0] == '+' || word[0] == '.') {
      return "write a decimal number such as 10, or put it in double quotes";
    }
    return StrCat("put it in double quotes: \"", word, "\"");
  }

  void ReadContainer(bool object, int depth, JsonNode* node) {
    node->kind = object ? JsonNode::Kind::kObject : JsonNode::Kind::kArray;
    const char close = object ? '}' : ']';
    in_.Advance();
    closers_.push_back(close);
    ReadEntries(object, depth, node);
    closers_.pop_back();
  }

  void ReadEntries(bool object, int depth, JsonNode* node) {
    const char close = object ? '}' : ']';
    std::unordered_map<std::string, int> seen;
    bool first = true;
    Position last_end = in_.at();
    while (!in_.full()) {
      in_.SkipSpace();
      if (in_.AtEnd()) {
        in_.Report(in_.at(),
                   StrCat("found the end of the file, expected '", std::string(1, close),
                          "' for the '", object ? "{" : "[", "' of line ", node->at.line),
                   StrCat("add '", std::string(1, close), "'"));
        return;
      }
      if (in_.Peek() == '}' || in_.Peek() == ']') {
        CloseContainer(close, node->at);
        return;
      }
      if (!first && !ReadComma(object, last_end)) continue;
      first = false;
      in_.SkipSpace();
      if (in_.AtEnd() || in_.Peek() == '}' || in_.Peek() == ']') continue;  // trailing comma
      if (in_.Peek() == ',') {
        in_.Report(in_.at(), "found ',', expected a value", "remove this comma");
        in_.Advance();
        first = true;  // what follows needs no further comma
        continue;
      }
      const size_t before = in_.offset();
      if (object) {
        ReadMember(depth, node, &seen);
      } else {
        node->items.push_back(ReadValue(depth + 1));
      }
      if (in_.offset() == before) in_.Advance();
      last_end = in_.at();
    }
    in_.GoToEnd();
  }

  void CloseContainer(char close, Position opened) {
    if (in_.Peek() != close) {
      in_.Report(in_.at(),
                 StrCat("found ", in_.Describe(), ", expected '", std::string(1, close),
                        "' for the '", close == '}' ? "{" : "[", "' of line ", opened.line),
                 StrCat("add '", std::string(1, close), "' before it"));
      // The bracket may well be the enclosing value's: then only ours was forgotten.
      if (closers_.size() > 1 && closers_[closers_.size() - 2] == in_.Peek()) return;
    }
    in_.Advance();
  }

  // Reads the comma before the next entry; false when something else was skipped instead.
  bool ReadComma(bool object, Position last_end) {
    if (in_.Peek() == ',') {
      in_.Advance();
      return true;
    }
    const bool entry = in_.Peek() == '"' || in_.Peek() == '\'' || in_.Peek() == '{' ||
                       in_.Peek() == '[' || absl::ascii_isalnum(in_.Peek()) || in_.Peek() == '-';
    if (entry) {
      in_.Report(last_end,
                 StrCat("found ", in_.Describe(), ", expected ',' or '", object ? "}" : "]", "'"),
                 "add a comma here");
      return true;
    }
    const bool semicolon = in_.Peek() == ';';
    in_.Report(in_.at(),
               StrCat("found ", in_.Describe(), ", expected ',' or '", object ? "}" : "]", "'"),
               semicolon ? "write a comma" : "remove it");
    in_.Advance();
    return semicolon;
  }

  void ReadMember(int depth, JsonNode* node, std::unordered_map<std::string, int>* seen) {
    JsonMember member;
    member.at = in_.at();
    member.begin = in_.offset();
    if (in_.Peek() == '"' || in_.Peek() == '\'') {
      member.key = in_.ReadString();
    } else {
      const std::string found = in_.Describe();
      member.key = std::string(in_.ReadWord());
      in_.Report(member.at, StrCat("found ", found, ", expected a key in double quotes"),
                 member.key.empty() ? "remove it" : StrCat("write \"", member.key, "\""));
      if (member.key.empty()) {
        in_.Advance();
        return;
      }
    }
    const Position key_end = in_.at();
    in_.SkipSpace();
    if (in_.Peek() == ':') {
      in_.Advance();
    } else {
      in_.Report(key_end, StrCat("found ", in_.Describe(), " after the key, expected ':'"),
                 "add a colon here");
      if (in_.Peek() == '=') in_.Advance();
    }
    in_.SkipSpace();
    member.value = ReadValue(depth + 1);
    const auto [it, fresh] = seen->emplace(member.key, member.at.line);
    if (!fresh) {
      in_.Report(member.at,
                 StrCat("found the key \"", member.key, "\" again, first on line ", it->second),
                 "remove or rename one of them");
      return;
    }
    node->members.push_back(std::move(member));
  }

  JsonScanner in_;
  std::string closers_;  // of the open brackets, outermost first
};

JsonTree Refused(const std::string& file, Position at, std::string message, std::string mend) {
  JsonTree tree;
  Problem problem;
  problem.file = file;
  problem.at = at;
  problem.message = std::move(message);
  problem.mend = std::move(mend);
  tree.errors.push_back(std::move(problem));
  return tree;
}

void AppendJson(const JsonNode& node, std::string* out) {
  switch (node.kind) {
    case JsonNode::Kind::kNull:
      *out += "null";
      return;
    case JsonNode::Kind::kBool:
      *out += node.boolean ? "true" : "false";
      return;
    case JsonNode::Kind::kNumber:
      *out += node.text;
      return;
    case JsonNode::Kind::kString:
      *out += JsonQuote(node.text);
      return;
    case JsonNode::Kind::kArray:
      *out += "[";
      for (size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) *out += ",";
        AppendJson(node.items[i], out);
      }
      *out += "]";
      return;
    case JsonNode::Kind::kObject:
      *out += "{";
      for (size_t i = 0; i < node.members.size(); ++i) {
        if (i > 0) *out += ",";
        *out += JsonQuote(node.members[i].key) + ":";
        AppendJson(node.members[i].value, out);
      }
      *out += "}";
      return;
  }
}

}  // namespace

const JsonMember* JsonNode::FindMember(std::string_view key) const {
  for (const JsonMember& member : members) {
    if (member.key == key) return &member;
  }
  return nullptr;
}

const JsonNode* JsonNode::Find(std::string_view key) const {
  const JsonMember* member = FindMember(key);
  return member == nullptr ? nullptr : &member->value;
}

JsonTree ParseJsonc(std::string_view text, const std::string& file) {
  if (text.size() > kConfigBytesMax) {
    return Refused(file, Position(),
                   StrCat("found ", text.size(), " bytes, expected at most ", kConfigBytesMax),
                   "split the configuration");
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return Refused(file, Position(1, 1), "found a byte order mark, expected '{'",
                   "save the file as UTF-8 without BOM");
  }
  if (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF") {
    return Refused(file, Position(1, 1), "found UTF-16, expected UTF-8",
                   "save the file as UTF-8 without BOM");
  }
  if (const size_t bad = FindInvalidUtf8(text); bad != std::string_view::npos) {
    return Refused(file, PlaceOf(text, bad), "found a byte that is not UTF-8",
                   "save the file as UTF-8");
  }
  return Parser(text, file).Parse();
}

std::string_view KindName(JsonNode::Kind kind) {
  switch (kind) {
    case JsonNode::Kind::kNull:
      return "null";
    case JsonNode::Kind::kBool:
      return "true or false";
    case JsonNode::Kind::kNumber:
      return "a number";
    case JsonNode::Kind::kString:
      return "a string";
    case JsonNode::Kind::kArray:
      return "an array";
    case JsonNode::Kind::kObject:
      return "an object";
  }
  return "a value";
}

std::string ToJson(const JsonNode& node) {
  std::string out;
  AppendJson(node, &out);
  return out;
}

std::string JsonQuote(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out.push_back(kHex[(c >> 4) & 0xF]);
          out.push_back(kHex[c & 0xF]);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
  return out;
}

}  // namespace metamcp::config
