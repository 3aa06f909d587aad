#pragma once

#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/json/cursor.h"

namespace metamcp::json {

// One member of an object. All views point into the scanned text, except a key that was written
// with escapes, which lives in the ObjectView.
struct Member {
  std::string_view key;      // unescaped
  std::string_view raw_key;  // as written, without quotes
  Value value;
};

// The members of one object in their order; no two have the same key after unescaping. Views into
// the text, which must outlive it. Move only.
class ObjectView {
 public:
  ObjectView() = default;
  ObjectView(ObjectView&&) = default;
  ObjectView& operator=(ObjectView&&) = default;
  ObjectView(const ObjectView&) = delete;
  ObjectView& operator=(const ObjectView&) = delete;

  // The object's own bytes, braces included; empty if there is no object.
  std::string_view text() const { return text_; }
  std::span<const Member> members() const { return {members_.data(), members_.size()}; }
  bool empty() const { return members_.empty(); }
  bool present() const { return !text_.empty(); }

  // Linear search: objects that we look into are small.
  const Member* Find(std::string_view key) const;
  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  // The raw value, or an empty view when absent.
  std::string_view Raw(std::string_view key) const;
  // The unescaped string; nullopt if absent or not a string.
  std::optional<std::string> String(std::string_view key) const;

 private:
  friend class ObjectScanner;
  std::string_view text_;
  std::vector<Member> members_;
  std::forward_list<std::string> owned_;
};

// Scans a text that must be one JSON object.
// Errors: PARSE_ERROR malformed, too deep or too large; INVALID_REQUEST not an object or a
// duplicate key (after unescaping) in this object.
absl::StatusOr<ObjectView> ScanObject(std::string_view text, const ScanLimits& limits = {});

// Reads the object at `cursor` (which may stand inside a larger text). Where a member's key is
// `descend->key` and its value is an object, that object is read in the same pass into
// `descend->inner` (and so on through `next`). A key that occurs twice in one of these objects
// sets `*duplicate` and is kept in the list; the scan goes on. False: see the cursor's status.
struct Descend {
  std::string_view key;
  ObjectView* inner = nullptr;
  const Descend* next = nullptr;
};
bool ReadObject(Cursor& cursor, const ScanLimits& limits, const Descend* descend, ObjectView* out,
                bool* duplicate);

// Scans a text that must be one JSON array and returns its elements.
absl::StatusOr<std::vector<Value>> ScanArray(std::string_view text, const ScanLimits& limits = {});

// Validates one whole JSON text.
absl::StatusOr<Value> ScanValue(std::string_view text, const ScanLimits& limits = {});

// Writes `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
std::string JsonQuote(std::string_view text);
void AppendJsonQuoted(std::string_view text, std::string* out);

// Returns the content of a JSON string given with its quotes. Errors: PARSE_ERROR.
absl::StatusOr<std::string> JsonUnquote(std::string_view raw);

// The int64 value of an integer as written, nullopt when it is something else or does not fit.
std::optional<std::int64_t> RawInt64(std::string_view raw);

}  // namespace metamcp::json
