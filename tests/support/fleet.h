#pragma once

#include <signal.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/gateway.h"

namespace metamcp::testing {

// Processes of `meta-mcp serve --services`, any mix of each, with mutual TLS between them: one
// configuration and one keys' file, a data folder, an address and a certificate for each.
class Fleet {
 public:
  // `members`: name and services, "gateway,connector". `more`: further members of the
  // configuration.
  Fleet(const std::string& database, Json servers,
        std::vector<std::pair<std::string, std::string>> members, Json more = Json::object());

  // In the given order, each when the one before is ready.
  bool StartAll();
  bool Start(const std::string& name);
  void Kill(const std::string& name);
  // SIGSTOP or SIGCONT.
  void Freeze(const std::string& name, int signal) { Of(name).process->Signal(signal); }
  // SIGTERM; End waits for the exit code.
  void Terminate(const std::string& name) { Of(name).process->Signal(SIGTERM); }
  std::optional<int> End(const std::string& name, std::chrono::milliseconds limit = kPatience);

  // URL of /mcp at a member with a gateway.
  const std::string& mcp(const std::string& name) const { return members_.at(name).mcp; }
  const std::string& address(const std::string& name) const { return members_.at(name).listen; }
  pid_t pid(const std::string& name) { return Of(name).process->pid(); }
  // Whether all these tools are listed there before long.
  bool WaitForTools(const std::string& name, const std::vector<std::string>& tools) const;
  // Name of the member that has a child with `word` in its command line; empty for none.
  std::string RunnerOf(const std::string& word);
  std::string certs() const { return dir_.File("certs"); }
  // meta-mcp with these arguments; its exit code.
  int Command(std::vector<std::string> arguments) const;
  std::string Log() const { return "\n" + ReadFile(dir_.File("stderr")); }

 private:
  struct Member {
    std::string services, listen, mcp;
    std::unique_ptr<Process> process;
  };
  Member& Of(const std::string& name) { return members_.at(name); }

  TempDir dir_;
  const std::string database_;
  std::vector<std::string> order_;
  std::map<std::string, Member> members_;
  std::string catalogs_;
};

}  // namespace metamcp::testing
