#include "services/workflow/face/run_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"
#include "common/json/schema.h"
#include "common/json/splice.h"

namespace metamcp::workflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kPollMs = 1000;

std::string RunMeta(const RunRow& run) {
  json::ObjectWriter about;
  about.AddString("id", run.id);
  about.AddString("workflow", run.name);
  about.AddString("version", run.version);
  about.AddString("state", run.state);
  json::ObjectWriter meta;
  meta.Add("meta-mcp/run", std::move(about).Build());
  return std::move(meta).Build();
}

std::string TextResult(const RunRow& run, std::string_view text) {
  json::ObjectWriter block;
  block.AddString("type", "text");
  block.AddString("text", text);
  json::ObjectWriter out;
  out.AddString("resultType", "complete");
  out.Add("content", StrCat("[", std::move(block).Build(), "]"));
  out.AddBool("isError", true);
  out.Add("_meta", RunMeta(run));
  return std::move(out).Build();
}

std::string Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string FailureText(const RunRow& run) {
  std::string text =
      StrCat("The run ", run.id, " of ", run.name, " ", run.version, " is ", run.state);
  const auto error = json::ParseOrderedJson(run.error);
  if (!error.ok() || !error->is_object()) return text + ".";
  text += StrCat(": ", Text(*error, "title"));
  if (const std::string detail = Text(*error, "detail"); !detail.empty()) {
    text += StrCat(": ", detail);
  }
  if (const std::string at = Text(*error, "instance"); !at.empty()) text += StrCat(" (", at, ")");
  return text;
}

std::string Time(int64_t us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

std::string Message(const RunRow& run, const OpenApproval& approval) {
  const auto detail = json::ParseOrderedJson(approval.detail);
  std::string title;
  std::string shown;
  std::string rule;
  if (detail.ok() && detail->is_object()) {
    title = Text(*detail, "title");
    if (const auto it = detail->find("show"); it != detail->end()) {
      shown = it->is_string() ? it->get<std::string>() : json::DumpJson(*it);
    }
    if (const auto it = detail->find("quorum"); it != detail->end() && *it != 1) {
      rule = StrCat("\n\n", json::DumpJson(*it),
                    " persons must approve; so far: ", approval.approved_by.size());
    }
    if (approval.kind == "consent") {
      const std::string reason = Text(*detail, "reason");
      rule = StrCat("\n\nThe rule \"", Text(*detail, "rule"), "\" asks",
                    reason.empty() ? "." : ": ", reason);
    }
  }
  std::string out = title.empty() ? StrCat("Approve a step of ", run.name, "?") : title;
  if (!shown.empty()) out += StrCat("\n\n", shown.substr(0, 8000));
  return out + rule + StrCat("\n\n(workflow ", run.name, ", run ", run.id, ")");
}

}  // namespace

std::string OpenApproval::key() const {
  return StrCat("approval-", Sha256Hex(StrCat(path, "\n", attempt)).substr(0, 12));
}

std::string OpenApproval::shown() const {
  const auto object = json::ScanObject(detail);
  if (approved_by.empty() || !object.ok()) return detail;
  std::vector<std::string> names;
  for (const std::string& name : approved_by) names.push_back(json::JsonQuote(name));
  json::Splicer splicer(*object);
  splicer.Set("approvedBy", json::JoinArray(names));
  return splicer.Build();
}

bool HasApproved(const OpenApproval& approval, std::string_view subject) {
  return std::find(approval.approved_by.begin(), approval.approved_by.end(), subject) !=
         approval.approved_by.end();
}

std::vector<OpenApproval> OpenApprovals(const std::vector<StepRow>& steps,
                                        const std::vector<DecisionRow>& decisions) {
  std::vector<OpenApproval> out;
  for (const StepRow& step : steps) {
    if (!WantsApproval(step) || step.state != "waiting") continue;
    const bool answered =
        std::any_of(decisions.begin(), decisions.end(), [&step](const DecisionRow& decision) {
          return decision.path == step.path && decision.attempt == step.attempt;
        });
    if (answered) continue;
    OpenApproval one;
    one.path = step.path;
    one.attempt = step.attempt;
    one.kind = step.kind;
    one.detail = step.detail;
    const std::string votes = step.path + kVoteMark;
    for (const DecisionRow& decision : decisions) {
      if (decision.attempt == step.attempt && decision.path.starts_with(votes)) {
        one.approved_by.push_back(decision.path.substr(votes.size()));
      }
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::string ApprovalRequests(const RunRow& run, const std::vector<OpenApproval>& approvals) {
  constexpr std::string_view kSchema =
      R"({"type":"object","properties":{"decision":{"type":"string","title":"Decision","enum":["approve","deny"]},"comment":{"type":"string","title":"Comment"}},"required":["decision"]})";
  json::ObjectWriter requests;
  for (const OpenApproval& approval : approvals) {
    json::ObjectWriter params;
    params.AddString("mode", "form");
    params.AddString("message", Message(run, approval));
    params.Add("requestedSchema", kSchema);
    json::ObjectWriter request;
    request.AddString("method", "elicitation/create");
    request.Add("params", std::move(params).Build());
    requests.Add(approval.key(), std::move(request).Build());
  }
  return std::move(requests).Build();
}

ApprovalAnswer ReadAnswer(std::string_view responses, const std::string& key,
                          std::string* comment) {
  const auto all = json::ParseOrderedJson(responses);
  if (!all.ok() || !all->is_object()) return ApprovalAnswer::kNone;
  const auto it = all->find(key);
  if (it == all->end() || !it->is_object()) return ApprovalAnswer::kNone;
  const std::string action = Text(*it, "action");
  if (action == "decline") return ApprovalAnswer::kDeny;
  if (action != "accept" || !it->contains("content")) return ApprovalAnswer::kDismissed;
  const Json& content = (*it)["content"];
  if (!content.is_object()) return ApprovalAnswer::kDismissed;
  *comment = Text(content, "comment");
  const std::string decision = Text(content, "decision");
  return decision == "approve" ? ApprovalAnswer::kApprove
         : decision == "deny"  ? ApprovalAnswer::kDeny
                               : ApprovalAnswer::kDismissed;
}

std::string EndResult(const RunRow& run, const std::string& output_schema) {
  if (run.state != run_state::kCompleted) return TextResult(run, FailureText(run));
  std::string output = run.output.empty() ? std::string("null") : run.output;
  if (!output_schema.empty()) {
    const auto schema = json::CompileSchema(output_schema);
    const absl::Status valid = schema.ok() ? (*schema)->ValidateText(output) : schema.status();
    if (!valid.ok()) {
      return TextResult(run, StrCat("The output of the run ", run.id,
                                    " is not what the workflow promises: ", Sv(valid.message())));
    }
  } else if (output[0] != '{') {
    output = StrCat("{\"result\":", output, "}");
  }
  json::ObjectWriter block;
  block.AddString("type", "text");
  block.AddString("text", output);
  json::ObjectWriter out;
  out.AddString("resultType", "complete");
  out.Add("content", StrCat("[", std::move(block).Build(), "]"));
  out.Add("structuredContent", output);
  out.Add("_meta", RunMeta(run));
  return std::move(out).Build();
}

std::string GoesOnResult(const RunRow& run, std::string_view why) {
  return TextResult(run, StrCat(why, " The run ", run.id, " of ", run.name,
                                " goes on: 'meta-mcp workflow watch ", run.id, "'."));
}

std::string TaskResult(const RunRow& run, const std::string& output_schema,
                       const std::string& requests, int64_t updated_us) {
  const bool over = IsFinal(run.state);
  json::ObjectWriter out;
  out.AddString("resultType", "complete");
  out.AddString("taskId", run.id);
  const bool cancelled = run.state == run_state::kCancelled;
  out.AddString("status", !over       ? (requests.empty() ? "working" : "input_required")
                          : cancelled ? "cancelled"
                                      : "completed");
  out.AddString("statusMessage", StrCat(run.name, " is ", run.state));
  out.AddString("createdAt", Time(run.created_us));
  out.AddString("lastUpdatedAt", Time(over ? run.ended_us : updated_us));
  out.Add("ttlMs", "null");
  out.AddInt("pollIntervalMs", kPollMs);
  if (!over && !requests.empty()) out.Add("inputRequests", requests);
  if (over && !cancelled) out.Add("result", EndResult(run, output_schema));
  return std::move(out).Build();
}

std::string AsNewTask(const std::string& task_result) {
  const auto view = json::ScanObject(task_result);
  if (!view.ok()) return task_result;
  json::Splicer splicer(*view);
  splicer.SetString("resultType", "task");
  return splicer.Build();
}

std::string ProgressText(const EventRow& event) {
  if (event.type.rfind("step.", 0) != 0) return "";
  const std::string what = event.type.substr(5);
  const bool tells = what == "started" || what == "done" || what == "failed" || what == "skipped" ||
                     what == "waiting" || what == "unknown";
  if (!tells) return "";
  const auto data = json::ParseOrderedJson(event.data);
  if (!data.ok() || !data->is_object()) return "";
  const std::string kind = Text(*data, "kind");
  std::string text = StrCat(Text(*data, "name"), ": ", what);
  if (what == "waiting") text += StrCat(" for ", kind == "child" ? "a run" : kind);
  if (const std::string tool = Text(*data, "tool"); !tool.empty() && what == "started") {
    text += StrCat(" (", tool, ")");
  }
  if (what == "failed" && data->contains("error") && (*data)["error"].is_object()) {
    text += StrCat(": ", Text((*data)["error"], "title"));
  }
  return text;
}

}  // namespace metamcp::workflow
