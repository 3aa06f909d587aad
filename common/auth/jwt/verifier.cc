#include "common/auth/jwt/verifier.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::jwt {
namespace {

constexpr int64_t kMicros = 1'000'000;
// Keys that a token without a kid is tried with.
constexpr size_t kTriesMax = 8;

absl::Status Bad(std::string_view why) {
  return MakeError("AUTH_INVALID", "gateway", StrCat("the token ", why));
}

bool Allows(const IssuerOptions& issuer, const std::string& algorithm) {
  if (!IsAlgorithm(algorithm)) return false;
  if (issuer.algorithms.empty()) return algorithm != "HS256";
  return std::find(issuer.algorithms.begin(), issuer.algorithms.end(), algorithm) !=
         issuer.algorithms.end();
}

}  // namespace

TokenVerifier::TokenVerifier(std::vector<IssuerOptions> issuers, Options options)
    : options_(std::move(options)) {
  for (IssuerOptions& one : issuers) {
    Issuer issuer;
    issuer.options = std::move(one);
    issuers_.push_back(std::move(issuer));
  }
}

int64_t TokenVerifier::Now() const { return options_.now_us ? options_.now_us() : NowMicros(); }

void TokenVerifier::SetKeys(size_t index, std::shared_ptr<const KeySet> keys) {
  issuers_[index].keys = std::move(keys);
  for (auto it = recent_.begin(); it != recent_.end();) {
    const bool theirs = it->second->issuer == index;
    if (theirs) remembered_.erase(it->first);
    it = theirs ? recent_.erase(it) : std::next(it);
  }
}

absl::StatusOr<std::shared_ptr<const VerifiedToken>> TokenVerifier::Verify(std::string_view token) {
  wants_keys_.reset();
  if (token.size() > kTokenBytesMax) {
    return Bad(StrCat("has more than ", kTokenBytesMax, " bytes"));
  }
  std::string digest = Sha256(token);
  const auto found = remembered_.find(digest);
  if (found != remembered_.end()) {
    const auto entry = found->second;
    if (entry->second->expires_us > Now()) {
      recent_.splice(recent_.begin(), recent_, entry);
      return entry->second;
    }
    remembered_.erase(found);
    recent_.erase(entry);
  }
  METAMCP_ASSIGN_OR_RETURN(auto verified, VerifyNew(token));
  Remember(std::move(digest), verified);
  return verified;
}

void TokenVerifier::Remember(std::string digest, std::shared_ptr<const VerifiedToken> token) {
  recent_.emplace_front(std::move(digest), std::move(token));
  remembered_.emplace(recent_.front().first, recent_.begin());
  if (recent_.size() <= options_.remembered_max) return;
  remembered_.erase(recent_.back().first);
  recent_.pop_back();
}

absl::StatusOr<size_t> TokenVerifier::FindIssuer(std::string_view name) const {
  for (size_t i = 0; i < issuers_.size(); ++i) {
    if (issuers_[i].options.issuer == name) return i;
  }
  return Bad("is of an issuer that is not known here");
}

absl::Status TokenVerifier::CheckSignature(size_t index, const Parts& parts) {
  const Issuer& issuer = issuers_[index];
  if (!Allows(issuer.options, parts.algorithm)) {
    return Bad("is signed with an algorithm that is not allowed for its issuer");
  }
  if (issuer.keys == nullptr) {
    wants_keys_ = index;
    return MakeError(
        "AUTH_KEYS_MISSING", "gateway",
        StrCat("the keys of the issuer ", issuer.options.name, " could not be fetched yet"));
  }
  size_t tried = 0;
  bool known = false;
  for (const VerifyKey& key : *issuer.keys) {
    if (!parts.kid.empty() && key.kid() != parts.kid) continue;
    known = true;
    if (!key.Fits(parts.algorithm) || ++tried > kTriesMax) continue;
    if (key.Verify(parts.algorithm, parts.signed_text, parts.signature)) return absl::OkStatus();
  }
  // A signature that fails under a known kid is wrong, and no reason to ask the issuer again.
  if (!known) wants_keys_ = index;
  return Bad(known ? "has a signature that does not verify"
                   : "is signed with a key that its issuer does not publish");
}

absl::Status TokenVerifier::CheckTimes(const Claims& claims) const {
  const int64_t now_s = Now() / kMicros;
  if (claims.expires_s + options_.skew_s <= now_s) return Bad("has expired");
  if (claims.not_before_s > now_s + options_.skew_s) return Bad("is not valid yet");
  if (claims.issued_at_s > now_s + options_.skew_s) return Bad("was issued in the future");
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const VerifiedToken>> TokenVerifier::VerifyNew(
    std::string_view token) {
  METAMCP_ASSIGN_OR_RETURN(const Parts parts, Split(token));
  METAMCP_ASSIGN_OR_RETURN(const Claims claims, ReadClaims(parts.payload));
  METAMCP_ASSIGN_OR_RETURN(const size_t index, FindIssuer(claims.issuer));
  METAMCP_RETURN_IF_ERROR(CheckSignature(index, parts));
  METAMCP_RETURN_IF_ERROR(CheckTimes(claims));
  const IssuerOptions& issuer = issuers_[index].options;
  METAMCP_ASSIGN_OR_RETURN(Principal principal, PrincipalOf(issuer, claims, parts.payload));
  principal.expires_us += options_.skew_s * kMicros;
  auto out = std::make_shared<VerifiedToken>();
  out->expires_us = principal.expires_us;
  out->principal = std::make_shared<const Principal>(std::move(principal));
  out->audiences = claims.audiences;
  out->everywhere =
      std::any_of(claims.audiences.begin(), claims.audiences.end(), [&](const std::string& one) {
        return std::find(issuer.audiences.begin(), issuer.audiences.end(), one) !=
               issuer.audiences.end();
      });
  out->issuer = index;
  return std::shared_ptr<const VerifiedToken>(std::move(out));
}

}  // namespace metamcp::jwt
