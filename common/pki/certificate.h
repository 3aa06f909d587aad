#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Certificates of the suite's services: reading, checking, and an authority of our own. PEM in and
// out; nothing here touches files. Errors are CONFIG_INVALID with what is wrong and a mend.
namespace metamcp::pki {

using Time = std::chrono::system_clock::time_point;

struct Certificate {
  std::string subject;  // "CN=gateway,O=Meta-MCP"
  std::string issuer;
  std::string serial;  // hexadecimal
  Time not_before;
  Time not_after;
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> addresses;
  std::vector<std::string> emails;
  bool authority = false;
  std::string fingerprint;  // SHA-256, hexadecimal
};

// Every certificate of a PEM text, in its order; at least one.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(std::string_view pem);

// A process's role as the URI in its certificate, "spiffe://meta-mcp/<role>", and back: the roles
// that `uris` name.
std::string RoleUri(std::string_view role);
std::vector<std::string> RolesOf(const std::vector<std::string>& uris);

// What one side of mTLS has.
struct Material {
  std::string ca;           // authorities that are trusted
  std::string certificate;  // own chain, the leaf first
  std::string key;
  bool operator==(const Material&) const = default;
};

// Whether it can be used at `now`: all three are PEM, the key is the leaf's, an authority of `ca`
// vouches for the leaf, it is valid in time and names a role.
absl::Status CheckMaterial(const Material& material, Time now);

struct Issued {
  std::string certificate;
  std::string key;
};

// An authority that signs leaves and nothing else. With `key`, the certificate is for that key:
// what it signed before stays valid.
absl::StatusOr<Issued> MakeAuthority(std::string_view name, Time from, Time until,
                                     std::string_view key = {});

struct LeafRequest {
  std::string name;                // common name
  std::vector<std::string> roles;  // gateway, connector, catalog
  std::vector<std::string> names;  // host names and IP addresses
  Time from;
  Time until;
};

// A certificate for TLS client and server, with a new key (ECDSA P-256).
absl::StatusOr<Issued> IssueLeaf(const Issued& authority, const LeafRequest& request);

}  // namespace metamcp::pki
