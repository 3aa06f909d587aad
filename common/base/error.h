#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace metamcp {

// Why something failed, carried as a payload of absl::Status (AIP-193 in shape). Callers branch on
// the status code and `reason`, never on the message.
struct ErrorInfo {
  std::string reason;  // UPPER_SNAKE, listed in error_registry.cc
  std::string domain;  // who failed: "gateway", "catalog", "connector", "upstream:<slug>"
  std::map<std::string, std::string> metadata;
};

// Returns a Status with the code that the registry gives `reason`. `message` says what happened and
// what to do; it never holds secrets. An unknown reason is a broken invariant.
absl::Status MakeError(std::string_view reason, std::string_view domain, std::string_view message,
                       std::map<std::string, std::string> metadata = {});

// Attaches `info` to `status`, replacing an earlier one. OK stays OK.
absl::Status WithErrorInfo(absl::Status status, const ErrorInfo& info);

// Returns the attached info, if any.
std::optional<ErrorInfo> GetErrorInfo(const absl::Status& status);

// Returns `status` with `prefix` put before its message; code and payloads are kept.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

}  // namespace metamcp
