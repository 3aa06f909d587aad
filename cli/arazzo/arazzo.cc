#include "cli/arazzo/arazzo.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "cli/arazzo/expression.h"
#include "common/base/strings.h"

namespace metamcp::cli::arazzo {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kWorkflowsMax = 50;
constexpr size_t kStepsMax = 200;
// What a step's result is to later ones, as in our flat form.
constexpr const char* kResult =
    "if .structuredContent != null then .structuredContent else "
    "([.content[]? | select(.type == \"text\") | .text] | if length == 1 then "
    "(.[0] as $t | (try ($t | fromjson) catch $t)) else . end) end";

const Json& At(const Json& from, const char* key) {
  static const Json kNone;
  const auto it = from.is_object() ? from.find(key) : from.end();
  return from.is_object() && it != from.end() ? *it : kNone;
}
std::string TextAt(const Json& from, const char* key) {
  const Json& value = At(from, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
const Json& ListAt(const Json& from, const char* key) {
  static const Json kNone = Json::array();
  const Json& value = At(from, key);
  return value.is_array() ? value : kNone;
}

Json Named(const std::string& name, Json task) {
  Json out = Json::object();
  out[name] = std::move(task);
  return out;
}

std::string Expression(std::string_view jq) { return StrCat("${ ", jq, " }"); }

// Letters, digits and _ of an id; names of workflows have - instead.
std::string Plain(const std::string& id, char between) {
  std::string out;
  for (const char c : id) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c));
    out += plain ? c : between;
  }
  if (out.empty() || absl::ascii_isdigit(static_cast<unsigned char>(out[0]))) out.insert(0, "s");
  return out;
}

std::string VersionOf(const std::string& version) {
  int dots = 0;
  for (const char c : version) {
    if (c == '.') ++dots;
    if (c != '.' && !absl::ascii_isdigit(static_cast<unsigned char>(c))) return "1.0.0";
  }
  return dots == 2 && version.front() != '.' && version.back() != '.' ? version : "1.0.0";
}

class WorkflowReader {
 public:
  WorkflowReader(const Json& description, const Json& workflow, std::string path,
                 const ToolOf& tool_of, std::vector<std::string>* refused)
      : description_(description),
        workflow_(workflow),
        path_(std::move(path)),
        tool_of_(tool_of),
        refused_(refused) {}

  Json Read() {
    Only(workflow_,
         {"workflowId", "summary", "description", "inputs", "steps", "outputs", "parameters"},
         path_);
    const Json inputs = Resolved(At(workflow_, "inputs"));
    for (auto it = At(inputs, "properties").begin(); it != At(inputs, "properties").end(); ++it) {
      if (At(inputs, "properties").is_object()) scope_.inputs.insert(it.key());
    }
    Json document = Json::object();
    const std::string id = TextAt(workflow_, "workflowId");
    if (id.empty()) Refuse(path_, "a workflow needs a workflowId");
    std::string name = Plain(id, '-');
    absl::AsciiStrToLower(&name);
    document["document"]["dsl"] = "1.0.3";
    document["document"]["namespace"] = "default";
    document["document"]["name"] = name;
    document["document"]["version"] = VersionOf(TextAt(At(description_, "info"), "version"));
    const std::string summary = TextAt(workflow_, "summary");
    if (!summary.empty()) document["document"]["summary"] = summary;
    if (inputs.is_object()) document["input"]["schema"]["document"] = inputs;
    document["do"] = Json::array();
    const Json& steps = ListAt(workflow_, "steps");
    if (steps.empty() || steps.size() > kStepsMax) Refuse(path_, "needs 1 to 200 steps");
    for (size_t i = 0; i < std::min(steps.size(), kStepsMax); ++i) {
      Step(steps[i], StrCat(path_, "/steps/", i), &document["do"]);
    }
    Outputs(&document);
    return document;
  }

 private:
  void Refuse(const std::string& path, std::string_view what) {
    refused_->push_back(StrCat(path, ": ", what));
  }
  // Members that are not there by name; extensions (x-) say nothing to us.
  void Only(const Json& object, const std::set<std::string>& known, const std::string& path) {
    if (!object.is_object()) return Refuse(path, "must be an object");
    for (auto it = object.begin(); it != object.end(); ++it) {
      if (known.count(it.key()) == 0 && !it.key().starts_with("x-")) {
        Refuse(StrCat(path, "/", it.key()), "is not there");
      }
    }
  }
  // {"$ref": "#/components/inputs/NAME"}
  Json Resolved(const Json& value) {
    const std::string ref = TextAt(value, "$ref");
    constexpr std::string_view kInputs = "#/components/inputs/";
    if (ref.empty()) return value;
    const Json& found = ref.starts_with(kInputs) ? At(At(At(description_, "components"), "inputs"),
                                                      ref.substr(kInputs.size()).c_str())
                                                 : At(Json(), "");
    if (found.is_null()) Refuse(StrCat(path_, "/inputs"), StrCat("the reference ", ref));
    return found;
  }
  // {"reference": "$components.parameters.NAME", "value": …}
  Json Parameter(const Json& value, const std::string& path) {
    const std::string reference = TextAt(value, "reference");
    constexpr std::string_view kPrefix = "$components.parameters.";
    if (reference.empty()) return value;
    if (!reference.starts_with(kPrefix)) {
      Refuse(path, StrCat("the reference ", reference));
      return Json();
    }
    Json found = At(At(At(description_, "components"), "parameters"),
                    reference.substr(kPrefix.size()).c_str());
    if (found.is_null()) Refuse(path, StrCat("the reference ", reference));
    if (found.is_object() && !At(value, "value").is_null()) found["value"] = value["value"];
    return found;
  }

  Json Value(const Json& value, const std::string& path) {
    if (value.is_string()) {
      const auto jq = TextJq(value.get_ref<const std::string&>(), scope_);
      if (!jq.ok()) Refuse(path, Sv(jq.status().message()));
      // Nothing of the file is an expression of ours.
      if (jq.ok() && jq->empty() &&
          value.get_ref<const std::string&>().find("${") != std::string::npos) {
        return Expression(value.dump());
      }
      return jq.ok() && !jq->empty() ? Json(Expression(*jq)) : value;
    }
    if (!value.is_structured()) return value;
    Json out = value.is_object() ? Json::object() : Json::array();
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (value.is_object()) {
        out[it.key()] = Value(*it, path);
      } else {
        out.push_back(Value(*it, path));
      }
    }
    return out;
  }

  std::string Tool(const Json& step, const std::string& path) {
    if (const std::string own = TextAt(step, "x-mcp-tool"); !own.empty()) return own;
    std::string operation = TextAt(step, "operationId");
    if (operation.empty()) {
      Refuse(path,
             step.contains("workflowId") ? "workflowId: workflows within workflows are not there"
             : step.contains("operationPath") ? "operationPath is not there: name the tool by "
                                                "x-mcp-tool"
                                              : "names no operationId and no x-mcp-tool");
      return "";
    }
    std::string source;
    constexpr std::string_view kSource = "$sourceDescriptions.";
    if (operation.starts_with(kSource)) {
      const size_t dot = operation.find('.', kSource.size());
      source = operation.substr(kSource.size(), dot - kSource.size());
      operation = dot == std::string::npos ? "" : operation.substr(dot + 1);
    }
    const auto tool = tool_of_(operation, source);
    if (tool.ok()) return *tool;
    Refuse(StrCat(path, "/operationId"), Sv(tool.status().message()));
    return "";
  }

  void Arguments(const Json& step, const std::string& path, Json* arguments) {
    for (const auto& [from, where] : {std::pair(&ListAt(workflow_, "parameters"), path_),
                                      {&ListAt(step, "parameters"), path}}) {
      for (size_t i = 0; i < from->size(); ++i) {
        const std::string here = StrCat(where, "/parameters/", i);
        const Json parameter = Parameter((*from)[i], here);
        if (!parameter.is_object()) continue;
        Only(parameter, {"name", "in", "value"}, here);
        const std::string in = TextAt(parameter, "in");
        if (in == "header" || in == "cookie") {
          Refuse(here, StrCat("in: ", in, " is not there: tools have arguments only"));
          continue;
        }
        (*arguments)[TextAt(parameter, "name")] = Value(At(parameter, "value"), here);
      }
    }
    const Json& body = At(step, "requestBody");
    if (body.is_null()) return;
    const std::string here = StrCat(path, "/requestBody");
    Only(body, {"contentType", "payload"}, here);
    const Json& payload = At(body, "payload");
    if (!payload.is_object()) return Refuse(here, "a payload that is no object is not there");
    for (auto it = payload.begin(); it != payload.end(); ++it) {
      (*arguments)[it.key()] = Value(*it, here);
    }
  }

  // All must hold; empty where there is none but that the tool worked.
  std::string Criteria(const Json& step, const std::string& path) {
    std::string all;
    const Json& list = ListAt(step, "successCriteria");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string here = StrCat(path, "/successCriteria/", i);
      const Json& one = list[i];
      Only(one, {"condition", "context", "type"}, here);
      const Json& type = At(one, "type");
      const std::string kind = type.is_object() ? TextAt(type, "type") : TextAt(one, "type");
      const std::string condition = TextAt(one, "condition");
      const std::string context = TextAt(one, "context");
      const auto jq = kind.empty() || kind == "simple" ? SimpleJq(condition, scope_)
                      : kind == "jsonpath"             ? JsonPathJq(context, condition, scope_)
                      : kind == "regex"                ? RegexJq(context, condition, scope_)
                                        : absl::StatusOr<std::string>(absl::UnimplementedError(
                                              StrCat("type ", kind, " is not there")));
      if (!jq.ok()) {
        Refuse(here, Sv(jq.status().message()));
      } else if (*jq != "true") {
        all += StrCat(all.empty() ? "" : " and ", "(", *jq, ")");
      }
    }
    return all;
  }

  // Retries of a step's onFailure; others than one retry, or to end, are not there.
  Json Retry(const Json& step, const std::string& path) {
    Json retry;
    const Json& success = ListAt(step, "onSuccess");
    for (size_t i = 0; i < success.size(); ++i) {
      Refuse(StrCat(path, "/onSuccess/", i), "actions on success are not there");
    }
    const Json& list = ListAt(step, "onFailure");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string here = StrCat(path, "/onFailure/", i);
      const std::string type = TextAt(list[i], "type");
      Only(list[i], {"name", "type", "retryAfter", "retryLimit"}, here);
      if (type == "end") continue;
      if (type != "retry" || !retry.is_null()) {
        Refuse(here,
               type == "retry" ? "a second retry is not there" : StrCat(type, " is not there"));
        continue;
      }
      const Json& after = At(list[i], "retryAfter");
      const Json& limit = At(list[i], "retryLimit");
      const double seconds = after.is_number() ? after.get<double>() : 0;
      const int64_t times = limit.is_number_integer() ? limit.get<int64_t>() : 1;
      if (seconds < 0 || seconds > 86'400 || times < 0 || times > 1000) {
        Refuse(here, "retryAfter is at most 86400 seconds, retryLimit at most 1000");
        continue;
      }
      retry = Json::object();
      retry["delay"]["milliseconds"] = static_cast<int64_t>(seconds * 1000);
      retry["limit"]["attempt"]["count"] = times + 1;
    }
    return retry;
  }

  void Step(const Json& step, const std::string& path, Json* to) {
    Only(step,
         {"stepId", "description", "operationId", "parameters", "requestBody", "successCriteria",
          "onSuccess", "onFailure", "outputs", "operationPath", "workflowId"},
         path);
    const std::string given = TextAt(step, "stepId");
    const std::string id = Plain(given, '_');
    if (given.empty() || !ids_.insert(id).second) {
      Refuse(path,
             given.empty() ? "needs a stepId" : StrCat("the stepId ", given, " occurs twice"));
    }
    const std::string kept = StrCat("$context.steps.", id);
    scope_.body.clear();
    Json call = Json::object();
    call["call"] = StrCat(Tool(step, path), "@mcp");
    call["with"] = Json::object();
    Arguments(step, path, &call["with"]);
    call["output"]["as"] = kResult;
    call["export"]["as"] =
        Expression(StrCat("($context // {}) + {steps: (($context.steps // {}) + {", id, ": .})}"));
    call["metadata"]["onError"] = "stop";
    scope_.body = kept;
    const std::string criteria = Criteria(step, path);
    Json tasks = Json::array();
    tasks.push_back(Named(id, std::move(call)));
    if (!criteria.empty()) {
      Json check = Json::object();
      check["if"] = Expression(StrCat("(", criteria, ") | not"));
      check["raise"]["error"] = {
          {"type", "https://spec.openapis.org/arazzo/success-criteria"},
          {"status", 422},
          {"title", StrCat("the success criteria of ", given, " are not met")}};
      tasks.push_back(Named(StrCat(id, "_criteria"), std::move(check)));
    }
    const Json retry = Retry(step, path);
    if (!retry.is_null()) {
      Json attempt = Json::object();
      attempt["try"] = std::move(tasks);
      attempt["catch"]["retry"] = retry;
      tasks = Json::array();
      tasks.push_back(Named(StrCat(id, "_again"), std::move(attempt)));
    }
    for (Json& task : tasks) to->push_back(std::move(task));
    const Json& outputs = At(step, "outputs");
    for (auto it = outputs.begin(); outputs.is_object() && it != outputs.end(); ++it) {
      const auto jq =
          it->is_string()
              ? RuntimeJq(it->get_ref<const std::string&>(), scope_)
              : absl::StatusOr<std::string>(absl::UnimplementedError("must be an expression"));
      if (!jq.ok()) Refuse(StrCat(path, "/outputs/", it.key()), Sv(jq.status().message()));
      if (jq.ok()) scope_.outputs[given][it.key()] = *jq;
    }
    scope_.body.clear();
  }

  void Outputs(Json* document) {
    Json out = Json::object();
    const Json& outputs = At(workflow_, "outputs");
    for (auto it = outputs.begin(); outputs.is_object() && it != outputs.end(); ++it) {
      out[it.key()] = Value(*it, StrCat(path_, "/outputs/", it.key()));
    }
    (*document)["output"]["as"] = out.empty() ? Json(Expression("$context.steps // {}")) : out;
  }

  const Json& description_;
  const Json& workflow_;
  const std::string path_;
  const ToolOf& tool_of_;
  std::vector<std::string>* refused_;
  Scope scope_;
  std::set<std::string> ids_;
};

}  // namespace

Imported Import(const Json& description, const std::string& only, const ToolOf& tool_of) {
  Imported out;
  if (!TextAt(description, "arazzo").starts_with("1.0.")) {
    out.refused.push_back("arazzo: this is no description of Arazzo 1.0");
    return out;
  }
  const Json& workflows = ListAt(description, "workflows");
  if (workflows.size() > kWorkflowsMax) out.refused.push_back("workflows: more than 50");
  for (size_t i = 0; i < std::min(workflows.size(), kWorkflowsMax); ++i) {
    const bool wanted = only.empty() || TextAt(workflows[i], "workflowId") == only;
    if (!wanted) continue;
    WorkflowReader reader(description, workflows[i], StrCat("workflows/", i), tool_of,
                          &out.refused);
    out.documents.push_back(reader.Read());
  }
  if (out.documents.empty() && out.refused.empty()) {
    out.refused.push_back(only.empty() ? "workflows: there is none"
                                       : StrCat("workflows: there is no \"", only, "\""));
  }
  if (!out.refused.empty()) out.documents.clear();
  return out;
}

}  // namespace metamcp::cli::arazzo
