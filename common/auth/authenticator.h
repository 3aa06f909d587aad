#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/sink.h"
#include "common/base/key_ring.h"
#include "common/base/principal.h"

namespace metamcp::http {
struct ClientCertificate;
}

namespace metamcp::auth {

// One static bearer key of the configuration.
struct StaticKey {
  std::string name;
  std::string secret;
  std::string tenant = "default";
  std::vector<std::string> roles;
};

// What a request shows of who sends it.
struct Credentials {
  std::string_view authorization;  // the Authorization header, empty where absent
  std::string_view api_key;        // the X-API-Key header, empty where absent
  bool loopback = false;           // the peer is this machine
  bool unix_socket = false;        // the peer passed the file permissions of our socket
  bool repeated = false;           // one of these headers is there twice
  // What the TLS client showed; null: nothing.
  const http::ClientCertificate* certificate = nullptr;
  bool passwords = false;  // names and passwords are good here (HTTP Basic)
  std::string_view peer;   // its address
  // What was asked for, and by which name of ours.
  std::string_view host;
  bool tls = false;
  std::string_view path;
  std::string_view virtual_server;  // empty: none of them, the REST API
  // The name of a header that a proxy adds, where one is there: then the peer is a proxy on this
  // machine, and who sent the request may be anywhere.
  std::string_view forwarded_by;
};

// Whoever can tell what a bearer token that is no key says.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // Whom `token` speaks for at what was asked for. Errors: AUTH_INVALID, AUTH_KEYS_MISSING.
  virtual absl::StatusOr<std::shared_ptr<const Principal>> Verify(
      std::string_view token, const Credentials& credentials) = 0;
  // After a Verify that failed: asks for newer keys where it lacked one. Returns whether another
  // Verify may end otherwise.
  virtual Awaitable<bool> FetchKeys() = 0;
  // Whether what `principal` was allowed is enough here. Errors: INSUFFICIENT_SCOPE.
  virtual absl::Status CheckScopes(const Principal& principal,
                                   const Credentials& credentials) const = 0;
  // The challenge of a refusal (challenge.h).
  virtual std::string Challenge(const Credentials& credentials, const absl::Status& why) const = 0;
};

// Whoever holds keys that people make, and knows who is kept out.
class AccessSource {
 public:
  virtual ~AccessSource() = default;
  // Whose key `secret` is; null where it is none of them. Errors: DATABASE_UNAVAILABLE.
  virtual absl::StatusOr<std::shared_ptr<const Principal>> FindKey(std::string_view secret) = 0;
  // `principal` with the teams that it is in. Errors: AUTH_INVALID for somebody who is kept out.
  virtual absl::StatusOr<std::shared_ptr<const Principal>> Complete(
      std::shared_ptr<const Principal> principal) = 0;
  // As Authenticator::StillKnown.
  virtual bool StillKnown(const Principal& principal) const = 0;
  // As Authenticator::AsNow, for the keys that it holds and for whom it keeps out.
  virtual std::shared_ptr<const Principal> AsNow(const Principal& principal) const = 0;
};

// Whoever knows whose client certificates are.
class CertificateSource {
 public:
  virtual ~CertificateSource() = default;
  // Whom `shown` speaks for. Errors: AUTH_INVALID, also where it is nobody's.
  virtual absl::StatusOr<std::shared_ptr<const Principal>> Find(
      const http::ClientCertificate& shown) = 0;
  // As Authenticator::StillKnown, of those that Find found.
  virtual bool StillKnown(const Principal& principal) const = 0;
};

// Whoever knows passwords.
class PasswordSource {
 public:
  virtual ~PasswordSource() = default;
  // Whom the credentials of an Authorization header ("Basic ...") speak for. Errors: AUTH_INVALID;
  // RATE_LIMITED after wrong ones of this name or peer.
  virtual Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Check(std::string header,
                                                                            std::string peer) = 0;
  virtual bool enabled() const = 0;
};

// The chain of authenticators: client certificates, passwords where they are good, static keys,
// kept keys, tokens, unix socket (its permissions are the credential), anonymous loopback. What
// came through a proxy counts as coming from elsewhere. A credential that is shown and wrong is
// refused even where none is needed, and so are two at once. Keys are compared as HMACs in constant
// time; they are not kept in clear. Thread: one, or any as long as SetKeys is not called and there
// are no tokens.
class Authenticator {
 public:
  // `ring` gives the HMAC key, as it is now. Errors: INVALID_ARGUMENT for a
  // key shorter than 16 characters or a duplicate.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(const std::vector<StaticKey>& keys,
                                                               bool anonymous_loopback,
                                                               const KeyRing& ring);

  // Who shows `credentials`, which must outlive the call; the keys of a token's issuer are fetched
  // where they are lacking. Errors, with a challenge: AUTH_REQUIRED, AUTH_INVALID,
  // INSUFFICIENT_SCOPE, AUTH_KEYS_MISSING.
  Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> Admit(
      const Credentials& credentials) const;
  // The same with the keys that are there.
  absl::StatusOr<std::shared_ptr<const Principal>> Authenticate(
      const Credentials& credentials) const;

  // Null: there are none. Must outlive the last call.
  void SetTokens(TokenSource* tokens) { tokens_ = tokens; }
  void SetAccess(AccessSource* access) { access_ = access; }
  void SetCertificates(CertificateSource* certificates) { certificates_ = certificates; }
  void SetPasswords(PasswordSource* passwords) { passwords_ = passwords; }

  // Takes other keys. Returns whom no key speaks for any more: whose key is gone, or has another
  // secret, tenant or roles. What they hold open must be ended. Errors: as Create; then nothing has
  // changed.
  absl::StatusOr<std::vector<std::shared_ptr<const Principal>>> SetKeys(
      const std::vector<StaticKey>& keys, bool anonymous_loopback);

  // Whether somebody who was authenticated here earlier, as `method` and `subject` say, would be
  // so today: the key is there and belongs to that tenant. Other methods are not looked after here.
  bool StillKnown(const Principal& principal) const;
  // Somebody who was authenticated here earlier, with the roles, teams and scopes that his key or
  // this machine's owner has today; where these are not known here, as of tokens, those of then.
  // Null for whom StillKnown knows no more.
  std::shared_ptr<const Principal> AsNow(const Principal& principal) const;
  // Told of every credential that Authenticate refuses; may be empty.
  std::function<void(const Credentials&, const absl::Status&)> on_refused;

  bool has_keys() const { return !keys_.empty(); }

 private:
  struct Key {
    std::string mac;
    std::shared_ptr<const Principal> principal;
  };
  explicit Authenticator(const KeyRing& ring) : ring_(ring) {}
  absl::StatusOr<std::shared_ptr<const Principal>> Find(const Credentials& credentials) const;
  absl::StatusOr<std::shared_ptr<const Principal>> FindShown(std::string_view secret, bool bearer,
                                                             const Credentials& credentials) const;
  std::shared_ptr<const Principal> FindKey(std::string_view secret) const;
  absl::StatusOr<std::shared_ptr<const Principal>> FindAndCheck(
      const Credentials& credentials) const;
  absl::StatusOr<std::shared_ptr<const Principal>> Check(std::shared_ptr<const Principal> found,
                                                         const Credentials& credentials) const;
  bool IsPassword(const Credentials& credentials) const;
  Awaitable<absl::StatusOr<std::shared_ptr<const Principal>>> AdmitPassword(
      const Credentials& credentials) const;
  void Refuse(const Credentials& credentials, absl::Status& why) const;
  absl::StatusOr<std::vector<Key>> MakeKeys(const std::vector<StaticKey>& keys) const;
  const KeyRing ring_;  // a copy: the keys were hashed with it
  std::vector<Key> keys_;
  std::shared_ptr<const Principal> loopback_;
  std::shared_ptr<const Principal> socket_;
  TokenSource* tokens_ = nullptr;
  AccessSource* access_ = nullptr;
  CertificateSource* certificates_ = nullptr;
  PasswordSource* passwords_ = nullptr;
};

// Whether `principal` may do what needs `role`: admin > operator > developer > viewer. The role
// auditor stands beside these: it reads the audit, which none of them may, and nothing else. The
// table behind it is in roles.cc.
bool HasRole(const Principal& principal, std::string_view role);

}  // namespace metamcp::auth
