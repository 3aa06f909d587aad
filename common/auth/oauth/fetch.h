#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/auth/oauth/challenge.h"
#include "common/auth/oauth/metadata.h"
#include "common/auth/oauth/request.h"
#include "common/http/http_client.h"

namespace metamcp::oauth {

// Where addresses that servers name may lead: https to public addresses. With `loopback` (for an
// upstream on this machine) also http and https to this machine; with `private_networks` (the
// operator's word) https to anywhere. Source: MCP security best practices, "SSRF".
struct Guard {
  bool loopback = false;
  bool private_networks = false;
  bool allow_tls12 = false;
  std::string ca_file;
  std::string domain = "connector";  // of errors
};

// Errors: UPSTREAM_AUTH naming `what` and why its URL is not acceptable.
absl::Status CheckUrl(const Guard& guard, std::string_view what, std::string_view url);

struct Reply {
  int status = 0;
  std::string body;
};

// The requests of an OAuth client, guarded and bounded: 256 KiB of answer, 15 s each, three
// redirects for metadata and none for anything else. Errors of all: UPSTREAM_AUTH for what a server
// said or is; UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_LOST for not reaching it. `http`
// must outlive this; `ctx` bounds each call. Thread: the client's executor.
class Fetcher {
 public:
  Fetcher(http::HttpClient& http, Guard guard) : http_(http), guard_(std::move(guard)) {}

  // CheckUrl with the guard of this fetcher.
  absl::Status Check(std::string_view what, std::string_view url) const {
    return CheckUrl(guard_, what, url);
  }

  Awaitable<absl::StatusOr<Reply>> Get(const CallContext& ctx, std::string what, std::string url);
  Awaitable<absl::StatusOr<Reply>> Post(const CallContext& ctx, std::string what, std::string url,
                                        std::string content_type, std::string body,
                                        std::string authorization);

  // Finds the metadata of the resource at `upstream_url`: where the challenge says, else at the
  // well-known addresses. NOT_FOUND when there is none anywhere.
  Awaitable<absl::StatusOr<ResourceMetadata>> Resource(const CallContext& ctx,
                                                       std::string upstream_url,
                                                       std::string challenge_url);
  // Finds and checks the metadata of an authorization server; its issuer is `issuer` and every
  // endpoint acceptable. NOT_FOUND when there is none anywhere.
  Awaitable<absl::StatusOr<ServerMetadata>> Server(const CallContext& ctx, std::string issuer);

  // Registers a client (RFC 7591).
  Awaitable<absl::StatusOr<ClientIdentity>> Register(const CallContext& ctx, ServerMetadata server,
                                                     std::string redirect_uri, std::string scope);
  // Asks the token endpoint, as `client`. An error that it answers is UPSTREAM_AUTH with its code
  // as metadata "oauth_error".
  Awaitable<absl::StatusOr<TokenSet>> Token(const CallContext& ctx, ServerMetadata server,
                                            ClientIdentity client, Form form);
  // Exchanges an id token at an identity provider for an assertion (ID-JAG) that the authorization
  // server takes. Source: MCP enterprise-managed-authorization.
  Awaitable<absl::StatusOr<std::string>> Exchange(const CallContext& ctx, ServerMetadata provider,
                                                  ClientIdentity client, Form form);
  // Revokes a token where the server can (RFC 7009); the answer does not matter.
  Awaitable<void> Revoke(const CallContext& ctx, ServerMetadata server, ClientIdentity client,
                         std::string token);

 private:
  Awaitable<absl::StatusOr<Reply>> Send(const CallContext& ctx, http::HttpClientRequest request,
                                        std::string* location);
  Awaitable<absl::StatusOr<Reply>> PostForm(const CallContext& ctx, std::string what,
                                            std::string url, const ServerMetadata& server,
                                            const ClientIdentity& client, Form form);
  http::HttpClientRequest Request(std::string_view method, std::string_view url) const;
  absl::Status Said(std::string_view why) const;

  http::HttpClient& http_;
  const Guard guard_;
};

}  // namespace metamcp::oauth
