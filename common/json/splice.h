#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/json/scan.h"

namespace metamcp::json {

// Builds a new object text from an old one by setting and removing members. What is not named
// stays byte for byte (unknown members, number spellings, order); only white space between the
// members goes. The view and its text must outlive the splicer.
//
//   Splicer s(view);
//   s.SetString("name", "search");
//   s.Remove("resultType");
//   std::string out = s.Build();
class Splicer {
 public:
  explicit Splicer(const ObjectView& view) : view_(view) {}

  // Replaces the member's value in place, or appends the member. `raw` must be valid JSON.
  void Set(std::string_view key, std::string_view raw);
  void SetString(std::string_view key, std::string_view value);
  // Sets only if the member is absent in the old text and not set before.
  void SetIfAbsent(std::string_view key, std::string_view raw);
  void Remove(std::string_view key);

  bool changed() const { return !edits_.empty(); }
  // The new text; the old one if nothing was changed.
  std::string Build() const;

 private:
  struct Edit {
    std::string key;
    std::string raw;  // empty: removed
  };
  Edit* FindEdit(std::string_view key);
  const Edit* FindEdit(std::string_view key) const;
  const ObjectView& view_;
  std::vector<Edit> edits_;
};

// Sets the member at `path` (keys from the root object); objects on the way that are missing are
// made. Errors: PARSE_ERROR; INVALID_REQUEST when something on the way is not an object.
absl::StatusOr<std::string> SetAtPath(std::string_view text, std::span<const std::string_view> path,
                                      std::string_view raw, const ScanLimits& limits = {});
// Removes the member at `path`; a missing one is not an error.
absl::StatusOr<std::string> RemoveAtPath(std::string_view text,
                                         std::span<const std::string_view> path,
                                         const ScanLimits& limits = {});

// Joins raw values into an array, or raw members into an object. Keys are quoted here.
std::string JoinArray(std::span<const std::string> raw_values);
class ObjectWriter {
 public:
  ObjectWriter& Add(std::string_view key, std::string_view raw);
  ObjectWriter& AddString(std::string_view key, std::string_view value);
  ObjectWriter& AddInt(std::string_view key, std::int64_t value);
  ObjectWriter& AddBool(std::string_view key, bool value);
  bool empty() const { return out_.size() == 1; }
  std::string Build() && { return std::move(out_) + "}"; }

 private:
  std::string out_ = "{";
};

}  // namespace metamcp::json
