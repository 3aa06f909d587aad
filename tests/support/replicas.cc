#include "tests/support/replicas.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace metamcp::testing {
namespace {

void Kill(std::unique_ptr<Process>& process) {
  process->Signal(SIGKILL);
  process->Wait(std::chrono::seconds(10));
  process.reset();
}

}  // namespace

std::string FreeAddress() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

Replicas::Replicas(const std::string& database, Json servers)
    : database_(database), catalog_address_(FreeAddress()) {
  for (int i = 0; i < 2; ++i) {
    connector_addresses_[i] = FreeAddress();
    gateway_addresses_[i] = FreeAddress();
  }
  const Json config = {{"version", 1},
                       {"mcpServers", std::move(servers)},
                       {"services", {{"keysFile", keys_file()}}}};
  WriteFile(dir_.File("config.json"), config.dump());
}

bool Replicas::Start(std::unique_ptr<Process>* process, const std::string& program,
                     const std::string& folder, std::vector<std::string> more) {
  std::vector<std::string> command = {BinaryPath(program), "--config", dir_.File("config.json"),
                                      "--data-dir", dir_.File(folder)};
  command.insert(command.end(), more.begin(), more.end());
  Process::Options options;
  options.stderr_file = dir_.File("stderr");
  *process = std::make_unique<Process>(command, options);
  ready_ = (*process)->ReadLine(kPatience).value_or("");
  return ready_.rfind("ready ", 0) == 0;
}

bool Replicas::StartCatalog() {
  return Start(&catalog_, "meta-mcp-catalog", "catalog",
               {"--listen", catalog_address_, "--database-url", database_});
}

bool Replicas::StartConnector(int which) {
  return Start(&connectors_[which], "meta-mcp-connector", "connector" + std::to_string(which),
               {"--listen", connector_addresses_[which], "--catalog", catalog_address_});
}

bool Replicas::StartGateway(int which) {
  const bool ready = Start(&gateways_[which], "meta-mcp-gateway", "gateway" + std::to_string(which),
                           {"--listen", "127.0.0.1:0", "--grpc-listen", gateway_addresses_[which],
                            "--catalog", catalog_address_});
  const size_t at = ready_.find("mcp=");
  if (at != std::string::npos) mcp_[which] = ready_.substr(at + 4, ready_.find(' ', at) - at - 4);
  return ready && at != std::string::npos;
}

bool Replicas::StartAll() {
  return StartCatalog() && StartConnector(0) && StartConnector(1) && StartGateway(0) &&
         StartGateway(1);
}

void Replicas::KillConnector(int which) { Kill(connectors_[which]); }
void Replicas::KillGateway(int which) { Kill(gateways_[which]); }

void Replicas::WriteKeys(const std::vector<Json>& keys) const {
  const std::string next = keys_file() + ".next";
  WriteFile(next, Json({{"keys", keys}}).dump());
  ::chmod(next.c_str(), 0600);
  ::rename(next.c_str(), keys_file().c_str());
}

bool Replicas::WaitForTools(const std::vector<std::string>& names) const {
  return Eventually(kPatience, [&] {
    return std::all_of(mcp_.begin(), mcp_.end(), [&](const std::string& url) {
      const std::vector<std::string> listed = McpClient(url, ClientEra::kModern).ToolNames();
      return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return std::find(listed.begin(), listed.end(), name) != listed.end();
      });
    });
  });
}

size_t Replicas::CountChildren(int connector, const std::string& word) const {
  if (connectors_[connector] == nullptr) return 0;
  size_t count = 0;
  for (const pid_t child : ChildrenOf(connectors_[connector]->pid())) {
    const std::vector<std::string> words = CommandLine(child);
    count += std::any_of(words.begin(), words.end(), [&](const std::string& each) {
      return each == word || each == BinaryPath(word);
    });
  }
  return count;
}

int Replicas::RunnerOf(const std::string& word) const {
  for (int i = 0; i < 2; ++i) {
    if (CountChildren(i, word) > 0) return i;
  }
  return -1;
}

size_t Replicas::ChildrenThatRun(const std::string& word) const {
  return CountChildren(0, word) + CountChildren(1, word);
}

}  // namespace metamcp::testing
