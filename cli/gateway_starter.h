#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace metamcp::cli {

class CommandContext;

struct StartOptions {
  std::string program;            // absolute path, or a name looked up in PATH
  std::vector<std::string> args;  // "serve", "--on-demand", ...
  std::string data_dir;
  std::string socket;  // where the gateway will listen
  std::chrono::milliseconds limit{30'000};
};

// Makes sure that a gateway listens on `socket`: joins a running one, or starts one in a session of
// its own, with its stderr in <data-dir>/serve.log. Two that start at once end with the same
// gateway (lock on <data-dir>/start.lock). Blocks.
// Errors: GATEWAY_UNREACHABLE with the last lines of the log; PERMISSION_DENIED for the folder.
absl::Status EnsureGatewayBlocking(const StartOptions& options);

// The same with the program, folders and configuration of `ctx`: "serve --on-demand".
absl::Status StartOnDemandBlocking(const CommandContext& ctx);

// Whether somebody listens on the unix socket.
bool ListensBlocking(const std::string& socket);

}  // namespace metamcp::cli
