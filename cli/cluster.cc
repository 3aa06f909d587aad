#include "cli/cluster.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <set>

#include "absl/strings/str_join.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/cluster/role_channel.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

// A lease runs for three of these and a little (services/catalog/directory).
constexpr std::chrono::milliseconds kHeartbeat{1500};
constexpr std::chrono::milliseconds kRetry{300};
constexpr std::chrono::seconds kPatience{2};

CallContext DirectoryContext() {
  auto who = std::make_shared<Principal>();
  who->subject = "meta-mcp";
  who->kind = "service";
  who->method = "internal";
  return CallContext(std::move(who), CallContext::Clock::now() + kPatience);
}

absl::Status Stale() {
  return MakeError("DATABASE_UNAVAILABLE", "catalog",
                   "the catalog does not reach its database; who was there last is taken to be");
}

}  // namespace

Cluster::Cluster(bool clustered, rpc::ChannelOptions channels,
                 catalog::v1::DirectoryService& directory)
    : directory_(directory),
      members_(cluster::NewInstanceId(), clustered),
      channels_(members_, std::move(channels)),
      edge_peers_(members_, &directory,
                  [this](const cluster::Member& member)
                      -> absl::StatusOr<std::shared_ptr<gateway::v1::EdgePeerService>> {
                    METAMCP_ASSIGN_OR_RETURN(auto channel, channels_.To(member, "gateway"));
                    return std::shared_ptr<gateway::v1::EdgePeerService>(
                        gateway::v1::MakeEdgePeerServiceClient(std::move(channel)));
                  }) {
  members_.refresh = [this] { return Refresh(); };
}

gateway::Connectors& Cluster::MakeConnectors(gateway::ConnectorClient own, bool own_is_here) {
  auto dial = [this, own, own_is_here](
                  const cluster::Member& member) -> absl::StatusOr<gateway::ConnectorClient> {
    if (own_is_here && member.instance == members_.self()) return own;
    METAMCP_ASSIGN_OR_RETURN(auto channel, channels_.To(member, "connector"));
    gateway::ConnectorClient client;
    client.provider = provider::v1::MakeProviderServiceClient(channel);
    client.connector = connector::v1::MakeConnectorServiceClient(channel);
    return client;
  };
  connectors_ = std::make_unique<gateway::Connectors>(members_, std::move(own), std::move(dial));
  return *connectors_;
}

std::shared_ptr<rpc::Channel> Cluster::To(const std::string& role) {
  return std::make_shared<cluster::RoleChannel>(members_, channels_, role);
}

std::vector<telemetry::Peer> Cluster::TelemetryPeers() {
  std::vector<telemetry::Peer> peers;
  std::set<std::string> seen = {members_.self()};
  for (const char* role : {"gateway", "connector", "workflow", "ai"}) {
    for (const cluster::Member& member : members_.With(role)) {
      if (!seen.insert(member.instance).second) continue;
      auto channel = channels_.To(member, role);
      if (!channel.ok()) continue;
      telemetry::Peer& peer = peers.emplace_back();
      peer.instance = member.instance;
      peer.service = absl::StrJoin(member.roles, ",");
      peer.client = telemetry::v1::MakeTelemetryServiceClient(*std::move(channel));
    }
  }
  return peers;
}

Awaitable<absl::Status> Cluster::Join(std::string address, std::vector<std::string> roles) {
  self_.set_instance(members_.self());
  self_.set_address(std::move(address));
  for (std::string& role : roles) self_.add_roles(std::move(role));
  joined_ = true;
  co_return co_await Announce(false);
}

// A catalog that stands still answers nothing and refuses nothing. After one silence two are asked
// at the same time, so that a lease does not depend on whose turn it is.
Awaitable<absl::StatusOr<catalog::v1::AnnounceResponse>> Cluster::Ask(
    catalog::v1::AnnounceRequest request) {
  using boost::asio::experimental::awaitable_operators::operator||;
  const CallContext ctx = DirectoryContext();
  absl::StatusOr<catalog::v1::AnnounceResponse> response;
  if (unheard_) {
    auto one = directory_.Announce(ctx, request);
    auto another = directory_.Announce(ctx, request);
    auto first = co_await (std::move(one) || std::move(another));
    response = first.index() == 0 ? std::get<0>(std::move(first)) : std::get<1>(std::move(first));
  } else {
    auto announcing = directory_.Announce(ctx, std::move(request));
    response = co_await std::move(announcing);
  }
  unheard_ = absl::IsDeadlineExceeded(response.status());
  co_return response;
}

Awaitable<absl::Status> Cluster::Announce(bool leaving) {
  catalog::v1::AnnounceRequest request;
  *request.mutable_member() = self_;
  request.set_leaving(leaving);
  auto asking = Ask(std::move(request));
  const auto response = co_await std::move(asking);
  members_.silent = !response.ok() || response->stale();
  if (!response.ok()) co_return response.status();
  if (leaving) co_return absl::OkStatus();
  std::vector<cluster::Member> alive;
  for (const catalog::v1::Member& from : response->members()) {
    cluster::Member& member = alive.emplace_back();
    member.instance = from.instance();
    member.address = from.address();
    member.roles.assign(from.roles().begin(), from.roles().end());
    member.since_us = from.since_us();
  }
  // Who has just come knows nobody else.
  if (response->stale() && !members_.With("connector").empty()) co_return Stale();
  members_.Replace(std::move(alive));
  co_return response->stale() ? Stale() : absl::OkStatus();
}

Awaitable<void> Cluster::Refresh() {
  if (joined_) (void)co_await Announce(false);
}

Awaitable<void> Cluster::Run() {
  bool known = true;
  for (;;) {
    const bool slept = co_await Sleep(known ? kHeartbeat : kRetry);
    if (!slept) co_return;
    const absl::Status announced = co_await Announce(false);
    if (announced.ok() != known) {
      Log(announced.ok() ? LogLevel::kInfo : LogLevel::kWarning,
          announced.ok() ? "cluster.joined" : "cluster.directory_lost",
          {{"instance", members_.self()}, {"error", std::string(announced.message())}});
    }
    known = announced.ok();
  }
}

Awaitable<bool> Cluster::Retire(std::string role) {
  if (!joined_) co_return false;
  std::vector<std::string> kept;
  for (const std::string& one : self_.roles()) {
    if (one != role) kept.push_back(one);
  }
  self_.mutable_roles()->Assign(kept.begin(), kept.end());
  auto announcing = Announce(false);
  const absl::Status announced = co_await std::move(announcing);
  if (!announced.ok()) co_return false;
  const std::vector<cluster::Member> others = members_.With(role);
  co_return std::any_of(others.begin(), others.end(), [this](const cluster::Member& member) {
    return member.instance != members_.self();
  });
}

Awaitable<void> Cluster::Leave() {
  if (!joined_) co_return;
  joined_ = false;
  (void)co_await Announce(true);
}

}  // namespace metamcp::cli
