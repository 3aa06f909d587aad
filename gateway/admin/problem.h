#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/http/http_types.h"

namespace metamcp::gateway::admin {

// The body of a failed request: {"error":{"reason","message","hint","source","class",…}} with the
// members of the error's metadata beside them. Internal errors lose their message.
std::string ProblemBody(const absl::Status& status);

// The HTTP status of a failed request: the registry's; where MCP answers in band (200), what the
// status code means.
int ProblemStatus(const absl::Status& status);

http::HttpResponse MakeProblem(const absl::Status& status);

}  // namespace metamcp::gateway::admin
