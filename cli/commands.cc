#include "cli/commands.h"

namespace metamcp::cli {

void AddCommands(CommandTree& tree) {
  GlobalOptions& global = tree.context().global;
  Command root = tree.root();
  root.Example("meta-mcp init")
      .Example("meta-mcp serve")
      .Example("meta-mcp connect claude-code")
      .Example("meta-mcp tool list --output json")
      .More(
          "Exit codes: 0 done, 1 failed, 2 usage or configuration error, 3 not reachable, "
          "4 denied.");
  root.Choice("-o,--output", &global.output, {"table", "json"}, "form of the answer")
      .Option("--config", &global.config, "configuration (default <data-dir>/config.json)", "FILE")
      .Option("--data-dir", &global.data_dir, "database, keys, socket (default ~/.meta-mcp)",
              "FOLDER")
      .Option("--url", &global.url, "a gateway elsewhere", "URL")
      .Option("--token", &global.token, "key for that gateway (or META_MCP_TOKEN)")
      .Option("--ca", &global.ca, "authorities of its certificate, PEM (or META_MCP_CA)", "FILE")
      .Option("--client-cert", &global.client_cert, "our certificate for it, PEM", "FILE")
      .Option("--client-key", &global.client_key, "its key, where that is in another file", "FILE")
      .Flag("--non-interactive", &global.non_interactive, "never ask anything")
      .Flag("--plain", &global.plain, "linear text without colours and columns");
  AddServeCommand(root);
  AddMigrateCommand(root);
  AddTranslateCommand(root);
  AddStdioCommand(root);
  AddInitCommand(root);
  AddConnectCommand(root);
  AddConfigCommands(root);
  AddServerCommands(root);
  AddToolCommands(root);
  AddResourceCommands(root);
  AddPromptCommands(root);
  AddVirtualCommands(root);
  AddSecretCommands(root);
  AddWorkflowCommands(root);
  AddAuditCommands(root);
  AddInsightCommands(root);
  AddLogCommands(root);
  AddPolicyCommands(root);
  AddApprovalCommands(root);
  AddSuggestCommand(root);
  AddAiCommands(root);
  AddLimitsCommand(root);
  AddSessionCommands(root);
  AddCertCommands(root);
  AddTokenCommands(root);
  AddUserCommands(root);
  AddTeamCommands(root);
  AddDoctorCommand(root);
  AddShellCommand(root);
  AddCompletionCommand(root);
  AddVersionCommand(root);
}

}  // namespace metamcp::cli
