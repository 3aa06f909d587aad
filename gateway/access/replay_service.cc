#include "gateway/access/replay_service.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/policy_rules.h"
#include "gateway/access/replay.h"

namespace metamcp::gateway {
namespace {

namespace v1 = access::v1;

constexpr size_t kRulesBytesMax = 1u << 20;
constexpr int kPage = 500;
constexpr int kPageMax = 1000;
// With a thousand rules, a turn of about a millisecond.
constexpr int kPerTurn = 16;

absl::Status Check(const v1::ReplayPolicyRequest& request) {
  const auto wrong = [](std::string_view why) {
    return MakeError("ARGUMENT_INVALID", "gateway", why);
  };
  if (request.rules().size() > kRulesBytesMax) return wrong("rules may have 1 MiB");
  if (!request.otherwise().empty() && request.otherwise() != "allow" &&
      request.otherwise() != "deny") {
    return wrong("otherwise must be allow or deny");
  }
  if (request.page_size() < 0 || request.page_size() > kPageMax) {
    return wrong(StrCat("pageSize must be at most ", kPageMax));
  }
  return absl::OkStatus();
}

}  // namespace

Awaitable<absl::StatusOr<v1::ReplayPolicyResponse>> ReplayServiceImpl::ReplayPolicy(
    const CallContext& ctx, v1::ReplayPolicyRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(Check(request));
  if (audit_ == nullptr) {
    co_return MakeError("NOT_FOUND", "gateway", "nothing is audited here, so nothing is replayed");
  }
  METAMCP_CO_ASSIGN_OR_RETURN(
      const auto proposed,
      config::CompileProposal(
          config_, request.rules(),
          request.otherwise() == "deny" ? policy::Effect::kDeny : policy::Effect::kAllow));
  audit::v1::QueryRecordsRequest query;
  query.set_since_us(request.since_us());
  query.set_until_us(request.until_us());
  query.set_page_size(request.page_size() == 0 ? kPage : request.page_size());
  query.set_page_token(request.page_token());
  auto querying = audit_->QueryRecords(ctx, std::move(query));
  METAMCP_CO_ASSIGN_OR_RETURN(const audit::v1::QueryRecordsResponse page,
                              co_await std::move(querying));
  // As they are now; a change in between does not matter to this page.
  const auto snapshot = mirror_.snapshot();
  const auto now = guard_.shared_policy();
  Replay replay(*now, *proposed, *snapshot);
  int turn = 0;
  const auto executor = co_await boost::asio::this_coro::executor;
  for (const audit::v1::Record& record : page.records()) {
    replay.Add(record);
    if (++turn % kPerTurn == 0) {
      co_await boost::asio::post(executor, boost::asio::use_awaitable);
    }
  }
  v1::ReplayPolicyResponse out = replay.Take();
  out.set_next_page_token(page.next_page_token());
  co_return out;
}

}  // namespace metamcp::gateway
