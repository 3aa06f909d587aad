#include "tests/support/fleet.h"

#include <signal.h>

#include <algorithm>
#include <sstream>

#include "tests/support/replicas.h"

namespace metamcp::testing {

Fleet::Fleet(const std::string& database, Json servers,
             std::vector<std::pair<std::string, std::string>> members, Json more)
    : database_(database) {
  Json config = {{"version", 1},
                 {"mcpServers", std::move(servers)},
                 {"services", {{"keysFile", dir_.File("keys.json")}}}};
  config.update(more);
  WriteFile(dir_.File("config.json"), config.dump());
  Command({"cert", "init", "--dir", certs()});
  for (const auto& [name, services] : members) {
    Member& member = members_[name];
    member.services = services;
    member.listen = FreeAddress();
    order_.push_back(name);
    if (services.find("catalog") != std::string::npos) {
      catalogs_ += (catalogs_.empty() ? "" : ",") + member.listen;
    }
    std::vector<std::string> issue = {"cert", "issue", name, "--dir", certs()};
    std::istringstream list(services);
    for (std::string role; std::getline(list, role, ',');) {
      issue.insert(issue.end(), {"--role", role});
    }
    Command(std::move(issue));
  }
}

int Fleet::Command(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {BinaryPath("meta-mcp"), "--data-dir", dir_.File("cli")});
  Process::Options options;
  options.stderr_file = dir_.File("stderr");
  Process process(arguments, options);
  return process.Wait(kPatience).value_or(-1);
}

bool Fleet::Start(const std::string& name) {
  Member& member = Of(name);
  std::vector<std::string> command = {BinaryPath("meta-mcp"),
                                      "serve",
                                      "--config",
                                      dir_.File("config.json"),
                                      "--data-dir",
                                      dir_.File(name),
                                      "--services",
                                      member.services,
                                      "--listen",
                                      "127.0.0.1:0"};
  Process::Options options;
  options.stderr_file = dir_.File("stderr");
  options.env = {{"META_MCP_SERVICES_LISTEN", member.listen},
                 {"META_MCP_SERVICES_TLS_CA", certs() + "/ca.pem"},
                 {"META_MCP_SERVICES_TLS_CERTIFICATE", certs() + "/" + name + ".pem"},
                 {"META_MCP_SERVICES_TLS_KEY", certs() + "/" + name + "-key.pem"},
                 {"META_MCP_DATABASE_POOL_SIZE", "3"}};
  const bool catalog = member.services.find("catalog") != std::string::npos;
  const bool workflow = member.services.find("workflow") != std::string::npos;
  if (catalog || workflow) options.env["META_MCP_DATABASE_URL"] = database_;
  if (!catalog) options.env["META_MCP_SERVICES_CATALOG_ADDRESS"] = catalogs_;
  member.process = std::make_unique<Process>(command, options);
  const std::string ready = member.process->ReadLine(kPatience).value_or("");
  const size_t at = ready.find("mcp=");
  if (at != std::string::npos) member.mcp = ready.substr(at + 4, ready.find(' ', at) - at - 4);
  return ready.rfind("ready ", 0) == 0;
}

bool Fleet::StartAll() {
  return std::all_of(order_.begin(), order_.end(),
                     [this](const std::string& name) { return Start(name); });
}

void Fleet::Kill(const std::string& name) {
  Of(name).process->Signal(SIGKILL);
  Of(name).process->Wait(kPatience);
}

std::optional<int> Fleet::End(const std::string& name, std::chrono::milliseconds limit) {
  Terminate(name);
  return Of(name).process->Wait(limit);
}

bool Fleet::WaitForTools(const std::string& name, const std::vector<std::string>& tools) const {
  return Eventually(kPatience, [&] {
    const std::vector<std::string> listed = McpClient(mcp(name), ClientEra::kModern).ToolNames();
    return std::all_of(tools.begin(), tools.end(), [&](const std::string& tool) {
      return std::find(listed.begin(), listed.end(), tool) != listed.end();
    });
  });
}

std::string Fleet::RunnerOf(const std::string& word) {
  for (auto& [name, member] : members_) {
    if (member.process == nullptr) continue;
    for (const pid_t child : ChildrenOf(member.process->pid())) {
      const std::vector<std::string> words = CommandLine(child);
      if (std::find(words.begin(), words.end(), word) != words.end()) return name;
    }
  }
  return {};
}

}  // namespace metamcp::testing
