#include "common/rpc/tls.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::rpc {
namespace {

constexpr std::streamsize kFileBytesMax = 1 << 20;

absl::StatusOr<std::string> ReadFileBlocking(const std::string& setting, const std::string& path) {
  if (path.empty()) {
    return MakeError(
        "CONFIG_INVALID", "gateway",
        StrCat("services.tls needs ca, certificate and key; ", setting, " is not set"));
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<size_t>(kFileBytesMax), '\0');
  in.read(text.data(), kFileBytesMax);
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  if (text.empty()) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("cannot read ", path, " (", setting,
                            "): it is missing, empty or not readable by this user"));
  }
  return text;
}

}  // namespace

void OnlyTls13() {
  // gRPC 1.51 has no setting for the least version. A TLS 1.2 suite that needs a pre-shared key,
  // which nobody has here, leaves TLS 1.2 nothing to agree on; the suites of TLS 1.3 are not
  // touched by this list.
  static const bool once = [] {
    ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1);
    return true;
  }();
  (void)once;
}

absl::StatusOr<std::shared_ptr<Tls>> Tls::OpenBlocking(const TlsFiles& files) {
  OnlyTls13();
  auto tls = std::shared_ptr<Tls>(new Tls(files));
  METAMCP_RETURN_IF_ERROR(tls->ReloadBlocking().status());
  return tls;
}

absl::StatusOr<pki::Material> Tls::ReadBlocking() const {
  pki::Material material;
  METAMCP_ASSIGN_OR_RETURN(material.ca, ReadFileBlocking("services.tls.ca", files_.ca));
  METAMCP_ASSIGN_OR_RETURN(material.certificate,
                           ReadFileBlocking("services.tls.certificate", files_.certificate));
  METAMCP_ASSIGN_OR_RETURN(material.key, ReadFileBlocking("services.tls.key", files_.key));
  METAMCP_RETURN_IF_ERROR(pki::CheckMaterial(material, std::chrono::system_clock::now()));
  return material;
}

absl::StatusOr<bool> Tls::ReloadBlocking() {
  METAMCP_ASSIGN_OR_RETURN(pki::Material material, ReadBlocking());
  const std::lock_guard lock(mu_);
  if (current_ != nullptr && current_->material == material) return false;
  auto next = std::make_shared<Current>();
  next->material = std::move(material);
  next->generation = generation_ + 1;
  current_ = std::move(next);
  ++generation_;
  return true;
}

std::shared_ptr<const Tls::Current> Tls::current() const {
  const std::lock_guard lock(mu_);
  return current_;
}

std::vector<std::string> Tls::roles() const {
  const auto chain = pki::ReadCertificates(current()->material.certificate);
  return chain.ok() ? pki::RolesOf(chain->front().uris) : std::vector<std::string>();
}

pki::Time Tls::not_after() const {
  const auto chain = pki::ReadCertificates(current()->material.certificate);
  return chain.ok() ? chain->front().not_after : pki::Time();
}

}  // namespace metamcp::rpc
