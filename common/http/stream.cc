#include "common/http/stream.h"

#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/http/stream_tls.h"
#include "common/http/tls.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

bool IsAddress(const std::string& host) {
  error_code ec;
  asio::ip::make_address(host, ec);
  return !ec;
}

}  // namespace

Stream::Stream(Socket socket) : socket_(std::move(socket)) {}
Stream::~Stream() { Close(); }

Awaitable<error_code> Stream::AcceptTls(std::shared_ptr<asio::ssl::context> tls) {
  tls_ = std::make_unique<Tls>(socket_, std::move(tls));
  const auto [ec] = co_await tls_->stream.async_handshake(asio::ssl::stream_base::server, kToken);
  co_return ec;
}

Awaitable<error_code> Stream::ConnectTls(std::shared_ptr<asio::ssl::context> tls, std::string host,
                                         std::string* why) {
  tls_ = std::make_unique<Tls>(socket_, std::move(tls));
  SSL* ssl = tls_->stream.native_handle();
  // RFC 6066 forbids addresses in SNI.
  if (!IsAddress(host)) SSL_set_tlsext_host_name(ssl, host.c_str());
  constexpr unsigned char kAlpn[] = "\x08http/1.1";
  SSL_set_alpn_protos(ssl, kAlpn, sizeof(kAlpn) - 1);
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  const int set = IsAddress(host) ? X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str())
                                  : SSL_set1_host(ssl, host.c_str());
  if (set != 1) co_return asio::error::invalid_argument;
  SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  const auto [ec] = co_await tls_->stream.async_handshake(asio::ssl::stream_base::client, kToken);
  if (ec) {
    const long verdict = SSL_get_verify_result(ssl);
    if (verdict != X509_V_OK) *why = X509_verify_cert_error_string(verdict);
  }
  co_return ec;
}

Awaitable<IoResult> Stream::ReadSome(asio::mutable_buffer into) {
  if (tls_) {
    auto [ec, n] = co_await tls_->stream.async_read_some(into, kToken);
    // A peer that closes without close_notify ends the stream all the same: HTTP's own framing
    // tells whether the message was complete.
    if (ec == asio::ssl::error::stream_truncated) ec = asio::error::eof;
    co_return IoResult(ec, n);
  }
  const auto [ec, n] = co_await socket_.async_read_some(into, kToken);
  co_return IoResult(ec, n);
}

Awaitable<IoResult> Stream::WriteSome(std::span<const asio::const_buffer> buffers) {
  if (tls_) {
    const auto [ec, n] = co_await tls_->stream.async_write_some(buffers, kToken);
    co_return IoResult(ec, n);
  }
  const auto [ec, n] = co_await socket_.async_write_some(buffers, kToken);
  co_return IoResult(ec, n);
}

IoResult Stream::TryWrite(std::span<const asio::const_buffer> buffers) {
  if (tls_) return {};
  std::array<iovec, 4> iov;
  const size_t count = std::min(buffers.size(), iov.size());
  for (size_t i = 0; i < count; ++i) {
    iov[i].iov_base = const_cast<void*>(buffers[i].data());
    iov[i].iov_len = buffers[i].size();
  }
  msghdr message{};
  message.msg_iov = iov.data();
  message.msg_iovlen = count;
  ssize_t n;
  do {
    n = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return {error_code(), static_cast<size_t>(n)};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
  return {error_code(errno, boost::system::system_category()), 0};
}

void Stream::Cancel() {
  error_code ignored;
  if (socket_.is_open()) socket_.cancel(ignored);
}

Awaitable<void> Stream::Shutdown() {
  if (!socket_.is_open()) co_return;
  // close_notify, so that a TLS peer can tell the end from a cut.
  if (tls_) co_await tls_->stream.async_shutdown(kToken);
  error_code ignored;
  if (socket_.is_open()) socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void Stream::Close() {
  error_code ignored;
  if (socket_.is_open()) socket_.close(ignored);
}

std::shared_ptr<const ClientCertificate> Stream::PeerCertificate() const {
  return tls_ ? ReadClientCertificate(tls_->stream.native_handle()) : nullptr;
}

bool Stream::tls12() const {
  return tls_ && SSL_version(tls_->stream.native_handle()) == TLS1_2_VERSION;
}

}  // namespace metamcp::http
