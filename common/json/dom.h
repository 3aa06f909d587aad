#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/json/cursor.h"

// nlohmann/json without exceptions. Include <nlohmann/json.hpp> only in .cc files.
namespace metamcp::json {

// Parses a text after checking its syntax, UTF-8 and depth without a DOM. Errors: PARSE_ERROR (also
// for a number that no double can hold).
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::size_t depth_max = 128);
// The same, keeping the order of members.
absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text,
                                                        std::size_t depth_max = 128);

// Writes compact JSON. Invalid UTF-8 becomes U+FFFD. The value's depth must be bounded (all that
// come from ParseJson are).
std::string DumpJson(const nlohmann::json& value);
std::string DumpJson(const nlohmann::ordered_json& value);

// Members of an object by type. Errors: INVALID_PARAMS naming the member when `object` is not an
// object, the member is missing or has another type.
absl::StatusOr<std::string> GetString(const nlohmann::json& object, std::string_view key);
absl::StatusOr<std::int64_t> GetInt(const nlohmann::json& object, std::string_view key);
absl::StatusOr<double> GetDouble(const nlohmann::json& object, std::string_view key);
absl::StatusOr<bool> GetBool(const nlohmann::json& object, std::string_view key);
absl::StatusOr<const nlohmann::json*> GetObject(const nlohmann::json& object, std::string_view key);
absl::StatusOr<const nlohmann::json*> GetArray(const nlohmann::json& object, std::string_view key);
// Nullptr when absent (or `object` is no object).
const nlohmann::json* FindMember(const nlohmann::json& object, std::string_view key);

// Canonical JSON (RFC 8785): members sorted by UTF-16 code units, shortest numbers, minimal
// escapes. One difference on purpose: an integer that a double cannot hold is written in full,
// so that two different values never share a fingerprint.
std::string CanonicalJson(const nlohmann::json& value);
absl::StatusOr<std::string> CanonicalJson(std::string_view text);

// Lower-case hex SHA-256 of the canonical form.
absl::StatusOr<std::string> Fingerprint(std::string_view text);
std::string Sha256Hex(std::string_view bytes);

}  // namespace metamcp::json
