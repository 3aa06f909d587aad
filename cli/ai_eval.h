#pragma once

#include <string>

namespace metamcp::cli {

// `meta-mcp ai eval`: suggestions over captured catalogs, compared with gold plans.
struct EvalOptions {
  std::string folder;                // with catalogs/*.json and tasks
  std::string tasks = "tasks.json";  // in the folder
  std::string config_path;           // of the models; empty: <data-dir>/config.json
  std::string data_dir;
  bool with_model = false;
  bool json = false;
  bool verbose = false;  // a line for every task
};

// Runs catalog, workflow checker and ai service in this process over an empty database in memory,
// fills the catalog with the captured tool lists, suggests for every task and prints the figures.
// Blocks. Returns the exit code: 0, 1 failed, 2 configuration or data.
int RunAiEval(const EvalOptions& options);

}  // namespace metamcp::cli
