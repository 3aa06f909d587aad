#include "common/json/cursor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/utf8.h"

namespace metamcp::json {
namespace {

constexpr const char* kUnexpectedEnd = "unexpected end";
constexpr const char* kTooDeep = "nested too deeply";

// Bytes of `word` (eight of a text) that end a run of plain string characters: quote, backslash,
// control characters and everything beyond ASCII. The lowest bit set belongs to the first such
// byte; borrows only make false marks behind a true one.
constexpr std::uint64_t kOnes = 0x0101010101010101;
constexpr std::uint64_t kHighs = 0x8080808080808080;
std::uint64_t StopBytes(std::uint64_t word) {
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t slash = word ^ (kOnes * '\\');
  return (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) |
          ((word - kOnes * 0x20) & ~word) | word) &
         kHighs;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One bit for each open container: set for objects.
class Levels {
 public:
  void Set(std::size_t depth, bool object) {
    const std::uint64_t bit = std::uint64_t{1} << (depth % 64);
    if (object) {
      words_[depth / 64] |= bit;
    } else {
      words_[depth / 64] &= ~bit;
    }
  }
  bool IsObject(std::size_t depth) const { return (words_[depth / 64] >> (depth % 64)) & 1; }

 private:
  std::uint64_t words_[kDepthHardMax / 64 + 1] = {};
};

}  // namespace

std::string_view KindName(Kind kind) {
  constexpr std::string_view kNames[] = {"null", "boolean", "number", "string", "array", "object"};
  return kNames[static_cast<std::size_t>(kind)];
}

bool Value::is_integer() const {
  return kind == Kind::kNumber && raw.find_first_of(".eE") == std::string_view::npos;
}

Cursor::Cursor(std::string_view text, const ScanLimits& limits)
    : begin_(text.data()),
      p_(text.data()),
      end_(text.data() + text.size()),
      depth_max_(std::min(limits.depth_max, kDepthHardMax)) {
  if (text.size() > limits.bytes_max) Fail("text is too large");
}

bool Cursor::Fail(const char* why) {
  if (error_ == nullptr) {
    error_ = why;
    error_at_ = p_;
  }
  return false;
}

absl::Status Cursor::status() const {
  if (ok()) return absl::OkStatus();
  return MakeError("PARSE_ERROR", "json",
                   StrCat("Invalid JSON at byte ", error_at_ - begin_, ": ", error_));
}

void Cursor::SkipSpace() {
  while (p_ != end_ && static_cast<unsigned char>(*p_) <= ' ') {
    if (*p_ != ' ' && *p_ != '\n' && *p_ != '\r' && *p_ != '\t') return;
    ++p_;
  }
}

bool Cursor::Peek(Kind* kind) {
  if (!ok()) return false;
  SkipSpace();
  if (p_ == end_) return Fail(kUnexpectedEnd);
  switch (*p_) {
    case '{':
      *kind = Kind::kObject;
      return true;
    case '[':
      *kind = Kind::kArray;
      return true;
    case '"':
      *kind = Kind::kString;
      return true;
    case 't':
    case 'f':
      *kind = Kind::kBool;
      return true;
    case 'n':
      *kind = Kind::kNull;
      return true;
    default:
      break;
  }
  if (*p_ != '-' && !IsDigit(*p_)) return Fail("expected a value");
  *kind = Kind::kNumber;
  return true;
}

bool Cursor::Enter(Kind container) {
  Kind kind;
  if (!Peek(&kind)) return false;
  if (kind != container) return Fail("unexpected type");
  if (depth_ >= depth_max_) return Fail(kTooDeep);
  ++depth_;
  ++p_;
  first_ = true;
  return true;
}

bool Cursor::NextKey(std::string_view* raw_key) {
  if (!ok()) return false;
  SkipSpace();
  if (p_ == end_) return Fail(kUnexpectedEnd);
  if (*p_ == '}') {
    ++p_;
    --depth_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (*p_ != ',') return Fail("expected ',' or '}'");
    ++p_;
    SkipSpace();
  }
  first_ = false;
  if (p_ == end_ || *p_ != '"') return Fail("expected a key");
  const char* start = p_ + 1;
  if (!ScanString()) return false;
  *raw_key = std::string_view(start, static_cast<std::size_t>(p_ - 1 - start));
  SkipSpace();
  if (p_ == end_ || *p_ != ':') return Fail("expected ':'");
  ++p_;
  return true;
}

bool Cursor::NextElement() {
  if (!ok()) return false;
  SkipSpace();
  if (p_ == end_) return Fail(kUnexpectedEnd);
  if (*p_ == ']') {
    ++p_;
    --depth_;
    first_ = false;
    return false;
  }
  if (!first_) {
    if (*p_ != ',') return Fail("expected ',' or ']'");
    ++p_;
  }
  first_ = false;
  return true;
}

bool Cursor::Skip(Value* value) {
  Kind kind;
  if (!Peek(&kind)) return false;
  const char* start = p_;
  const bool container = kind == Kind::kObject || kind == Kind::kArray;
  if (!(container ? ScanContainer() : ScanScalar(kind))) return false;
  first_ = false;
  value->kind = kind;
  value->raw = std::string_view(start, static_cast<std::size_t>(p_ - start));
  return true;
}

bool Cursor::Finish() {
  if (!ok()) return false;
  SkipSpace();
  if (p_ != end_) return Fail("unexpected text behind the value");
  return true;
}

bool Cursor::ScanScalar(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return ScanString();
    case Kind::kNumber:
      return ScanNumber();
    case Kind::kBool:
      return ScanLiteral(*p_ == 't' ? "true" : "false");
    default:
      return ScanLiteral("null");
  }
}

bool Cursor::ScanLiteral(std::string_view word) {
  if (static_cast<std::size_t>(end_ - p_) < word.size() ||
      std::memcmp(p_, word.data(), word.size()) != 0) {
    return Fail("expected a value");
  }
  p_ += word.size();
  return true;
}

bool Cursor::ScanNumber() {
  const auto digits = [this] {
    const char* start = p_;
    while (p_ != end_ && IsDigit(*p_)) ++p_;
    return p_ != start;
  };
  if (*p_ == '-') ++p_;
  if (p_ != end_ && *p_ == '0') {
    ++p_;
  } else if (!digits()) {
    return Fail("expected a digit");
  }
  if (p_ != end_ && *p_ == '.') {
    ++p_;
    if (!digits()) return Fail("expected a digit");
  }
  if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
    ++p_;
    if (p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
    if (!digits()) return Fail("expected a digit");
  }
  return true;
}

bool Cursor::ScanString() {
  ++p_;
  while (true) {
    if constexpr (std::endian::native == std::endian::little) {
      while (end_ - p_ >= 8) {
        std::uint64_t word;
        std::memcpy(&word, p_, sizeof(word));
        const std::uint64_t stop = StopBytes(word);
        if (stop != 0) {
          p_ += std::countr_zero(stop) / 8;
          break;
        }
        p_ += 8;
      }
    }
    if (p_ == end_) return Fail("unterminated string");
    const auto c = static_cast<unsigned char>(*p_);
    if (c == '"') {
      ++p_;
      return true;
    }
    if (c == '\\') {
      if (!ScanEscape()) return false;
    } else if (c < 0x20) {
      return Fail("control character in a string");
    } else if (c >= 0x80) {
      if (!ScanUtf8()) return false;
    } else {
      ++p_;
    }
  }
}

bool Cursor::ScanUtf8() {
  const std::size_t length =
      Utf8SequenceLength(std::string_view(p_, static_cast<std::size_t>(end_ - p_)));
  if (length == 0) return Fail("invalid UTF-8");
  p_ += length;
  return true;
}

bool Cursor::ScanEscape() {
  ++p_;
  if (p_ == end_) return Fail("unterminated string");
  const char c = *p_++;
  if (c != 'u') {
    return std::strchr("\"\\/bfnrt", c) != nullptr && c != '\0' ? true : Fail("unknown escape");
  }
  unsigned code = 0;
  if (!ScanHex4(&code)) return false;
  if (code < 0xD800 || code > 0xDFFF) return true;
  // Only a high surrogate followed by a low one is a character.
  if (code > 0xDBFF || end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u') {
    return Fail("lone surrogate");
  }
  p_ += 2;
  if (!ScanHex4(&code)) return false;
  return code >= 0xDC00 && code <= 0xDFFF ? true : Fail("lone surrogate");
}

bool Cursor::ScanHex4(unsigned* code) {
  if (end_ - p_ < 4) return Fail("unterminated string");
  unsigned value = 0;
  for (int i = 0; i < 4; ++i, ++p_) {
    const char c = *p_;
    unsigned digit;
    if (IsDigit(c)) {
      digit = static_cast<unsigned>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = static_cast<unsigned>((c | 0x20) - 'a' + 10);
    } else {
      return Fail("expected four hexadecimal digits");
    }
    value = value * 16 + digit;
  }
  *code = value;
  return true;
}

bool Cursor::ScanContainer() {
  Levels levels;
  const std::size_t base = depth_;
  bool opening = true;  // at an opening bracket
  bool fresh = false;   // behind an opening bracket
  while (true) {
    if (opening) {
      if (depth_ >= depth_max_) return Fail(kTooDeep);
      levels.Set(depth_++, *p_++ == '{');
      fresh = true;
    }
    SkipSpace();
    if (p_ == end_) return Fail(kUnexpectedEnd);
    const bool object = levels.IsObject(depth_ - 1);
    if (*p_ == (object ? '}' : ']')) {
      ++p_;
      if (--depth_ == base) return true;
      fresh = opening = false;
      continue;
    }
    if (!fresh) {
      if (*p_ != ',') return Fail("expected ',' or a closing bracket");
      ++p_;
      SkipSpace();
    }
    if (object) {
      if (p_ == end_ || *p_ != '"') return Fail("expected a key");
      if (!ScanString()) return false;
      SkipSpace();
      if (p_ == end_ || *p_ != ':') return Fail("expected ':'");
      ++p_;
    }
    Kind kind;
    if (!Peek(&kind)) return false;
    opening = kind == Kind::kObject || kind == Kind::kArray;
    fresh = false;
    if (!opening && !ScanScalar(kind)) return false;
  }
}

}  // namespace metamcp::json
