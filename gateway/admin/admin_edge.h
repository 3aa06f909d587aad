#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "common/config/counter_rule.h"
#include "gateway/admin/admin_handler.h"
#include "gateway/admin/metrics.h"
#include "gateway/routing/call_observer.h"
#include "gateway/routing/snapshot.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"

namespace metamcp::rpc {
class Service;
}

namespace metamcp::catalog::v1 {
class CatalogService;
}

namespace metamcp::gateway::admin {

struct AdminOptions {
  // Shown through REST by their http options; must outlive the edge.
  std::vector<rpc::Service*> services;
  // Asked for virtual servers that the snapshot does not hold yet. May be null.
  catalog::v1::CatalogService* catalog = nullptr;
  // See GatewayDeps::reload. May be empty.
  std::function<Awaitable<absl::StatusOr<std::string>>(TraceContext)> reload;
  // Numbers of now.
  std::function<size_t()> connections;
  std::function<size_t()> sessions;
  std::function<Gauges::Audit()> audit;  // empty: this gateway records nothing
  std::vector<config::CounterRule> counters;
  // Adds what other parts of the gateway measure. May be empty.
  std::function<void(Gauges&)> measure;
  std::string public_url;
  std::function<bool()> needs_key;  // clients must send a key
  std::chrono::milliseconds keep_alive = std::chrono::seconds(15);
  std::chrono::milliseconds timeout = std::chrono::seconds(120);
};

// The operators' side of the gateway: REST over the services, /openapi.json, /metrics, status,
// events, reload and what clients need to connect. docs/api.md lists the operations.
// Thread: the io thread.
class AdminEdge : public AdminHandler {
 public:
  // Errors: RouteTable::Create's.
  static absl::StatusOr<std::unique_ptr<AdminEdge>> Create(boost::asio::any_io_executor executor,
                                                           AdminOptions options);

  // Takes each message of the gateway's catalog watch, with the snapshot after it.
  virtual void OnCatalog(const catalog::v1::WatchCatalogResponse& message,
                         std::shared_ptr<const Snapshot> snapshot) = 0;
  // Where the gateway listens, for clients that ask over the unix socket.
  virtual void SetListenUrl(std::string url) = 0;
  // Counts calls for /metrics.
  virtual CallObserver& observer() = 0;
  // Ends the event streams of `principal`, whose key is gone.
  virtual void CloseWhere(const std::function<bool(const Principal&)>& who) = 0;
  // The template of the operation that answers a request; empty where there is none.
  virtual std::string Operation(std::string_view method, std::string_view path) const = 0;
  // Ends the event streams, so that the server can stop.
  virtual void Close() = 0;
};

}  // namespace metamcp::gateway::admin
