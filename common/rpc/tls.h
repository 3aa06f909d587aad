#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/pki/certificate.h"

namespace google::protobuf {
class Message;
}

namespace metamcp::rpc {

// Where a process's material is (PEM); all empty means plaintext.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  std::vector<std::string> paths() const { return {ca, certificate, key}; }
};

// One process's side of mTLS, shared by its server and its channels, with TLS 1.3 only. Material
// that is read again counts for connections made from then on; those that stand go on.
// Thread-safe.
class Tls {
 public:
  // Reads and checks. Blocks. Errors: CONFIG_INVALID with file and reason.
  static absl::StatusOr<std::shared_ptr<Tls>> OpenBlocking(const TlsFiles& files);

  // Reads again; what cannot be used changes nothing. Returns whether it changed. Blocks.
  absl::StatusOr<bool> ReloadBlocking();

  struct Current {
    uint64_t generation = 0;  // rises with each change
    pki::Material material;
  };
  std::shared_ptr<const Current> current() const;
  uint64_t generation() const { return generation_; }
  const TlsFiles& files() const { return files_; }
  // Roles that the own certificate names, and when it ends.
  std::vector<std::string> roles() const;
  pki::Time not_after() const;

 private:
  explicit Tls(TlsFiles files) : files_(std::move(files)) {}
  absl::StatusOr<pki::Material> ReadBlocking() const;

  const TlsFiles files_;
  std::atomic<uint64_t> generation_{0};
  mutable std::mutex mu_;
  std::shared_ptr<const Current> current_;  // guarded by mu_
};

// gRPC then speaks TLS 1.3 only, whatever the peer offers. Called by whatever uses a Tls; better
// at the start of the program, because it sets an environment variable that gRPC reads once.
void OnlyTls13();

// Which roles may call a service, by its full name ("metamcp.provider.v1.ProviderService"), or one
// of its methods, by its path ("/metamcp.provider.v1.ProviderService/Call"), which wins. A service
// that is not listed is for every role. Without TLS nothing is asked.
using Callers = std::map<std::string, std::set<std::string>, std::less<>>;

// Whether a caller whose certificate names `roles` may send this request.
using RequestCheck = std::function<absl::Status(const std::vector<std::string>& roles,
                                                const google::protobuf::Message& request)>;

}  // namespace metamcp::rpc
