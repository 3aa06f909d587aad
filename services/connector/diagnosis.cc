#include "services/connector/diagnosis.h"

#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <span>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/address_rule.h"
#include "common/http/url.h"
#include "services/connector/login/authorized_client.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;
using boost::asio::ip::tcp;

constexpr std::chrono::seconds kNetworkTimeout(5);
constexpr std::chrono::seconds kStepTimeout(30);
// Somebody waits for the answer.
constexpr std::chrono::seconds kHandshakeTimeout(20);
constexpr size_t kRemarksMax = 3;

auto Tuple() { return boost::asio::as_tuple(boost::asio::use_awaitable); }

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

// Keeps the first remarks, which say what is strange about a server.
class Listening final : public SessionObserver {
 public:
  void OnReached() override {}
  void OnListChanged(ListKind) override {}
  void OnResourceUpdated(const std::string&) override {}
  void OnAmbiguousQuestion() override {}
  void OnRemark(std::string_view text) override {
    if (remarks.size() < kRemarksMax) remarks.emplace_back(text);
  }
  void OnLost(const absl::Status&) override {}
  std::vector<std::string> remarks;
};

Awaitable<absl::Status> Resolve(std::string host, std::string port,
                                tcp::resolver::results_type* out) {
  tcp::resolver resolver(co_await boost::asio::this_coro::executor);
  auto [error, results] = co_await resolver.async_resolve(host, port, Tuple());
  if (error) co_return absl::UnavailableError(error.message());
  // As the channels do (http_common.cc).
  for (const auto& one : results) {
    if (http::AddressAllowed(http::AddressRule::kNotLinkLocal,
                             one.endpoint().address().to_string())) {
      continue;
    }
    co_return absl::UnavailableError("a link-local address, where clouds keep credentials");
  }
  *out = results;
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Connect(tcp::resolver::results_type to) {
  tcp::socket socket(co_await boost::asio::this_coro::executor);
  auto [error, endpoint] = co_await boost::asio::async_connect(socket, to, Tuple());
  if (error) co_return absl::UnavailableError(error.message());
  co_return absl::OkStatus();
}

}  // namespace

class Diagnosis::Steps {
 public:
  void Begin() { began_ = Clock::now(); }
  void Ok(std::string_view step, std::string_view detail) { Add(step, "ok", detail, "", ""); }
  void Failed(std::string_view step, std::string_view detail, std::string_view mend,
              std::string_view playbook) {
    Add(step, "failed", detail, mend, playbook);
    failed_ = true;
  }
  admin_pb::DiagnoseUpstreamResponse Finish(bool stdio) {
    static constexpr std::string_view kStdio[] = {"resolve", "spawn", "handshake", "list", "call"};
    static constexpr std::string_view kHttp[] = {"resolve",   "connect", "tls", "auth",
                                                 "handshake", "list",    "call"};
    const std::span<const std::string_view> all = stdio ? std::span<const std::string_view>(kStdio)
                                                        : std::span<const std::string_view>(kHttp);
    for (const std::string_view step : all) {
      bool done = false;
      for (const auto& known : response_.steps()) done = done || known.step() == step;
      if (!done) Add(step, "skipped", "", "", "");
    }
    response_.set_ok(!failed_);
    return std::move(response_);
  }

 private:
  void Add(std::string_view step, std::string_view outcome, std::string_view detail,
           std::string_view mend, std::string_view playbook) {
    admin_pb::DiagnoseStep* out = response_.add_steps();
    out->set_step(std::string(step));
    out->set_outcome(std::string(outcome));
    out->set_detail(std::string(detail));
    out->set_mend(std::string(mend));
    out->set_playbook(std::string(playbook));
    if (outcome != "skipped") {
      out->set_ms(std::chrono::duration<double, std::milli>(Clock::now() - began_).count());
    }
    Begin();
  }
  admin_pb::DiagnoseUpstreamResponse response_;
  Clock::time_point began_ = Clock::now();
  bool failed_ = false;
};

Awaitable<bool> Diagnosis::Network(const Target& target, http::HttpClient& http, bool login,
                                   Steps& steps) {
  const auto url = http::ParseUrl(target.url);
  if (!url.ok()) {
    steps.Failed("resolve", Sv(url.status().message()), "correct the url", "dns.md");
    co_return false;
  }
  tcp::resolver::results_type results;
  auto resolving = Resolve(url->host, std::to_string(url->port), &results);
  auto bounded = RunUntil(Clock::now() + kNetworkTimeout, std::move(resolving));
  const absl::Status resolved = co_await std::move(bounded);
  if (!resolved.ok()) {
    steps.Failed("resolve", StrCat(url->host, ": ", resolved.message()),
                 "check the host name and the DNS of this machine", "dns.md");
    co_return false;
  }
  steps.Ok("resolve", url->host);
  auto connecting = Connect(results);
  auto limited = RunUntil(Clock::now() + kNetworkTimeout, std::move(connecting));
  const absl::Status connected = co_await std::move(limited);
  if (!connected.ok()) {
    steps.Failed("connect", StrCat(url->authority(), ": ", connected.message()),
                 "check that the server runs and that no firewall is between", "tcp.md");
    co_return false;
  }
  steps.Ok("connect", url->authority());
  CallContext ctx(nullptr, Clock::now() + kStepTimeout);
  http::HttpClientRequest request(std::string("GET"), http::AsHttp(*url).ToString());
  for (const auto& [name, value] : target.headers) request.headers.Set(name, value);
  request.headers.Set("Accept", "text/event-stream");
  request.allow_plain_http = target.allow_plain_http;
  request.addresses = http::AddressRule::kNotLinkLocal;
  request.allow_tls12 = target.allow_tls12;
  request.ca_file = target.ca_file;
  request.client_cert_file = target.client_cert_file;
  request.client_key_file = target.client_key_file;
  request.first_byte_timeout = kNetworkTimeout;
  request.domain = target.domain;
  auto sending = http.Send(ctx, std::move(request));
  const auto response = co_await std::move(sending);
  const std::string reason = ReasonOf(response.status());
  if (reason == "UPSTREAM_LOGIN_REQUIRED" || reason == "UPSTREAM_AUTH") {
    steps.Ok("tls", url->secure() ? "certificate accepted" : "plain http");
    const bool needed = reason == "UPSTREAM_LOGIN_REQUIRED";
    steps.Failed("auth", Sv(response.status().message()),
                 needed ? StrCat("log in: meta-mcp server login ", target.slug)
                        : "check the auth block of the server, or the key under headers",
                 needed ? "login.md" : "auth.md");
    co_return false;
  }
  // A server that offers no stream may stay silent; only a refusal of TLS says something here.
  if (!response.ok() && reason != "UPSTREAM_TIMEOUT") {
    steps.Failed(
        "tls", Sv(response.status().message()),
        "check the certificate; tls.ca adds an authority, tls.min 1.2 admits an old version",
        "tls.md");
    co_return false;
  }
  steps.Ok("tls", url->secure() ? "certificate accepted" : "plain http");
  if (response.ok() && ((*response)->status() == 401 || (*response)->status() == 403)) {
    steps.Failed("auth", StrCat("HTTP ", (*response)->status()),
                 "check the Authorization header under headers", "auth.md");
    co_return false;
  }
  steps.Ok("auth", login                    ? "logged in, or no login asked for"
                   : target.headers.empty() ? "no credentials configured"
                                            : "accepted");
  co_return true;
}

Awaitable<void> Diagnosis::Session(Dialer::Request request, Steps& steps) {
  const bool stdio = request.target.type == "stdio";
  const auto log = request.log;
  Listening listening;
  EraMemory memory;
  auto dialing = core_.dialer.Dial(std::move(request), memory, listening);
  auto bounded = RunUntil(Clock::now() + kHandshakeTimeout, std::move(dialing));
  auto dialled = co_await std::move(bounded);
  if (!dialled.ok()) {
    std::string detail(dialled.status().message());
    if (absl::IsDeadlineExceeded(dialled.status())) {
      detail = StrCat("no answer to the handshake within ", kHandshakeTimeout.count(),
                      " s (a first start that fetches the program may take longer)");
    }
    for (const std::string& remark : listening.remarks) detail += StrCat("\n", remark);
    const auto said = log->Newest(5);
    for (const auto& line : said) {
      if (!line.ours) detail += StrCat("\n", line.text);
    }
    const std::string reason = ReasonOf(dialled.status());
    if (stdio && detail.rfind("cannot start", 0) == 0) {
      steps.Failed("spawn", detail, "check command, args and cwd", "spawn.md");
    } else if (reason == "UPSTREAM_LOGIN_REQUIRED") {
      steps.Failed("auth", detail, "log in with meta-mcp server login", "login.md");
    } else if (reason == "UPSTREAM_AUTH") {
      steps.Failed("auth", detail, "check the Authorization header under headers", "auth.md");
    } else {
      if (stdio) steps.Ok("spawn", "started");
      steps.Failed("handshake", detail,
                   "check that it is an MCP server; 'era' pins the protocol generation",
                   "handshake.md");
    }
    co_return;
  }
  const std::shared_ptr<connector::Session> session = *dialled;
  const Negotiated& peer = session->negotiated();
  if (stdio) steps.Ok("spawn", StrCat("process ", session->channel().pid()));
  steps.Ok("handshake",
           StrCat(peer.modern() ? "modern" : "legacy", ", ", mcp::RevisionName(peer.revision)));
  auto listing = Discover(session, "", catalog_pb::ITEM_KIND_TOOL, core_.discovery);
  absl::StatusOr<DiscoveredList> tools = DiscoveredList();
  if (peer.tools) tools = co_await std::move(listing);
  if (tools.ok()) {
    steps.Ok("list", StrCat(tools->items.size(), " tools", tools->dropped.empty() ? "" : ", ",
                            tools->dropped.empty()
                                ? ""
                                : StrCat(tools->dropped.size(), " invalid definitions")));
    RequestSpec spec(peer.modern() ? "server/discover" : "ping", "");
    auto asking = session->Ask(std::move(spec), kStepTimeout);
    const auto answer = co_await std::move(asking);
    if (answer.ok()) {
      steps.Ok("call", "it answers");
    } else {
      steps.Failed("call", Sv(answer.status().message()), "see its log", "call.md");
    }
  } else {
    steps.Failed("list", Sv(tools.status().message()), "see its log", "list.md");
  }
  session->Detach();
  auto closing = session->Close();
  co_await std::move(closing);
}

Awaitable<admin_pb::DiagnoseUpstreamResponse> Diagnosis::Run(std::string slug,
                                                             catalog_pb::UpstreamSpec spec,
                                                             std::shared_ptr<Credentials> logins) {
  Steps steps;
  steps.Begin();
  const bool stdio = spec.type() == "stdio" || (spec.type().empty() && !spec.command().empty());
  const auto target = ResolveTarget(slug, spec, core_.environment);
  if (!target.ok()) {
    steps.Failed("resolve", Sv(target.status().message()),
                 "set the variable in the environment of meta-mcp, or correct the value",
                 "config.md");
    co_return steps.Finish(stdio);
  }
  bool onward = true;
  if (stdio) {
    const auto environment = ChildEnvironment(target->spawn.env);
    const auto path = ResolveCommand(target->spawn.command, environment.at("PATH"));
    if (path.ok() && ::access(path->c_str(), X_OK) == 0) {
      steps.Ok("resolve", *path);
    } else {
      onward = false;
      steps.Failed("resolve",
                   path.ok() ? StrCat(*path, " is not there or not executable")
                             : std::string(path.status().message()),
                   "install the command, or write its full path", "spawn.md");
    }
  } else {
    std::unique_ptr<http::HttpClient> authorized;
    if (logins != nullptr) {
      authorized = std::make_unique<AuthorizedClient>(core_.dialer.http(), logins, "");
    }
    http::HttpClient& http = authorized != nullptr ? *authorized : core_.dialer.http();
    auto network = Network(*target, http, logins != nullptr, steps);
    onward = co_await std::move(network);
  }
  if (onward) {
    Dialer::Request request(*target, std::make_shared<LogRing>());
    request.credentials = logins;
    auto session = Session(std::move(request), steps);
    co_await std::move(session);
  }
  co_return steps.Finish(stdio);
}

}  // namespace metamcp::connector
