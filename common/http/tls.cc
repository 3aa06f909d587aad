#include "common/http/tls.h"

#include <openssl/ssl.h>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

absl::Status Failed(std::string_view what, const std::string& file, const error_code& ec) {
  return MakeError("CONFIG_INVALID", "http",
                   StrCat("cannot use the ", what, " '", file, "': ", ec.message()));
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

void SetVersions(ssl::context& context, bool allow_tls12) {
  SSL_CTX_set_min_proto_version(context.native_handle(),
                                allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
}

}  // namespace

absl::StatusOr<TlsContext> ServerTlsContext(const HttpTlsServerOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SetVersions(*context, options.allow_tls12);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(context->native_handle(), &SelectAlpn, nullptr);
  error_code ec;
  context->use_certificate_chain_file(options.cert_file, ec);
  if (ec) return Failed("certificate", options.cert_file, ec);
  context->use_private_key_file(options.key_file, ssl::context::pem, ec);
  if (ec) return Failed("private key", options.key_file, ec);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return MakeError(
        "CONFIG_INVALID", "http",
        StrCat("the private key '", options.key_file, "' does not fit '", options.cert_file, "'"));
  }
  return context;
}

absl::StatusOr<TlsContext> ClientTlsContext(const std::string& ca_file, bool allow_tls12) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SetVersions(*context, allow_tls12);
  error_code ec;
  context->set_default_verify_paths(ec);
  if (!ca_file.empty()) {
    context->load_verify_file(ca_file, ec);
    if (ec) return Failed("CA file", ca_file, ec);
  }
  return context;
}

}  // namespace metamcp::http
