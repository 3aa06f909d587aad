// What a connection does that only TLS has: the handshake, and the client's certificate.
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <sys/socket.h>

#include <memory>

#include "common/http/server_connection.h"
#include "common/telemetry/log.h"

namespace metamcp::http {
namespace {

constexpr std::string_view kPlain =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    "Content-Length: 27\r\n\r\nthis port speaks TLS only\r\n";
}  // namespace

void ServerConnection::DistrustCertificate() {
  if (!tls_ || (phase_ != Phase::kHandshake && request_.certificate == nullptr)) return;
  distrusted_ = true;
  if (request_.certificate != nullptr && !handling_) {
    // Also for a request that is only half here.
    auto judged = std::make_shared<ClientCertificate>(*request_.certificate);
    judged->problem = "its authority is none any more";
    request_.certificate = std::move(judged);
  }
  Drain();
}

Awaitable<bool> ServerConnection::ShakeHands() {
  Enter(Phase::kHandshake, shared_.options.tls_handshake_timeout);
  const auto ec = co_await stream_.AcceptTls(tls_);
  if (ec) {
    Log(LogLevel::kDebug, "http.tls_refused",
        {{"error", timed_out_ ? "no handshake in time" : ec.message()}});
    const bool plain = ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == SSL_R_HTTP_REQUEST;
    // Without TLS, since that is what was spoken.
    if (plain)
      (void)::send(stream_.fd(), kPlain.data(), kPlain.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    co_return false;
  }
  request_.certificate = stream_.PeerCertificate();
  // Authorities changed in the middle of it.
  if (distrusted_ && request_.certificate != nullptr) co_return false;
  if (stream_.tls12()) {
    Log(LogLevel::kDebug, "http.old_tls_client",
        {{"peer", request_.remote_address}, {"version", "TLSv1.2"}});
  }
  co_return true;
}

}  // namespace metamcp::http
