// Workflows of Arazzo descriptions.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/arazzo/arazzo.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "cli/workflow_calls.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/yaml.h"

namespace metamcp::cli {
namespace {

constexpr size_t kFileMax = 4u << 20;
constexpr int kDepthMax = 64;

struct ImportOptions {
  std::string file, workflow;
  std::vector<std::string> map;
  bool check = false;
};

absl::StatusOr<nlohmann::ordered_json> ReadDescription(CommandContext& ctx,
                                                       const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(*ctx.in), {});
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) return UsageError(StrCat("cannot read ", path));
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  if (text.size() > kFileMax) return UsageError(StrCat(path, " has more than 4 MiB"));
  return json::ParseJsonOrYaml(text, kDepthMax);
}

// By --map, else the one tool of that name, of the server that is called like the source where the
// step names one.
absl::StatusOr<std::string> ToolFor(CommandContext& ctx, const ImportOptions& o,
                                    const std::string& operation, const std::string& source) {
  for (const std::string& one : o.map) {
    const size_t equals = one.find('=');
    if (equals != std::string::npos && one.substr(0, equals) == operation) {
      return one.substr(equals + 1);
    }
  }
  const std::string asked = source.empty() ? operation : StrCat(source, ".", operation);
  const auto reply = CallJson(ctx, RestRequest("GET", ApiPath({"items:why"}, {{"name", asked}})));
  std::vector<std::string> found;
  if (reply.ok()) {
    for (const nlohmann::json& item : ArrayOf(*reply, "items")) {
      const bool exposed = TextOf(item, "hiddenReason").empty();
      if (TextOf(item, "kind") == "tool" && exposed) found.push_back(TextOf(item, "qualifiedName"));
    }
  }
  if (found.size() == 1) return found[0];
  const std::string mend = StrCat("; choose one with --map ", operation, "=SERVER.TOOL");
  if (found.empty()) return absl::NotFoundError(StrCat("there is no tool \"", asked, "\"", mend));
  std::string all;
  for (const std::string& one : found) all += StrCat(all.empty() ? "" : ", ", one);
  return absl::NotFoundError(StrCat("several tools are called \"", asked, "\": ", all, mend));
}

absl::Status Import(CommandContext& ctx, const ImportOptions& o) {
  for (const std::string& one : o.map) {
    if (one.find('=') == std::string::npos) {
      return UsageError(StrCat("--map ", one), "Write OPERATION=SERVER.TOOL.");
    }
  }
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::ordered_json description, ReadDescription(ctx, o.file));
  const arazzo::Imported imported = arazzo::Import(
      description, o.workflow, [&ctx, &o](const std::string& operation, const std::string& source) {
        return ToolFor(ctx, o, operation, source);
      });
  for (const std::string& refused : imported.refused) {
    *ctx.out << OneLine(o.file) << ": " << OneLine(refused) << "\n";
  }
  if (!imported.refused.empty()) {
    ctx.exit_code = kExitFailed;
    ctx.Say("Nothing was stored.");
    return absl::OkStatus();
  }
  if (o.check) {
    for (const nlohmann::ordered_json& document : imported.documents) {
      ctx.PrintJson(json::DumpJson(document));
    }
    return absl::OkStatus();
  }
  for (const nlohmann::ordered_json& document : imported.documents) {
    METAMCP_ASSIGN_OR_RETURN(const nlohmann::json stored,
                             StoreWorkflow(ctx, json::DumpJson(document)));
    ctx.Say(StrCat(OneLine(TextOf(stored, "name")), " ", OneLine(TextOf(stored, "version")),
                   " is stored; 'meta-mcp workflow run ", OneLine(TextOf(stored, "name")),
                   "' runs it."));
  }
  return absl::OkStatus();
}

}  // namespace

void AddWorkflowImportCommand(Command& workflow) {
  CommandContext& ctx = workflow.context();
  auto o = std::make_shared<ImportOptions>();
  Command import = workflow.Sub("import", "Stores the workflows of an Arazzo description");
  import.Example("meta-mcp workflow import pets.arazzo.yaml")
      .Example("meta-mcp workflow import pets.arazzo.yaml --map listPets=pets.list_pets")
      .More(
          "Each step must be for a registered tool: the one that its x-mcp-tool or --map names, "
          "else "
          "the one that is called like its operationId. What is not there is refused by name, and "
          "then nothing is stored.");
  import.Argument("FILE", &o->file, "Arazzo 1.0, JSON or YAML; - for standard input")
      .Option("--workflow", &o->workflow, "only this one", "WORKFLOWID")
      .List("--map", &o->map, "the tool of an operation", "OPERATION=SERVER.TOOL")
      .Flag("--check", &o->check, "store nothing, print the documents");
  import.Run([&ctx, o] { return Import(ctx, *o);
});
}  // namespace metamcp::cli

}  // namespace metamcp::cli
