// What an upstream actor does about a call that failed by the fault of its own leg.

#include <algorithm>

#include "common/base/error.h"
#include "services/connector/call_codec.h"
#include "services/connector/discovery.h"
#include "services/connector/upstream_call.h"

namespace metamcp::connector {
namespace {

// An upstream that changes its mind about its revision is not followed more often than this.
constexpr std::chrono::seconds kRenegotiateEvery(10);

}  // namespace

bool HasReason(const absl::Status& status, std::string_view reason) {
  const auto info = GetErrorInfo(status);
  return info.has_value() && info->reason == reason;
}

// True if only our own leg was at fault, nothing was executed, and the call may go once more.
Awaitable<bool> Upstream::Mend(CallRun& run) {
  const Exchange& exchange = *run.guard.exchange;
  if (!exchange.done) co_return false;
  if (HasReason(exchange.failure, "SESSION_NOT_FOUND")) {
    // So that the new connection is waited for.
    if (run.use->instance == main_) ever_tried_ = false;
    co_return true;
  }
  if (!exchange.error || !run.guard.session->negotiated().modern()) co_return false;
  if (exchange.error->code == -32020 && run.request.method() == "tools/call") {
    auto refreshing = RefreshHeaders(run);
    co_return co_await std::move(refreshing);
  }
  const auto now = Clock::now();
  if (exchange.error->code == -32022 && now > renegotiated_at_ + kRenegotiateEvery) {
    Remark("it does not speak the agreed revision any more: negotiating anew");
    renegotiated_at_ = now;
    era_ = EraMemory();
    ever_tried_ = false;
    reconnect_ = true;
    run.guard.session->channel().Drop();
    interrupt_.Set();
    wake_.Set();
    co_return true;
  }
  co_return false;
}

// The tool's definition changed under us, so its arguments are mirrored in other headers now
// (MCP 2026-07-28, server/tools).
Awaitable<bool> Upstream::RefreshHeaders(CallRun& run) {
  auto listing = Discover(run.guard.session, id_, catalog_pb::ITEM_KIND_TOOL, core_.discovery);
  const auto list = co_await std::move(listing);
  if (!list.ok()) co_return false;
  MarkLists(true, false, false);
  wake_.Set();
  const auto tool = std::find_if(list->items.begin(), list->items.end(), [&run](const auto& item) {
    return item.original_name() == run.request.target();
  });
  if (tool == list->items.end()) co_return false;
  const auto headers = HeadersOfCall(tool->definition(), run.request.params());
  if (!headers.ok()) co_return false;
  run.request.clear_param_headers();
  for (const auto& [name, value] : *headers) (*run.request.mutable_param_headers())[name] = value;
  co_return true;
}

}  // namespace metamcp::connector
