#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/http/http_server.h"

namespace metamcp::http {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

// Blocking: they read files. Errors: CONFIG_INVALID with the file and OpenSSL's words.
absl::StatusOr<TlsContext> ServerTlsContext(const HttpTlsServerOptions& options);
// The system's authorities and those in `ca_file`, if it is not empty.
absl::StatusOr<TlsContext> ClientTlsContext(const std::string& ca_file, bool allow_tls12);

}  // namespace metamcp::http
