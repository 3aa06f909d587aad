#include "tests/support/gateway.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>

namespace metamcp::testing {

std::vector<std::string> HttpFixture::Command(const std::string& program,
                                              std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), BinaryPath(program));
  arguments.insert(arguments.end(), {"--port", "0"});
  return arguments;
}

HttpFixture::HttpFixture(const std::string& program, std::vector<std::string> arguments)
    : process_(Command(program, std::move(arguments)), Process::Options()) {
  const Json said = Json::parse(process_.ReadLine(kPatience).value_or("{}"), nullptr, false);
  url_ = said.value("url", "");
}

Json EchoServer(const std::string& name, std::vector<std::string> more) {
  more.insert(more.begin(), {"--stdio", "--name", name});
  return {{"command", BinaryPath("metamcp-fixture-echo")}, {"args", more}};
}

Json HostileServer(const std::string& mode) {
  return {{"command", BinaryPath("metamcp-fixture-hostile")}, {"args", {mode}}};
}

Json UrlServer(const std::string& url) { return {{"type", "http"}, {"url", url}}; }

Gateway::Gateway() = default;

void Gateway::Configure(Json config) {
  config["version"] = 1;
  WriteConfigText(config.dump(2));
}

void Gateway::ConfigureServers(Json servers) { Configure({{"mcpServers", std::move(servers)}}); }

void Gateway::WriteConfigText(const std::string& text) { WriteFile(config_path(), text); }

bool Gateway::Start(const std::vector<std::string>& more) {
  std::vector<std::string> command = {
      BinaryPath("meta-mcp"), "serve",    "--config", config_path(),
      "--data-dir",           data_dir(), "--listen", "127.0.0.1:0"};
  command.insert(command.end(), more.begin(), more.end());
  Process::Options options;
  options.stderr_file = dir_.File("stderr");
  const auto begun = std::chrono::steady_clock::now();
  process_ = std::make_unique<Process>(command, options);
  const std::string line = process_->ReadLine(kPatience).value_or("");
  ready_after_ = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begun);
  const size_t at = line.find("mcp=");
  if (line.rfind("ready ", 0) != 0 || at == std::string::npos) return false;
  const std::string mcp = line.substr(at + 4, line.find(' ', at) - at - 4);
  base_ = mcp.substr(0, mcp.rfind("/mcp"));
  return true;
}

std::optional<int> Gateway::Stop() {
  process_->Signal(SIGTERM);
  return process_->Wait(kPatience);
}

void Gateway::Kill() {
  process_->Signal(SIGKILL);
  process_->Wait(kPatience);
}

McpClient Gateway::Client(ClientEra era, const std::string& path) const {
  return McpClient(base_ + path, era);
}

bool Gateway::WaitForTools(const std::vector<std::string>& names,
                           std::chrono::milliseconds limit) const {
  return Eventually(limit, [&] {
    McpClient client(base_ + "/mcp", ClientEra::kModern);
    const std::vector<std::string> listed = client.ToolNames();
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
      return std::find(listed.begin(), listed.end(), name) != listed.end();
    });
  });
}

bool Gateway::WaitUntilGone(const std::string& tool) const {
  return Eventually(kPatience, [&] {
    McpClient client(base_ + "/mcp", ClientEra::kModern);
    const std::vector<std::string> listed = client.ToolNames();
    return client.status() == 200 && std::find(listed.begin(), listed.end(), tool) == listed.end();
  });
}

HttpAnswer Gateway::Rest(const std::string& method, const std::string& path,
                         const std::string& body) const {
  const Url url(base_);
  HttpConnection connection(url.port);
  connection.Send(method + " /api/v1" + path + " HTTP/1.1\r\nHost: " + url.host +
                  "\r\nContent-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
  return connection.Read().value_or(HttpAnswer());
}

pid_t Gateway::ChildWith(const std::string& word) const {
  for (const pid_t child : ChildrenOf(pid())) {
    const std::vector<std::string> words = CommandLine(child);
    if (std::find(words.begin(), words.end(), word) != words.end()) return child;
  }
  return 0;
}

}  // namespace metamcp::testing
