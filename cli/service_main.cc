// The programs meta-mcp-gateway, -catalog, -connector, -workflow, -audit and -ai: one service each,
// joined with the others by gRPC. METAMCP_SERVICE is the service's name.

#include <CLI/CLI.hpp>
#include <string>

#include "cli/serve.h"

int main(int argc, char** argv) {
  const std::string service = METAMCP_SERVICE;
  const std::string program = "meta-mcp-" + service;
  CLI::App app(program + ": the " + service + " service of Meta-MCP", program);
  app.footer("Example: " + program +
             " --config /etc/meta-mcp/config.json --listen 127.0.0.1:9101\n"
             "Between machines the services need mTLS: set services.tls in the configuration.");
  metamcp::cli::ServeOptions options;
  options.program = program;
  options.services = {service};
  std::string listen, grpc, database, catalog, connector, audit;
  app.add_option("--config", options.config_path, "Configuration file");
  app.add_option("--data-dir", options.data_dir, "Data folder (default ~/.meta-mcp)");
  if (service == "gateway") {
    app.add_option("--listen", listen, "host:port for MCP clients");
    app.add_option("--grpc-listen", grpc, "host:port for the other services");
    app.add_option("--connector", connector, "Address of the connector service");
    app.add_option("--audit", audit, "Addresses of audit services, written as those of catalogs");
  } else {
    app.add_option("--listen", grpc, "host:port for the other services");
  }
  if (service != "catalog" && service != "audit") {
    app.add_option("--catalog", catalog,
                   "Addresses of catalog services, by commas, or dns:///host:port");
  }
  if (service != "gateway") {
    app.add_option("--database-url", database, "sqlite:PATH or postgresql://…");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // --help comes this way too; whatever else is wrong is a usage error.
    return app.exit(e) == 0 ? 0 : 2;
  }
  const auto set = [&options](const char* setting, const std::string& value) {
    if (!value.empty()) options.flags[setting] = value;
  };
  set("gateway.listen", listen);
  set("services.listen", grpc);
  set("services.catalog.address", catalog);
  set("services.connector.address", connector);
  set("services.audit.address", audit);
  set("database.url", database);
  return metamcp::cli::RunServe(options);
}
