#include "common/http/http_client.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <unordered_map>

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

// URLs whose parts are remembered: upstreams have one each; those that servers invent may be many,
// and long.
constexpr size_t kPlacesMax = 1024;
constexpr size_t kPlaceBytesMax = 512;

class Response final : public HttpClientResponse {
 public:
  using Piece = ClientConnection::BodyPiece;

  Response(ClientPool::Lease lease, HttpClientRequest::Duration idle, std::string domain)
      : lease_(std::move(lease)), idle_(idle), domain_(std::move(domain)) {
    ResponseParser& parser = lease_.connection->parser();
    status_ = parser.status();
    headers_ = parser.headers();
    length_ = parser.length_hint();
  }

  int status() const override { return status_; }
  const HttpHeaders& headers() const override { return headers_; }
  Awaitable<Piece> ReadSome() override;
  Awaitable<absl::StatusOr<std::string>> ReadAll(size_t bytes_max) override;
  void Close() override {
    closed_ = !ended_;
    if (lease_.connection) lease_.connection->Close();
  }

 private:
  // What can be read without waiting.
  std::optional<Piece> TryRead();
  // What the piece means for the connection.
  void Settle(const Piece& piece);

  ClientPool::Lease lease_;
  HttpClientRequest::Duration idle_;
  std::string domain_;
  int status_ = 0;
  HttpHeaders headers_;
  uint64_t length_ = 0;
  bool ended_ = false;
  bool closed_ = false;
};

std::optional<Response::Piece> Response::TryRead() {
  if (ended_) return Piece(std::nullopt);
  if (closed_ || !lease_.connection) {
    return MakeError("CANCELLED", domain_, "the response was closed");
  }
  std::optional<Piece> piece = lease_.connection->TakeBody(domain_);
  if (piece) Settle(*piece);
  return piece;
}

void Response::Settle(const Piece& piece) {
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
}

Awaitable<Response::Piece> Response::ReadSome() {
  std::optional<Piece> there = TryRead();
  if (there) co_return *std::move(there);
  Piece piece = co_await lease_.connection->ReadBody(idle_, domain_);
  Settle(piece);
  co_return piece;
}

Awaitable<absl::StatusOr<std::string>> Response::ReadAll(size_t bytes_max) {
  std::string all;
  bool fits = length_ <= bytes_max;
  while (fits) {
    // Small answers are there as a whole when their head is.
    std::optional<Piece> piece = TryRead();
    if (!piece) piece = co_await ReadSome();
    if (!piece->ok()) co_return piece->status();
    if (!(*piece)->has_value()) co_return all;
    std::string& text = ***piece;
    fits = text.size() <= bytes_max - all.size();
    if (fits && all.empty() && text.size() >= length_) {
      all = std::move(text);
    } else if (fits) {
      if (all.empty()) all.reserve(std::min<uint64_t>(length_, 1 << 20));
      all.append(text);
    }
  }
  Close();
  co_return MakeError("UPSTREAM_RESULT_TOO_LARGE", domain_,
                      StrCat("the response exceeds ", bytes_max, " bytes"));
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
  // What a URL says, worked out once.
  struct Place {
    Url url;
    std::string origin;
    std::string host;    // the Host field with its line end
    bool local = false;  // on this machine, so never proxied and allowed without TLS
  };
  // All that is known of a request before a connection is chosen.
  struct Plan {
    std::shared_ptr<const Place> place;
    std::optional<Url> proxy;
    std::string key;
    std::string head;
    Clock::time_point deadline;
  };
  absl::StatusOr<std::shared_ptr<const Place>> PlaceOf(const HttpClientRequest& request);
  absl::StatusOr<Plan> MakePlan(const CallContext& ctx, const HttpClientRequest& request,
                                bool websocket);
  absl::Status AddHead(const HttpClientRequest& request, Plan& plan) const;
  absl::StatusOr<ConnectTarget> TargetOf(const Plan& plan, const HttpClientRequest& request);
  absl::StatusOr<TlsContext> ContextFor(const HttpClientRequest& request);
  void NoteTls12(const ClientConnection& connection, const Plan& plan);

  const HttpClientOptions options_;
  const ProxyRule proxies_;
  std::shared_ptr<ClientPool> pool_;
  std::unordered_map<std::string, std::shared_ptr<const Place>> places_;  // by URL
  struct Context {
    std::string stamp;  // of its files
    TlsContext tls;
  };
  std::map<std::string, Context> contexts_;  // by TLS options
  std::map<std::string, bool> noted_;
};

absl::Status BadRequest(const HttpClientRequest& request, std::string_view why) {
  return MakeError("CONFIG_INVALID", request.domain, why);
}

bool IsIdempotent(const HttpClientRequest& request) {
  return request.idempotent || request.method == "GET" || request.method == "HEAD" ||
         request.method == "OPTIONS";
}

// Names the TLS options of `request`; empty for those that most have.
std::string TlsName(const HttpClientRequest& request) {
  if (!request.allow_tls12 && request.ca_file.empty() && request.client_cert_file.empty())
    return "";
  return StrCat("|", request.allow_tls12 ? "12|" : "13|", request.ca_file, "|",
                request.client_cert_file, "|", request.client_key_file);
}

absl::StatusOr<TlsContext> Client::ContextFor(const HttpClientRequest& request) {
  ClientTlsOptions options;
  options.ca_file = request.ca_file;
  options.cert_file = request.client_cert_file;
  options.key_file = request.client_key_file;
  options.allow_tls12 = request.allow_tls12;
  Context& context = contexts_[TlsName(request)];
  // Certificates of ours are renewed while we run; authorities that are named stay.
  const std::string stamp = options.cert_file.empty() ? "" : FileStamp(options);
  if (!context.tls || context.stamp != stamp) {
    auto made = ClientTlsContext(options);
    if (!made.ok()) return made.status();
    context.tls = *std::move(made);
    context.stamp = stamp;
  }
  return context.tls;
}

absl::Status Client::AddHead(const HttpClientRequest& request, Plan& plan) const {
  const HttpHeaders& headers = request.headers;
  const Url& url = plan.place->url;
  std::string& head = plan.head;
  head.reserve(512);
  const bool through_proxy = plan.proxy && !url.secure();
  head.append(request.method).push_back(' ');
  if (through_proxy) head.append(plan.place->origin);
  head.append(url.target).append(" HTTP/1.1\r\n");
  if (!headers.Has("Host")) head.append(plan.place->host);
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
  if (through_proxy && !plan.proxy->user_info.empty()) {
    const auto user = PercentDecode(plan.proxy->user_info);
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

absl::StatusOr<std::shared_ptr<const Client::Place>> Client::PlaceOf(
    const HttpClientRequest& request) {
  const auto known = places_.find(request.url);
  if (known != places_.end()) return known->second;
  auto url = ParseUrl(request.url);
  if (!url.ok()) return BadRequest(request, Sv(url.status().message()));
  auto place = std::make_shared<Place>();
  place->url = *std::move(url);
  place->origin = place->url.origin();
  place->host = StrCat("Host: ", place->url.authority(), "\r\n");
  place->local = IsLoopbackHost(place->url.host);
  if (places_.size() >= kPlacesMax) places_.clear();
  if (request.url.size() <= kPlaceBytesMax) places_[request.url] = place;
  return place;
}

absl::StatusOr<Client::Plan> Client::MakePlan(const CallContext& ctx,
                                              const HttpClientRequest& request, bool websocket) {
  Plan plan;
  METAMCP_ASSIGN_OR_RETURN(plan.place, PlaceOf(request));
  const std::string& given = plan.place->url.scheme;
  const std::string_view scheme = websocket ? "ws" : "http";
  const bool secure = given.size() == scheme.size() + 1 && given.back() == 's';
  if (given.compare(0, scheme.size(), scheme) != 0 || (given != scheme && !secure)) {
    return BadRequest(request, StrCat("'", given, "' is not ", scheme, " or ", scheme, "s"));
  }
  if (!IsHttpToken(request.method)) return BadRequest(request, "bad HTTP method");
  plan.deadline = ctx.deadline;
  const Url& url = plan.place->url;
  const bool local = !request.unix_socket.empty() || plan.place->local;
  if (!url.secure() && !local && !request.allow_plain_http) {
    return MakeError("UPSTREAM_UNAVAILABLE", request.domain,
                     StrCat("plain ", scheme, ":// to '", url.host,
                            "' is refused because anybody on the way could read and change it; "
                            "use ",
                            scheme, "s:// or set allowPlainHttp"));
  }
  if (!local) {
    auto proxy = proxies_.For(url);
    if (!proxy.ok()) return BadRequest(request, Sv(proxy.status().message()));
    plan.proxy = *std::move(proxy);
  }
  plan.key = plan.place->origin;
  if (url.secure()) {
    plan.key += TlsName(request);
  }
  if (!request.unix_socket.empty()) plan.key += StrCat("|unix:", request.unix_socket);
  // A connection that was allowed to lead anywhere must not be used by a request that is not.
  if (request.addresses != AddressRule::kAny) {
    plan.key += StrCat("|to:", static_cast<int>(request.addresses));
    const bool literal = url.ipv6 || url.host.find_first_not_of("0123456789.") == std::string::npos;
    if (literal && !AddressAllowed(request.addresses, url.host)) {
      return MakeError("UPSTREAM_UNAVAILABLE", request.domain,
                       StrCat("the address ", url.host, " is not one that others may name"));
    }
  }
  METAMCP_RETURN_IF_ERROR(AddHead(request, plan));
  return plan;
}

absl::StatusOr<ConnectTarget> Client::TargetOf(const Plan& plan, const HttpClientRequest& request) {
  ConnectTarget target;
  target.url = plan.place->url;
  target.unix_socket = request.unix_socket;
  target.proxy = plan.proxy;
  target.addresses = request.addresses;
  target.domain = request.domain;
  if (target.url.secure()) {
    auto tls = ContextFor(request);
    if (!tls.ok()) return BadRequest(request, Sv(tls.status().message()));
    target.tls = *std::move(tls);
  }
  return target;
}

void Client::NoteTls12(const ClientConnection& connection, const Plan& plan) {
  if (connection.tls_note().empty() || std::exchange(noted_[plan.key], true)) return;
  Log(LogLevel::kWarning, "http.old_tls",
      {{"host", plan.place->url.authority()}, {"version", connection.tls_note()}});
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
      METAMCP_CO_ASSIGN_OR_RETURN(ConnectTarget target, TargetOf(plan, request));
      METAMCP_CO_RETURN_IF_ERROR(co_await fresh.Connect(std::move(target), until));
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
  METAMCP_CO_ASSIGN_OR_RETURN(ConnectTarget target, TargetOf(plan, request));
  target.tunnel = true;
  METAMCP_CO_ASSIGN_OR_RETURN(ClientPool::Lease lease,
                              co_await pool->Acquire(plan.key, plan.deadline, request.domain));
  ClientConnection& connection = lease.Renew();
  const auto until = std::min(plan.deadline, Clock::now() + request.connect_timeout);
  METAMCP_CO_RETURN_IF_ERROR(co_await connection.Connect(std::move(target), until));
  NoteTls12(connection, plan);
  std::unique_ptr<Stream> stream = connection.TakeStream();
  lease.Drop();
  if (!request.headers.Has("User-Agent")) request.headers.Set("User-Agent", options_.user_agent);
  auto shaking = ShakeWebSocket(std::move(stream), plan.place->url, std::move(request.headers),
                                std::move(options));
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
