#include "common/http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::http {

void SetTlsVersions(SSL_CTX* context, bool allow_tls12) {
  SSL_CTX_set_min_proto_version(context, allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

// OpenSSL would ask at the terminal.
void RefusePasswords(SSL_CTX* context) {
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });
}

namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

absl::Status Failed(std::string_view what, const std::string& file, const error_code& ec) {
  return MakeError("CONFIG_INVALID", "http",
                   StrCat("cannot use the ", what, " '", file, "': ", ec.message()));
}

std::string Stamp(const std::string& file) {
  struct stat info {};
  if (file.empty() || ::stat(file.c_str(), &info) != 0) return "-";
  return StrCat(info.st_ino, ".", info.st_size, ".", info.st_mtim.tv_sec, ".",
                info.st_mtim.tv_nsec);
}

}  // namespace

absl::StatusOr<TlsContext> ClientTlsContext(const ClientTlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SetTlsVersions(context->native_handle(), options.allow_tls12);
  RefusePasswords(context->native_handle());
  error_code ec;
  context->set_default_verify_paths(ec);
  if (!options.ca_file.empty()) {
    // What is named is trusted, be it a root or not.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->native_handle()),
                                X509_V_FLAG_PARTIAL_CHAIN);
    context->load_verify_file(options.ca_file, ec);
    if (ec) return Failed("CA file", options.ca_file, ec);
  }
  if (options.cert_file.empty()) return context;
  context->use_certificate_chain_file(options.cert_file, ec);
  if (ec) return Failed("certificate", options.cert_file, ec);
  context->use_private_key_file(options.key_file, ssl::context::pem, ec);
  if (ec) return Failed("private key", options.key_file, ec);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    ERR_clear_error();
    return MakeError(
        "CONFIG_INVALID", "http",
        StrCat("the private key '", options.key_file, "' does not fit '", options.cert_file, "'"));
  }
  return context;
}

std::string FileStamp(const ClientTlsOptions& options) {
  return StrCat(Stamp(options.ca_file), " ", Stamp(options.cert_file), " ",
                Stamp(options.key_file));
}

}  // namespace metamcp::http
