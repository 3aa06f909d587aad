#include "gateway/admin/problem.h"

#include "common/auth/challenge.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/retry_headers.h"

namespace metamcp::gateway::admin {

std::string ProblemBody(const absl::Status& status) {
  const WireError wire = ToWireError(status, mcp::Era::kModern);
  auto data = json::ScanObject(wire.error.data);
  std::string members = "{}";
  if (data.ok()) {
    json::Splicer splicer(*data);
    splicer.SetString("message", wire.error.message);
    members = splicer.Build();
  }
  json::ObjectWriter body;
  body.Add("error", members);
  return std::move(body).Build();
}

int ProblemStatus(const absl::Status& status) {
  const int http = ToWireError(status, mcp::Era::kModern).http;
  if (http != 200) return http;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnknown:  // an upstream answered with an error
      return 502;
    default:
      return 500;
  }
}

http::HttpResponse MakeProblem(const absl::Status& status) {
  http::HttpResponse response(ProblemStatus(status), "application/json", ProblemBody(status));
  const std::string challenge = auth::ChallengeOf(status);
  if (!challenge.empty() || response.status == 401) {
    response.headers.Add("WWW-Authenticate", challenge.empty() ? auth::kPlainChallenge : challenge);
  }
  if (IsLimit(status)) {
    AddRetryHeaders(status, response.status, [&response](auto name, const auto& value) {
      response.headers.Add(name, value);
    });
  }
  return response;
}

}  // namespace metamcp::gateway::admin
