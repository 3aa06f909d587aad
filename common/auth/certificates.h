#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/auth/authenticator.h"

namespace metamcp::auth {

// One entry of auth.certificates: what a certificate must say (all that is not empty), and whose it
// is then.
struct CertificateRule {
  std::string name;
  std::string uri;
  std::string dns;
  std::string email;
  std::string subject;
  std::string tenant = "default";
  std::vector<std::string> roles;
  std::vector<std::string> teams;
  bool operator==(const CertificateRule&) const = default;
};

// Turns client certificates into principals: subject is the rule's name, method "mtls:<name>"; they
// end with the certificate. A certificate that proves nothing, that fits no rule, or that fits
// several, is refused. Thread: the io thread.
class Certificates final : public CertificateSource {
 public:
  // `now_us` tells the time.
  explicit Certificates(std::function<int64_t()> now_us) : now_us_(std::move(now_us)) {}

  // Takes these rules; returns whether they differ from those before.
  bool SetRules(std::vector<CertificateRule> rules);

  absl::StatusOr<std::shared_ptr<const Principal>> Find(
      const http::ClientCertificate& shown) override;
  // The rule is there, and gives what it gave.
  bool StillKnown(const Principal& principal) const override;

 private:
  const CertificateRule* RuleOf(const Principal& principal) const;
  const std::function<int64_t()> now_us_;
  std::vector<CertificateRule> rules_;
  // By fingerprint, so that one certificate is one object for as long as the rules hold.
  std::map<std::string, std::shared_ptr<const Principal>> found_;
};

}  // namespace metamcp::auth
