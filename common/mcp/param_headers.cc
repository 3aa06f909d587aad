#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/mcp/headers.h"

namespace metamcp::mcp {
namespace {

using nlohmann::json;

constexpr std::string_view kKeyword = "x-mcp-header";
constexpr std::int64_t kSafeInteger = (std::int64_t{1} << 53) - 1;

absl::Status Invalid(std::string_view message) {
  return MakeError("INVALID_PARAMS", "mcp", message);
}
absl::Status Mismatch(std::string_view message) {
  return MakeError("HEADER_MISMATCH", "mcp", message);
}

// RFC 9110, 5.6.2.
bool IsToken(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kMarks.find(c) != std::string_view::npos;
  });
}

std::optional<ParamType> TypeOf(const json& schema) {
  const auto it = schema.find("type");
  if (it == schema.end() || !it->is_string()) return std::nullopt;
  const auto& type = it->get_ref<const std::string&>();
  if (type == "string") return ParamType::kString;
  if (type == "integer") return ParamType::kInteger;
  if (type == "boolean") return ParamType::kBoolean;
  return std::nullopt;
}

bool HoldsData(std::string_view key) {
  return key == "const" || key == "enum" || key == "default" || key == "examples" ||
         key == "required";
}
bool HoldsNamedSchemas(std::string_view key) {
  return key == "properties" || key == "patternProperties" || key == "$defs" ||
         key == "definitions" || key == "dependentSchemas" || key == "dependencies";
}

// Walks a schema; recursion is as deep as the text, which ParseJson bounds.
class Extractor {
 public:
  // `reachable`: the schema is reached from the root through `properties` only.
  absl::Status Walk(const json& schema, bool reachable) {
    if (!schema.is_object()) return absl::OkStatus();
    if (const auto it = schema.find(kKeyword); it != schema.end()) {
      METAMCP_RETURN_IF_ERROR(Add(schema, *it, reachable));
    }
    for (auto it = schema.begin(); it != schema.end(); ++it) {
      if (HoldsData(it.key())) continue;
      METAMCP_RETURN_IF_ERROR(WalkMember(it.key(), it.value(), reachable));
    }
    return absl::OkStatus();
  }
  std::vector<ParamHeader> Take() && { return std::move(found_); }

 private:
  absl::Status WalkMember(const std::string& key, const json& value, bool reachable) {
    if (value.is_array()) {
      for (const json& element : value) METAMCP_RETURN_IF_ERROR(Walk(element, false));
      return absl::OkStatus();
    }
    if (!HoldsNamedSchemas(key) || !value.is_object()) return Walk(value, false);
    const bool still = reachable && key == "properties";
    for (auto it = value.begin(); it != value.end(); ++it) {
      path_.push_back(it.key());
      METAMCP_RETURN_IF_ERROR(Walk(it.value(), still));
      path_.pop_back();
    }
    return absl::OkStatus();
  }

  absl::Status Add(const json& schema, const json& annotation, bool reachable) {
    if (!reachable || path_.empty()) {
      return Invalid("x-mcp-header is only allowed on properties reached through properties");
    }
    if (!annotation.is_string() || !IsToken(annotation.get_ref<const std::string&>())) {
      return Invalid("x-mcp-header must be an HTTP token");
    }
    const std::optional<ParamType> type = TypeOf(schema);
    if (!type) return Invalid("x-mcp-header needs type string, integer or boolean");
    const auto& name = annotation.get_ref<const std::string&>();
    for (const ParamHeader& other : found_) {
      if (absl::EqualsIgnoreCase(other.name, name)) {
        return Invalid(StrCat("x-mcp-header \"", name, "\" is used twice"));
      }
    }
    ParamHeader header;
    header.name = name;
    header.path = path_;
    header.type = *type;
    found_.push_back(std::move(header));
    return absl::OkStatus();
  }

  std::vector<std::string> path_;
  std::vector<ParamHeader> found_;
};

// The raw argument at the header's path; nullopt when absent or null.
absl::StatusOr<std::optional<metamcp::json::Value>> FindArgument(const ParamHeader& param,
                                                                 std::string_view raw) {
  metamcp::json::Value value{raw, metamcp::json::Kind::kObject};
  if (raw.empty()) return std::nullopt;
  for (const std::string& name : param.path) {
    if (!value.is_object()) return std::nullopt;
    METAMCP_ASSIGN_OR_RETURN(const auto view, metamcp::json::ScanObject(value.raw));
    const metamcp::json::Member* member = view.Find(name);
    if (member == nullptr || member->value.kind == metamcp::json::Kind::kNull) return std::nullopt;
    value = member->value;
  }
  return value;
}

// An integer in any of JSON's spellings (1, 1.0, 1e0) within the safe range.
std::optional<std::int64_t> SafeInteger(std::string_view text) {
  if (const auto exact = metamcp::json::RawInt64(text)) {
    if (*exact < -kSafeInteger || *exact > kSafeInteger) return std::nullopt;
    return exact;
  }
  double value = 0;
  if (!absl::SimpleAtod(Av(text), &value) || !std::isfinite(value)) return std::nullopt;
  if (std::trunc(value) != value || std::fabs(value) > static_cast<double>(kSafeInteger)) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(value);
}

}  // namespace

absl::StatusOr<std::vector<ParamHeader>> ExtractParamHeaders(std::string_view input_schema) {
  // Most schemas have none; a key may be spelled with \u escapes.
  if (input_schema.find(kKeyword) == std::string_view::npos &&
      input_schema.find("\\u") == std::string_view::npos) {
    return std::vector<ParamHeader>();
  }
  METAMCP_ASSIGN_OR_RETURN(const json schema, metamcp::json::ParseJson(input_schema));
  Extractor extractor;
  METAMCP_RETURN_IF_ERROR(extractor.Walk(schema, true));
  return std::move(extractor).Take();
}

absl::StatusOr<std::optional<std::string>> ParamValue(const ParamHeader& param,
                                                      std::string_view raw_arguments) {
  METAMCP_ASSIGN_OR_RETURN(const auto argument, FindArgument(param, raw_arguments));
  if (!argument.has_value()) return std::nullopt;
  if (param.type == ParamType::kString && argument->is_string()) {
    METAMCP_ASSIGN_OR_RETURN(std::string text, metamcp::json::JsonUnquote(argument->raw));
    return std::optional<std::string>(std::move(text));
  }
  if (param.type == ParamType::kBoolean && argument->is_bool()) {
    return std::optional<std::string>(argument->raw);
  }
  if (param.type == ParamType::kInteger && argument->is_number()) {
    if (const auto value = SafeInteger(argument->raw)) {
      return std::optional<std::string>(std::to_string(*value));
    }
    return Invalid(StrCat("Argument for header ", param.name, " is not a safe integer"));
  }
  return Invalid(StrCat("Argument for header ", param.name, " has the wrong type"));
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ComputeParamHeaders(
    std::span<const ParamHeader> params, std::string_view raw_arguments) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const ParamHeader& param : params) {
    METAMCP_ASSIGN_OR_RETURN(const auto value, ParamValue(param, raw_arguments));
    if (!value.has_value()) continue;
    headers.emplace_back(StrCat(kHeaderParamPrefix, param.name), EncodeHeaderValue(*value));
  }
  return headers;
}

absl::Status CheckParamHeader(const ParamHeader& param, std::optional<std::string_view> header,
                              std::string_view raw_arguments) {
  const std::string name = StrCat(kHeaderParamPrefix, param.name);
  const auto value = ParamValue(param, raw_arguments);
  if (!value.ok()) return Mismatch(Sv(value.status().message()));
  if (!value->has_value()) {
    if (!header.has_value()) return absl::OkStatus();
    return Mismatch(StrCat("Header ", name, " has no counterpart in the arguments"));
  }
  if (param.type != ParamType::kInteger || !header.has_value()) {
    return CheckMirror(name, header, **value);
  }
  const auto decoded = DecodeHeaderValue(*header);
  if (!decoded.ok()) return Annotate(decoded.status(), name + ": ");
  if (SafeInteger(*decoded) != SafeInteger(**value)) {
    return Mismatch(StrCat("Header ", name, " differs from the body"));
  }
  return absl::OkStatus();
}

}  // namespace metamcp::mcp
