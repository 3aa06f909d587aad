#include "services/connector/leases.h"

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"

namespace metamcp::connector {
namespace {

namespace directory_pb = metamcp::catalog::v1;

constexpr std::chrono::seconds kPatience{3};
// Who has just come may go again at once.
constexpr std::chrono::microseconds kSettled = std::chrono::seconds(3);

CallContext DirectoryContext() {
  auto who = std::make_shared<Principal>();
  who->subject = "meta-mcp";
  who->kind = "service";
  who->method = "internal";
  return CallContext(std::move(who), CallContext::Clock::now() + kPatience);
}

}  // namespace

std::string Leases::OwnerOf(const std::string& id) const {
  const auto it = owners_.find(id);
  return it == owners_.end() ? std::string() : it->second;
}

Awaitable<absl::StatusOr<Leases::Verdict>> Leases::Ask(Wishes wishes) {
  const std::vector<cluster::Member> connectors = members_->With("connector");
  const std::string& self = members_->self();
  Verdict verdict;
  directory_pb::TakeUpstreamsRequest request;
  request.set_instance(self);
  for (const std::string& id : wishes.ended) request.add_release_ids(id);
  for (const std::string& id : wishes.desired) {
    const cluster::Member* winner = cluster::RendezvousWinner(id, connectors);
    const bool ours = winner == nullptr || winner->instance == self;
    if (wishes.running.count(id) > 0) {
      const bool settled =
          !ours && (wishes.leaving || winner->since_us + kSettled.count() < NowMicros());
      if (settled && wishes.busy.count(id) == 0) verdict.move.push_back(id);
      request.add_take_ids(id);
    } else if (ours && !wishes.leaving) {
      request.add_take_ids(id);
    } else {
      request.add_ask_ids(id);
    }
  }
  const CallContext ctx = DirectoryContext();
  auto asking = directory_->TakeUpstreams(ctx, std::move(request));
  const auto response = co_await std::move(asking);
  if (!response.ok()) co_return response.status();
  owners_.clear();
  for (const directory_pb::UpstreamLease& lease : response->leases()) {
    const bool runs = wishes.running.count(lease.upstream_id()) > 0;
    if (!lease.owner().empty()) owners_[lease.upstream_id()] = lease.owner();
    if (lease.owner() == self && !runs) verdict.start.push_back(lease.upstream_id());
    if (lease.owner() != self && runs) verdict.stop.push_back(lease.upstream_id());
  }
  co_return verdict;
}

}  // namespace metamcp::connector
