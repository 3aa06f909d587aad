#include "services/connector/login/secret_store.h"

#include <algorithm>

#include "common/base/strings.h"

namespace metamcp::connector {

std::string SecretKey::Context() const {
  std::string out;
  for (const std::string* part : {&tenant, &kind, &owner, &resource, &issuer}) {
    out += StrCat(part->size(), ":", *part);
  }
  return out;
}

Awaitable<absl::StatusOr<std::vector<StoredSecret>>> MemorySecretStore::Load(SecretKey key) {
  std::vector<Entry> found;
  const auto place = places_.find(Place(key.tenant, key.kind, key.owner, key.resource));
  if (place != places_.end()) {
    for (const auto& [issuer, entry] : place->second) {
      if (key.issuer.empty() || key.issuer == issuer) found.push_back(entry);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Entry& a, const Entry& b) { return a.order > b.order; });
  std::vector<StoredSecret> out;
  for (Entry& entry : found) out.push_back(std::move(entry.secret));
  co_return out;
}

Awaitable<absl::Status> MemorySecretStore::Put(SecretKey key, std::string sealed) {
  Entry entry;
  entry.secret.issuer = key.issuer;
  entry.secret.sealed = std::move(sealed);
  entry.order = ++order_;
  places_[Place(key.tenant, key.kind, key.owner, key.resource)][key.issuer] = std::move(entry);
  co_return absl::OkStatus();
}

Awaitable<absl::Status> MemorySecretStore::Remove(SecretKey key) {
  const auto place = places_.find(Place(key.tenant, key.kind, key.owner, key.resource));
  if (place == places_.end()) co_return absl::OkStatus();
  if (key.issuer.empty()) {
    places_.erase(place);
  } else {
    place->second.erase(key.issuer);
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<bool>> MemorySecretStore::Claim(SecretKey key, std::string claimant,
                                                         std::chrono::microseconds time) {
  const auto now = std::chrono::steady_clock::now();
  Claimed& claim = claims_[Place(key.tenant, key.kind, key.owner, key.resource)];
  if (claim.claimant != claimant && claim.until > now) co_return false;
  claim.claimant = std::move(claimant);
  claim.until = now + time;
  co_return true;
}

Awaitable<absl::Status> MemorySecretStore::Release(SecretKey key, std::string claimant) {
  const auto found = claims_.find(Place(key.tenant, key.kind, key.owner, key.resource));
  if (found != claims_.end() && found->second.claimant == claimant) claims_.erase(found);
  co_return absl::OkStatus();
}

}  // namespace metamcp::connector
