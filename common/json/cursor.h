#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace metamcp::json {

enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

std::string_view KindName(Kind kind);

// No limit above kDepthHardMax is honoured: it bounds the scanner's own stack.
inline constexpr std::size_t kDepthHardMax = 1024;

struct ScanLimits {
  std::size_t depth_max = 128;
  std::size_t bytes_max = std::size_t{64} << 20;
  std::size_t members_max = 100'000;  // of one object or array that is listed
};

// One value inside a text: its exact bytes, without surrounding white space.
struct Value {
  std::string_view raw;
  Kind kind = Kind::kNull;

  bool is_string() const { return kind == Kind::kString; }
  bool is_object() const { return kind == Kind::kObject; }
  bool is_array() const { return kind == Kind::kArray; }
  bool is_number() const { return kind == Kind::kNumber; }
  bool is_bool() const { return kind == Kind::kBool; }
  // A number written without fraction and exponent.
  bool is_integer() const;
};

// A strict forward reader of one JSON text (RFC 8259: valid UTF-8, no byte order mark, no lone
// surrogate escapes, depth limited). Everything it passes is validated. It holds views into the
// text, allocates nothing and never recurses. Use:
//
//   Cursor c(text);
//   if (c.Enter(Kind::kObject)) {
//     std::string_view key;                       // still escaped, without the quotes
//     while (c.NextKey(&key)) c.Skip(&value);     // or Enter() and walk down
//   }
//   if (!c.Finish()) return c.status();
//
// After a failure every call returns false and status() tells what and where.
class Cursor {
 public:
  explicit Cursor(std::string_view text, const ScanLimits& limits = {});

  // Kind of the value that comes next. False at the end or when no value starts here.
  bool Peek(Kind* kind);
  // Passes the opening bracket of an array or object.
  bool Enter(Kind container);
  // Passes a key and its colon; false at the closing brace (which is passed) or on failure.
  bool NextKey(std::string_view* raw_key);
  // True if another element follows; false at the closing bracket (passed) or on failure.
  bool NextElement();
  // Passes one whole value.
  bool Skip(Value* value);
  // True if the text held exactly one value, which has been passed, and nothing else.
  bool Finish();

  bool ok() const { return error_ == nullptr; }
  std::size_t offset() const { return static_cast<std::size_t>(p_ - begin_); }
  const char* position() const { return p_; }
  // PARSE_ERROR with the byte offset, or OK.
  absl::Status status() const;
  // Marks the text as bad here; `why` must be a literal.
  bool Fail(const char* why);

 private:
  void SkipSpace();
  bool ScanString();
  bool ScanEscape();
  bool ScanHex4(unsigned* code);
  bool ScanUtf8();
  bool ScanNumber();
  bool ScanLiteral(std::string_view word);
  bool ScanScalar(Kind kind);
  bool ScanContainer();

  const char* begin_;
  const char* p_;
  const char* end_;
  const char* error_ = nullptr;
  const char* error_at_ = nullptr;
  std::size_t depth_ = 0;
  std::size_t depth_max_;
  bool first_ = false;  // directly behind an opening bracket
};

}  // namespace metamcp::json
