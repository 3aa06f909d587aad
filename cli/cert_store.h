#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/pki/certificate.h"

namespace metamcp::cli {

// The folder of `meta-mcp cert`: ca.pem, ca-key.pem and, for each NAME, NAME.pem and NAME-key.pem.
// The folder is 0700, files are 0600 and replaced whole. All of it blocks.
class CertStore {
 public:
  explicit CertStore(std::string folder) : folder_(std::move(folder)) {}

  const std::string& folder() const { return folder_; }
  std::string CertificatePath(const std::string& name) const;
  std::string KeyPath(const std::string& name) const;
  bool Has(const std::string& name) const;

  // Errors: NOT_FOUND with what to do; CONFIG_INVALID for what is no certificate.
  absl::StatusOr<pki::Issued> Read(const std::string& name) const;
  absl::StatusOr<pki::Certificate> Describe(const std::string& name) const;
  // The key first: who sees one of the two changed keeps what it has.
  absl::Status Write(const std::string& name, const pki::Issued& issued) const;
  // Of the certificates but the authority's, in order.
  std::vector<std::string> Names() const;

 private:
  const std::string folder_;
};

// Name of the authority's files.
inline constexpr char kAuthority[] = "ca";

}  // namespace metamcp::cli
