#include "gateway/routing/url_demand.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"

namespace metamcp::gateway {
namespace {

constexpr size_t kUrlsMax = 16;
constexpr std::string_view kNotOpened = "the user did not open the page that the server asked for";

struct Demand {
  std::vector<std::string> params;  // of elicitation/create, canonical
  std::string links;                // for people
};

Demand ReadDemand(const jsonrpc::ErrorObject& error) {
  Demand out;
  const auto data = json::ScanObject(error.data);
  if (!data.ok()) return out;
  const auto list = json::ScanArray(data->Raw("elicitations"));
  if (!list.ok()) return out;
  for (const json::Value& value : *list) {
    const auto one = json::ScanObject(value.raw);
    if (!one.ok() || out.params.size() >= kUrlsMax) continue;
    const auto url = one->String("url");
    auto params = mcp::InputParamsToModern("elicitation/create", value.raw);
    if (!url || !params.ok()) continue;
    out.params.push_back(*std::move(params));
    out.links += StrCat(out.links.empty() ? "" : ", ", *url);
  }
  return out;
}

bool MayRequireInput(std::string_view method) {
  return method == "tools/call" || method == "prompts/get" || method == "resources/read";
}

std::string InputRequired(const Demand& demand) {
  json::ObjectWriter requests;
  for (size_t i = 0; i < demand.params.size(); ++i) {
    json::ObjectWriter request;
    request.AddString("method", "elicitation/create");
    request.Add("params", demand.params[i]);
    requests.Add(StrCat("url", i + 1), std::move(request).Build());
  }
  json::ObjectWriter result;
  result.AddString("resultType", "input_required");
  result.Add("inputRequests", std::move(requests).Build());
  result.AddString("requestState", "");
  return std::move(result).Build();
}

}  // namespace

bool TranslateUrlDemand(const CallSpec& spec, CallOutcome& outcome) {
  const auto features = mcp::ParseClientFeatures(spec.client_capabilities, mcp::kLatestModern);
  const bool url = features.ok() && features->elicitation_url;
  if (url && spec.client_revision == mcp::RevisionName(mcp::Revision::k20251125)) return false;
  const Demand demand = ReadDemand(outcome.error);
  if (url && !demand.params.empty() && MayRequireInput(spec.method)) {
    outcome.failed = false;
    outcome.error = jsonrpc::ErrorObject();
    outcome.kind = provider::v1::RESULT_KIND_INPUT_REQUIRED;
    outcome.result = InputRequired(demand);
    return true;
  }
  outcome.error.message = StrCat(outcome.error.message, "; open this first, then try again: ",
                                 demand.links.empty() ? "(no link was given)" : demand.links);
  outcome.error.code = -32021;
  outcome.error.data = R"({"requiredCapabilities":{"elicitation":{"url":{}}}})";
  return false;
}

bool AllAccepted(std::string_view input_responses) {
  const auto answers = json::ScanObject(input_responses);
  if (!answers.ok() || answers->empty()) return false;
  return std::all_of(answers->members().begin(), answers->members().end(),
                     [](const json::Member& m) {
                       const auto answer = json::ScanObject(m.value.raw);
                       return answer.ok() && answer->String("action") == "accept";
                     });
}

absl::StatusOr<CallOutcome> NotOpened(std::string_view method) {
  if (method != "tools/call") return MakeError("UPSTREAM_ERROR", "client", kNotOpened);
  CallOutcome outcome;
  json::ObjectWriter text;
  text.AddString("type", "text");
  text.AddString("text", kNotOpened);
  outcome.result = StrCat(R"({"resultType":"complete","content":[)", std::move(text).Build(),
                          R"(],"isError":true})");
  return outcome;
}

}  // namespace metamcp::gateway
