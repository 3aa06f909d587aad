#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/mcp/version.h"

namespace metamcp::cli {

void AddVersionCommand(Command& root) {
  CommandContext& ctx = root.context();
  Command version = root.Sub("version", "Prints the program's version");
  version.Example("meta-mcp version --output json");
  version.Run([&ctx] {
    if (ctx.json()) {
      nlohmann::ordered_json out;
      out["version"] = METAMCP_VERSION;
      out["protocol"] = mcp::RevisionName(mcp::Revision::k20260728);
      ctx.PrintJson(json::DumpJson(out));
    } else {
      *ctx.out << "meta-mcp " << METAMCP_VERSION << ", MCP up to "
               << mcp::RevisionName(mcp::Revision::k20260728) << "\n";
    }
    return absl::OkStatus();
  });
}

void AddCompletionCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto shell = std::make_shared<std::string>();
  Command completion = root.Sub("completion", "Prints a script that completes commands in a shell");
  completion.Example("source <(meta-mcp completion bash)")
      .Example("meta-mcp completion zsh > ~/.zfunc/_meta-mcp")
      .Example("meta-mcp completion fish > ~/.config/fish/completions/meta-mcp.fish");
  completion.ChoiceArgument("SHELL", shell.get(), {"bash", "zsh", "fish"}, "bash, zsh or fish");
  completion.Run([&ctx, shell] {
    CommandContext other;
    CommandTree tree(other);
    AddCommands(tree);
    *ctx.out << CompletionScript(*shell, tree.Describe());
    return absl::OkStatus();
  });
}

}  // namespace metamcp::cli
