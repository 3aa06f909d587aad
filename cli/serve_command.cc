#include "cli/commands.h"
#include "cli/serve.h"
#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

struct ServeCommandOptions {
  std::string listen, database_url, services;
  bool on_demand = false;
};

absl::StatusOr<std::set<std::string>> ParseServices(const std::string& list,
                                                    const std::set<std::string>& known) {
  std::set<std::string> out;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string name = list.substr(begin, end - begin);
    if (known.count(name) == 0) {
      const std::string near = Nearest(name, known);
      return UsageError(StrCat("there is no service \"", name, "\""),
                        near.empty() ? "Services: gateway, catalog, connector, workflow, audit, ai."
                                     : StrCat("Did you mean \"", near, "\"?"));
    }
    out.insert(name);
    begin = end + 1;
  }
  return out;
}

absl::Status Serve(CommandContext& ctx, const ServeCommandOptions& o) {
  if (ctx.remote()) return UsageError("serve takes no --url", "It runs a gateway of its own.");
  ServeOptions options;
  options.data_dir = ctx.DataDir();
  options.config_path = ctx.GivenConfig();
  options.on_demand = o.on_demand;
  if (!o.listen.empty()) options.flags["gateway.listen"] = o.listen;
  if (!o.database_url.empty()) options.flags["database.url"] = o.database_url;
  if (!o.services.empty()) {
    auto services = ParseServices(o.services, options.services);
    if (!services.ok()) return services.status();
    options.services = *std::move(services);
  }
  ctx.exit_code = ctx.run_serve(options);
  return absl::OkStatus();
}

absl::Status Migrate(CommandContext& ctx, const std::string& database_url) {
  if (ctx.remote()) return UsageError("migrate takes no --url", "It opens the database itself.");
  ServeOptions options;
  options.data_dir = ctx.DataDir();
  options.config_path = ctx.GivenConfig();
  if (!database_url.empty()) options.flags["database.url"] = database_url;
  ctx.exit_code = ctx.run_migrate(options);
  return absl::OkStatus();
}

}  // namespace

void AddMigrateCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto database_url = std::make_shared<std::string>();
  Command migrate = root.Sub("migrate", "Brings the database up to date and ends");
  migrate.Example("meta-mcp migrate")
      .Example("meta-mcp migrate --database-url postgresql://metamcp@db.example.com/metamcp")
      .More(
          "The programs do it at their start, too; this is for a deployment that does it once "
          "before. Steps are applied in one transaction under a lock; running programs of the "
          "release before go on.");
  migrate.Option("--database-url", database_url.get(), "sqlite:PATH or postgresql://...", "URL");
  migrate.Run([&ctx, database_url] { return Migrate(ctx, *database_url); });
}

void AddServeCommand(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<ServeCommandOptions>();
  Command serve = root.Sub("serve", "Runs the gateway");
  serve.Example("meta-mcp serve")
      .Example("meta-mcp serve --listen 127.0.0.1:0")
      .Example("meta-mcp serve --database-url postgresql://metamcp@db.example.com/metamcp")
      .More(
          "Prints 'ready mcp=URL admin=URL pid=N' when it listens. Ends on SIGINT and SIGTERM "
          "after running calls; SIGHUP reads the configuration again.");
  serve.Option("--listen", &o->listen, "address of the gateway", "HOST:PORT")
      .Option("--database-url", &o->database_url, "sqlite:PATH or postgresql://...", "URL")
      .Option(
          "--services", &o->services,
          "which to run here, by commas: gateway, catalog, connector, workflow, audit, ai (default "
          "all)",
          "LIST")
      .Flag("--on-demand", &o->on_demand, "end a minute after the last client has gone");
  serve.Run([&ctx, o] { return Serve(ctx, *o); });
}

}  // namespace metamcp::cli
