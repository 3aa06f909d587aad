#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace google::protobuf {
class EnumDescriptor;
class EnumValueDescriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// JSON of the admin REST API <-> protobuf messages. It is protobuf's JSON mapping with these
// differences: fields marked raw_json hold JSON values, which pass byte for byte; 64-bit integers
// are numbers where a double holds them exactly, else strings; enum values are written and
// read in short ("tool" for ITEM_KIND_TOOL); fields marked sensitive are written as "***".
// Keys are written in camelCase and read in camelCase or snake_case. Pure; thread: any.
namespace metamcp::gateway::admin {

inline constexpr std::string_view kMask = "***";

// Adds the object `text` to `message`. A null means an absent field. `place` is put before field
// names in errors ("upstream" gives "upstream.spec.url"). Errors: PARSE_ERROR; ARGUMENT_INVALID
// naming the field: unknown (with the nearest known one), given twice, of the wrong type or out of
// range.
absl::Status DecodeObject(std::string_view text, std::string_view place,
                          google::protobuf::Message& message);

// Sets the scalar field at `path` ("name", "virtual_server.meta.name") from the text of a path
// segment or query parameter; adds an element where the field is repeated. Errors: as above.
absl::Status SetFromText(std::string_view path, std::string_view value,
                         google::protobuf::Message& message);

// Writes `message` with every scalar, list and map, whether set or not; absent sub-messages and
// empty raw_json fields are left out.
std::string EncodeMessage(const google::protobuf::Message& message);

bool IsRawJson(const google::protobuf::FieldDescriptor* field);
bool IsSensitive(const google::protobuf::FieldDescriptor* field);
// "tool" for ITEM_KIND_TOOL of ItemKind, "unspecified" for ITEM_KIND_UNSPECIFIED.
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor* value);
// All short names, in the order of the enum.
std::vector<std::string> ShortEnumNames(const google::protobuf::EnumDescriptor* type);

}  // namespace metamcp::gateway::admin
