#include "gateway/limits/limit_stage.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/json/scan.h"

namespace metamcp::gateway::limits {
namespace {

// What a client calls itself; it is not authenticated. Longer names than anybody's are cut.
constexpr size_t kClientBytesMax = 64;

std::string ClientOf(const CallSpec& spec) {
  const auto info = json::ScanObject(spec.client_info);
  std::string name = info.ok() ? info->String("name").value_or("") : "";
  if (name.empty()) name = spec.client_revision.empty() ? "meta-mcp" : "(unnamed)";
  if (name.size() > kClientBytesMax) name.resize(kClientBytesMax);
  return name;
}

}  // namespace

absl::Status LimitStage::Before(const StageCall& call) {
  if (!limiter_.HasRules(Surface::kCalls)) return absl::OkStatus();
  if (call.spec.abandon || call.spec.method == "tasks/cancel") return absl::OkStatus();
  static const Principal kNobody;
  const Principal& who = call.ctx.principal ? *call.ctx.principal : kNobody;
  const std::string client = limiter_.NeedsClient() ? ClientOf(call.spec) : std::string();
  std::shared_ptr<const UpstreamInfo> upstream;
  if (!call.routes.empty()) upstream = call.spec.view->FindUpstream(call.routes[0].upstream_id());
  Subject subject;
  subject.tenant = who.tenant;
  subject.principal = who.subject;
  subject.teams = who.teams;
  subject.client = client;
  if (upstream != nullptr) subject.upstream = upstream->name;
  if (call.entry != nullptr && call.entry->kind == catalog::v1::ITEM_KIND_TOOL) {
    subject.tool = call.entry->qualified_name;
    subject.exposed = call.name;
  }
  Ticket ticket;
  METAMCP_RETURN_IF_ERROR(limiter_.Acquire(Surface::kCalls, subject, call.resumed, ticket));
  running_.emplace(&call, std::move(ticket));
  return absl::OkStatus();
}

void LimitStage::After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) {
  const auto it = running_.find(&call);
  if (it == running_.end()) return;
  if (outcome != nullptr && outcome->ok()) (*outcome)->allowance = it->second.allowance;
  limiter_.Release(it->second);
  running_.erase(it);
}

}  // namespace metamcp::gateway::limits
