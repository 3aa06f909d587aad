#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/cluster/members.h"
#include "common/rpc/channel.h"

namespace metamcp::cluster {

// One gRPC channel for each role of each member that was asked for; gone with the member.
// Single-threaded.
class PeerChannels {
 public:
  // `members` must outlive this.
  // `options` but for the roles.
  PeerChannels(Members& members, rpc::ChannelOptions options);
  PeerChannels(const PeerChannels&) = delete;
  PeerChannels& operator=(const PeerChannels&) = delete;

  // A channel that takes the member only if its certificate is for `role`, whatever it announced.
  // Errors: CONFIG_INVALID for an address that needs mTLS where none is configured.
  absl::StatusOr<std::shared_ptr<rpc::Channel>> To(const Member& member, const std::string& role);

 private:
  void Prune();

  Members& members_;
  const rpc::ChannelOptions options_;
  // By instance, not by address: a new process there is not the old one; and by role.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<rpc::Channel>> channels_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace metamcp::cluster
