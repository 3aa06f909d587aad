#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::cli {

// A program that is an MCP client on its stdin and stdout; its stderr is ours. The destructor
// closes the pipes, asks it to end (TERM) and, after 2 s, ends it.
class ClientProgram {
 public:
  // Errors: CONFIG_INVALID where it cannot be started.
  static absl::StatusOr<std::unique_ptr<ClientProgram>> Spawn(
      const std::vector<std::string>& command);
  ~ClientProgram();
  ClientProgram(const ClientProgram&) = delete;
  ClientProgram& operator=(const ClientProgram&) = delete;

  int in() const { return in_; }    // its stdin, to be written
  int out() const { return out_; }  // its stdout, to be read

 private:
  ClientProgram(int pid, int in, int out) : pid_(pid), in_(in), out_(out) {}
  const int pid_;
  const int in_;
  const int out_;
};

}  // namespace metamcp::cli
