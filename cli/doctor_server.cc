#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cli/doctor.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/config/expand.h"
#include "common/http/url.h"

namespace metamcp::cli {
namespace {

constexpr int kConnectMs = 5000;

// Where the command would be found, or an empty string.
std::string FindProgram(const std::string& command, const std::string& path) {
  if (command.find('/') != std::string::npos) {
    return ::access(command.c_str(), X_OK) == 0 ? command : "";
  }
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string candidate = StrCat(path.substr(begin, end - begin), "/", command);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return "";
}

// Connects to one address within kConnectMs; returns what went wrong, or "".
std::string TryConnect(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::strerror(errno);
  int error = 0;
  if (::connect(fd, address.ai_addr, address.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      pollfd watched{fd, POLLOUT, 0};
      socklen_t size = sizeof(error);
      if (::poll(&watched, 1, kConnectMs) <= 0) {
        error = ETIMEDOUT;
      } else {
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
  }
  ::close(fd);
  return error == 0 ? "" : std::strerror(error);
}

class ServerCheck {
 public:
  ServerCheck(CommandContext& ctx, const std::string& name, const config::ServerConfig& server,
              Findings* findings)
      : ctx_(ctx), area_(StrCat("server ", name)), server_(server), findings_(findings) {}

  void Run() {
    if (server_.disabled) {
      Finding finding;
      finding.area = area_;
      finding.step = "enabled";
      finding.outcome = Finding::Outcome::kSkipped;
      finding.detail = "disabled in the configuration";
      findings_->Add(std::move(finding));
      return;
    }
    if (!Expand()) return;
    if (server_.type == "stdio") {
      Spawn();
    } else {
      Network();
    }
  }

 private:
  bool ExpandOne(std::string* text) {
    auto expanded = config::Expand(*text, ctx_.env);
    if (!expanded.ok()) {
      findings_->Failed(area_, "variables", std::string(Sv(expanded.status().message())),
                        "Set it where the gateway is started, or give a default: ${NAME:-text}.",
                        "config.md");
      return false;
    }
    *text = *std::move(expanded);
    return true;
  }
  bool Expand() {
    bool ok = ExpandOne(&server_.command) && ExpandOne(&server_.url) && ExpandOne(&server_.cwd);
    for (std::string& arg : server_.args) ok = ok && ExpandOne(&arg);
    for (auto& [key, value] : server_.env) ok = ok && ExpandOne(&value);
    for (auto& [key, value] : server_.headers) ok = ok && ExpandOne(&value);
    return ok;
  }

  void Spawn() {
    std::error_code failed;
    if (!server_.cwd.empty() && !std::filesystem::is_directory(server_.cwd, failed)) {
      findings_->Failed(area_, "spawn", StrCat("cwd ", server_.cwd, " is no folder"),
                        "Make it, or correct cwd.", "spawn.md");
      return;
    }
    const auto own = server_.env.find("PATH");
    const auto inherited = ctx_.env.find("PATH");
    const std::string path = own != server_.env.end()      ? own->second
                             : inherited != ctx_.env.end() ? inherited->second
                                                           : "/usr/local/bin:/usr/bin:/bin";
    const std::string program = FindProgram(server_.command, path);
    if (program.empty()) {
      findings_->Failed(area_, "spawn",
                        StrCat("no program ", server_.command, " that can be run was found"),
                        "Install it, or write its full path.", "spawn.md");
      return;
    }
    findings_->Ok(area_, "spawn", StrCat(program, " is there; nothing was started"));
  }

  void Network() {
    auto url = http::ParseUrl(server_.url);
    if (!url.ok()) {
      findings_->Failed(area_, "resolve", std::string(Sv(url.status().message())), "Correct url.",
                        "dns.md");
      return;
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int code =
        ::getaddrinfo(url->host.c_str(), std::to_string(url->port).c_str(), &hints, &found);
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
    if (code != 0) {
      findings_->Failed(area_, "resolve", StrCat(url->host, ": ", ::gai_strerror(code)),
                        "Check the host name and the DNS of this machine.", "dns.md");
      return;
    }
    findings_->Ok(area_, "resolve", url->host);
    std::string error;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      error = TryConnect(*a);
      if (error.empty()) break;
    }
    if (!error.empty()) {
      findings_->Failed(area_, "connect", StrCat(url->authority(), ": ", error),
                        "Check that the server runs and that no firewall is between.", "tcp.md");
      return;
    }
    findings_->Ok(area_, "connect", StrCat(url->host, " port ", url->port));
    Ask(*url);
  }

  // Sends a request that changes nothing, to see TLS and credentials.
  void Ask(const http::Url& url) {
    RestTarget target;
    target.base_url = http::AsHttp(url).origin();
    RestRequest request("GET", url.target);
    for (const auto& [name, value] : server_.headers) request.headers.emplace_back(name, value);
    request.headers.emplace_back("Accept", "text/event-stream");
    request.timeout = std::chrono::seconds(10);
    const auto reply = ctx_.make_rest(target)->Send(request);
    const std::string step = url.secure() ? "tls" : "http";
    if (!reply.ok()) {
      // A stream that says nothing for a while has still been opened.
      const auto info = GetErrorInfo(reply.status());
      if (info && (info->reason == "UPSTREAM_TIMEOUT" || info->reason == "DEADLINE_EXCEEDED")) {
        findings_->Ok(area_, step, "connected; no more was asked");
        return;
      }
      findings_->Failed(area_, step, std::string(Sv(reply.status().message())),
                        url.secure() ? "Check the server's certificate, or name its authority "
                                       "under tls.ca."
                                     : "Use https, or set allowPlainHttp for this server.",
                        "tls.md");
      return;
    }
    findings_->Ok(area_, step, StrCat("HTTP ", reply->status));
    if (reply->status == 401 || reply->status == 403) {
      findings_->Failed(area_, "auth", StrCat("the server answered HTTP ", reply->status),
                        "Check the Authorization header under headers.", "auth.md");
    }
  }

  CommandContext& ctx_;
  const std::string area_;
  config::ServerConfig server_;
  Findings* findings_;
};

}  // namespace

void CheckServerLocally(CommandContext& ctx, const std::string& name,
                        const config::ServerConfig& server, Findings* findings) {
  ServerCheck(ctx, name, server, findings).Run();
}

}  // namespace metamcp::cli
