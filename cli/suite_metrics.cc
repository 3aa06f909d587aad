#include "cli/suite.h"

namespace metamcp::cli {

void Suite::AddMetrics() {
  metrics_.AddSource([this](MetricsSide::Families& out) {
    const rpc::GrpcServer::Load load = side_.load();
    out.push_back(exposition::Single("metamcp_rpc_running", "Calls of other processes that run.",
                                     load.calls));
    out.push_back(exposition::Single("metamcp_rpc_streams",
                                     "Streams that last as long as their "
                                     "caller: watches, subscriptions, passed-on streams.",
                                     load.streams));
    if (ground_.database_executor) {
      out.push_back(exposition::Single("metamcp_database_queued",
                                       "Operations that wait for a database connection.",
                                       ground_.database_executor->queued()));
    }
    if (catalog_app_) {
      out.push_back(exposition::Single("metamcp_catalog_revision",
                                       "Newest stored revision of the catalog that is known here.",
                                       static_cast<double>(catalog_app_->revision())));
      out.push_back(exposition::Single("metamcp_catalog_pending",
                                       "Reported objects that are shown and not stored yet.",
                                       static_cast<double>(catalog_app_->pending())));
    }
    if (workflow_app_) {
      out.push_back(exposition::Single("metamcp_workflow_runs",
                                       "Runs that this process carries on.",
                                       static_cast<double>(workflow_app_->running())));
    }
    if (!connector_app_) return;
    const connector::App::Load here = connector_app_->load();
    const auto add = [&out](const char* name, const char* help, size_t value) {
      out.push_back(exposition::Single(name, help, static_cast<double>(value)));
    };
    add("metamcp_connector_upstreams", "Servers that run at this connector.", here.upstreams);
    add("metamcp_connector_connected", "Of these, those that answer.", here.connected);
    add("metamcp_connector_calls", "Calls to servers in flight.", here.calls);
    add("metamcp_connector_parked", "Calls that wait for their client's answer.", here.parked);
    add("metamcp_connector_processes", "Child processes.", here.processes);
    add("metamcp_resource_cache_bytes", "What is kept of resources that were read.",
        here.cache_bytes);
    auto reads = exposition::Family("metamcp_resource_cache_reads_total",
                                    "Resources that were read, by whether their server was asked.",
                                    prometheus::MetricType::Counter);
    exposition::Add(reads, static_cast<double>(here.cache_hits), {{"result", "hit"}});
    exposition::Add(reads, static_cast<double>(here.cache_misses), {{"result", "miss"}});
    out.push_back(std::move(reads));
  });
}

}  // namespace metamcp::cli
