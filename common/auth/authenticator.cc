#include "common/auth/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "common/auth/carried_token.h"
#include "common/auth/challenge.h"
#include "common/auth/jwt/token.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

constexpr size_t kSecretBytesMin = 16;  // 128 bits at one byte a character

constexpr std::string_view kBearer = "bearer ";
constexpr std::string_view kBasic = "basic ";

// Whether an Authorization header begins with `scheme`, which has no case.
bool HasScheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size()) return false;
  for (size_t i = 0; i < scheme.size(); ++i) {
    const char c =
        header[i] >= 'A' && header[i] <= 'Z' ? static_cast<char>(header[i] + 32) : header[i];
    if (c != scheme[i]) return false;
  }
  return true;
}

absl::Status TwoCredentials() {
  return MakeError("AUTH_INVALID", "gateway", "two different credentials are shown; send one");
}

// The token of "Bearer <token>" (RFC 6750, section 2.1).
std::string_view BearerToken(std::string_view header) {
  if (!HasScheme(header, kBearer)) return {};
  header.remove_prefix(kBearer.size());
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
  auto found = FindAndCheck(credentials);
  if (found.ok()) return found;
  absl::Status why = found.status();
  Refuse(credentials, why);
  return why;
}

Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Authenticator::Admit(
    const Credentials& credentials) const {
  if (IsPassword(credentials)) {
    auto checking = AdmitPassword(credentials);
    auto found = co_await std::move(checking);
    if (found.ok()) co_return found;
    absl::Status why = found.status();
    Refuse(credentials, why);
    co_return why;
  }
  auto found = FindAndCheck(credentials);
  if (found.ok()) co_return found;
  if (tokens_ != nullptr) {
    auto fetching = tokens_->FetchKeys();
    const bool newer = co_await std::move(fetching);
    if (newer) found = FindAndCheck(credentials);
    if (found.ok()) co_return found;
  }
  absl::Status why = found.status();
  Refuse(credentials, why);
  co_return why;
}

void Authenticator::Refuse(const Credentials& credentials, absl::Status& why) const {
  if (on_refused) on_refused(credentials, why);
  why = WithChallenge(std::move(why), tokens_ != nullptr ? tokens_->Challenge(credentials, why)
                                                         : std::string(kPlainChallenge));
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::FindAndCheck(
    const Credentials& credentials) const {
  METAMCP_ASSIGN_OR_RETURN(auto found, Find(credentials));
  return Check(std::move(found), credentials);
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::Check(
    std::shared_ptr<const Principal> found, const Credentials& credentials) const {
  if (access_ != nullptr) {
    METAMCP_ASSIGN_OR_RETURN(found, access_->Complete(std::move(found)));
  }
  if (tokens_ != nullptr) METAMCP_RETURN_IF_ERROR(tokens_->CheckScopes(*found, credentials));
  const std::string_view bearer = BearerToken(credentials.authorization);
  if (!found->issuer.empty() && !bearer.empty()) return CarryToken(std::move(found), bearer);
  return found;
}

bool Authenticator::IsPassword(const Credentials& credentials) const {
  return credentials.passwords && passwords_ != nullptr && passwords_->enabled() &&
         HasScheme(credentials.authorization, kBasic);
}

Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Authenticator::AdmitPassword(
    const Credentials& credentials) const {
  if (credentials.repeated || !credentials.api_key.empty() || credentials.certificate != nullptr) {
    co_return TwoCredentials();
  }
  if (!credentials.tls) {
    co_return MakeError("AUTH_INVALID", "gateway", "passwords are taken over TLS only");
  }
  auto checking =
      passwords_->Check(std::string(credentials.authorization), std::string(credentials.peer));
  auto found = co_await std::move(checking);
  if (!found.ok()) co_return found;
  co_return Check(*std::move(found), credentials);
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::Find(
    const Credentials& credentials) const {
  if (credentials.repeated) {
    return MakeError("AUTH_INVALID", "gateway", "a header with a credential is there twice");
  }
  const std::string_view bearer = BearerToken(credentials.authorization);
  if (!credentials.authorization.empty() && !credentials.api_key.empty() &&
      bearer != credentials.api_key) {
    return TwoCredentials();
  }
  if (credentials.certificate != nullptr) {
    if (!credentials.authorization.empty() || !credentials.api_key.empty()) return TwoCredentials();
    if (certificates_ != nullptr) return certificates_->Find(*credentials.certificate);
    return MakeError("AUTH_INVALID", "gateway", "the client certificate is nobody's here");
  }
  if (!credentials.authorization.empty()) return FindShown(bearer, true, credentials);
  if (!credentials.api_key.empty()) return FindShown(credentials.api_key, false, credentials);
  const bool proxied = !credentials.forwarded_by.empty();
  if (credentials.unix_socket && !proxied) return socket_;
  if (proxied && (credentials.loopback || credentials.unix_socket)) {
    return MakeError(
        "AUTH_REQUIRED", "gateway",
        StrCat("this request came through a proxy (it has the header ", credentials.forwarded_by,
               "), so its sender may be on another machine and needs a key "
               "(auth.keys)"));
  }
  if (credentials.loopback && loopback_) return loopback_;
  return MakeError("AUTH_REQUIRED", "gateway", "this gateway needs a key or a token");
}

std::shared_ptr<const Principal> Authenticator::FindKey(std::string_view secret) const {
  if (keys_.empty()) return nullptr;
  const std::string mac = ring_.Mac(SealPurpose::kToken, secret);
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    if (CRYPTO_memcmp(key.mac.data(), mac.data(), mac.size()) == 0) found = &key;
  }
  return found == nullptr ? nullptr : found->principal;
}

absl::StatusOr<std::shared_ptr<const Principal>> Authenticator::FindShown(
    std::string_view secret, bool bearer, const Credentials& credentials) const {
  const bool token = bearer && tokens_ != nullptr && jwt::LooksLikeToken(secret);
  absl::Status why = MakeError("AUTH_INVALID", "gateway", "the key is not known");
  if (token) {
    auto verified = tokens_->Verify(secret, credentials);
    if (verified.ok()) return verified;
    why = verified.status();
  }
  if (auto found = FindKey(secret)) return found;
  if (access_ != nullptr) {
    METAMCP_ASSIGN_OR_RETURN(auto found, access_->FindKey(secret));
    if (found != nullptr) return found;
  }
  return why;
}

bool Authenticator::StillKnown(const Principal& principal) const {
  if (access_ != nullptr && !access_->StillKnown(principal)) return false;
  if (principal.method == "loopback") return loopback_ != nullptr;
  if (principal.method.rfind("mtls:", 0) == 0) {
    return certificates_ != nullptr && certificates_->StillKnown(principal);
  }
  if (principal.method.rfind("key:", 0) != 0) return true;
  return std::any_of(keys_.begin(), keys_.end(), [&principal](const Key& key) {
    return key.principal->method == principal.method && key.principal->tenant == principal.tenant;
  });
}

std::shared_ptr<const Principal> Authenticator::AsNow(const Principal& principal) const {
  if (!StillKnown(principal)) return nullptr;
  std::shared_ptr<const Principal> now;
  if (principal.method == "loopback") now = loopback_;
  for (const Key& key : keys_) {
    const Principal& of = *key.principal;
    if (of.method == principal.method && of.tenant == principal.tenant) now = key.principal;
  }
  if (now != nullptr && access_ != nullptr) {
    auto complete = access_->Complete(now);
    if (!complete.ok()) return nullptr;
    now = *std::move(complete);
  } else if (access_ != nullptr) {
    now = access_->AsNow(principal);
  }
  auto out = std::make_shared<Principal>(principal);
  if (now != nullptr) {
    out->roles = now->roles;
    out->teams = now->teams;
    out->scopes = now->scopes;
  }
  return out;
}

}  // namespace metamcp::auth
