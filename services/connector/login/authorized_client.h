#pragma once

#include <memory>
#include <string>

#include "common/http/http_client.h"
#include "services/connector/login/signer.h"

namespace metamcp::connector {

// An HttpClient that sends the bearer token of one account with every request, and sends a request
// again when what was wrong with the token could be mended. Errors: also those of Signer. A
// 401 or 403 that says nothing about tokens comes back as a response. `client` must outlive it.
class AuthorizedClient final : public http::HttpClient {
 public:
  AuthorizedClient(http::HttpClient& client, std::shared_ptr<Signer> signer, std::string owner)
      : client_(client), signer_(std::move(signer)), owner_(std::move(owner)) {}

  Awaitable<absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>> Send(
      const CallContext& ctx, http::HttpClientRequest request) override;
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> OpenWebSocket(
      const CallContext& ctx, http::HttpClientRequest request,
      http::WebSocketOptions options) override;

 private:
  http::HttpClient& client_;
  const std::shared_ptr<Signer> signer_;
  const std::string owner_;
};

}  // namespace metamcp::connector
