#pragma once

#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

// Messages as bytes and as text, pure and total.
namespace metamcp::catalog {

// Serialises with map entries in key order, so that equal messages have equal bytes.
std::string DeterministicBytes(const google::protobuf::Message& message);

// Proto JSON, as the store keeps it.
std::string ToJson(const google::protobuf::Message& message);
// Unknown members are ignored: a newer program may have written them. Errors: INTERNAL.
absl::Status FromJson(const std::string& text, google::protobuf::Message* message);

}  // namespace metamcp::catalog
