#include "gateway/guard/detector_stage.h"

#include <set>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

using detect::Kind;
using detect::Kinds;

constexpr Place kAllPlaces[] = {Place::kDefinition, Place::kArguments, Place::kResult};

// What is looked for where. Definitions are public, so what is secret or personal in them is the
// server's own; what a client says to a server is no instruction to its model.
constexpr Kinds KindsOf(Place place) {
  const Kinds hidden = Kind::kHiddenUnicode;
  const Kinds tricks = Kinds(Kind::kInstructions) | Kind::kExfiltration;
  const Kinds data = Kinds(Kind::kSecrets) | Kind::kPersonalData;
  switch (place) {
    case Place::kDefinition:
      return hidden | tricks;
    case Place::kArguments:
      return hidden | data;
    case Place::kResult:
      return hidden | tricks | data;
  }
  return hidden;
}

const std::string& ActionOf(const config::DetectorsConfig& config, Kind kind) {
  switch (kind) {
    case Kind::kHiddenUnicode:
      return config.hidden_unicode;
    case Kind::kInstructions:
      return config.instructions;
    case Kind::kExfiltration:
      return config.exfiltration;
    case Kind::kSecrets:
      return config.secrets;
    case Kind::kPersonalData:
      break;
  }
  return config.personal_data;
}

absl::Status Blocked(std::string_view what, const std::string& why) {
  return MakeError("CONTENT_BLOCKED", "policy", StrCat(what, ": ", why));
}

}  // namespace

std::string_view PlaceName(Place place) {
  switch (place) {
    case Place::kDefinition:
      return "definition";
    case Place::kArguments:
      return "arguments";
    case Place::kResult:
      return "result";
  }
  return "";
}

bool DetectorStage::SetConfig(const config::DetectorsConfig& config) {
  const Rules before = At(Place::kDefinition);
  for (const Place place : kAllPlaces) {
    Rules& rules = rules_[static_cast<size_t>(place)];
    rules = Rules();
    for (const Kind kind : detect::kAllKinds) {
      const std::string& action = ActionOf(config, kind);
      if (action == "off" || !KindsOf(place).Has(kind)) continue;
      if (action == "definitions" && place != Place::kDefinition) continue;
      rules.look = rules.look | kind;
      if (action == "mask") rules.mask = rules.mask | kind;
      if (action == "block") rules.block = rules.block | kind;
    }
  }
  const Rules& now = At(Place::kDefinition);
  return !(before.look == now.look && before.mask == now.mask && before.block == now.block);
}

std::string DetectorStage::Judge(Place place, std::string_view name, const detect::JsonScan& scan) {
  if (scan.found.empty()) return "";
  const Rules& rules = At(place);
  std::set<std::pair<Kind, std::string_view>> found(scan.found.begin(), scan.found.end());
  std::string why;
  std::string what;
  for (const auto& [kind, rule] : found) {
    ++found_[static_cast<size_t>(kind)][static_cast<size_t>(place)];
    const std::string text = StrCat(detect::KindName(kind), " (", rule, ")");
    what += StrCat(what.empty() ? "" : ", ", text);
    if (rules.block.Has(kind)) why += StrCat(why.empty() ? "" : ", ", text);
  }
  Log(LogLevel::kWarning, "detector.found",
      {{"place", PlaceName(place)},
       {"name", std::string(name)},
       {"found", what},
       {"action", !why.empty()          ? "blocked"
                  : scan.masked.empty() ? "logged"
                                        : "masked"}});
  return why;
}

std::string DetectorStage::Pass(Place place, std::string_view name, std::string& json) {
  const Rules& rules = At(place);
  detect::JsonScan scan = detect::ScanJson(json, rules.look, rules.mask);
  std::string why = Judge(place, name, scan);
  if (!scan.masked.empty()) json = std::move(scan.masked);
  return why;
}

absl::Status DetectorStage::Before(const StageCall& call) {
  if (At(Place::kArguments).look.empty() || call.arguments == nullptr) return absl::OkStatus();
  std::string arguments = *call.arguments;
  if (arguments.empty()) {
    const auto params = json::ScanObject(call.spec.params);
    if (params.ok()) arguments = std::string(params->Raw("arguments"));
  }
  const std::string before = arguments;
  const std::string why = Pass(Place::kArguments, call.name, arguments);
  if (!why.empty())
    return Blocked("the arguments were not sent; they hold what must not pass", why);
  if (arguments != before) *call.arguments = std::move(arguments);
  return absl::OkStatus();
}

// Of a result that asks something the questions alone are looked at: the rest is sealed.
std::string DetectorStage::PassQuestions(std::string_view name, std::string& result) {
  const auto view = json::ScanObject(result);
  if (!view.ok() || !view->Has("inputRequests")) return "";
  std::string questions(view->Raw("inputRequests"));
  const std::string before = questions;
  std::string why = Pass(Place::kResult, name, questions);
  if (questions != before) {
    json::Splicer splicer(*view);
    splicer.Set("inputRequests", questions);
    std::string next = splicer.Build();
    result = std::move(next);
  }
  return why;
}

std::string DetectorStage::PassError(std::string_view name, CallOutcome& outcome) {
  std::string message = json::JsonQuote(outcome.error.message);
  std::string why = Pass(Place::kResult, name, message);
  if (auto text = json::JsonUnquote(message); text.ok()) outcome.error.message = *std::move(text);
  if (why.empty() && !outcome.error.data.empty()) {
    why = Pass(Place::kResult, name, outcome.error.data);
  }
  return why;
}

void DetectorStage::After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) {
  if (At(Place::kResult).look.empty() || outcome == nullptr || !outcome->ok()) return;
  CallOutcome& out = **outcome;
  std::string why;
  if (out.failed) {
    why = PassError(call.name, out);
  } else if (out.kind == provider::v1::RESULT_KIND_INPUT_REQUIRED) {
    why = PassQuestions(call.name, out.result);
  } else if (out.kind == provider::v1::RESULT_KIND_COMPLETE) {
    why = Pass(Place::kResult, call.name, out.result);
  }
  if (!why.empty()) {
    *outcome =
        Blocked("the call was made, but its result is withheld; it holds what must not pass", why);
  }
}

Inspected DetectorStage::Inspect(const std::string& name, const std::string& definition) {
  Inspected out;
  if (At(Place::kDefinition).look.empty()) return out;
  const Rules& rules = At(Place::kDefinition);
  detect::JsonScan scan = detect::ScanJson(definition, rules.look, rules.mask);
  const std::string why = Judge(Place::kDefinition, name, scan);
  if (!why.empty()) out.blocked = StrCat("its definition holds what must not pass: ", why);
  out.masked = std::move(scan.masked);
  return out;
}

void DetectorStage::ForEachFinding(const Count& fn) const {
  for (const Kind kind : detect::kAllKinds) {
    for (const Place place : kAllPlaces) {
      const uint64_t count = found_[static_cast<size_t>(kind)][static_cast<size_t>(place)];
      const Rules& rules = At(place);
      if (count == 0 && !rules.look.Has(kind)) continue;
      const std::string_view action = rules.block.Has(kind)  ? "block"
                                      : rules.mask.Has(kind) ? "mask"
                                                             : "log";
      fn(kind, place, action, count);
    }
  }
}

}  // namespace metamcp::gateway
