#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/http/http_server.h"

namespace metamcp::http {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// 1.3 at least, or 1.2; and buffers that idle connections give back.
void SetTlsVersions(SSL_CTX* context, bool allow_tls12);
// A key with a password is refused instead of asked for.
void RefusePasswords(SSL_CTX* context);

// What a server's TLS is made of, PEM. Holds a secret: never logged.
struct ServerTlsMaterial {
  std::string certificate;
  std::string key;
  std::string client_ca;
  bool operator==(const ServerTlsMaterial&) const = default;
};

// Reads the files of `options`. Blocking. Errors, of all: CONFIG_INVALID with the file and what is
// wrong, and with "part" (cert, key or client_ca) as metadata.
absl::StatusOr<ServerTlsMaterial> ReadTlsFilesBlocking(const HttpTlsServerOptions& options);
// Errors: also for what does not fit together, and for a certificate whose time is not now. With
// `not_after_us`, tells when it ends.
absl::StatusOr<TlsContext> ServerTlsContext(const HttpTlsServerOptions& options,
                                            const ServerTlsMaterial& material,
                                            int64_t* not_after_us);
// What the client of a server's `ssl` showed; null where that is nothing.
std::shared_ptr<const ClientCertificate> ReadClientCertificate(SSL* ssl);

struct ClientTlsOptions {
  std::string ca_file;    // PEM, beside the system's authorities; may be empty
  std::string cert_file;  // PEM chain that is shown to servers that ask; may be empty
  std::string key_file;
  bool allow_tls12 = false;
};

// Blocking: reads files. Errors: CONFIG_INVALID with the file and OpenSSL's words.
absl::StatusOr<TlsContext> ClientTlsContext(const ClientTlsOptions& options);
// Changes when one of the files does.
std::string FileStamp(const ClientTlsOptions& options);

}  // namespace metamcp::http
