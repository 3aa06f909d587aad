#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/expand.h"
#include "metamcp/catalog/v1/catalog.pb.h"
#include "services/connector/child_process.h"
#include "services/connector/login/credentials.h"

namespace metamcp::connector {

// How one upstream is reached, with every ${VAR} replaced. Holds secrets: never logged.
struct Target {
  std::string slug;
  std::string domain;  // "upstream:<slug>"
  std::string type;    // stdio, http, sse or ws
  std::string era;     // auto, legacy or modern
  SpawnOptions spawn;
  metamcp::catalog::v1::UpstreamSandbox sandbox;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  bool allow_tls12 = false;
  bool allow_plain_http = false;
  std::string ca_file;
  std::string client_cert_file;
  std::string client_key_file;
  AuthOptions auth;
  // Whether the operator has given it a bearer token or the like by hand.
  bool has_authorization() const;
};

// Errors: NOT_FOUND and INVALID_ARGUMENT naming the reference that cannot be resolved or the
// member that is wrong.
absl::StatusOr<Target> ResolveTarget(const std::string& slug,
                                     const metamcp::catalog::v1::UpstreamSpec& spec,
                                     const config::Environment& environment);

}  // namespace metamcp::connector
