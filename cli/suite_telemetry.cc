// What this process tells about itself; in a gateway, what all processes tell.
#include "absl/strings/str_join.h"
#include "cli/suite.h"
#include "common/base/status_macros.h"

namespace metamcp::cli {

// Processes that are named by an address and have not joined: of several behind one address, one is
// asked.
absl::StatusOr<std::vector<telemetry::Peer>> Suite::NamedPeers() const {
  const config::ServicesConfig& services = ground_.loaded.config.services;
  std::vector<telemetry::Peer> peers;
  for (const auto& [role, address] :
       std::map<std::string, std::string>{{"catalog", services.catalog.address},
                                          {"connector", services.connector.address},
                                          {"audit", services.audit.address}}) {
    if (Here(role) || address.empty()) continue;
    METAMCP_ASSIGN_OR_RETURN(auto channel, side_.Dial(role, address));
    telemetry::Peer& peer = peers.emplace_back();
    peer.instance = role;
    peer.service = role;
    peer.client = telemetry::v1::MakeTelemetryServiceClient(std::move(channel));
  }
  return peers;
}

absl::Status Suite::StartTelemetry() {
  telemetry::Peers peers;
  // Only who has a gateway is asked by people; the others answer it.
  if (Here("gateway") && cluster_) {
    METAMCP_ASSIGN_OR_RETURN(std::vector<telemetry::Peer> named, NamedPeers());
    peers = [this, named = std::move(named)] {
      std::vector<telemetry::Peer> all = cluster_->TelemetryPeers();
      all.insert(all.end(), named.begin(), named.end());
      return all;
    };
  }
  const std::string instance = cluster_ ? cluster_->members().self() : cluster::NewInstanceId();
  telemetry_ = telemetry::MakeTelemetryService(instance, absl::StrJoin(options_.services, ","),
                                               std::move(peers), tasks_);
  return absl::OkStatus();
}

}  // namespace metamcp::cli
