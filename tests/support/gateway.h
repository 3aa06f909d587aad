#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/mcp_client.h"
#include "tests/support/process.h"

namespace metamcp::testing {

inline constexpr std::chrono::seconds kPatience{30};

// A fixture over HTTP: started at once, its URL known.
class HttpFixture {
 public:
  HttpFixture(const std::string& program, std::vector<std::string> arguments);
  const std::string& url() const { return url_; }
  Process& process() { return process_; }

 private:
  static std::vector<std::string> Command(const std::string& program,
                                          std::vector<std::string> arguments);
  Process process_;
  std::string url_;
};

// Entries of mcpServers.
Json EchoServer(const std::string& name, std::vector<std::string> more = {});
Json HostileServer(const std::string& mode);
Json UrlServer(const std::string& url);

// `meta-mcp serve` with a configuration and a data folder of its own.
class Gateway {
 public:
  Gateway();
  // The configuration; the listener is set to a free port, watching for changes stays on.
  void Configure(Json config);
  void ConfigureServers(Json servers);
  void WriteConfigText(const std::string& text);

  // Starts it and waits for its ready line. False when it ended or said nothing.
  bool Start(const std::vector<std::string>& more = {});
  // Ends it with SIGTERM; its exit code.
  std::optional<int> Stop();
  void Kill();

  McpClient Client(ClientEra era, const std::string& path = "/mcp") const;
  bool WaitForTools(const std::vector<std::string>& names,
                    std::chrono::milliseconds limit = kPatience) const;
  bool WaitUntilGone(const std::string& tool) const;
  // One request to the admin REST API: "POST", "/upstreams".
  HttpAnswer Rest(const std::string& method, const std::string& path,
                  const std::string& body = "") const;

  Process& process() { return *process_; }
  pid_t pid() const { return process_->pid(); }
  const std::string& base() const { return base_; }
  uint16_t port() const { return Url(base_).port; }
  std::string config_path() const { return dir_.File("config.json"); }
  std::string data_dir() const { return dir_.File("data"); }
  std::string Log() const { return ReadFile(dir_.File("stderr")); }
  std::chrono::milliseconds ready_after() const { return ready_after_; }
  // The living child whose command line holds `word`; 0 where there is none.
  pid_t ChildWith(const std::string& word) const;

 private:
  TempDir dir_;
  std::unique_ptr<Process> process_;
  std::string base_;
  std::chrono::milliseconds ready_after_{0};
};

}  // namespace metamcp::testing
