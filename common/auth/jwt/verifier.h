#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/auth/jwt/token.h"
#include "common/auth/jwt/verify_key.h"
#include "common/base/principal.h"

namespace metamcp::jwt {

// Whose tokens are taken, and how their claims become a principal.
struct IssuerOptions {
  std::string name;    // leads the subjects, so that two issuers' people never meet; empty: none
  std::string issuer;  // the claim iss, compared byte for byte
  std::vector<std::string> audiences;   // that are good at every address of ours
  std::vector<std::string> algorithms;  // empty: every one but HS256
  std::string tenant = "default";
  std::string tenant_claim;  // where not empty, the tenant is this claim, which must be there
  std::string default_role;  // of tokens that name no role of ours; empty: none
  std::string subject_claim = "sub";
  std::string name_claim = "name";
  std::string roles_claim = "roles";
  std::string teams_claim = "groups";
  std::string scopes_claim;  // empty: scope, else scp
  // Roles by what the claim says. Empty: our own names are taken as they are.
  std::map<std::string, std::string> role_map;
};

using KeySet = std::vector<VerifyKey>;

// A token that was verified once.
struct VerifiedToken {
  std::shared_ptr<const Principal> principal;
  std::vector<std::string> audiences;
  bool everywhere = false;  // one of the audiences is good at every address
  size_t issuer = 0;
  int64_t expires_us = 0;
};

// Verifies JWT bearer tokens against the keys of known issuers, and remembers what it verified, by
// digest, until it expires, so that the calls of one client cost one verification. What is wrong is
// never remembered. Thread: one.
class TokenVerifier {
 public:
  struct Options {
    Options() {}
    int64_t skew_s = 60;  // of the issuers' clocks
    size_t remembered_max = 10'000;
    std::function<int64_t()> now_us;  // empty: the clock
  };
  TokenVerifier(std::vector<IssuerOptions> issuers, Options options);

  // The keys of issuer number `index` from now on; until the first call it has none, and its tokens
  // are refused. What was remembered of this issuer is forgotten, as its key may be gone.
  void SetKeys(size_t index, std::shared_ptr<const KeySet> keys);

  // Errors: AUTH_INVALID, whose message says what is wrong; AUTH_KEYS_MISSING for an issuer whose
  // keys have never been had.
  absl::StatusOr<std::shared_ptr<const VerifiedToken>> Verify(std::string_view token);

  // The issuer whose keys the last Verify lacked, once: with newer ones it may end otherwise.
  std::optional<size_t> TakeWanted() { return std::exchange(wants_keys_, std::nullopt); }
  const IssuerOptions& issuer(size_t index) const { return issuers_[index].options; }
  size_t issuers() const { return issuers_.size(); }
  size_t remembered() const { return remembered_.size(); }

 private:
  struct Issuer {
    IssuerOptions options;
    std::shared_ptr<const KeySet> keys;
  };
  using Entry = std::pair<std::string, std::shared_ptr<const VerifiedToken>>;  // by digest

  int64_t Now() const;
  absl::StatusOr<size_t> FindIssuer(std::string_view name) const;
  absl::Status CheckSignature(size_t index, const Parts& parts);
  absl::Status CheckTimes(const Claims& claims) const;
  absl::StatusOr<std::shared_ptr<const VerifiedToken>> VerifyNew(std::string_view token);
  void Remember(std::string digest, std::shared_ptr<const VerifiedToken> token);

  std::vector<Issuer> issuers_;
  const Options options_;
  std::optional<size_t> wants_keys_;
  std::list<Entry> recent_;  // latest use first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> remembered_;
};

// Who a token with these claims speaks for. Errors: AUTH_INVALID for no subject, or a tenant that
// is missing or no name.
absl::StatusOr<Principal> PrincipalOf(const IssuerOptions& issuer, const Claims& claims,
                                      std::string_view payload);

}  // namespace metamcp::jwt
