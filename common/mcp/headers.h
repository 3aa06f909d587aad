#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/json/scan.h"

namespace metamcp::mcp {

inline constexpr std::string_view kHeaderProtocolVersion = "MCP-Protocol-Version";
inline constexpr std::string_view kHeaderMethod = "Mcp-Method";
inline constexpr std::string_view kHeaderName = "Mcp-Name";
inline constexpr std::string_view kHeaderSessionId = "Mcp-Session-Id";
inline constexpr std::string_view kHeaderParamPrefix = "Mcp-Param-";

// Encodes a value for Mcp-Name or Mcp-Param-*: as it is if it is plain visible text, else
// =?base64?...?= of its UTF-8. Source: MCP 2026-07-28, transports/streamable-http.
std::string EncodeHeaderValue(std::string_view utf8);

// Decodes such a value after trimming white space. A value that only resembles the sentinel is
// literal. Errors: HEADER_MISMATCH for a sentinel whose base64 is not canonical or not UTF-8.
absl::StatusOr<std::string> DecodeHeaderValue(std::string_view header);

// HEADER_MISMATCH unless the header is there and, decoded, equals the body's value exactly.
// `what` names the header in the message.
absl::Status CheckMirror(std::string_view what, std::optional<std::string_view> header,
                         std::string_view body_value);

enum class ParamType { kString, kInteger, kBoolean };

// One tool argument that is mirrored in a header.
struct ParamHeader {
  std::string name;               // the token behind Mcp-Param-
  std::vector<std::string> path;  // property names from the arguments object down
  ParamType type = ParamType::kString;
};

// Finds the x-mcp-header annotations of a tool's inputSchema. Errors: INVALID_PARAMS when one is
// not allowed, which makes the tool invalid for HTTP: not an RFC 9110 token, used twice (case
// ignored), on another type than string, integer or boolean, or not reached through `properties`
// alone. Source: MCP 2026-07-28, server/tools.
absl::StatusOr<std::vector<ParamHeader>> ExtractParamHeaders(std::string_view input_schema);

// The value an argument has in its header before encoding; nullopt when absent or null.
// Errors: INVALID_PARAMS when the argument's type is not the declared one, or an integer lies
// outside +-(2^53-1).
absl::StatusOr<std::optional<std::string>> ParamValue(const ParamHeader& param,
                                                      std::string_view raw_arguments);

// The Mcp-Param-* headers (full name, encoded value) for a call's raw arguments (may be empty).
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ComputeParamHeaders(
    std::span<const ParamHeader> params, std::string_view raw_arguments);

// Compares one received Mcp-Param-* header (nullopt: not sent) with the arguments. Integers are
// compared by value. Errors: HEADER_MISMATCH.
absl::Status CheckParamHeader(const ParamHeader& param, std::optional<std::string_view> header,
                              std::string_view raw_arguments);

}  // namespace metamcp::mcp
