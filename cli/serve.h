#pragma once

#include <map>
#include <set>
#include <string>

namespace metamcp::cli {

// What `meta-mcp serve` and the programs meta-mcp-<service> are asked to run.
struct ServeOptions {
  std::string program = "meta-mcp";
  std::string config_path;                   // empty: <data-dir>/config.json
  std::string data_dir;                      // empty: ~/.meta-mcp
  std::map<std::string, std::string> flags;  // setting path -> value, e.g. gateway.listen
  // Services of this process; the others are reached at services.<name>.address.
  std::set<std::string> services = {"gateway", "catalog", "connector", "workflow", "audit", "ai"};
  // End by itself a minute after the last client has gone.
  bool on_demand = false;
};

// Runs the services until SIGINT or SIGTERM. Prints `ready mcp=URL admin=URL pid=N` on stdout once
// it listens (for a process without the gateway: `ready grpc=ADDRESS pid=N`). SIGHUP, a change of
// the configuration file and POST /api/v1/config:reload apply the difference. Returns the exit
// code: 0, 1 failed, 2 configuration.
int RunServe(const ServeOptions& options);

// What this machine can enforce for programs that are started here, or "none: " and why not.
// Blocks some 20 ms.
std::string DescribeSandbox();

// Brings the tables of `options.services` up to date, says so on stdout and ends.
// Blocks. Returns the exit code: 0, 1 failed, 2 configuration.
int RunMigrate(const ServeOptions& options);

}  // namespace metamcp::cli
