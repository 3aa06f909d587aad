#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/auth/authenticator.h"
#include "common/auth/certificates.h"
#include "common/auth/passwords.h"
#include "common/config/config.h"
#include "common/config/watch.h"
#include "common/http/http_server.h"

namespace metamcp::gateway {

// The gateway's TCP listener, plain or with TLS as gateway.tls says, and who comes in by what TLS
// makes possible: client certificates, and passwords for REST. Reads certificates again when their
// files change; what does not fit changes nothing and is logged. Thread: the io thread.
class EdgeListener {
 public:
  // Ends what those hold open whose Principal::method begins with `method`.
  using End = std::function<void(std::string_view method)>;
  // Both references must outlive it. Joins `authenticator`.
  EdgeListener(boost::asio::any_io_executor executor, const KeyRing& keys,
               auth::Authenticator& authenticator, End end);

  // Takes auth.certificates and auth.basic. Errors: CONFIG_INVALID; then nothing has changed.
  absl::Status SetConfig(const config::AuthConfig& config);

  // Listens. Errors: UNAVAILABLE; CONFIG_INVALID for files that cannot be used, with the setting
  // that names them as metadata "setting". `server` must outlive this.
  absl::StatusOr<http::HttpEndpoint> Listen(http::HttpServer& server, const std::string& host,
                                            uint16_t port, const config::GatewayTlsConfig& tls);
  // Watches no files any more.
  void Stop() { watchers_.clear(); }

 private:
  void Watch(const config::GatewayTlsConfig& tls);
  void Reload();

  const boost::asio::any_io_executor executor_;
  const End end_;
  auth::Certificates certificates_;
  auth::Passwords passwords_;
  http::HttpServer* server_ = nullptr;
  std::vector<std::unique_ptr<config::FileWatcher>> watchers_;
};

}  // namespace metamcp::gateway
