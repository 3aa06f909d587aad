#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/key_ring.h"
#include "common/config/load.h"
#include "common/db/executor.h"
#include "common/http/http_client.h"
#include "common/rpc/tls.h"

// What every program of the suite does around its services: read the configuration, open the data
// folder, keys and database, run the event loop until a signal comes.
namespace metamcp::process {

struct StartOptions {
  std::string service;                       // in log lines, for example "meta-mcp"
  std::string config_path;                   // empty: <data_dir>/config.json
  std::string data_dir;                      // empty: ~/.meta-mcp
  std::map<std::string, std::string> flags;  // setting path -> value
  bool require_file = false;
  bool database = false;  // open it
};

// The opened ground. Destroy after the event loop has ended.
struct Ground {
  config::LoadOptions load_options;
  config::LoadResult loaded;
  std::string config_path;
  std::string data_dir;
  std::unique_ptr<KeyRing> keys;
  std::string keys_path;
  std::unique_ptr<db::Database> database;
  std::unique_ptr<db::DbExecutor> database_executor;
};

// Blocks. Sets up logging. The data folder is made with mode 0700. Errors: CONFIG_INVALID (with
// file, line, column and mend), DATABASE_UNAVAILABLE, PERMISSION_DENIED; the message is for people.
absl::StatusOr<Ground> OpenGroundBlocking(const StartOptions& options);

// "~/.meta-mcp", or the given folder with ~ replaced.
std::string DataDir(const std::string& given);

// Runs `main` on a fresh io_context until it ends. `main` gets a function that waits for the next
// signal: SIGHUP returns false, SIGINT and SIGTERM return true; a second SIGINT or SIGTERM exits at
// once with 130. Ignores SIGPIPE. Returns main's exit code.
using WaitSignal = std::function<Awaitable<bool>()>;
int RunLoop(std::function<Awaitable<int>(boost::asio::io_context&, WaitSignal)> main);

// Reads the key ring's file again; the ring keeps its keys if that fails. Returns whether they
// changed. Blocks.
absl::StatusOr<bool> ReloadKeysBlocking(Ground& ground);

// The mTLS side of services.tls, read from its files; null where none of it is set. `roles` are
// what this process runs: its certificate must name them. Blocks. Errors: CONFIG_INVALID.
absl::StatusOr<std::shared_ptr<rpc::Tls>> OpenTlsBlocking(const config::ServicesConfig& services,
                                                          const std::set<std::string>& roles);

// Exit code of a failed start: 2 for configuration, else 1.
int ExitCodeOf(const absl::Status& status);

}  // namespace metamcp::process
