#include "common/cluster/role_channel.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::cluster {
namespace {

// A process that is started again is back within this.
constexpr std::chrono::seconds kPatience(5);
constexpr std::chrono::milliseconds kPause(200);

}  // namespace

Awaitable<absl::StatusOr<std::shared_ptr<rpc::Channel>>> RoleChannel::Next(
    CallContext::Clock::time_point until, std::set<std::string>* tried) {
  for (;;) {
    const std::vector<Member> all = members_.With(role_);
    for (size_t i = 0; i < all.size(); ++i) {
      const Member& member = all[(turn_ + i) % all.size()];
      if (!tried->insert(member.instance).second) continue;
      turn_ = (turn_ + i + 1) % all.size();
      co_return channels_.To(member, role_);
    }
    if (CallContext::Clock::now() + kPause >= until) {
      co_return MakeError("SERVICE_UNREACHABLE", role_,
                          StrCat("no ", role_, " service is there; nothing was executed"));
    }
    auto asking = members_.Ask();
    co_await std::move(asking);
    const bool slept = co_await Sleep(kPause);
    if (!slept) co_return absl::CancelledError("cancelled");
    tried->clear();
  }
}

Awaitable<absl::Status> RoleChannel::Unary(const CallContext& ctx, const rpc::MethodInfo& method,
                                           const google::protobuf::Message& request,
                                           google::protobuf::Message& response) {
  const auto until = std::min(ctx.deadline, CallContext::Clock::now() + kPatience);
  std::set<std::string> tried;
  absl::Status said;  // by the last that was asked; it may speak of a service behind it
  for (;;) {
    auto choosing = Next(until, &tried);
    auto channel = co_await std::move(choosing);
    if (!channel.ok()) co_return said.ok() ? channel.status() : said;
    auto calling = (*channel)->Unary(ctx, method, request, response);
    said = co_await std::move(calling);
    if (!rpc::NotBegun(said)) co_return said;
  }
}

Awaitable<absl::Status> RoleChannel::Stream(const CallContext& ctx, const rpc::MethodInfo& method,
                                            const google::protobuf::Message& request,
                                            Sink<rpc::MessagePtr>& sink) {
  const auto until = std::min(ctx.deadline, CallContext::Clock::now() + kPatience);
  std::set<std::string> tried;
  absl::Status said;
  for (;;) {
    auto choosing = Next(until, &tried);
    auto channel = co_await std::move(choosing);
    if (!channel.ok()) co_return said.ok() ? channel.status() : said;
    auto calling = (*channel)->Stream(ctx, method, request, sink);
    said = co_await std::move(calling);
    if (!rpc::NotBegun(said)) co_return said;
  }
}

}  // namespace metamcp::cluster
