#include <CLI/CLI.hpp>

#include "cli/serve.h"

int main(int argc, char** argv) {
  CLI::App app("meta-mcp: one MCP endpoint in front of every server", "meta-mcp");
  app.require_subcommand(1);
  metamcp::cli::ServeOptions options;
  std::string listen;
  std::string database;
  std::vector<std::string> services;
  CLI::App* serve = app.add_subcommand("serve", "Run the gateway and its services");
  serve->add_option("--config", options.config_path, "Configuration file");
  serve->add_option("--data-dir", options.data_dir, "Data folder (default ~/.meta-mcp)");
  serve->add_option("--listen", listen, "host:port of the gateway");
  serve->add_option("--database-url", database, "sqlite:PATH or postgresql://…");
  serve->add_option("--services", services, "gateway,catalog,connector")->delimiter(',');
  serve->add_flag("--on-demand", options.on_demand, "End a minute after the last client");
  CLI11_PARSE(app, argc, argv);
  if (!listen.empty()) options.flags["gateway.listen"] = listen;
  if (!database.empty()) options.flags["database.url"] = database;
  if (!services.empty()) {
    options.services = std::set<std::string>(services.begin(), services.end());
  }
  return metamcp::cli::RunServe(options);
}
