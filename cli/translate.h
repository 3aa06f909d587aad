#pragma once

#include <string>
#include <vector>

#include "common/config/expand.h"

namespace metamcp::cli {

// Carries MCP servers from one transport to another: a gateway and a connector in this process,
// without prefixes, without a file and without a database on disk.
struct TranslateOptions {
  // A program or a URL.
  struct Source {
    std::string type;  // stdio, http, sse or ws
    std::vector<std::string> command;
    std::string url;
  };
  std::vector<Source> sources;
  std::string authorization;  // header for the sources' URLs; may be empty
  bool allow_plain_http = false;
  int64_t timeout_ms = 0;   // of one call; 0: as usual
  int64_t concurrency = 0;  // calls at once; 0: as usual
  config::Environment env;

  // Where it is served: HTTP, else a program's pipes, else our own stdin and stdout.
  bool listen = false;
  std::string address = "127.0.0.1:8000";
  bool expose_sse = false;
  bool expose_http = false;
  bool expose_ws = false;
  std::string sse_path = "/sse";
  std::string messages_path = "/messages";
  int64_t keep_alive_ms = 30'000;
  std::vector<std::string> cors_origins;
  std::string key;  // that clients must show; needed beyond loopback
  bool stateless = false;
  bool json_only = false;
  std::vector<std::string> client_command;

  std::string log_level = "info";
  std::string service = "translate";  // in log lines
};

// Runs until SIGINT or SIGTERM, until stdin is at its end, or until the program has ended. Prints
// `ready mcp=URL sse=URL ws=URL pid=N` where it listens. Returns the exit code: 0, 1 failed, 2
// configuration.
int RunTranslate(const TranslateOptions& options);

}  // namespace metamcp::cli
