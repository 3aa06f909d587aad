#include "services/ai/history/history_suggester.h"

#include <algorithm>
#include <optional>

#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "services/ai/plan/repair.h"
#include "services/ai/show.h"

namespace metamcp::ai {
namespace {

constexpr int64_t kDayUs = 86'400'000'000;
constexpr int kDaysMax = 90;
constexpr int kDaysDefault = 14;
constexpr int kOftenMax = 1000;
constexpr int kOftenDefault = 3;
constexpr int kPage = 1000;
constexpr size_t kCallsMax = 20'000;
constexpr size_t kChainsMax = 10;
// Some chains have a tool that is not there any more.
constexpr size_t kChainsTried = 40;

absl::Status Invalid(std::string_view why) { return MakeError("ARGUMENT_INVALID", "ai", why); }

std::string Who(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string() : ctx.principal->subject;
}

absl::Status CheckRequest(const CallContext& ctx, const v1::SuggestFromHistoryRequest& request) {
  if (request.days() < 0 || request.days() > kDaysMax) return Invalid("days must be 0 to 90");
  const int often = request.occurrences();
  if (often != 0 && (often < 2 || often > kOftenMax)) {
    return Invalid("occurrences must be 2 to 1000");
  }
  const bool own = request.subject().empty() || request.subject() == Who(ctx);
  const bool may =
      ctx.principal != nullptr && auth::Allows(*ctx.principal, auth::Permission::kAudit);
  if (own || may) return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "ai",
                   "the calls of somebody else are for those who may read the audit");
}

std::set<std::string> NamesIn(const std::string& shape) {
  std::set<std::string> out;
  const auto object = json::ScanObject(shape);
  if (!object.ok()) return out;
  for (const json::Member& member : object->members()) out.emplace(member.key);
  return out;
}

// None where the record does not say which tool it was.
std::optional<PastCall> ToCall(const audit::v1::Record& record) {
  const auto object = json::ScanObject(record.record());
  if (!object.ok()) return std::nullopt;
  PastCall out;
  out.tool = object->String("item").value_or("");
  out.virtual_server = object->String("virtualServer").value_or("");
  out.time_us = json::RawInt64(object->Raw("timeUs")).value_or(0);
  if (const auto personal = json::ScanObject(record.personal()); personal.ok()) {
    out.client = personal->String("client").value_or("");
    out.arguments = NamesIn(personal->String("shape").value_or(""));
  }
  if (out.tool.empty()) return std::nullopt;
  return out;
}

std::string IdOf(const Tool& tool) {
  const size_t dot = tool.name.find('.');
  std::string out;
  for (const char c : tool.name.substr(dot == std::string::npos ? 0 : dot + 1)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain ? c : '_';
  }
  if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out.insert(0, "step_");
  return out.substr(0, 30);
}

// The audit keeps names of arguments, not values: those are asked for.
void AddStep(const Tool& tool, const std::set<std::string>& given, Plan* plan) {
  PlanStep step;
  step.id = IdOf(tool);
  for (int n = 2; std::any_of(plan->steps.begin(), plan->steps.end(),
                              [&step](const PlanStep& other) { return other.id == step.id; });
       ++n) {
    step.id = StrCat(IdOf(tool), "_", n);
  }
  step.title = tool.title.empty() ? tool.name : tool.title;
  step.tool = tool.name;
  step.effect = std::string(tool.effect());
  const auto properties = tool.input.find("properties");
  if (properties != tool.input.end() && properties->is_object()) {
    for (auto it = properties->begin(); it != properties->end(); ++it) {
      if (!tool.Requires(it.key()) && given.count(it.key()) == 0) continue;
      std::string input = it.key();
      std::replace_if(
          input.begin(), input.end(),
          [](char c) {
            return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'));
          },
          '_');
      if (plan->input.contains(input)) input = StrCat(step.id, "_", input);
      plan->input[input] = it->is_object() ? *it : Json::object();
      step.arguments[it.key()] = StrCat("${input.", input, "}");
    }
  }
  if (!plan->steps.empty()) step.depends_on.push_back(plan->steps.back().id);
  plan->steps.push_back(std::move(step));
}

Plan PlanOf(const Chain& chain, const std::vector<Tool>& tools) {
  Plan plan;
  std::string words;
  for (size_t i = 0; i < tools.size(); ++i) {
    AddStep(tools[i], chain.arguments[i], &plan);
    words += StrCat(i == 0 ? "" : ", then ", tools[i].name);
  }
  plan.summary = words.substr(0, 300);
  for (const PlanStep& step : plan.steps) {
    std::string part = step.id;
    std::replace(part.begin(), part.end(), '_', '-');
    if (plan.name.size() + part.size() < 40)
      plan.name += StrCat(plan.name.empty() ? "" : "-", part);
  }
  if (plan.name.empty()) plan.name = "from-history";
  plan.confidence = std::min(0.9, 0.5 + 0.05 * static_cast<double>(chain.occurrences));
  for (PlanStep& step : plan.steps) step.confidence = plan.confidence;
  plan.notes.push_back(StrCat("These calls were made ", chain.occurrences,
                              " times in this order. The audit keeps no values: each is an input, "
                              "and what one step gives to the next is for you to say."));
  return plan;
}

}  // namespace

Awaitable<absl::StatusOr<std::vector<PastCall>>> HistorySuggester::Read(const CallContext& ctx,
                                                                        std::string subject,
                                                                        int64_t since_us,
                                                                        bool* cut) {
  std::vector<PastCall> out;
  std::string token;
  do {
    audit::v1::QueryRecordsRequest request;
    request.set_page_size(kPage);
    request.set_page_token(token);
    request.set_subject(subject);
    request.set_action("tools/call");
    request.set_outcome("ok");
    request.set_since_us(since_us);
    auto reading = audit_->QueryRecords(ctx, std::move(request));
    const auto page = co_await std::move(reading);
    // Nothing is recorded of somebody new.
    if (absl::IsNotFound(page.status())) break;
    if (!page.ok()) co_return page.status();
    for (const audit::v1::Record& record : page->records()) {
      if (auto call = ToCall(record)) out.push_back(*std::move(call));
    }
    token = page->next_page_token();
  } while (!token.empty() && out.size() < kCallsMax);
  *cut = !token.empty();
  co_return out;
}

Awaitable<absl::StatusOr<std::vector<Tool>>> HistorySuggester::ToolsOf(const CallContext& ctx,
                                                                       const Chain& chain,
                                                                       const ToolScope& scope) {
  std::vector<Tool> out;
  ToolScope theirs;
  theirs.virtual_server = chain.virtual_server;
  for (const std::string& name : chain.tools) {
    auto naming = finder_.Named(ctx, theirs, name);
    const auto named = co_await std::move(naming);
    // The virtual server is gone, or is not for the caller.
    if (absl::IsNotFound(named.status())) co_return std::vector<Tool>();
    if (!named.ok()) co_return named.status();
    // By its qualified name it was called by a run or a command, not by a client.
    const bool clients = !named->empty() && named->front().exposed == name;
    if (!clients) co_return std::vector<Tool>();
    auto again = finder_.Named(ctx, scope, named->front().name);
    auto mine = co_await std::move(again);
    if (!mine.ok()) co_return mine.status();
    if (mine->empty()) co_return std::vector<Tool>();
    out.push_back(std::move(mine->front()));
  }
  co_return out;
}

Awaitable<absl::StatusOr<v1::SuggestFromHistoryResponse>> HistorySuggester::Suggest(
    const CallContext& ctx, v1::SuggestFromHistoryRequest request) {
  if (!on_ || audit_ == nullptr) {
    co_return MakeError("CAPABILITY_MISSING", "ai",
                        on_ ? "there is no audit service here, which would know the calls"
                            : "suggestions from the audit are off: set ai.history");
  }
  METAMCP_CO_RETURN_IF_ERROR(CheckRequest(ctx, request));
  const int64_t days = request.days() == 0 ? kDaysDefault : request.days();
  const int64_t often = request.occurrences() == 0 ? kOftenDefault : request.occurrences();
  ToolScope scope;
  scope.hidden.insert(request.hidden().begin(), request.hidden().end());
  v1::SuggestFromHistoryResponse response;
  bool cut = false;
  const std::string subject = request.subject().empty() ? Who(ctx) : request.subject();
  auto reading = Read(ctx, subject, NowMicros() - days * kDayUs, &cut);
  METAMCP_CO_ASSIGN_OR_RETURN(std::vector<PastCall> calls, co_await std::move(reading));
  response.set_calls(static_cast<int64_t>(calls.size()));
  response.set_cut(cut);
  for (const Chain& chain : FindChains(std::move(calls), often, kChainsTried)) {
    if (static_cast<size_t>(response.chains_size()) == kChainsMax) break;
    auto finding = ToolsOf(ctx, chain, scope);
    METAMCP_CO_ASSIGN_OR_RETURN(const std::vector<Tool> tools, co_await std::move(finding));
    if (tools.empty()) continue;
    Plan plan = PlanOf(chain, tools);
    std::vector<const Tool*> pointers;
    ToolNames names;
    for (const Tool& tool : tools) {
      pointers.push_back(&tool);
      names[tool.name] = tool.exposed;
    }
    Repair(pointers, &plan);
    v1::RecurringChain out;
    for (const Tool& tool : tools) out.add_tools(tool.name);
    out.set_occurrences(chain.occurrences);
    out.set_last_us(chain.last_us);
    v1::SuggestResponse& made = *out.mutable_suggestion();
    made.set_task(plan.summary);
    made.set_made_by("history");
    made.set_virtual_server("default");
    Show(plan, names, &made);
    const Json flat = ToFlat(plan);
    made.set_workflow(json::DumpJson(flat));
    auto checking = CheckPlan(ctx, workflows_, flat, &made);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(checking));
    if (made.valid()) *response.add_chains() = std::move(out);
  }
  co_return response;
}

}  // namespace metamcp::ai
