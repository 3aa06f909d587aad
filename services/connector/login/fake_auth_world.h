#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async/run.h"
#include "common/auth/oauth/request.h"
#include "common/base/error.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/http/url.h"
#include "common/http/websocket.h"

namespace metamcp::connector {

// An upstream at https://mcp.example/mcp and its authorization servers, as one HttpClient without a
// network. Access tokens are valid while they are in `valid`.
class FakeAuthWorld final : public http::HttpClient {
 public:
  struct Sent {
    std::string method, url, body, authorization;
  };

  Awaitable<absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>> Send(
      const CallContext&, http::HttpClientRequest request) override {
    Sent sent;
    sent.method = request.method;
    sent.url = request.url;
    sent.body = request.body;
    sent.authorization = std::string(request.headers.Get("Authorization"));
    log.push_back(sent);
    auto pausing = Sleep(delay);
    co_await std::move(pausing);
    co_return Answer(sent);
  }

  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> OpenWebSocket(
      const CallContext&, http::HttpClientRequest, http::WebSocketOptions) override {
    co_return absl::UnimplementedError("no WebSocket here");
  }

  size_t Count(std::string_view url) const {
    size_t n = 0;
    for (const Sent& sent : log) n += sent.url.find(url) != std::string::npos;
    return n;
  }
  const Sent& LastTo(std::string_view url) const {
    static const Sent kNone;
    for (auto it = log.rbegin(); it != log.rend(); ++it) {
      if (it->url.find(url) != std::string::npos) return *it;
    }
    return kNone;
  }
  static std::string FormValue(const Sent& sent, std::string_view name) {
    return http::QueryParameter(sent.body, name);
  }

  std::string issuer = "https://as.example";
  std::string resource = "https://mcp.example/mcp";
  std::string challenge_scope;
  std::string needed_scope;  // of calls; a token without it gets 403
  std::set<std::string> valid;
  std::map<std::string, std::string> scopes;  // by access token
  std::string refresh_token;                  // the one that is good now
  std::string token_error;                    // the token endpoint answers with this
  int token_status = 0;                       // or with this and nothing
  int64_t expires_in = 3600;
  bool describe = true;  // the upstream has metadata
  std::chrono::milliseconds delay{1};
  std::vector<Sent> log;
  int tokens = 0;

 private:
  class Response final : public http::HttpClientResponse {
   public:
    Response(int status_in, std::string body_in) : status_(status_in), body_(std::move(body_in)) {}
    int status() const override { return status_; }
    const http::HttpHeaders& headers() const override { return headers_; }
    Awaitable<absl::StatusOr<std::optional<std::string>>> ReadSome() override {
      if (std::exchange(read_, true)) co_return std::optional<std::string>();
      co_return std::optional<std::string>(body_);
    }
    Awaitable<absl::StatusOr<std::string>> ReadAll(size_t) override { co_return body_; }
    void Close() override {}
    http::HttpHeaders headers_;

   private:
    int status_;
    std::string body_;
    bool read_ = false;
  };
  using Made = std::unique_ptr<http::HttpClientResponse>;

  static Made Reply(int status, std::string body) {
    return std::make_unique<Response>(status, std::move(body));
  }

  Made Answer(const Sent& sent) {
    if (sent.url == "https://mcp.example/mcp") return Upstream(sent);
    if (sent.url == "https://mcp.example/.well-known/oauth-protected-resource/mcp" && describe) {
      return Reply(200, StrCat(R"({"resource":")", resource, R"(","authorization_servers":[")",
                               issuer, R"("]})"));
    }
    const auto url = http::ParseUrl(sent.url);
    const std::string origin = url->origin();
    if (url->target == "/.well-known/oauth-authorization-server" &&
        origin != "https://mcp.example") {
      return Reply(200, StrCat(R"({"issuer":")", origin, R"(","authorization_endpoint":")", origin,
                               R"(/authorize","token_endpoint":")", origin,
                               R"(/token","registration_endpoint":")", origin,
                               R"(/register","revocation_endpoint":")", origin,
                               R"(/revoke","code_challenge_methods_supported":["S256"]})"));
    }
    if (url->target == "/register") return Reply(201, R"({"client_id":"registered"})");
    if (url->target == "/token") return Token(sent);
    if (url->target == "/revoke") return Reply(200, "");
    return Reply(404, "");
  }

  Made Upstream(const Sent& sent) {
    const std::string token =
        sent.authorization.substr(0, 7) == "Bearer " ? sent.authorization.substr(7) : std::string();
    const bool known = valid.count(token) > 0;
    if (known && oauth::HasScopes(scopes[token], needed_scope)) return Reply(200, "{}");
    auto response = std::make_unique<Response>(known ? 403 : 401, "");
    const std::string& scope = known ? needed_scope : challenge_scope;
    response->headers_.Set(
        "WWW-Authenticate",
        StrCat("Bearer ", known ? "error=\"insufficient_scope\", " : "", "scope=\"", scope, "\""));
    return response;
  }

  Made Token(const Sent& sent) {
    if (token_status != 0) return Reply(token_status, "");
    const bool refresh = FormValue(sent, "grant_type") == "refresh_token";
    std::string error = token_error;
    if (refresh && FormValue(sent, "refresh_token") != refresh_token) error = "invalid_grant";
    if (!error.empty()) return Reply(400, StrCat(R"({"error":")", error, R"("})"));
    const std::string n = std::to_string(++tokens);
    const std::string access = StrCat("access-", n);
    valid.insert(access);
    const std::string scope = FormValue(sent, "scope");
    scopes[access] = scope;
    refresh_token = StrCat("refresh-", n);
    return Reply(
        200, StrCat(R"({"access_token":")", access, R"(","token_type":"Bearer","refresh_token":")",
                    refresh_token, R"(","scope":")", scope, R"(","expires_in":)", expires_in, "}"));
  }
};

}  // namespace metamcp::connector
