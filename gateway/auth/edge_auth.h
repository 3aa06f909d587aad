#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/async/task_group.h"
#include "common/auth/authenticator.h"
#include "common/auth/tokens.h"
#include "common/config/config.h"
#include "common/http/http_client.h"
#include "common/http/http_server.h"
#include "gateway/routing/call_stage.h"
#include "gateway/transport/admission.h"

namespace metamcp::gateway {

// The static keys of the configuration.
std::vector<auth::StaticKey> KeysOf(const config::Config& config);

// Whether somebody must show something before a listener at `host` is safe. Errors: CONFIG_INVALID
// naming `setting` where other machines reach it and nobody needs a credential.
absl::Status CheckReach(const config::Config& config, const std::string& host,
                        std::string_view setting, std::string_view listen);

// The gateway as a resource server of OAuth 2.1 (MCP authorization; RFC 9728): takes tokens,
// publishes the metadata of each virtual server, and refuses calls whose token lacks a scope.
// Thread: the io thread.
class EdgeAuth final : public CallStage {
 public:
  // `tasks` and `keys` must outlive it; `tasks` has ended before.
  EdgeAuth(boost::asio::any_io_executor executor, const config::Config& config, const KeyRing& keys,
           bool loopback_bind, EdgePaths paths, TaskGroup& tasks);

  auth::TokenSource& tokens() { return tokens_; }
  // Takes these settings; returns whether they differ from those before.
  bool SetConfig(const config::Config& config);
  // Where we listen ("http://127.0.0.1:8931"), for challenges without a request.
  void SetListenUrl(const std::string& url);

  static bool Owns(std::string_view path);
  // Answers a request for metadata.
  Awaitable<void> Handle(const http::HttpRequest& request, http::HttpResponder& responder,
                         const CatalogMirror& mirror);

  absl::Status Before(const StageCall& call) override;
  void After(const StageCall&, absl::StatusOr<CallOutcome>*) override {}

 private:
  const EdgePaths paths_;
  std::unique_ptr<http::HttpClient> http_;
  auth::Tokens tokens_;
  config::AuthConfig config_;
  std::vector<std::pair<std::string, std::vector<std::string>>> tool_scopes_;  // by glob
  std::string listen_host_;
};

}  // namespace metamcp::gateway
