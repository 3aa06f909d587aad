#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::oauth {

// Protected resource metadata (RFC 9728, section 2), as far as a client needs it.
struct ResourceMetadata {
  std::string resource;  // sent on byte for byte
  std::vector<std::string> authorization_servers;
  std::vector<std::string> scopes_supported;
};

// Authorization server metadata (RFC 8414, section 2; OpenID Connect Discovery).
struct ServerMetadata {
  std::string issuer;
  std::string authorization_endpoint;
  std::string token_endpoint;
  std::string registration_endpoint;
  std::string revocation_endpoint;
  std::vector<std::string> scopes_supported;
  std::vector<std::string> grant_types;
  std::vector<std::string> code_challenge_methods;
  std::vector<std::string> token_auth_methods;
  std::vector<std::string> token_auth_algorithms;
  bool client_id_metadata_document = false;
  bool iss_parameter = false;  // RFC 9207
  // Made up from defaults, as MCP 2025-03-26 wants it where a server publishes nothing.
  bool assumed = false;
};

// Errors: UPSTREAM_AUTH naming the member that is missing or of another type.
absl::StatusOr<ResourceMetadata> ParseResourceMetadata(std::string_view json);
absl::StatusOr<ServerMetadata> ParseServerMetadata(std::string_view json);

// Where the metadata of the resource at `url` may be, in the order to ask: below its path, at the
// root. Errors: those of ParseUrl.
absl::StatusOr<std::vector<std::string>> ResourceMetadataUrls(std::string_view url);

// Where the metadata of `issuer` may be, in the order to ask (MCP 2026-07-28, authorization,
// "Authorization Server Metadata Discovery"). Errors: those of ParseUrl.
absl::StatusOr<std::vector<std::string>> ServerMetadataUrls(std::string_view issuer);

// Whether metadata found at `found_at` may speak for the upstream at `url`: its resource is that
// URL; or a parent of it on the same origin, if the metadata is at that parent's own well-known
// address, so that the origin itself vouches for it (RFC 9728, section 3.3).
bool ResourceMatches(std::string_view resource, std::string_view url, std::string_view found_at);

// The endpoints of MCP 2025-03-26, "Fallbacks for Servers without Metadata Discovery".
ServerMetadata AssumedServer(std::string_view origin);

}  // namespace metamcp::oauth
