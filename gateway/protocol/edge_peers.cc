#include "gateway/protocol/edge_peers.h"

#include <algorithm>
#include <set>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

using Clock = CallContext::Clock;

// A subscription waits for its upstream at most 10 s.
constexpr std::chrono::seconds kDeliver{15};
// Who does not answer a short question in this time is not waited for.
constexpr std::chrono::seconds kShort{2};
constexpr std::chrono::seconds kStore{5};
// A stream is opened anew by its client after this, so that no RPC lives for ever.
constexpr std::chrono::hours kAttach{12};
constexpr size_t kMarksAtOnce = 1000;
constexpr size_t kHandlesAtOnce = 10000;

CallContext SystemContext(Clock::duration time) {
  auto who = std::make_shared<Principal>();
  who->subject = "meta-mcp";
  who->kind = "service";
  who->roles = {"admin"};
  who->method = "internal";
  return CallContext(std::move(who), Clock::now() + time);
}

absl::Status Gone() {
  return MakeError("SESSION_NOT_FOUND", "gateway",
                   "the gateway that held this session's stream has ended; initialize again");
}

absl::Status Unreachable() {
  return MakeError("PEER_UNAVAILABLE", "gateway",
                   "the gateway that holds this session's stream does not answer");
}

// What the transport says of a peer, in our words; what the peer itself says stays.
absl::Status FromPeer(const absl::Status& status) {
  if (status.ok() || GetErrorInfo(status)) return status;
  if (absl::IsCancelled(status)) return status;
  return Unreachable();
}

}  // namespace

EdgePeers::EdgePeers(cluster::Members& members, catalog::v1::DirectoryService* directory, Dial dial)
    : members_(members), directory_(directory), dial_(std::move(dial)) {}

std::vector<cluster::Member> EdgePeers::Others() const {
  std::vector<cluster::Member> out = members_.With("gateway");
  std::erase_if(out, [this](const cluster::Member& m) { return m.instance == self(); });
  return out;
}

Awaitable<absl::StatusOr<EdgePeers::Peer>> EdgePeers::Reach(std::string instance) {
  if (instance == self()) co_return Gone();
  auto looking = members_.Look(std::move(instance));
  const std::optional<cluster::Member> member = co_await std::move(looking);
  if (!member && members_.silent) co_return Unreachable();
  if (!member || !member->Has("gateway")) co_return Gone();
  co_return dial_(*member);
}

Awaitable<absl::StatusOr<v1::DeliverResponse>> EdgePeers::Deliver(
    std::shared_ptr<const Principal> who, v1::DeliverRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(const Peer peer, co_await Reach(request.target()));
  const CallContext ctx(std::move(who), Clock::now() + kDeliver);
  auto calling = peer->Deliver(ctx, std::move(request));
  auto response = co_await std::move(calling);
  if (!response.ok()) co_return FromPeer(response.status());
  co_return response;
}

Awaitable<absl::Status> EdgePeers::Attach(std::shared_ptr<const Principal> who,
                                          v1::AttachRequest request,
                                          Sink<v1::AttachResponse>& sink) {
  METAMCP_CO_ASSIGN_OR_RETURN(const Peer peer, co_await Reach(request.target()));
  const CallContext ctx(std::move(who), Clock::now() + kAttach);
  auto calling = peer->Attach(ctx, std::move(request), sink);
  const absl::Status status = co_await std::move(calling);
  co_return FromPeer(status);
}

Awaitable<std::vector<v1::DeliverResponse>> EdgePeers::DeliverToOthers(
    std::shared_ptr<const Principal> who, v1::DeliverRequest request, bool all) {
  std::vector<v1::DeliverResponse> taken;
  std::set<std::string> asked;
  // In the second round those who joined since the last look at the directory.
  for (int round = 0; round < 2; ++round) {
    if (round > 0) co_await members_.Ask();
    const std::vector<cluster::Member> others = Others();
    for (const cluster::Member& member : others) {
      if (!asked.insert(member.instance).second) continue;
      const auto peer = dial_(member);
      if (!peer.ok()) continue;
      request.set_target(member.instance);
      const CallContext ctx(who, Clock::now() + (all ? kDeliver : kShort));
      auto calling = (*peer)->Deliver(ctx, request);
      auto response = co_await std::move(calling);
      if (!response.ok() || !response->taken()) continue;
      taken.push_back(*std::move(response));
      if (!all) co_return taken;
    }
  }
  co_return taken;
}

Awaitable<absl::Status> EdgePeers::Publish(std::vector<SessionMark> marks) {
  absl::Status stored;
  // Who has just come must hear of it too.
  if (clustered() && members_.refresh) {
    auto refreshing = members_.refresh();
    co_await std::move(refreshing);
  }
  const std::vector<cluster::Member> others = Others();
  for (size_t at = 0; at < marks.size(); at += kMarksAtOnce) {
    catalog::v1::MarkSessionsRequest request;
    v1::TellMarksRequest told;
    for (size_t i = at; i < std::min(marks.size(), at + kMarksAtOnce); ++i) {
      *request.add_marks() = marks[i];
      *told.add_marks() = marks[i];
    }
    if (directory_ != nullptr) {
      const CallContext ctx = SystemContext(kStore);
      auto storing = directory_->MarkSessions(ctx, std::move(request));
      const auto response = co_await std::move(storing);
      if (!response.ok()) stored = response.status();
    }
    for (const cluster::Member& member : others) {
      const auto peer = dial_(member);
      if (!peer.ok()) continue;
      const CallContext ctx = SystemContext(kShort);
      auto telling = (*peer)->TellMarks(ctx, told);
      const auto response = co_await std::move(telling);
      if (response.ok()) continue;
      Log(LogLevel::kWarning, "peer.not_told",
          {{"instance", member.instance}, {"error", std::string(response.status().message())}});
    }
  }
  co_return stored;
}

Awaitable<absl::Status> EdgePeers::ReadMarks(std::function<void(const SessionMark&)> take) {
  if (directory_ == nullptr) co_return absl::OkStatus();
  for (bool more = true; more;) {
    catalog::v1::ListSessionMarksRequest request;
    request.set_after(marks_head_);
    const CallContext ctx = SystemContext(kStore);
    auto reading = directory_->ListSessionMarks(ctx, std::move(request));
    const auto response = co_await std::move(reading);
    if (!response.ok()) co_return response.status();
    for (const SessionMark& mark : response->marks()) take(mark);
    marks_head_ = response->head();
    more = response->more();
  }
  co_return absl::OkStatus();
}

Awaitable<std::map<std::string, int64_t>> EdgePeers::LastUsed(std::vector<std::string> handles) {
  std::map<std::string, int64_t> out;
  const std::vector<cluster::Member> others = Others();
  for (const cluster::Member& member : others) {
    const auto peer = dial_(member);
    if (!peer.ok()) continue;
    for (size_t at = 0; at < handles.size(); at += kHandlesAtOnce) {
      v1::LastUsedRequest request;
      const size_t end = std::min(handles.size(), at + kHandlesAtOnce);
      for (size_t i = at; i < end; ++i) request.add_handles(handles[i]);
      const CallContext ctx = SystemContext(kShort);
      auto asking = (*peer)->LastUsed(ctx, std::move(request));
      const auto response = co_await std::move(asking);
      if (!response.ok()) continue;
      for (int i = 0; i < response->last_used_us_size() && at + i < end; ++i) {
        int64_t& latest = out[handles[at + i]];
        latest = std::max(latest, response->last_used_us(i));
      }
    }
  }
  co_return out;
}

}  // namespace metamcp::gateway
