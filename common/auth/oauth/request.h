#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/auth/oauth/metadata.h"

// The requests of an OAuth 2.1 client and how their answers are judged. Pure.
namespace metamcp::oauth {

using Form = std::vector<std::pair<std::string, std::string>>;

// application/x-www-form-urlencoded.
std::string EncodeForm(const Form& form);
// `endpoint` with the form as query; a query that is there is kept.
std::string WithQuery(std::string_view endpoint, const Form& form);

// Who we are at one authorization server. Holds secrets: never logged.
struct ClientIdentity {
  std::string id;
  std::string secret;
  std::string private_key;  // PEM
  std::string key_id;
  std::string algorithm;          // of the private key's signatures; empty: what fits
  std::string auth_method;        // wanted or given; empty: chosen by the server's metadata
  int64_t secret_expires_us = 0;  // 0: never
  bool operator==(const ClientIdentity&) const = default;
};

// What a token endpoint gave. Holds secrets: never logged.
struct TokenSet {
  std::string access_token;
  std::string refresh_token;
  std::string scope;       // granted; empty: as requested
  int64_t expires_us = 0;  // wall clock; 0: unknown
};

// PKCE with S256 (RFC 7636).
struct Pkce {
  std::string verifier;
  std::string challenge;
};
Pkce MakePkce();
std::string CodeChallenge(std::string_view verifier);

// Scopes as space-separated text.
std::string UnionScopes(std::string_view a, std::string_view b);
bool HasScopes(std::string_view have, std::string_view want);

// The scopes to ask for first: configured, else the challenge's, else all that the resource
// supports, else none; with offline_access only if the server lists it and `refreshable`.
// Source: MCP 2025-11-25 and 2026-07-28, authorization, "Scope Selection Strategy".
std::string InitialScopes(std::string_view configured, std::string_view challenge,
                          const ResourceMetadata& resource, const ServerMetadata& server,
                          bool refreshable);

// Refuses a server without PKCE S256. UPSTREAM_AUTH.
absl::Status CheckPkce(const ServerMetadata& server);

struct AuthorizationRequest {
  std::string client_id;
  std::string redirect_uri;
  std::string challenge;
  std::string state;
  std::string resource;  // byte for byte as its metadata has it; empty: none (MCP 2025-03-26)
  std::string scope;
};
std::string AuthorizationUrl(const ServerMetadata& server, const AuthorizationRequest& request);

// What came back to the redirect URI. Absent members are empty; `has_iss` tells an empty one.
struct Callback {
  std::string code;
  std::string state;
  std::string iss;
  bool has_iss = false;
  std::string error;
  std::string error_description;
};
// Checks the issuer by RFC 9207 (plain comparison), before anything else is believed; then an error
// of the server, then the code. UPSTREAM_AUTH.
absl::Status CheckCallback(const Callback& callback, const ServerMetadata& server);

// Body of a dynamic registration (RFC 7591). `redirect_uri` on this machine makes a native client.
std::string RegistrationBody(std::string_view redirect_uri, const ServerMetadata& server,
                             std::string_view scope);
// Errors: UPSTREAM_AUTH.
absl::StatusOr<ClientIdentity> ParseRegistration(std::string_view json);
// Our Client ID Metadata Document, to be served at `url`, which is the client id.
std::string ClientMetadataDocument(std::string_view url, std::string_view redirect_uri);

// The method by which `client` shows itself at the token endpoint: none, client_secret_basic,
// client_secret_post or private_key_jwt. Errors: UPSTREAM_AUTH when the server takes none of what
// we have.
absl::StatusOr<std::string> ChooseAuthMethod(const ClientIdentity& client,
                                             const ServerMetadata& server);
// Adds client authentication for a request to the token endpoint of `server`: to the form, or as
// the value of an Authorization header. Errors: those of ChooseAuthMethod and SignJwt.
absl::Status AddClientAuth(const ClientIdentity& client, const ServerMetadata& server,
                           int64_t now_us, Form* form, std::string* authorization);

// Reads a token endpoint's success. Errors: UPSTREAM_AUTH for anything that cannot be sent as a
// bearer token.
absl::StatusOr<TokenSet> ParseToken(std::string_view json, int64_t now_us);
// Reads the assertion that a token exchange gave (RFC 8693; its token_type is N_A).
absl::StatusOr<std::string> ParseExchangedToken(std::string_view json, std::string_view type);

// The error that a token endpoint answered with (RFC 6749, section 5.2); "" when it gave none.
struct TokenError {
  std::string code;
  std::string description;  // plain text, cut
};
TokenError ParseTokenError(std::string_view json);

}  // namespace metamcp::oauth
