#include "common/http/http_client.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "absl/strings/escaping.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/client_pool.h"
#include "common/http/proxy.h"
#include "common/http/websocket_open.h"
#include "common/telemetry/log.h"

namespace metamcp::http {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

class Response final : public HttpClientResponse {
 public:
  Response(ClientPool::Lease lease, HttpClientRequest::Duration idle, std::string domain)
      : lease_(std::move(lease)), idle_(idle), domain_(std::move(domain)) {
    ResponseParser& parser = lease_.connection->parser();
    status_ = parser.status();
    headers_ = parser.headers();
    length_ = parser.length_hint();
  }

  int status() const override { return status_; }
  const HttpHeaders& headers() const override { return headers_; }
  Awaitable<absl::StatusOr<std::optional<std::string>>> ReadSome() override;
  Awaitable<absl::StatusOr<std::string>> ReadAll(size_t bytes_max) override;
  void Close() override {
    closed_ = !ended_;
    if (lease_.connection) lease_.connection->Close();
  }

 private:
  ClientPool::Lease lease_;
  HttpClientRequest::Duration idle_;
  std::string domain_;
  int status_ = 0;
  HttpHeaders headers_;
  uint64_t length_ = 0;
  bool ended_ = false;
  bool closed_ = false;
};

Awaitable<absl::StatusOr<std::optional<std::string>>> Response::ReadSome() {
  if (ended_) co_return std::optional<std::string>();
  if (closed_ || !lease_.connection) {
    co_return MakeError("CANCELLED", domain_, "the response was closed");
  }
  auto piece = co_await lease_.connection->ReadBody(idle_, domain_);
  if (!piece.ok()) {
    closed_ = true;
    lease_.Drop();
  } else if (!piece->has_value()) {
    ended_ = true;
    if (lease_.connection->Reusable()) {
      lease_.Release();
    } else {
      lease_.Drop();
    }
  }
  co_return piece;
}

Awaitable<absl::StatusOr<std::string>> Response::ReadAll(size_t bytes_max) {
  std::string all;
  if (length_ <= bytes_max) all.reserve(std::min<uint64_t>(length_, 1 << 20));
  const std::string too_large = StrCat("the response exceeds ", bytes_max, " bytes");
  bool fits = length_ <= bytes_max;
  while (fits) {
    auto piece = co_await ReadSome();
    if (!piece.ok()) co_return piece.status();
    if (!piece->has_value()) co_return all;
    fits = (*piece)->size() <= bytes_max - all.size();
    if (fits && all.empty() && (*piece)->size() >= length_) {
      all = std::move(**piece);
    } else if (fits) {
      all.append(**piece);
    }
  }
  Close();
  co_return MakeError("UPSTREAM_RESULT_TOO_LARGE", domain_, too_large);
}

class Client final : public HttpClient {
 public:
  Client(asio::any_io_executor executor, HttpClientOptions options)
      : options_(std::move(options)),
        proxies_(options_.environment),
        pool_(std::make_shared<ClientPool>(executor, options_)) {}
  ~Client() override { pool_->Shutdown(); }

  Awaitable<absl::StatusOr<std::unique_ptr<HttpClientResponse>>> Send(
      const CallContext& ctx, HttpClientRequest request) override;
  Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> OpenWebSocket(
      const CallContext& ctx, HttpClientRequest request, WebSocketOptions options) override;

 private:
  // All that is known of a request before a connection is chosen.
  struct Plan {
    ConnectTarget target;
    std::string key;
    std::string head;
    Clock::time_point deadline;
  };
  absl::StatusOr<Plan> MakePlan(const CallContext& ctx, const HttpClientRequest& request,
                                bool websocket);
  absl::Status AddHead(const HttpClientRequest& request, Plan& plan) const;
  absl::StatusOr<TlsContext> ContextFor(const HttpClientRequest& request);
  void NoteTls12(const ClientConnection& connection, const Plan& plan);

  const HttpClientOptions options_;
  const ProxyRule proxies_;
  std::shared_ptr<ClientPool> pool_;
  std::map<std::pair<std::string, bool>, TlsContext> contexts_;
  std::map<std::string, bool> noted_;
};

absl::Status BadRequest(const HttpClientRequest& request, std::string_view why) {
  return MakeError("CONFIG_INVALID", request.domain, why);
}

bool IsIdempotent(const HttpClientRequest& request) {
  return request.idempotent || request.method == "GET" || request.method == "HEAD" ||
         request.method == "OPTIONS";
}

absl::StatusOr<TlsContext> Client::ContextFor(const HttpClientRequest& request) {
  TlsContext& context = contexts_[std::make_pair(request.ca_file, request.allow_tls12)];
  if (!context) {
    auto made = ClientTlsContext(request.ca_file, request.allow_tls12);
    if (!made.ok()) return made.status();
    context = *std::move(made);
  }
  return context;
}

absl::Status Client::AddHead(const HttpClientRequest& request, Plan& plan) const {
  const HttpHeaders& headers = request.headers;
  const Url& url = plan.target.url;
  std::string& head = plan.head;
  head.reserve(512);
  const bool through_proxy = plan.target.proxy && !url.secure();
  head.append(request.method).push_back(' ');
  if (through_proxy) head.append(url.origin());
  head.append(url.target).append(" HTTP/1.1\r\n");
  if (!headers.Has("Host")) head.append("Host: ").append(url.authority()).append("\r\n");
  for (size_t i = 0; i < headers.size(); ++i) {
    const HttpHeader h = headers.at(i);
    if (!IsHttpToken(h.name) || !IsHeaderValue(h.value)) {
      return BadRequest(request, StrCat("the header '", IsHttpToken(h.name) ? h.name : "?",
                                        "' holds characters that HTTP does not allow"));
    }
    if (EqualsNoCase(h.name, "Content-Length") || EqualsNoCase(h.name, "Transfer-Encoding") ||
        EqualsNoCase(h.name, "Connection") || EqualsNoCase(h.name, "Accept-Encoding")) {
      continue;
    }
    head.append(h.name).append(": ").append(h.value).append("\r\n");
  }
  if (!headers.Has("User-Agent") && !options_.user_agent.empty()) {
    head.append("User-Agent: ").append(options_.user_agent).append("\r\n");
  }
  if (through_proxy && !plan.target.proxy->user_info.empty()) {
    const auto user = PercentDecode(plan.target.proxy->user_info);
    if (user.ok()) {
      head += StrCat("Proxy-Authorization: Basic ", absl::Base64Escape(*user), "\r\n");
    }
  }
  head.append("Accept-Encoding: identity\r\n");
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
      request.method == "PATCH") {
    head.append("Content-Length: ").append(std::to_string(request.body.size())).append("\r\n");
  }
  head.append("\r\n");
  return absl::OkStatus();
}

absl::StatusOr<Client::Plan> Client::MakePlan(const CallContext& ctx,
                                              const HttpClientRequest& request, bool websocket) {
  auto url = ParseUrl(request.url);
  if (!url.ok()) return BadRequest(request, Sv(url.status().message()));
  const std::string_view scheme = websocket ? "ws" : "http";
  if (url->scheme != scheme && url->scheme != StrCat(scheme, "s")) {
    return BadRequest(request, StrCat("'", url->scheme, "' is not ", scheme, " or ", scheme, "s"));
  }
  if (!IsHttpToken(request.method)) return BadRequest(request, "bad HTTP method");
  Plan plan;
  plan.deadline = ctx.deadline;
  plan.target.domain = request.domain;
  plan.target.unix_socket = request.unix_socket;
  plan.target.url = *std::move(url);
  const Url& target = plan.target.url;
  const bool local = !request.unix_socket.empty() || IsLoopbackHost(target.host);
  if (!target.secure() && !local && !request.allow_plain_http) {
    return MakeError("UPSTREAM_UNAVAILABLE", request.domain,
                     StrCat("plain ", scheme, ":// to '", target.host,
                            "' is refused because anybody on the way could read and change it; "
                            "use ",
                            scheme, "s:// or set allowPlainHttp"));
  }
  if (!local) {
    auto proxy = proxies_.For(target);
    if (!proxy.ok()) return BadRequest(request, Sv(proxy.status().message()));
    plan.target.proxy = *std::move(proxy);
  }
  if (target.secure()) {
    auto tls = ContextFor(request);
    if (!tls.ok()) return BadRequest(request, Sv(tls.status().message()));
    plan.target.tls = *std::move(tls);
  }
  plan.key = target.origin();
  if (target.secure() && (request.allow_tls12 || !request.ca_file.empty())) {
    plan.key += StrCat("|", request.allow_tls12 ? "12|" : "13|", request.ca_file);
  }
  if (!request.unix_socket.empty()) plan.key += StrCat("|unix:", request.unix_socket);
  // A connection that was allowed to lead anywhere must not be used by a request that is not.
  plan.target.addresses = request.addresses;
  if (request.addresses != AddressRule::kAny) {
    plan.key += StrCat("|to:", static_cast<int>(request.addresses));
    const bool literal =
        target.ipv6 || target.host.find_first_not_of("0123456789.") == std::string::npos;
    if (literal && !AddressAllowed(request.addresses, target.host)) {
      return MakeError("UPSTREAM_UNAVAILABLE", request.domain,
                       StrCat("the address ", target.host, " is not one that others may name"));
    }
  }
  const absl::Status status = AddHead(request, plan);
  if (!status.ok()) return status;
  return plan;
}

void Client::NoteTls12(const ClientConnection& connection, const Plan& plan) {
  if (connection.tls_note().empty() || std::exchange(noted_[plan.key], true)) return;
  Log(LogLevel::kWarning, "http.old_tls",
      {{"host", plan.target.url.authority()}, {"version", connection.tls_note()}});
}

Awaitable<absl::StatusOr<std::unique_ptr<HttpClientResponse>>> Client::Send(
    const CallContext& ctx, HttpClientRequest request) {
  // The client may be destroyed while a cancelled request still unwinds.
  const std::shared_ptr<ClientPool> pool = pool_;
  METAMCP_CO_ASSIGN_OR_RETURN(Plan plan, MakePlan(ctx, request, false));
  bool second = false;
  for (;;) {
    METAMCP_CO_ASSIGN_OR_RETURN(ClientPool::Lease lease,
                                co_await pool->Acquire(plan.key, plan.deadline, request.domain));
    // After a stale connection the other idle ones are stale too.
    if (second) pool->DropIdle(plan.key);
    if (!lease.connection || second) {
      ClientConnection& fresh = lease.Renew();
      const auto until = std::min(plan.deadline, Clock::now() + request.connect_timeout);
      METAMCP_CO_RETURN_IF_ERROR(co_await fresh.Connect(plan.target, until));
      NoteTls12(fresh, plan);
    }
    ClientConnection::Exchange exchange;
    exchange.head = plan.head;
    exchange.body = request.body;
    exchange.no_response_body = request.method == "HEAD";
    exchange.deadline = std::min(plan.deadline, Clock::now() + request.first_byte_timeout);
    const absl::Status status = co_await lease.connection->Run(exchange, request.domain);
    if (status.ok()) {
      co_return std::make_unique<Response>(std::move(lease), request.idle_timeout,
                                           std::move(request.domain));
    }
    const bool again = exchange.stale && !second && (!exchange.sent || IsIdempotent(request));
    if (!again) co_return status;
    second = true;
  }
}

Awaitable<absl::StatusOr<std::unique_ptr<WebSocket>>> Client::OpenWebSocket(
    const CallContext& ctx, HttpClientRequest request, WebSocketOptions options) {
  const std::shared_ptr<ClientPool> pool = pool_;
  METAMCP_CO_ASSIGN_OR_RETURN(Plan plan, MakePlan(ctx, request, true));
  plan.target.tunnel = true;
  METAMCP_CO_ASSIGN_OR_RETURN(ClientPool::Lease lease,
                              co_await pool->Acquire(plan.key, plan.deadline, request.domain));
  ClientConnection& connection = lease.Renew();
  const auto until = std::min(plan.deadline, Clock::now() + request.connect_timeout);
  METAMCP_CO_RETURN_IF_ERROR(co_await connection.Connect(plan.target, until));
  NoteTls12(connection, plan);
  std::unique_ptr<Stream> stream = connection.TakeStream();
  lease.Drop();
  if (!request.headers.Has("User-Agent")) request.headers.Set("User-Agent", options_.user_agent);
  auto shaking = ShakeWebSocket(std::move(stream), std::move(plan.target.url),
                                std::move(request.headers), std::move(options));
  co_return co_await std::move(shaking);
}

}  // namespace

HttpClientOptions::HttpClientOptions()
    : environment([](const char* name) -> const char* { return std::getenv(name); }) {}

std::unique_ptr<HttpClient> NewHttpClient(asio::any_io_executor executor,
                                          HttpClientOptions options) {
  return std::make_unique<Client>(executor, std::move(options));
}

}  // namespace metamcp::http
