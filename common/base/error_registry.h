#pragma once

#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace metamcp {

// What a caller can do about an error.
enum class ErrorClass { kRetryable, kReconnect, kUser, kFatal };

// One row of the error registry: the one place where a reason gets its codes and its hint.
struct ErrorEntry {
  std::string_view reason;
  absl::StatusCode code;
  ErrorClass error_class;
  int jsonrpc_legacy;  // revisions up to 2025-11-25
  int jsonrpc_modern;  // 2026-07-28
  int http;
  std::string_view hint;  // what to do, one sentence
};

// All entries, sorted by reason. Thread: any.
std::span<const ErrorEntry> ErrorRegistry();

// Returns the entry of `reason`, or nullptr.
const ErrorEntry* FindError(std::string_view reason);

std::string_view ErrorClassName(ErrorClass c);

}  // namespace metamcp
