// The vault. Values come from standard input or a prompt, never from arguments, which others see.
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/hidden_input.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

absl::StatusOr<std::string> ReadValue(CommandContext& ctx, const std::string& name) {
  return ReadHidden(ctx, StrCat("Value of ", name),
                    StrCat("Write it to standard input: meta-mcp secret set ", name, " < FILE"));
}

absl::Status Set(CommandContext& ctx, const std::string& name, bool must_exist) {
  METAMCP_ASSIGN_OR_RETURN(const std::string value, ReadValue(ctx, name));
  RestRequest request("PUT", ApiPath({"secrets", name}));
  request.body = nlohmann::json({{"value", value}, {"mustExist", must_exist}}).dump();
  METAMCP_RETURN_IF_ERROR(ctx.rest().Call(request).status());
  ctx.Say(StrCat("Sealed. Servers refer to it as ${secret:", name, "}."));
  return absl::OkStatus();
}

absl::Status List(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"secrets"}))));
  if (ctx.json()) {
    ctx.PrintJson(reply.dump());
    return absl::OkStatus();
  }
  Table table({"NAME", "STATE", "USED BY"});
  for (const nlohmann::json& secret : ArrayOf(reply, "secrets")) {
    table.Row({TextOf(secret, "name"),
               BoolOf(secret, "readable") ? "sealed" : "sealed by a key that is gone",
               JoinedOf(secret, "usedBy")});
  }
  ctx.PrintTable(table, "No secrets. meta-mcp secret set NAME adds one.");
  return absl::OkStatus();
}

absl::Status Remove(CommandContext& ctx, const std::string& name) {
  METAMCP_RETURN_IF_ERROR(
      ctx.rest().Call(RestRequest("DELETE", ApiPath({"secrets", name}))).status());
  ctx.Say(StrCat("Removed ", name, "."));
  return absl::OkStatus();
}

}  // namespace

void AddSecretCommands(Command& root) {
  CommandContext& ctx = root.context();
  Command group = root.Sub("secret", "Values of the vault, which ${secret:NAME} stands for");
  group.Example("meta-mcp secret set GIT_TOKEN < token.txt").Example("meta-mcp secret list");
  const auto name = std::make_shared<std::string>();
  Command set = group.Sub("set", "Seals a value, read from standard input or asked for");
  set.Example("meta-mcp secret set GIT_TOKEN < token.txt");
  set.Argument("NAME", name.get(), "letters, digits and '_'");
  set.Run([&ctx, name] { return Set(ctx, *name, false); });
  Command rotate =
      group.Sub("rotate", "Replaces a value; servers that use it connect again between calls");
  rotate.Example("meta-mcp secret rotate GIT_TOKEN < token.txt");
  rotate.Argument("NAME", name.get(), "a secret that is there");
  rotate.Run([&ctx, name] { return Set(ctx, *name, true); });
  Command list = group.Sub("list", "Lists names and who uses them, never values");
  list.Example("meta-mcp secret list");
  list.Run([&ctx] { return List(ctx); });
  Command remove = group.Sub("remove", "Removes a value");
  remove.Example("meta-mcp secret remove GIT_TOKEN");
  remove.Argument("NAME", name.get(), "the secret");
  remove.Run([&ctx, name] { return Remove(ctx, *name); });
}

}  // namespace metamcp::cli
