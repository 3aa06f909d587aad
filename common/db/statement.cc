#include "common/db/statement.h"

#include <algorithm>
#include <cmath>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::db {
namespace {

absl::Status Defect(std::string_view message) { return MakeError("INTERNAL", "database", message); }

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameChar(char c) { return IsNameStart(c) || (c >= '0' && c <= '9'); }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class StatementParser {
 public:
  StatementParser(std::string_view sql, char mark) : sql_(sql), mark_(mark) {}

  absl::StatusOr<ParsedStatement> Parse() {
    while (at_ < sql_.size()) METAMCP_RETURN_IF_ERROR(Step());
    return std::move(out_);
  }

 private:
  char Peek(size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
  void Copy(size_t n) {
    out_.sql.append(sql_.substr(at_, n));
    at_ += n;
  }

  absl::Status Step() {
    const char c = sql_[at_];
    if (c == '\'' || c == '"') return Quoted(c);
    if (c == '-' && Peek(1) == '-') return Until("\n", "");
    if (c == '/' && Peek(1) == '*') return Until("*/", "an unclosed comment");
    if (c == ':' && Peek(1) == ':') {
      Copy(2);  // a PostgreSQL cast
    } else if (c == ':' && IsNameStart(Peek(1))) {
      Name();
    } else if (c == '?' || c == '$' || c == '@') {
      return Defect("SQL with positional parameters; use :name");
    } else if (c == ';') {
      return End();
    } else {
      Copy(1);
    }
    return absl::OkStatus();
  }

  absl::Status Quoted(char quote) {
    size_t end = at_ + 1;
    while (end < sql_.size() && sql_[end] != quote) ++end;
    if (end == sql_.size()) return Defect("SQL with an unclosed quotation");
    Copy(end + 1 - at_);  // a doubled quote is two quotations side by side
    return absl::OkStatus();
  }

  // Drops a comment: up to and with `close`, or to the end if `missing` is empty.
  absl::Status Until(std::string_view close, std::string_view missing) {
    const size_t end = sql_.find(close, at_ + 2);
    if (end == std::string_view::npos && !missing.empty()) {
      return Defect(StrCat("SQL with ", missing));
    }
    at_ = end == std::string_view::npos ? sql_.size() : end + close.size();
    out_.sql.push_back(' ');
    return absl::OkStatus();
  }

  void Name() {
    size_t end = at_ + 1;
    while (end < sql_.size() && IsNameChar(sql_[end])) ++end;
    const std::string_view name = sql_.substr(at_ + 1, end - at_ - 1);
    auto it = std::find(out_.names.begin(), out_.names.end(), name);
    if (it == out_.names.end()) it = out_.names.insert(it, std::string(name));
    out_.sql.push_back(mark_);
    out_.sql += std::to_string(it - out_.names.begin() + 1);
    at_ = end;
  }

  absl::Status End() {
    while (++at_ < sql_.size()) {
      if (!IsSpace(sql_[at_])) return Defect("SQL with more than one statement");
    }
    return absl::OkStatus();
  }

  const std::string_view sql_;
  const char mark_;
  size_t at_ = 0;
  ParsedStatement out_;
};

absl::Status CheckStorable(const Param& param) {
  if (const auto* text = std::get_if<std::string>(&param.value.variant())) {
    if (!IsStorableText(*text)) {
      return MakeError("INVALID_PARAMS", "database",
                       StrCat("\"", param.name, "\" must be UTF-8 text without NUL"));
    }
  } else if (const auto* number = std::get_if<double>(&param.value.variant())) {
    if (!std::isfinite(*number)) {
      return MakeError("INVALID_PARAMS", "database",
                       StrCat("\"", param.name, "\" must be a finite number"));
    }
  }
  return absl::OkStatus();
}

// Length of the well-formed UTF-8 sequence that `p` begins with, 0 if there is none.
size_t SequenceLength(const unsigned char* p, size_t left) {
  const auto tail = [&](size_t i) { return i < left && (p[i] & 0xC0) == 0x80; };
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) return tail(1) ? 2 : 0;
  if (p[0] >= 0xE0 && p[0] <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;   // overlong
    if (p[0] == 0xED && p[1] >= 0xA0) return 0;  // surrogate
    return 3;
  }
  if (p[0] >= 0xF0 && p[0] <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;   // overlong
    if (p[0] == 0xF4 && p[1] >= 0x90) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

}  // namespace

absl::StatusOr<ParsedStatement> ParseStatement(std::string_view sql, char mark) {
  return StatementParser(sql, mark).Parse();
}

absl::StatusOr<std::vector<const Value*>> OrderParams(const std::vector<std::string>& names,
                                                      const Params& params) {
  std::vector<const Value*> out(names.size(), nullptr);
  size_t next = 0;  // statements of many rows give their parameters in order
  for (const Param& param : params) {
    const bool in_order = next < names.size() && names[next] == param.name;
    const auto it = in_order ? names.begin() + static_cast<std::ptrdiff_t>(next)
                             : std::find(names.begin(), names.end(), param.name);
    ++next;
    if (it == names.end()) return Defect(StrCat("the SQL has no parameter :", param.name));
    const Value*& slot = out[static_cast<size_t>(it - names.begin())];
    if (slot != nullptr) return Defect(StrCat("parameter :", param.name, " is given twice"));
    METAMCP_RETURN_IF_ERROR(CheckStorable(param));
    slot = &param.value;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == nullptr) return Defect(StrCat("parameter :", names[i], " is not given"));
  }
  return out;
}

bool IsStorableText(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (size_t i = 0; i < text.size();) {
    if (p[i] == 0) return false;
    const size_t n = SequenceLength(p + i, text.size() - i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

}  // namespace metamcp::db
