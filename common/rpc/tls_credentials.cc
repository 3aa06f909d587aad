#include "common/rpc/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "common/base/strings.h"

namespace metamcp::rpc {
namespace {

namespace tls = grpc::experimental;

// The identity is the role, not the host name: addresses of a cluster come and go.
class RoleVerifier final : public tls::ExternalCertificateVerifier {
 public:
  explicit RoleVerifier(std::vector<std::string> roles) : roles_(std::move(roles)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names()) {
      uris.emplace_back(uri.data(), uri.size());
    }
    const std::vector<std::string> theirs = pki::RolesOf(uris);
    for (const std::string& role : roles_) {
      if (std::find(theirs.begin(), theirs.end(), role) != theirs.end()) continue;
      *sync_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                  StrCat("the peer's certificate is for [",
                                         absl::StrJoin(theirs, ", "), "], not for ", role));
      break;
    }
    return true;
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::vector<std::string> roles_;
};

// gRPC's C interface asks a callback for the material of each handshake; its C++ one cannot.
class ReloadingServerCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingServerCredentials(std::shared_ptr<const Tls> source)
      : source_(std::move(source)) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, &Fetch, this));
  }
  ~ReloadingServerCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingServerCredentials*>(self)->Next(config);
  }

  grpc_ssl_certificate_config_reload_status Next(grpc_ssl_server_certificate_config** config) {
    const std::shared_ptr<const Tls::Current> current = source_->current();
    // gRPC asks under a lock of its own.
    if (current->generation == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    grpc_ssl_pem_key_cert_pair pair{current->material.key.c_str(),
                                    current->material.certificate.c_str()};
    *config = grpc_ssl_server_certificate_config_create(current->material.ca.c_str(), &pair, 1);
    given_ = current->generation;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::shared_ptr<const Tls> source_;
  uint64_t given_ = 0;
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Tls::Current& current,
                                                            std::vector<std::string> roles) {
  std::vector<tls::IdentityKeyCertPair> pairs(1);
  pairs[0].private_key = current.material.key;
  pairs[0].certificate_chain = current.material.certificate;
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<tls::StaticDataCertificateProvider>(current.material.ca, pairs));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<RoleVerifier>(std::move(roles)));
  return tls::TlsCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(std::shared_ptr<const Tls> source) {
  return std::make_shared<ReloadingServerCredentials>(std::move(source));
}

std::vector<std::string> PeerRoles(const grpc::AuthContext& peer) {
  std::vector<std::string> uris;
  for (const grpc::string_ref& uri : peer.FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
    uris.emplace_back(uri.data(), uri.size());
  }
  return pki::RolesOf(uris);
}

}  // namespace metamcp::rpc
