#include "common/config/text_edit.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/json_scanner.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kDomain = "config";
constexpr size_t kNone = std::string_view::npos;

absl::StatusOr<JsonNode> ParseObject(std::string_view text, const std::string& file) {
  JsonTree tree = ParseJsonc(text, file);
  if (!tree.errors.empty()) return MakeError("CONFIG_INVALID", kDomain, FormatErrors(tree.errors));
  if (tree.root.kind != JsonNode::Kind::kObject) {
    return MakeError(
        "CONFIG_INVALID", kDomain,
        StrCat(file, ":1:1: found ", KindName(tree.root.kind), ", expected an object"));
  }
  return std::move(tree.root);
}

// Offset of the comma behind `from` with only white space and comments before it, or npos.
size_t CommaAfter(std::string_view text, size_t from) {
  JsonScanner scanner(text.substr(from), "");
  scanner.SkipSpace();
  return scanner.Peek() == ',' ? from + scanner.offset() : kNone;
}

size_t LineStart(std::string_view text, size_t at) {
  const size_t newline = at == 0 ? kNone : text.rfind('\n', at - 1);
  return newline == kNone ? 0 : newline + 1;
}

// Offset of the line break behind `from` when nothing but blanks and one // comment stands before
// it; npos otherwise.
size_t CleanLineEnd(std::string_view text, size_t from) {
  size_t i = from;
  while (i < text.size() && (text[i] == ' ' || text[i] == '\t')) ++i;
  if (text.substr(i, 2) == "//") i = std::min(text.find('\n', i), text.size());
  if (i < text.size() && text[i] == '\r') ++i;
  if (i >= text.size() || text[i] != '\n') return kNone;
  while (i > from && text[i - 1] == '\r') --i;
  return i;
}

std::string IndentAt(std::string_view text, size_t at) {
  const size_t start = LineStart(text, at);
  size_t end = start;
  while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) ++end;
  return std::string(text.substr(start, end - start));
}

bool BeginsItsLine(std::string_view text, size_t at) {
  const std::string_view before = text.substr(LineStart(text, at), at - LineStart(text, at));
  return before.find_first_not_of(" \t") == kNone;
}

struct Insertion {
  size_t at = 0;
  std::string text;
};

std::string Apply(std::string_view text, std::vector<Insertion> insertions) {
  std::string out(text);
  for (auto it = insertions.rbegin(); it != insertions.rend(); ++it) out.insert(it->at, it->text);
  return out;
}

std::string InsertFirst(std::string_view text, const JsonNode& object, const std::string& key,
                        const JsonNode& value, const std::string& newline) {
  const std::string base = IndentAt(text, object.begin);
  const std::string indent = base + (!base.empty() && base[0] == '\t' ? "\t" : "  ");
  const std::string member = StrCat(JsonQuote(key), ": ", ToPrettyJson(value, indent, newline));
  const std::string_view inside = text.substr(object.begin + 1, object.end - object.begin - 2);
  std::string out(text.substr(0, object.begin + 1));
  // What stands in an empty object can only be comments; they stay before the new member.
  const std::string_view kept = Sv(absl::StripTrailingAsciiWhitespace(Av(inside)));
  out += StrCat(kept, newline, indent, member, newline, base);
  out += text.substr(object.end - 1);
  return out;
}

std::string InsertLast(std::string_view text, const JsonNode& object, const std::string& key,
                       const JsonNode& value, const std::string& newline) {
  const JsonMember& last = object.members.back();
  const bool lines = BeginsItsLine(text, last.begin);
  const std::string indent = IndentAt(text, lines ? last.begin : object.begin);
  const std::string member = StrCat(JsonQuote(key), ": ", ToPrettyJson(value, indent, newline));
  const size_t comma = CommaAfter(text, last.value.end);
  if (!lines) {
    // All on one line: stay on it.
    if (comma != kNone) return Apply(text, {{comma + 1, StrCat(" ", member, ",")}});
    return Apply(text, {{last.value.end, StrCat(", ", member)}});
  }
  const size_t behind = comma == kNone ? last.value.end : comma + 1;
  const size_t line_end = CleanLineEnd(text, behind);
  const std::string line = StrCat(newline, indent, member);
  const size_t at = line_end == kNone ? behind : line_end;
  if (comma != kNone) return Apply(text, {{at, line + ","}});
  return Apply(text, {{last.value.end, ","}, {at, line}});
}

}  // namespace

absl::StatusOr<std::string> SetMember(std::string_view text, const std::string& file,
                                      const std::vector<std::string>& path, const JsonNode& value) {
  if (text.find_first_not_of(" \t\r\n") == kNone) text = "{}\n";
  METAMCP_ASSIGN_OR_RETURN(const JsonNode root, ParseObject(text, file));
  const std::string newline = text.find("\r\n") == kNone ? "\n" : "\r\n";
  const JsonNode* object = &root;
  size_t depth = 0;
  const JsonMember* member = nullptr;
  for (; depth < path.size(); ++depth) {
    member = object->FindMember(path[depth]);
    if (member == nullptr || depth + 1 == path.size()) break;
    object = &member->value;
    if (object->kind != JsonNode::Kind::kObject) {
      return MakeError(
          "CONFIG_INVALID", kDomain,
          StrCat(file, ":", object->at.line, ":", object->at.column, ": found ",
                 KindName(object->kind), " for ", path[depth], ", expected an object"));
    }
  }
  if (member != nullptr) {
    const std::string indent = IndentAt(text, member->begin);
    std::string out(text.substr(0, member->value.begin));
    out += ToPrettyJson(value, indent, newline);
    out += text.substr(member->value.end);
    return out;
  }
  JsonNode nested = value;
  for (size_t i = path.size(); --i > depth;) {
    JsonNode outer = ObjectNode();
    AddMember(&outer, path[i], std::move(nested));
    nested = std::move(outer);
  }
  return object->members.empty() ? InsertFirst(text, *object, path[depth], nested, newline)
                                 : InsertLast(text, *object, path[depth], nested, newline);
}

absl::StatusOr<std::string> RemoveMember(std::string_view text, const std::string& file,
                                         const std::vector<std::string>& path) {
  METAMCP_ASSIGN_OR_RETURN(const JsonNode root, ParseObject(text, file));
  const JsonNode* object = &root;
  const JsonNode* parent = nullptr;
  for (const std::string& key : path) {
    parent = object;
    object = object->Find(key);
    if (object == nullptr) {
      return MakeError("NOT_FOUND", kDomain, StrCat(file, ": has no \"", key, "\""));
    }
  }
  const auto it = std::find_if(parent->members.begin(), parent->members.end(),
                               [&path](const JsonMember& m) { return m.key == path.back(); });
  const size_t comma = CommaAfter(text, it->value.end);
  size_t begin = it->begin;
  size_t end = comma == kNone ? it->value.end : comma + 1;
  const size_t line_end = CleanLineEnd(text, end);
  if (BeginsItsLine(text, begin) && line_end != kNone) {
    begin = LineStart(text, begin);
    end = text.find('\n', line_end) + 1;
  } else {
    while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) ++end;
  }
  std::string out(text.substr(0, begin));
  out += text.substr(end);
  // Strict readers take no comma before the closing bracket.
  if (comma == kNone && it != parent->members.begin()) {
    const size_t previous = CommaAfter(text, std::prev(it)->value.end);
    if (previous != kNone) out.erase(previous, 1);
  }
  return out;
}

}  // namespace metamcp::config
