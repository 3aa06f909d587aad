#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/http/http_types.h"

// Failures in the shape of OpenAI's API, which its clients read.
namespace metamcp::gateway {

// {"error":{"message","type","param","code"}}; code is the reason in lower case.
std::string ModelErrorBody(const absl::Status& status);
// With the HTTP status of the registry, and Retry-After where it is known.
http::HttpResponse ModelError(const absl::Status& status);

}  // namespace metamcp::gateway
