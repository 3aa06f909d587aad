#include "common/auth/certificates.h"

#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_types.h"

namespace metamcp::auth {
namespace {

constexpr size_t kFoundMax = 10'000;
constexpr std::string_view kMethod = "mtls:";

bool Has(const std::vector<std::string>& names, const std::string& wanted) {
  return wanted.empty() || std::find(names.begin(), names.end(), wanted) != names.end();
}

// Host names have no case.
bool HasHost(const std::vector<std::string>& names, const std::string& wanted) {
  return wanted.empty() || std::any_of(names.begin(), names.end(), [&wanted](const auto& name) {
           return http::EqualsNoCase(name, wanted);
         });
}

bool Fits(const CertificateRule& rule, const http::ClientCertificate& shown) {
  return Has(shown.uris, rule.uri) && HasHost(shown.dns_names, rule.dns) &&
         Has(shown.emails, rule.email) && (rule.subject.empty() || rule.subject == shown.subject);
}

absl::Status Refused(std::string_view why) {
  return MakeError("AUTH_INVALID", "gateway", StrCat("the client certificate ", why));
}

}  // namespace

bool Certificates::SetRules(std::vector<CertificateRule> rules) {
  if (rules == rules_) return false;
  rules_ = std::move(rules);
  found_.clear();
  return true;
}

absl::StatusOr<std::shared_ptr<const Principal>> Certificates::Find(
    const http::ClientCertificate& shown) {
  if (!shown.problem.empty()) return Refused(StrCat("proves nothing: ", shown.problem));
  // A connection may outlive what it was opened with.
  if (shown.not_after_us <= now_us_()) return Refused("has ended");
  if (const auto known = found_.find(shown.fingerprint); known != found_.end()) {
    return known->second;
  }
  const CertificateRule* mine = nullptr;
  for (const CertificateRule& rule : rules_) {
    if (!Fits(rule, shown)) continue;
    if (mine != nullptr) {
      return Refused(StrCat("is that of auth.certificates.", mine->name, " and of ", rule.name));
    }
    mine = &rule;
  }
  if (mine == nullptr) return Refused("is nobody's here: it fits no entry of auth.certificates");
  auto who = std::make_shared<Principal>();
  who->tenant = mine->tenant;
  who->subject = mine->name;
  who->kind = mine->email.empty() ? "service" : "user";
  who->roles = mine->roles;
  who->teams = mine->teams;
  who->method = StrCat(kMethod, mine->name);
  who->expires_us = shown.not_after_us;
  if (found_.size() >= kFoundMax) found_.clear();
  return found_.emplace(shown.fingerprint, std::move(who)).first->second;
}

const CertificateRule* Certificates::RuleOf(const Principal& principal) const {
  for (const CertificateRule& rule : rules_) {
    if (principal.method == StrCat(kMethod, rule.name)) return &rule;
  }
  return nullptr;
}

bool Certificates::StillKnown(const Principal& principal) const {
  const CertificateRule* rule = RuleOf(principal);
  return rule != nullptr && rule->tenant == principal.tenant && rule->roles == principal.roles;
}

}  // namespace metamcp::auth
