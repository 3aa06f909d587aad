#pragma once

#include <memory>
#include <set>
#include <string>

#include "common/cluster/members.h"
#include "common/cluster/peer_channels.h"
#include "common/rpc/channel.h"

namespace metamcp::cluster {

// A channel to whoever has a role, for generated clients: members take turns. A call that none has
// begun is made at another, and waits for a member to come for a short while; then it fails with
// SERVICE_UNREACHABLE. What a member may have begun is never sent twice: its loss comes back as the
// transport reports it (UNAVAILABLE without a reason). Single-threaded.
class RoleChannel final : public rpc::Channel {
 public:
  // `members` and `channels` must outlive this.
  RoleChannel(Members& members, PeerChannels& channels, std::string role)
      : members_(members), channels_(channels), role_(std::move(role)) {}

  Awaitable<absl::Status> Unary(const CallContext& ctx, const rpc::MethodInfo& method,
                                const google::protobuf::Message& request,
                                google::protobuf::Message& response) override;
  Awaitable<absl::Status> Stream(const CallContext& ctx, const rpc::MethodInfo& method,
                                 const google::protobuf::Message& request,
                                 Sink<rpc::MessagePtr>& sink) override;

 private:
  // The next member that is not among `tried`; waits for one. Errors: SERVICE_UNREACHABLE.
  Awaitable<absl::StatusOr<std::shared_ptr<rpc::Channel>>> Next(
      CallContext::Clock::time_point until, std::set<std::string>* tried);

  Members& members_;
  PeerChannels& channels_;
  const std::string role_;
  size_t turn_ = 0;
};

}  // namespace metamcp::cluster
