#include "common/auth/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

constexpr size_t kSecretBytesMin = 16;  // 128 bits at one byte a character

// The token of "Bearer <token>" (RFC 6750, section 2.1); the scheme has no case.
std::string_view BearerToken(std::string_view header) {
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() <= kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c =
        header[i] >= 'A' && header[i] <= 'Z' ? static_cast<char>(header[i] + 32) : header[i];
    if (c != kScheme[i]) return {};
  }
  header.remove_prefix(kScheme.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  return header;
}

std::shared_ptr<const Principal> MakePrincipal(std::string subject, std::string method,
                                               std::vector<std::string> roles) {
  auto principal = std::make_shared<Principal>();
  principal->subject = std::move(subject);
  principal->method = std::move(method);
  principal->roles = std::move(roles);
  return principal;
}

// Whoever owns this machine's files can read the database anyway.
std::vector<std::string> OwnersRoles() { return {"admin", "auditor"}; }

}  // namespace

absl::StatusOr<std::vector<Authenticator::Key>> Authenticator::MakeKeys(
    const std::vector<StaticKey>& keys) const {
  std::vector<Key> out;
  for (const StaticKey& key : keys) {
    if (key.secret.size() < kSecretBytesMin) {
      return MakeError("CONFIG_INVALID", "gateway",
                       StrCat("auth.keys: key \"", key.name, "\" has fewer than ", kSecretBytesMin,
                              " characters"));
    }
    Key entry;
    entry.mac = ring_.Mac(SealPurpose::kToken, key.secret);
    const bool duplicate =
        std::any_of(out.begin(), out.end(), [&](const Key& k) { return k.mac == entry.mac; });
    if (duplicate) {
      return MakeError("CONFIG_INVALID", "gateway",
                       StrCat("auth.keys: key \"", key.name, "\" is listed twice"));
    }
    auto principal = std::make_shared<Principal>();
    principal->tenant = key.tenant;
    principal->subject = key.name;
    principal->kind = "service";
    principal->roles = key.roles;
    principal->method = StrCat("key:", key.name);
    entry.principal = std::move(principal);
    out.push_back(std::move(entry));
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Create(
    const std::vector<StaticKey>& keys, bool anonymous_loopback, const KeyRing& ring) {
  std::unique_ptr<Authenticator> out(new Authenticator(ring));
  METAMCP_ASSIGN_OR_RETURN(out->keys_, out->MakeKeys(keys));
  if (anonymous_loopback) out->loopback_ = MakePrincipal("local", "loopback", OwnersRoles());
  out->socket_ = MakePrincipal("local", "socket", OwnersRoles());
  return out;
}

absl::StatusOr<std::vector<std::shared_ptr<const Principal>>> Authenticator::SetKeys(
    const std::vector<StaticKey>& keys, bool anonymous_loopback) {
  METAMCP_ASSIGN_OR_RETURN(std::vector<Key> made, MakeKeys(keys));
  std::vector<std::shared_ptr<const Principal>> gone;
  for (const Key& old : keys_) {
    const auto same = std::find_if(made.begin(), made.end(), [&old](const Key& key) {
      return key.mac == old.mac && key.principal->tenant == old.principal->tenant &&
             key.principal->subject == old.principal->subject &&
             key.principal->roles == old.principal->roles;
    });
    if (same == made.end()) {
      gone.push_back(old.principal);
    } else {
      same->principal = old.principal;
    }
  }
  keys_ = std::move(made);
  if (loopback_ && !anonymous_loopback) gone.push_back(std::exchange(loopback_, nullptr));
  if (!loopback_ && anonymous_loopback)
    loopback_ = MakePrincipal("local", "loopback", OwnersRoles());
  return gone;
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::Authenticate(
    const Credentials& credentials) const {
  auto found = Find(credentials);
  if (!found.ok() && on_refused) on_refused(credentials, found.status());
  return found;
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::Find(
    const Credentials& credentials) const {
  const bool proxied = !credentials.forwarded_by.empty();
  if (credentials.unix_socket && !proxied) return socket_;
  std::string_view secret = BearerToken(credentials.authorization);
  if (secret.empty()) secret = credentials.api_key;
  if (secret.empty() && credentials.authorization.empty()) {
    if (proxied && (credentials.loopback || credentials.unix_socket)) {
      return MakeError(
          "AUTH_REQUIRED", "gateway",
          StrCat("this request came through a proxy (it has the header ", credentials.forwarded_by,
                 "), so its sender may be on another machine and needs a key "
                 "(auth.keys)"));
    }
    if (credentials.loopback && loopback_) return loopback_;
    return MakeError("AUTH_REQUIRED", "gateway", "this gateway needs a key");
  }
  const std::string mac = ring_.Mac(SealPurpose::kToken, secret);
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    if (CRYPTO_memcmp(key.mac.data(), mac.data(), mac.size()) == 0) found = &key;
  }
  if (found != nullptr) return found->principal;
  return MakeError("AUTH_INVALID", "gateway", "the key is not known");
}

bool Authenticator::StillKnown(const Principal& principal) const {
  if (principal.method == "loopback") return loopback_ != nullptr;
  if (principal.method.rfind("key:", 0) != 0) return true;
  return std::any_of(keys_.begin(), keys_.end(), [&principal](const Key& key) {
    return key.principal->method == principal.method && key.principal->tenant == principal.tenant;
  });
}

}  // namespace metamcp::auth
