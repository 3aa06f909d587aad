#include "common/config/json_scanner.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

constexpr size_t kErrorsMax = 50;
constexpr size_t kQuotedMax = 40;

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool IsWordChar(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '+' || c == '.' || c == '$';
}

// Length of the sequence that starts at s[0], or 0 when it is not valid.
size_t Utf8Length(std::string_view s) {
  const auto b = [s](size_t i) { return static_cast<unsigned char>(s[i]); };
  if (b(0) < 0x80) return 1;
  const size_t length = b(0) >= 0xF0 ? 4 : b(0) >= 0xE0 ? 3 : 2;
  if (b(0) < 0xC2 || b(0) > 0xF4 || s.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(s[i])) return 0;
  }
  // Overlong forms, surrogates, and beyond U+10FFFF.
  if (b(0) == 0xE0 && b(1) < 0xA0) return 0;
  if (b(0) == 0xED && b(1) > 0x9F) return 0;
  if (b(0) == 0xF0 && b(1) < 0x90) return 0;
  if (b(0) == 0xF4 && b(1) > 0x8F) return 0;
  return length;
}

}  // namespace

size_t FindInvalidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8Length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

Position PlaceOf(std::string_view text, size_t offset) {
  Position at(1, 1);
  for (size_t i = 0; i < std::min(offset, text.size()); ++i) {
    if (text[i] == '\n') {
      ++at.line;
      at.column = 1;
    } else if (!IsContinuation(text[i])) {
      ++at.column;
    }
  }
  return at;
}

void AppendUtf8(unsigned c, std::string* out) {
  const auto put = [out](unsigned byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

void JsonScanner::Advance(size_t bytes) {
  for (; bytes > 0 && offset_ < text_.size(); --bytes) {
    const char c = text_[offset_++];
    if (c == '\n') {
      ++line_;
      column_ = 1;
    } else if (!IsContinuation(c)) {
      ++column_;
    }
  }
}

void JsonScanner::SkipSpace() {
  while (!AtEnd()) {
    const char c = Peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      Advance();
    } else if (c == '/' && Peek(1) == '/') {
      while (!AtEnd() && Peek() != '\n') Advance();
    } else if (c == '/' && Peek(1) == '*') {
      const Position start = at();
      const size_t close = text_.find("*/", offset_ + 2);
      if (close == std::string_view::npos) {
        Report(start, "found a comment that is not closed, expected */", "add */");
        GoToEnd();
        return;
      }
      Advance(close + 2 - offset_);
    } else {
      return;
    }
  }
}

std::string_view JsonScanner::ReadWord() {
  const size_t begin = offset_;
  while (!AtEnd() && IsWordChar(Peek())) Advance();
  return Slice(begin);
}

std::string JsonScanner::Describe() const {
  if (AtEnd()) return "the end of the file";
  size_t end = offset_;
  if (IsWordChar(text_[end])) {
    while (end < text_.size() && IsWordChar(text_[end]) && end - offset_ < kQuotedMax) ++end;
    return StrCat("'", text_.substr(offset_, end - offset_), "'");
  }
  if (static_cast<unsigned char>(text_[end]) < 0x20 || text_[end] == 0x7F) {
    return "a control character";
  }
  if (text_[end] == '"') return "a string";
  return StrCat("'", text_.substr(offset_, std::max<size_t>(1, Utf8Length(text_.substr(end)))),
                "'");
}

void JsonScanner::Report(Position where, std::string message, std::string mend) {
  if (full()) return;
  Problem problem;
  problem.file = file_;
  problem.at = where;
  problem.message = std::move(message);
  problem.mend = std::move(mend);
  errors_.push_back(std::move(problem));
}

bool JsonScanner::full() const { return errors_.size() >= kErrorsMax; }

std::string JsonScanner::ReadString() {
  const char quote = Peek();
  const Position start = at();
  if (quote == '\'') {
    Report(start, "found a single quote, expected a double quote", "write strings as \"text\"");
  }
  Advance();
  std::string out;
  while (!AtEnd() && Peek() != quote && Peek() != '\n') {
    const char c = Peek();
    if (c == '\\') {
      ReadEscape(&out);
    } else {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\r') {
        Report(at(), c == '\t' ? "found a tab inside a string" : "found a control character",
               c == '\t' ? "write it as \\t" : "write it as \\u00XX or remove it");
      }
      out.push_back(c);
      Advance();
    }
  }
  if (Peek() == quote && !AtEnd()) {
    Advance();
  } else {
    Report(start, "found a string that is not closed on its line, expected '\"' at its end",
           "add the closing quote; write line breaks as \\n");
    while (!out.empty() && (out.back() == '\r' || out.back() == ',')) out.pop_back();
  }
  return out;
}

int JsonScanner::ReadHex4() {
  int value = 0;
  for (size_t i = 0; i < 4; ++i) {
    const char c = Peek(i);
    if (!absl::ascii_isxdigit(c)) return -1;
    value = value * 16 + (absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10);
  }
  Advance(4);
  return value;
}

void JsonScanner::ReadEscape(std::string* out) {
  const Position start = at();
  Advance();
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  if (const size_t i = AtEnd() ? std::string_view::npos : kNames.find(Peek());
      i != std::string_view::npos) {
    out->push_back(kValues[i]);
    Advance();
    return;
  }
  if (Peek() != 'u') {
    Report(start,
           "found an unknown escape in a string, expected one of \\\" \\\\ \\/ \\b \\f \\n "
           "\\r \\t \\uXXXX",
           "write \\\\ for a backslash");
    out->push_back('\\');
    return;
  }
  Advance();
  int unit = ReadHex4();
  if (unit >= 0xD800 && unit < 0xDC00 && Peek() == '\\' && Peek(1) == 'u') {
    Advance(2);
    const int low = ReadHex4();
    unit = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00) : -1;
  } else if (unit >= 0xD800 && unit < 0xE000) {
    unit = -1;
  }
  if (unit < 0) {
    Report(start, "found a \\u escape that is no character, expected four hexadecimal digits",
           "write the character itself");
    unit = 0xFFFD;
  }
  AppendUtf8(static_cast<unsigned>(unit), out);
}

}  // namespace metamcp::config
