#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/auth/oauth/request.h"
#include "common/base/key_ring.h"
#include "services/connector/login/secret_store.h"

namespace metamcp::connector {

// What a login (or a grant without a user) gave: everything needed to use and renew it without
// asking anybody. Holds secrets.
struct Grant {
  std::string resource;  // as sent in requests; empty where the upstream names none
  oauth::ServerMetadata server;
  oauth::ClientIdentity client;
  bool configured_client = false;  // then `client` is the configuration's and not stored
  oauth::TokenSet tokens;
  std::string scope;         // last asked for
  std::string redirect_uri;  // that the client was registered with
  int64_t obtained_us = 0;   // of the tokens
};

// Whose login at which upstream.
struct Holder {
  std::string tenant;
  std::string owner;     // empty: shared by all
  std::string upstream;  // its URL
};

// Grants and registered clients, sealed by the ring (purpose token) before they reach the store. A
// sealed value that does not open (another ring, another place) counts as absent. Both references
// must outlive it. Errors: the store's.
class Vault {
 public:
  Vault(SecretStore& store, const KeyRing& keys) : store_(store), keys_(keys) {}

  // Of one issuer, or for an empty one the newest.
  Awaitable<absl::StatusOr<std::optional<Grant>>> LoadGrant(Holder holder, std::string issuer);
  Awaitable<absl::Status> SaveGrant(Holder holder, Grant grant);
  // Forgets the tokens of one issuer, or for an empty one of all.
  Awaitable<absl::Status> RemoveGrants(Holder holder, std::string issuer);

  // The right to renew a holder's grants, one process at a time: see SecretStore.
  Awaitable<absl::StatusOr<bool>> Claim(Holder holder, std::string claimant,
                                        std::chrono::microseconds time);
  Awaitable<absl::Status> Release(Holder holder, std::string claimant);

  // A client registered at `issuer` with that redirect URI, if its secret has not expired.
  Awaitable<absl::StatusOr<std::optional<oauth::ClientIdentity>>> LoadClient(
      std::string tenant, std::string issuer, std::string redirect_uri);
  Awaitable<absl::Status> SaveClient(std::string tenant, std::string issuer,
                                     std::string redirect_uri, oauth::ClientIdentity client);
  Awaitable<absl::Status> RemoveClient(std::string tenant, std::string issuer,
                                       std::string redirect_uri);

  // The issuer that configured credentials were first used at (for this upstream and client id).
  Awaitable<absl::StatusOr<std::string>> LoadIssuer(Holder holder, std::string client_id);
  Awaitable<absl::Status> SaveIssuer(Holder holder, std::string client_id, std::string issuer);

 private:
  Awaitable<absl::StatusOr<std::string>> Load(SecretKey key, std::string* issuer);
  Awaitable<absl::Status> Save(SecretKey key, std::string plain);

  SecretStore& store_;
  const KeyRing& keys_;
};

}  // namespace metamcp::connector
