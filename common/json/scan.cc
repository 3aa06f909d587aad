#include "common/json/scan.h"

#include <algorithm>
#include <charconv>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/unescape.h"

namespace metamcp::json {
namespace {

// Up to here comparing all pairs is cheaper than sorting.
constexpr std::size_t kPairwiseMax = 16;

// Saves growing the list for the objects of the protocol.
constexpr std::size_t kUsualMembers = 8;

bool HasDuplicate(std::span<const Member> members) {
  if (members.size() <= kPairwiseMax) {
    for (std::size_t i = 1; i < members.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (members[i].key == members[j].key) return true;
      }
    }
    return false;
  }
  std::vector<std::string_view> keys;
  keys.reserve(members.size());
  for (const Member& m : members) keys.push_back(m.key);
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
}

}  // namespace

// The one writer of ObjectView.
class ObjectScanner {
 public:
  static bool Read(Cursor& cursor, const ScanLimits& limits, const Descend* descend,
                   ObjectView* out, bool* duplicate) {
    Kind kind;
    if (!cursor.Peek(&kind)) return false;
    const char* start = cursor.position();
    if (!cursor.Enter(Kind::kObject)) return false;
    out->members_.reserve(kUsualMembers);
    std::string_view raw_key;
    while (cursor.NextKey(&raw_key)) {
      if (out->members_.size() >= limits.members_max) return cursor.Fail("too many members");
      Member member;
      member.raw_key = raw_key;
      member.key = Key(raw_key, out);
      if (!ReadValue(cursor, limits, member.key, descend, &member.value, duplicate)) return false;
      out->members_.push_back(member);
    }
    if (!cursor.ok()) return false;
    out->text_ = std::string_view(start, static_cast<std::size_t>(cursor.position() - start));
    if (HasDuplicate(out->members())) *duplicate = true;
    return true;
  }

 private:
  static std::string_view Key(std::string_view raw_key, ObjectView* out) {
    if (raw_key.find('\\') == std::string_view::npos) return raw_key;
    return out->owned_.emplace_front(UnescapeTrusted(raw_key));
  }

  static bool ReadValue(Cursor& cursor, const ScanLimits& limits, std::string_view key,
                        const Descend* descend, Value* value, bool* duplicate) {
    Kind kind;
    if (!cursor.Peek(&kind)) return false;
    if (descend == nullptr || kind != Kind::kObject || key != descend->key ||
        descend->inner->present()) {
      return cursor.Skip(value);
    }
    if (!Read(cursor, limits, descend->next, descend->inner, duplicate)) return false;
    value->kind = Kind::kObject;
    value->raw = descend->inner->text();
    return true;
  }
};

bool ReadObject(Cursor& cursor, const ScanLimits& limits, const Descend* descend, ObjectView* out,
                bool* duplicate) {
  return ObjectScanner::Read(cursor, limits, descend, out, duplicate);
}

const Member* ObjectView::Find(std::string_view key) const {
  for (const Member& m : members_) {
    if (m.key == key) return &m;
  }
  return nullptr;
}

std::string_view ObjectView::Raw(std::string_view key) const {
  const Member* m = Find(key);
  return m != nullptr ? m->value.raw : std::string_view();
}

std::optional<std::string> ObjectView::String(std::string_view key) const {
  const Member* m = Find(key);
  if (m == nullptr || !m->value.is_string()) return std::nullopt;
  return UnescapeTrusted(m->value.raw.substr(1, m->value.raw.size() - 2));
}

absl::StatusOr<ObjectView> ScanObject(std::string_view text, const ScanLimits& limits) {
  Cursor cursor(text, limits);
  Kind kind;
  if (!cursor.Peek(&kind)) return cursor.status();
  if (kind != Kind::kObject) {
    METAMCP_RETURN_IF_ERROR(ScanValue(text, limits).status());
    return MakeError("INVALID_REQUEST", "json", StrCat("Expected an object, got ", KindName(kind)));
  }
  ObjectView view;
  bool duplicate = false;
  if (!ReadObject(cursor, limits, nullptr, &view, &duplicate) || !cursor.Finish()) {
    return cursor.status();
  }
  if (duplicate) return MakeError("INVALID_REQUEST", "json", "Duplicate key in an object");
  return view;
}

absl::StatusOr<std::vector<Value>> ScanArray(std::string_view text, const ScanLimits& limits) {
  Cursor cursor(text, limits);
  Kind kind;
  if (!cursor.Peek(&kind)) return cursor.status();
  if (kind != Kind::kArray) {
    METAMCP_RETURN_IF_ERROR(ScanValue(text, limits).status());
    return MakeError("INVALID_REQUEST", "json", StrCat("Expected an array, got ", KindName(kind)));
  }
  std::vector<Value> values;
  if (!cursor.Enter(Kind::kArray)) return cursor.status();
  Value value;
  while (cursor.NextElement() && cursor.Skip(&value)) {
    if (values.size() >= limits.members_max) {
      cursor.Fail("too many elements");
      break;
    }
    values.push_back(value);
  }
  if (!cursor.Finish()) return cursor.status();
  return values;
}

absl::StatusOr<Value> ScanValue(std::string_view text, const ScanLimits& limits) {
  Cursor cursor(text, limits);
  Value value;
  if (!cursor.Skip(&value) || !cursor.Finish()) return cursor.status();
  return value;
}

std::optional<std::int64_t> RawInt64(std::string_view raw) {
  std::int64_t value = 0;
  const char* end = raw.data() + raw.size();
  const auto [ptr, ec] = std::from_chars(raw.data(), end, value);
  if (ec != std::errc() || ptr != end || raw.empty()) return std::nullopt;
  return value;
}

}  // namespace metamcp::json
