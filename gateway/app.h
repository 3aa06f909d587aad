#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/config/config.h"
#include "common/http/http_server.h"
#include "gateway/protocol/edge_peers.h"
#include "gateway/transport/admission.h"
#include "gateway/transport/duplex_connection.h"
#include "metamcp/access/v1/access_service.metamcp.h"
#include "metamcp/access/v1/approval_service.metamcp.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "metamcp/catalog/v1/quota_service.metamcp.h"
#include "metamcp/catalog/v1/taint_service.metamcp.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"

namespace metamcp::gateway {

class AuditRecorder;

// What a program serves of the gateway; `serve` serves all.
struct EdgeOptions {
  EdgePaths paths;
  bool rest = true;  // REST for operators, metrics
  // Streamable HTTP as McpEndpoint::Options says.
  bool stateless = false;
  bool json_only = false;
};

// What the gateway stands on; references must outlive the app.
struct GatewayDeps {
  GatewayDeps(catalog::v1::CatalogService& c, provider::v1::ProviderService& p,
              connector::v1::ConnectorService& n, const KeyRing& k)
      : catalog(c), provider(p), connector(n), keys(k) {}
  catalog::v1::CatalogService& catalog;
  provider::v1::ProviderService& provider;
  connector::v1::ConnectorService& connector;
  const KeyRing& keys;
  // The other gateways; null for one that is alone and forgets at its end.
  EdgePeers* peers = nullptr;
  // Reads the configuration again and returns what changed as a JSON object, for POST
  // /api/v1/config:reload; its span lies below the given context. May be empty.
  std::function<Awaitable<absl::StatusOr<std::string>>(TraceContext)> reload;
  // Who serves the upstreams of our own services, by the service's name. They must outlive the app.
  std::map<std::string, provider::v1::ProviderService*> providers;
  // Further services whose methods are part of the REST API. They must outlive the app.
  std::vector<rpc::Service*> services;
  // Takes the events of POST /api/v1/workflows/hooks/{id}; null: nobody does.
  workflow::v1::WorkflowService* workflows = nullptr;
  // Who may come in beside auth; null: nobody. Must outlive the app.
  access::v1::AccessService* access = nullptr;
  // Where persons allow what the policy asks them; null: such calls fail.
  access::v1::ApprovalService* approvals = nullptr;
  // For suggestions, by REST and by suggest_workflow, and models; null: there are none.
  ai::v1::AiService* ai = nullptr;
  EdgeOptions edge;
  // Keeps what gateways share of the limits, and daily quotas; null: nothing is shared or kept.
  catalog::v1::QuotaService* quotas = nullptr;
  // Keeps in which scopes a server answered that is not trusted; null: this process does.
  catalog::v1::TaintService* taint = nullptr;
  // Gateways that are alive, this one included. May be empty: one.
  std::function<size_t()> gateways;
  // Where everything is recorded; null: nothing is. Must outlive the app.
  AuditRecorder* audit = nullptr;
  // Where that can be read again, for policy:replay; null: nowhere.
  audit::v1::AuditService* audit_log = nullptr;
};

// Where a gateway with that public URL serves its Client ID Metadata Document; empty where it has
// no https address.
std::string ClientMetadataUrl(const std::string& public_url);

// The gateway: MCP edge, call chain and admin edge, wired. Thread: the executor's one thread.
class GatewayApp {
 public:
  // Errors: CONFIG_INVALID, among them a listener that other machines reach without keys.
  static absl::StatusOr<std::unique_ptr<GatewayApp>> Create(boost::asio::any_io_executor executor,
                                                            const config::Config& config,
                                                            GatewayDeps deps);
  virtual ~GatewayApp() = default;

  // Starts to follow the catalog and waits, at most `limit`, for the first snapshot.
  virtual Awaitable<absl::Status> Start(std::chrono::steady_clock::duration limit) = 0;
  // Listens on gateway.listen and, if `unix_path` is not empty, on that socket. Returns the base
  // URL, for example http://127.0.0.1:8931.
  virtual absl::StatusOr<std::string> Listen(const std::string& unix_path) = 0;
  // The catalog is known, and it does not end.
  virtual bool ready() const = 0;
  // Says so from now on, so that balancers send nobody here; serves all the same.
  virtual void NotReady() = 0;
  // Stops accepting, lets calls finish for `grace`, ends streams and sessions.
  virtual Awaitable<void> Stop(std::chrono::steady_clock::duration grace) = 0;

  // Takes auth.keys and auth.anonymousLoopback anew. Whoever has no valid key any more loses what
  // it holds open: connections, streams, sessions. Errors: as Create; then nothing has changed.
  virtual absl::Status SetKeys(const config::Config& config) = 0;

  // Takes limits.rules, detectors.* and taint.* anew, for the next call on.
  virtual void SetGuards(const config::Config& config) = 0;

  // Takes policy.* anew, and tells clients that their lists may be others. Errors: CONFIG_INVALID;
  // then nothing has changed.
  virtual absl::Status SetPolicy(const config::Config& config) = 0;

  // A connection of whoever runs this process to the virtual server "default". Its messages are
  // carried by the caller, which ends it with Gone. Errors: as DuplexFront::Open.
  virtual absl::StatusOr<std::shared_ptr<DuplexConnection>> OpenLocal(std::string transport) = 0;
  // The virtual server "default" as it is now; null before the catalog is known.
  virtual std::shared_ptr<const ServerView> View() const = 0;

  virtual v1::CallsService& calls() = 0;
  virtual v1::EdgePeerService& edge_peer() = 0;
  // Open connections of clients now.
  virtual size_t connections() const = 0;
};

}  // namespace metamcp::gateway
