#include "common/json/dom.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/ordered.h"
#include "common/json/scan.h"

namespace metamcp::json {
namespace {

absl::Status OutOfRange() {
  return MakeError("PARSE_ERROR", "json", "Invalid JSON: a number is out of range");
}

absl::Status Missing(std::string_view key, std::string_view type) {
  return MakeError("INVALID_PARAMS", "json", StrCat("Member \"", key, "\" must be ", type),
                   {{"member", std::string(key)}});
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::size_t depth_max) {
  ScanLimits limits;
  limits.depth_max = depth_max;
  if (const auto value = ScanValue(text, limits); !value.ok()) return value.status();
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return OutOfRange();
  return json;
}

absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text,
                                                        std::size_t depth_max) {
  ScanLimits limits;
  limits.depth_max = depth_max;
  if (const auto value = ScanValue(text, limits); !value.ok()) return value.status();
  auto json = BuildOrdered(text);
  if (!json) return OutOfRange();
  return *std::move(json);
}

std::string DumpJson(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string DumpJson(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

const nlohmann::json* FindMember(const nlohmann::json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

absl::StatusOr<std::string> GetString(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_string()) return Missing(key, "a string");
  return m->get_ref<const std::string&>();
}

absl::StatusOr<std::int64_t> GetInt(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_number_integer()) return Missing(key, "an integer");
  if (m->is_number_unsigned() && m->get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
    return Missing(key, "an integer below 2^63");
  }
  return m->get<std::int64_t>();
}

absl::StatusOr<double> GetDouble(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_number()) return Missing(key, "a number");
  return m->get<double>();
}

absl::StatusOr<bool> GetBool(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_boolean()) return Missing(key, "a boolean");
  return m->get<bool>();
}

absl::StatusOr<const nlohmann::json*> GetObject(const nlohmann::json& object,
                                                std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_object()) return Missing(key, "an object");
  return m;
}

absl::StatusOr<const nlohmann::json*> GetArray(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* m = FindMember(object, key);
  if (m == nullptr || !m->is_array()) return Missing(key, "an array");
  return m;
}

}  // namespace metamcp::json
