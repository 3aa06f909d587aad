// The server's side of TLS: its certificate, and what clients show of theirs.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <cstring>
#include <fstream>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/tls.h"
#include "common/pki/openssl_types.h"

namespace metamcp::http {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr size_t kFileBytesMax = 1 << 20;
// Of what a client shows: a chain of some certificates.
constexpr long kClientChainBytesMax = 32 << 10;
constexpr int kClientChainDepthMax = 5;

absl::Status Unusable(std::string_view part, const std::string& file, std::string_view why) {
  const std::string_view what = part == "cert"  ? "certificate"
                                : part == "key" ? "private key"
                                                : "client CA file";
  return MakeError("CONFIG_INVALID", "gateway",
                   StrCat("cannot use the ", what, " '", file, "': ", why),
                   {{"part", std::string(part)}});
}

absl::StatusOr<std::string> ReadFile(std::string_view part, const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return Unusable(part, file, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return Unusable(part, file, "it is no file");
  std::ifstream in(file, std::ios::binary);
  if (!in) return Unusable(part, file, std::strerror(errno));
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax) return Unusable(part, file, "it is too large");
  return text;
}

// Only HTTP/1.1 is spoken; a client that offers ALPN without it still gets HTTP/1.1.
int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned int in_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof(kOurs) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// The chain is judged, and the verdict kept with the connection, which is open all the same: who
// shows a certificate that proves nothing is told so in an answer, and the refusal is recorded.
// That the client has the certificate's key is OpenSSL's to check, whatever is returned here.
int JudgeClient(X509_STORE_CTX* store, void*) {
  if (X509_verify_cert(store) != 1 && X509_STORE_CTX_get_error(store) == X509_V_OK) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
  }
  ERR_clear_error();
  return 1;
}

absl::Status AskClients(ssl::context& context, const HttpTlsServerOptions& options,
                        const std::string& authorities) {
  const std::string& file = options.client_ca_file;
  error_code ec;
  context.add_certificate_authority(boost::asio::buffer(authorities), ec);
  auto read = pki::ReadCertificates(authorities);
  if (!read.ok()) return Unusable("client_ca", file, "it holds no PEM certificate");
  if (ec) return Unusable("client_ca", file, ec.message());
  SSL_CTX* handle = context.native_handle();
  const pki::BioPtr bio = pki::ReadBio(authorities);
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    const pki::X509Ptr owned(one);
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(one)));
  }
  ERR_clear_error();
  SSL_CTX_set_client_CA_list(handle, names);
  // What is in the file is trusted, be it a root or not.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(handle), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(handle, &JudgeClient, nullptr);
  SSL_CTX_set_verify_depth(handle, kClientChainDepthMax);
  SSL_CTX_set_max_cert_list(handle, kClientChainBytesMax);
  // A resumed session would carry the verdict of another time, and of other authorities.
  SSL_CTX_set_session_cache_mode(handle, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(handle, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(handle, 0);
  return absl::OkStatus();
}

absl::Status CheckTime(const HttpTlsServerOptions& options, const ServerTlsMaterial& material,
                       int64_t* not_after_us) {
  METAMCP_ASSIGN_OR_RETURN(const auto chain, pki::ReadCertificates(material.certificate));
  const auto micros = [](pki::Time time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  };
  *not_after_us = micros(chain[0].not_after);
  if (!options.check_time) return absl::OkStatus();
  const int64_t now = NowMicros();
  if (now < micros(chain[0].not_before)) {
    return Unusable("cert", options.cert_file, "it is not valid yet; is this clock right?");
  }
  if (now >= *not_after_us)
    return Unusable("cert", options.cert_file, "its time is over; renew it");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServerTlsMaterial> ReadTlsFilesBlocking(const HttpTlsServerOptions& options) {
  ServerTlsMaterial out;
  METAMCP_ASSIGN_OR_RETURN(out.certificate, ReadFile("cert", options.cert_file));
  METAMCP_ASSIGN_OR_RETURN(out.key, ReadFile("key", options.key_file));
  if (!options.client_ca_file.empty()) {
    METAMCP_ASSIGN_OR_RETURN(out.client_ca, ReadFile("client_ca", options.client_ca_file));
  }
  return out;
}

absl::StatusOr<TlsContext> ServerTlsContext(const HttpTlsServerOptions& options,
                                            const ServerTlsMaterial& material,
                                            int64_t* not_after_us) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* handle = context->native_handle();
  SetTlsVersions(handle, options.allow_tls12);
  RefusePasswords(handle);
  SSL_CTX_set_options(handle, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(handle, &SelectAlpn, nullptr);
  error_code ec;
  context->use_certificate_chain(boost::asio::buffer(material.certificate), ec);
  if (ec) return Unusable("cert", options.cert_file, "it holds no PEM certificate");
  context->use_private_key(boost::asio::buffer(material.key), ssl::context::pem, ec);
  if (ec) {
    const bool other =
        ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == X509_R_KEY_VALUES_MISMATCH;
    return Unusable("key", options.key_file,
                    other ? StrCat("it is not the key of '", options.cert_file, "'")
                          : std::string("it holds no PEM private key without a password"));
  }
  if (SSL_CTX_check_private_key(handle) != 1) {
    ERR_clear_error();
    return Unusable("key", options.key_file,
                    StrCat("it is not the key of '", options.cert_file, "'"));
  }
  METAMCP_RETURN_IF_ERROR(CheckTime(options, material, not_after_us));
  if (!options.client_ca_file.empty()) {
    METAMCP_RETURN_IF_ERROR(AskClients(*context, options, material.client_ca));
  }
  return context;
}

std::shared_ptr<const ClientCertificate> ReadClientCertificate(SSL* ssl) {
  X509* shown = SSL_get0_peer_certificate(ssl);
  if (shown == nullptr) return nullptr;
  pki::Certificate said = pki::DescribeX509(shown);
  auto out = std::make_shared<ClientCertificate>();
  out->subject = std::move(said.subject);
  out->uris = std::move(said.uris);
  out->dns_names = std::move(said.dns_names);
  out->emails = std::move(said.emails);
  out->fingerprint = std::move(said.fingerprint);
  out->not_after_us =
      std::chrono::duration_cast<std::chrono::microseconds>(said.not_after.time_since_epoch())
          .count();
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict != X509_V_OK) out->problem = X509_verify_cert_error_string(verdict);
  return out;
}

}  // namespace metamcp::http
