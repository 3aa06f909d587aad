#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/connector/child_process.h"
#include "services/connector/sandbox/machine.h"
#include "services/connector/sandbox/profile.h"

namespace metamcp::connector::sandbox {

// What one start needs beside the profile.
struct StartOptions {
  std::string command;  // as configured
  std::vector<std::string> args;
  std::string cwd;                         // empty: the server's own home
  std::map<std::string, std::string> env;  // complete: nothing is added
  std::string file;                        // the program, absolute
  std::string proxy_socket;                // outside; empty: no proxy
  std::vector<std::string> entrances;      // of cgroups
  bool report = false;                     // of ProbeBlocking
};

// Returns how to start it: our launcher enters the cgroups and starts bubblewrap, that the launcher
// again, that the program (launch.h). Nothing of args and env is in an argument of a process
// outside. Errors: INTERNAL, UPSTREAM_UNAVAILABLE for a path of the profile that is not there.
absl::StatusOr<SpawnPlan> MakePlan(const Machine& machine, const Profile& profile,
                                   const StartOptions& start);

}  // namespace metamcp::connector::sandbox
