// auth.issuers, and what cannot be used of auth.
#include <algorithm>
#include <set>
#include <string_view>

#include "absl/strings/match.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr size_t kSecretBytesMin = 32;  // RFC 7518, section 3.2
constexpr std::string_view kAlgorithms[] = {"RS256", "RS384", "RS512", "PS256",
                                            "ES256", "ES384", "EdDSA"};
constexpr std::string_view kRoles[] = {"admin", "operator", "developer", "viewer", "auditor"};

template <typename List>
bool Has(const List& list, std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

bool IsReference(const std::string& text) { return absl::StrContains(text, "${"); }

void CheckIssuer(ReadContext& context, Position at, const std::string& where,
                 const IssuerConfig& issuer) {
  if (issuer.issuer.empty()) {
    context.Error(at, StrCat("found no issuer in ", where), "add \"issuer\": \"https://...\"");
  }
  if (!issuer.jwks_url.empty() && !issuer.jwks_file.empty()) {
    context.Error(at, StrCat("found both jwksUrl and jwksFile in ", where), "remove one of them");
  }
  for (const std::string& one : issuer.algorithms) {
    if (Has(kAlgorithms, one) || IsReference(one)) continue;
    context.Error(at, StrCat("found the algorithm \"", one, "\" in ", where),
                  "write RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA");
  }
  for (const auto& [claim, role] : issuer.role_map) {
    if (Has(kRoles, role) || IsReference(role)) continue;
    context.Error(at, StrCat("found the role \"", role, "\" in ", where, ".roleMap"),
                  "write admin, operator, developer, viewer or auditor");
  }
  if (issuer.subject_claim.empty()) {
    context.Error(at, StrCat("found no subjectClaim in ", where), "write \"sub\"");
  }
}

}  // namespace

void ReadIssuers(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kObject) {
    context.Error(node.at,
                  StrCat("found ", KindName(node.kind), " for auth.issuers, expected an object"),
                  "write { \"name\": { \"issuer\": \"https://...\" } }");
    return;
  }
  std::set<std::string> issuers;
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("auth.issuers.", member.key);
    if (Slug(member.key) != member.key) {
      context.Error(member.at,
                    StrCat("found the name \"", member.key,
                           "\" in auth.issuers, expected lower case letters, digits and '-'"),
                    StrCat("write \"", Slug(member.key), "\""));
    }
    IssuerConfig issuer;
    ObjectReader reader(context, IssuerFields(), &issuer);
    reader.Read(member.value, "", where);
    CheckIssuer(context, member.at, where, issuer);
    if (!issuer.issuer.empty() && !issuers.insert(issuer.issuer).second) {
      context.Error(member.at, StrCat("found the issuer of ", where, " twice"),
                    "leave one entry for each issuer");
    }
    context.config().auth.issuers.emplace(member.key, std::move(issuer));
  }
}

void CheckAuth(const AuthConfig& auth, CheckResult* out) {
  const auto error = [out](std::string message, std::string mend) {
    Problem problem;
    problem.message = std::move(message);
    problem.mend = std::move(mend);
    out->errors.push_back(std::move(problem));
  };
  const std::string& secret = auth.jwt.secret;
  if (!secret.empty() && !IsReference(secret) && secret.size() < kSecretBytesMin) {
    error(StrCat("found a secret of ", secret.size(), " characters for auth.jwt.secret (",
                 "or JWT_SECRET_KEY), expected at least ", kSecretBytesMin),
          "make one with 'openssl rand -hex 32'");
  }
  for (const auto& [name, issuer] : auth.issuers) {
    if (issuer.issuer != auth.jwt.issuer) continue;
    error(StrCat("found auth.jwt.issuer again in auth.issuers.", name),
          "give our own tokens an issuer of their own");
  }
}

}  // namespace metamcp::config
