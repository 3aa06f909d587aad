#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/async/sink.h"
#include "common/cluster/members.h"
#include "common/cluster/peer_channels.h"
#include "gateway/protocol/edge_peers.h"
#include "gateway/routing/connectors.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"
#include "services/telemetry/app.h"

namespace metamcp::cli {

// This process's part in a cluster: its lease in the directory, and the others as its gateway
// reaches them. Thread: the io thread.
class Cluster {
 public:
  // A process that listens for services (`clustered`) can have others beside it. `directory` must
  // outlive this.
  Cluster(bool clustered, rpc::ChannelOptions channels, catalog::v1::DirectoryService& directory);

  cluster::Members& members() { return members_; }
  catalog::v1::DirectoryService& directory() { return directory_; }
  gateway::EdgePeers& edge_peers() { return edge_peers_; }
  // Every connector of the cluster as one; `own` is the one of this process, or the configured one.
  gateway::Connectors& MakeConnectors(gateway::ConnectorClient own, bool own_is_here);

  // Whoever has that role, as one service.
  std::shared_ptr<rpc::Channel> To(const std::string& role);

  // Those that telemetry can be asked of: every other process that has joined.
  std::vector<telemetry::Peer> TelemetryPeers();

  // Who this process is from now on. Asks the directory once.
  Awaitable<absl::Status> Join(std::string address, std::vector<std::string> roles);
  // Keeps the lease until cancelled.
  Awaitable<void> Run();
  // From now on this process is no `role` any more, which the others learn with their next
  // heartbeat. Whether others have it.
  Awaitable<bool> Retire(std::string role);
  // Gives it up: others need not wait for it to expire.
  Awaitable<void> Leave();

 private:
  Awaitable<absl::Status> Announce(bool leaving);
  Awaitable<absl::StatusOr<catalog::v1::AnnounceResponse>> Ask(
      catalog::v1::AnnounceRequest request);
  Awaitable<void> Refresh();

  catalog::v1::DirectoryService& directory_;
  cluster::Members members_;
  cluster::PeerChannels channels_;
  gateway::EdgePeers edge_peers_;
  std::unique_ptr<gateway::Connectors> connectors_;
  catalog::v1::Member self_;
  bool joined_ = false;
  bool unheard_ = false;  // the last announcement got no answer in time
};

}  // namespace metamcp::cli
