#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "common/config/config.h"

namespace metamcp::cli {

// One thing that was looked at.
struct Finding {
  enum class Outcome { kOk, kWarning, kFailed, kSkipped };
  std::string area;  // installation, configuration, gateway, "server <name>"
  std::string step;
  Outcome outcome = Outcome::kOk;
  std::string detail;
  std::string mend;
  std::string playbook;  // file below docs/playbooks
};

std::string_view OutcomeName(Finding::Outcome outcome);

// What was found, in order.
class Findings {
 public:
  void Ok(std::string area, std::string step, std::string detail);
  void Warn(std::string area, std::string step, std::string detail, std::string mend,
            std::string playbook);
  void Failed(std::string area, std::string step, std::string detail, std::string mend,
              std::string playbook);
  void Add(Finding finding) { list_.push_back(std::move(finding)); }
  const std::vector<Finding>& list() const { return list_; }
  bool failed() const;

 private:
  std::vector<Finding> list_;
};

// Version, data folder, key file, free space.
void CheckInstallation(CommandContext& ctx, Findings* findings);
// The configuration file; returns what could be loaded (the defaults when nothing could).
config::Config CheckConfiguration(CommandContext& ctx, Findings* findings);
// The files of the listener's TLS, where there are any.
void CheckListenerTls(const config::GatewayTlsConfig& tls, Findings* findings);
// Opens the database as the gateway would, if it exists.
void CheckDatabase(CommandContext& ctx, const config::Config& config, Findings* findings);
// Looks at one server from here, where no gateway runs: variables, command and folder, or name,
// connection, TLS and credentials. Starts nothing.
void CheckServerLocally(CommandContext& ctx, const std::string& name,
                        const config::ServerConfig& server, Findings* findings);

}  // namespace metamcp::cli
