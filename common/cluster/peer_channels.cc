#include "common/cluster/peer_channels.h"

#include "common/base/status_macros.h"

namespace metamcp::cluster {

PeerChannels::PeerChannels(Members& members, rpc::ChannelOptions options)
    : members_(members), options_(std::move(options)) {
  members.OnChange([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Prune();
  });
}

absl::StatusOr<std::shared_ptr<rpc::Channel>> PeerChannels::To(const Member& member,
                                                               const std::string& role) {
  auto& channel = channels_[{member.instance, role}];
  if (channel == nullptr) {
    rpc::ChannelOptions options = options_;
    options.roles = {role};
    METAMCP_ASSIGN_OR_RETURN(channel, rpc::Channel::Create(member.address, std::move(options)));
  }
  return channel;
}

void PeerChannels::Prune() {
  std::erase_if(channels_,
                [this](const auto& entry) { return members_.Find(entry.first.first) == nullptr; });
}

}  // namespace metamcp::cluster
