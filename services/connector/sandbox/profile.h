#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config/config.h"
#include "common/config/expand.h"
#include "metamcp/catalog/v1/catalog.pb.h"

namespace metamcp::connector::sandbox {

// The rules of one server, complete.
struct Profile {
  std::string name;  // as it is shown: none, default, strict or the operator's own
  bool confined = false;
  std::vector<std::string> read;   // absolute paths
  std::vector<std::string> write;  // absolute paths
  bool host_network = false;
  // What the egress proxy lets through where it is not empty: "public", "host:port".
  std::vector<std::string> allowed;
  std::vector<std::string> env;
  int64_t memory_bytes = 0;
  int64_t processes = 0;
  int64_t cpu_s = 0;  // 0: no limit
  int64_t files = 0;
  int64_t file_bytes = 0;
};

// Returns what `spec` asks for under this connector's settings: the named profile, else
// sandbox.profile; lists of paths and variables add to it, a network replaces its network, numbers
// replace its numbers. References in paths are resolved.
// Errors: CONFIG_INVALID for an unknown profile, a path that is not absolute or a malformed network
// entry; what Expand says.
absl::StatusOr<Profile> ResolveProfile(const config::SandboxConfig& settings,
                                       const metamcp::catalog::v1::UpstreamSandbox& spec,
                                       const config::Environment& environment);

// Whether what starts is decided: false for a package runner (npx, uvx, pipx run, bunx, pnpm dlx,
// yarn dlx, npm exec, uv tool run, docker run) whose package has no exact version. `mend` says what
// to write then.
bool IsPinned(const std::string& command, const std::vector<std::string>& args, std::string* mend);

}  // namespace metamcp::connector::sandbox
