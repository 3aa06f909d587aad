// Steps whose call the policy wants a person to allow. The approval is the call chain's own; the
// run waits for it as for any approval, is put down meanwhile, and the call itself uses it up.

#include <nlohmann/json.hpp>

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/consents.h"
#include "services/workflow/engine/run_task.h"

namespace metamcp::workflow {
namespace {

// An answer of the last moment still counts.
constexpr int64_t kGraceUs = 3'000'000;
// An approval that could not be looked at lives no longer (ApprovalService).
constexpr int64_t kLifetimeMaxUs = int64_t{24} * 3600 * 1'000'000;

std::string Detail(const std::string& tool, const std::string& approval, const ApprovalInfo& info) {
  const std::string& item = info.item.empty() ? tool : info.item;
  json::ObjectWriter out;
  out.AddString("title", StrCat("May ", item, " be called with these arguments?"));
  if (!info.shown.empty()) out.AddString("show", info.shown);
  out.AddString("tool", item);
  if (!info.rule.empty()) out.AddString("rule", info.rule);
  if (!info.reason.empty()) out.AddString("reason", info.reason);
  out.AddString("approval", approval);
  out.Add("approvers", R"(["starter","role:operator"])");
  if (info.separate) out.AddBool("separate", true);
  return std::move(out).Build();
}

}  // namespace

Awaitable<Outcome> RunTask::WaitForConsent(const Task& task, std::string path,
                                           std::string approval) {
  const std::string at = path + "#consent";
  const CallContext ctx = Context();
  StepRow question = NewRow(task, at);
  if (const StepRow* known = Find(at); known != nullptr && known->state == "waiting") {
    question = *known;
    approval = ApprovalOf(question);
  } else {
    auto looking = parts_.caller.LookUpApproval(ctx, approval);
    const auto found = co_await std::move(looking);
    const ApprovalInfo info = found.ok() ? *found : ApprovalInfo();
    question.kind = "consent";
    question.compensable = false;
    question.attempt = Find(path)->attempt;
    question.detail = Detail(question.tool, approval, info);
    question.due_us =
        info.expires_us > 0 ? info.expires_us + kGraceUs : question.started_us + kLifetimeMaxUs;
  }
  auto waiting = WaitFor(question);
  const Answer answer = co_await std::move(waiting);
  if (answer.kind == Answer::kStopped) co_return Stop();
  question = *Find(at);
  question.ended_us = NowMicros();
  question.output = answer.decision;
  if (answer.kind == Answer::kDue) {
    // Nobody may have been there to hear of it.
    const CallContext now = Context();
    auto looking = parts_.caller.LookUpApproval(now, approval);
    const auto found = co_await std::move(looking);
    question.output = found.ok() ? ConsentDecision(*found) : std::string();
    if (question.output.empty()) question.output = R"({"action":"expired"})";
  }
  const auto decision = json::ScanObject(question.output);
  const std::string action = decision.ok() ? decision->String("action").value_or("") : "";
  // Whether it holds is for the call itself to find out.
  const bool go_on = action == "approve" || action == "again";
  question.state = go_on ? "done" : "failed";
  Defer(question, "");
  if (go_on) co_return Outcome();
  if (action == "deny") {
    const CallContext now = Context();
    auto hearing = parts_.caller.HearDenial(now, approval);
    co_await std::move(hearing);
  }
  const std::string by = decision.ok() ? decision->String("by").value_or("") : "";
  std::string why = decision.ok() ? decision->String("comment").value_or("") : "";
  if (why.empty() && !by.empty()) why = StrCat("denied by ", by);
  co_return Fault("authorization", 403, action == "deny" ? "Not approved" : "Approval expired", why,
                  path);
}

// The attempt that asked has failed for good.
void RunTask::FailAsked(const std::string& path, const std::string& error) {
  StepRow row = *Find(path);
  row.state = "failed";
  row.error = error;
  row.ended_us = NowMicros();
  Defer(std::move(row), "step.failed");
}

}  // namespace metamcp::workflow
