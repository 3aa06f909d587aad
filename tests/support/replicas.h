#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/gateway.h"

namespace metamcp::testing {

// An address that was free a moment ago: a process that comes back must be found where it was.
std::string FreeAddress();

// A catalog, two connectors and two gateways that find each other through the catalog and share
// their keys' file; each has a data folder of its own.
class Replicas {
 public:
  Replicas(const std::string& database, Json servers);

  bool StartAll();
  bool StartCatalog();
  bool StartConnector(int which);
  bool StartGateway(int which);
  void KillConnector(int which);
  void KillGateway(int which);

  std::string keys_file() const { return dir_.File("keys.json"); }
  // Puts another file in the place of the keys'.
  void WriteKeys(const std::vector<Json>& keys) const;
  // URL of /mcp at a gateway.
  const std::string& mcp(int gateway) const { return mcp_[gateway]; }
  // At every gateway.
  bool WaitForTools(const std::vector<std::string>& names) const;
  // The connector that has a child with `word` in its command line; -1 for none.
  int RunnerOf(const std::string& word) const;
  size_t ChildrenThatRun(const std::string& word) const;
  std::string Log() const { return "\n" + ReadFile(dir_.File("stderr")); }

 private:
  bool Start(std::unique_ptr<Process>* process, const std::string& program,
             const std::string& folder, std::vector<std::string> more);
  size_t CountChildren(int connector, const std::string& word) const;

  TempDir dir_;
  const std::string database_, catalog_address_;
  std::string ready_;
  std::array<std::string, 2> connector_addresses_, gateway_addresses_, mcp_;
  std::unique_ptr<Process> catalog_;
  std::array<std::unique_ptr<Process>, 2> connectors_, gateways_;
};

}  // namespace metamcp::testing
