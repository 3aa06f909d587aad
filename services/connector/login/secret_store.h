#pragma once

#include <chrono>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::connector {

// Names one secret. `owner` is a subject, or empty for what everybody shares.
struct SecretKey {
  std::string tenant;
  std::string kind;             // token, client or issuer
  std::string owner;            // of a token
  std::string resource;         // of a token: the upstream's URL; of a client: the redirect URI
  std::string issuer;           // empty in a query: any
  std::string Context() const;  // what a sealed value is bound to
};

struct StoredSecret {
  std::string issuer;
  std::string sealed;
};

// Keeps sealed texts. Errors: those of the database. Thread: the connector's.
class SecretStore {
 public:
  virtual ~SecretStore() = default;
  // Newest first.
  virtual Awaitable<absl::StatusOr<std::vector<StoredSecret>>> Load(SecretKey key) = 0;
  virtual Awaitable<absl::Status> Put(SecretKey key, std::string sealed) = 0;
  virtual Awaitable<absl::Status> Remove(SecretKey key) = 0;
  // Takes, or keeps, the right to renew what `key` names (its issuer does not count) for `claimant`
  // and that long. False: another has it, and its time is not over.
  virtual Awaitable<absl::StatusOr<bool>> Claim(SecretKey key, std::string claimant,
                                                std::chrono::microseconds time) = 0;
  // Gives it back, if it is still the claimant's.
  virtual Awaitable<absl::Status> Release(SecretKey key, std::string claimant) = 0;
};

// Keeps them as long as the process lives.
class MemorySecretStore final : public SecretStore {
 public:
  Awaitable<absl::StatusOr<std::vector<StoredSecret>>> Load(SecretKey key) override;
  Awaitable<absl::Status> Put(SecretKey key, std::string sealed) override;
  Awaitable<absl::Status> Remove(SecretKey key) override;
  Awaitable<absl::StatusOr<bool>> Claim(SecretKey key, std::string claimant,
                                        std::chrono::microseconds time) override;
  Awaitable<absl::Status> Release(SecretKey key, std::string claimant) override;

 private:
  using Place = std::tuple<std::string, std::string, std::string, std::string>;
  struct Entry {
    StoredSecret secret;
    uint64_t order = 0;
  };
  struct Claimed {
    std::string claimant;
    std::chrono::steady_clock::time_point until;
  };
  std::map<Place, std::map<std::string, Entry>> places_;
  std::map<Place, Claimed> claims_;
  uint64_t order_ = 0;
};

}  // namespace metamcp::connector
