#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/key_ring.h"
#include "common/base/principal.h"

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
  // The name of a header that a proxy adds, where one is there: then the peer is a proxy on this
  // machine, and who sent the request may be anywhere.
  std::string_view forwarded_by;
};

// The chain of authenticators: unix socket (its permissions are the credential), static bearer
// keys, anonymous loopback. What came through a proxy counts as coming from elsewhere. A credential
// that is shown and wrong is refused even where none is needed. Keys are compared as HMACs in
// constant time; they are not kept in clear. Thread: one, or any as long as SetKeys is not called.
class Authenticator {
 public:
  // `ring` gives the HMAC key, as it is now. Errors: INVALID_ARGUMENT for a
  // key shorter than 16 characters or a duplicate.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(const std::vector<StaticKey>& keys,
                                                               bool anonymous_loopback,
                                                               const KeyRing& ring);

  // Errors: AUTH_REQUIRED, AUTH_INVALID.
  absl::StatusOr<std::shared_ptr<const Principal>> Authenticate(
      const Credentials& credentials) const;

  // Takes other keys. Returns whom no key speaks for any more: whose key is gone, or has another
  // secret, tenant or roles. What they hold open must be ended. Errors: as Create; then nothing has
  // changed.
  absl::StatusOr<std::vector<std::shared_ptr<const Principal>>> SetKeys(
      const std::vector<StaticKey>& keys, bool anonymous_loopback);

  // Whether somebody who was authenticated here earlier, as `method` and `subject` say, would be
  // so today: the key is there and belongs to that tenant. Other methods are not looked after here.
  bool StillKnown(const Principal& principal) const;
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
  absl::StatusOr<std::vector<Key>> MakeKeys(const std::vector<StaticKey>& keys) const;
  const KeyRing ring_;  // a copy: the keys were hashed with it
  std::vector<Key> keys_;
  std::shared_ptr<const Principal> loopback_;
  std::shared_ptr<const Principal> socket_;
};

// Whether `principal` may do what needs `role`: admin > operator > developer > viewer. The role
// auditor stands beside these: it reads the audit, which none of them may, and nothing else. The
// table behind it is in roles.cc.
bool HasRole(const Principal& principal, std::string_view role);

}  // namespace metamcp::auth
