#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/connect_client.h"
#include "cli/endpoint.h"
#include "cli/rest_json.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/connect.h"
#include "common/config/load.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

struct ConnectCommandOptions {
  std::string client, virtual_server, entry = "meta-mcp";
  bool remove = false;
  bool http = false;
  bool no_verify = false;
};

// How each client writes a reference to a variable of its environment.
std::string KeyReference(config::Client client) {
  return client == config::Client::kClaudeCode ? "Bearer ${META_MCP_TOKEN}"
                                               : "Bearer ${env:META_MCP_TOKEN}";
}

// The address of the gateway on this machine: its own word if it runs, else the configuration's.
absl::StatusOr<std::string> LocalUrl(CommandContext& ctx, const std::string& virtual_server) {
  const std::string name = virtual_server.empty() ? "default" : virtual_server;
  if (ctx.GatewayRuns()) {
    METAMCP_ASSIGN_OR_RETURN(
        const nlohmann::json reply,
        CallJson(ctx, RestRequest("GET", ApiPath({"virtual-servers", name, "connect"}))));
    return TextOf(reply, "url");
  }
  config::LoadOptions load;
  load.env = ctx.env;
  METAMCP_ASSIGN_OR_RETURN(const config::LoadResult loaded,
                           config::LoadConfigBlocking(ctx.ConfigPath(), load));
  const config::GatewayConfig& gateway = loaded.config.gateway;
  const std::string_view scheme = gateway.tls.certificate.empty() ? "http://" : "https://";
  return EndpointUrl(StrCat(scheme, gateway.listen), virtual_server);
}

absl::StatusOr<config::ConnectOptions> OptionsOf(CommandContext& ctx, config::Client client,
                                                 const ConnectCommandOptions& o) {
  config::ConnectOptions options;
  options.entry = o.entry;
  options.command = ctx.program;
  options.args = {"stdio"};
  const auto add = [&options](std::string_view flag, const std::string& value) {
    options.args.emplace_back(flag);
    options.args.push_back(value);
  };
  if (!o.virtual_server.empty()) add("--virtual", o.virtual_server);
  if (!ctx.global.data_dir.empty()) add("--data-dir", ctx.global.data_dir);
  if (!ctx.global.config.empty()) add("--config", ctx.global.config);
  if (ctx.remote()) {
    const RestTarget target = ctx.Target();
    add("--url", ctx.global.url);
    if (!target.ca_file.empty()) add("--ca", target.ca_file);
    if (!target.cert_file.empty()) add("--client-cert", target.cert_file);
    if (target.key_file != target.cert_file) add("--client-key", target.key_file);
  }
  const bool http = client != config::Client::kClaudeDesktop && (o.http || ctx.remote());
  if (!http) {
    if (ctx.remote() && !ctx.Target().token.empty()) add("--token", ctx.Target().token);
    return options;
  }
  if (ctx.remote()) {
    METAMCP_ASSIGN_OR_RETURN(options.url, EndpointUrl(ctx.global.url, o.virtual_server));
    if (!ctx.Target().token.empty()) options.headers["Authorization"] = KeyReference(client);
  } else {
    METAMCP_ASSIGN_OR_RETURN(options.url, LocalUrl(ctx, o.virtual_server));
  }
  return options;
}

absl::Status Verify(CommandContext& ctx, const config::ConnectOptions& options) {
  const auto tools =
      options.url.empty()
          ? CountToolsOverStdioBlocking(options.command, options.args, std::chrono::seconds(60))
          : CountToolsOverHttp(ctx, options.url);
  if (!tools.ok()) {
    return Annotate(tools.status(), "the entry is written, but does not work yet: ");
  }
  ctx.Say(StrCat("Tried it as the client will: ", *tools, " tools",
                 *tools == 0 ? " yet; the servers may still be connecting." : "."));
  return absl::OkStatus();
}

absl::Status Connect(CommandContext& ctx, const ConnectCommandOptions& o) {
  const auto client = config::ParseClient(o.client);
  if (!client) return UsageError(StrCat("there is no client \"", o.client, "\""));
  const config::ClientPlaces places = PlacesOf(ctx);
  METAMCP_ASSIGN_OR_RETURN(const config::ConnectOptions options, OptionsOf(ctx, *client, o));
  METAMCP_ASSIGN_OR_RETURN(const config::ConnectResult result,
                           o.remove ? config::DisconnectClientBlocking(*client, places, options)
                                    : config::ConnectClientBlocking(*client, places, options));
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["file"] = result.file;
    out["backup"] = result.backup;
    out["changed"] = result.changed;
    ctx.PrintJson(json::DumpJson(out));
  }
  const std::string_view what = !result.changed ? "Nothing to change in "
                                : o.remove      ? "Removed Meta-MCP from "
                                                : "Added Meta-MCP to ";
  ctx.Say(StrCat(what, result.file, "."));
  if (!result.backup.empty()) ctx.Say(StrCat("The file as it was: ", result.backup));
  if (!o.remove && !options.headers.empty()) {
    ctx.Say("The client reads the key from its variable META_MCP_TOKEN.");
  }
  if (!o.remove && !o.no_verify) METAMCP_RETURN_IF_ERROR(Verify(ctx, options));
  if (result.changed) ctx.Say(StrCat("Restart ", o.client, " so that it sees the change."));
  return absl::OkStatus();
}

}  // namespace

void AddConnectCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<ConnectCommandOptions>();
  std::vector<std::string> clients;
  for (const config::Client client : config::AllClients()) {
    clients.emplace_back(config::ClientName(client));
  }
  Command connect = root.Sub("connect", "Adds Meta-MCP to the configuration of a client");
  connect.Example("meta-mcp connect claude-desktop")
      .Example("meta-mcp connect vscode --virtual readers --http")
      .Example("meta-mcp connect cursor --remove")
      .More(
          "Keeps everything else in the client's file, makes a backup, and tries the entry by "
          "asking for the tools. Entries start 'meta-mcp stdio' unless --http or --url is given.");
  connect.ChoiceArgument("CLIENT", &o->client, clients, "which client")
      .Option("--virtual", &o->virtual_server, "connect it to this virtual server", "NAME")
      .Option("--name", &o->entry, "of the entry in the client's file")
      .Flag("--http", &o->http, "let the client speak HTTP to the gateway, which must run then")
      .Flag("--remove", &o->remove, "take the entry out again")
      .Flag("--no-verify", &o->no_verify, "do not try the entry");
  connect.Run([&ctx, o] { return Connect(ctx, *o); });
}

}  // namespace metamcp::cli
