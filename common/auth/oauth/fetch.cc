#include "common/auth/oauth/fetch.h"

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::oauth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kAnswerBytesMax = 256u << 10;
constexpr std::chrono::seconds kTime(15);
constexpr int kRedirectsMax = 3;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

absl::Status CheckUrl(const Guard& guard, std::string_view what, std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return MakeError("UPSTREAM_AUTH", guard.domain,
                     StrCat(what, " (", PlainText(text, 120), ") ", why));
  };
  const auto url = http::ParseUrl(text);
  if (!url.ok()) return bad("is not a URL");
  if (text.find('#') != std::string_view::npos) return bad("has a fragment");
  if (!url->user_info.empty()) return bad("holds a user name");
  if (url->scheme == "https") return absl::OkStatus();
  const bool local = http::IsLoopbackHost(url->host);
  if (url->scheme == "http" && local && guard.loopback) return absl::OkStatus();
  return bad(local ? "is on this machine, but the server that names it is not" : "is not https");
}

absl::Status Fetcher::Said(std::string_view why) const {
  return MakeError("UPSTREAM_AUTH", guard_.domain, why);
}

http::HttpClientRequest Fetcher::Request(std::string_view method, std::string_view url) const {
  http::HttpClientRequest request((std::string(method)), std::string(url));
  request.headers.Set("Accept", "application/json");
  request.allow_tls12 = guard_.allow_tls12;
  request.ca_file = guard_.ca_file;
  request.first_byte_timeout = kTime;
  request.idle_timeout = kTime;
  request.domain = guard_.domain;
  if (!guard_.private_networks) {
    request.addresses =
        guard_.loopback ? http::AddressRule::kPublicOrLoopback : http::AddressRule::kPublic;
  }
  return request;
}

Awaitable<absl::StatusOr<Reply>> Fetcher::Send(const CallContext& ctx,
                                               http::HttpClientRequest request,
                                               std::string* location) {
  const CallContext bounded = ctx.Capped(kTime);
  auto sending = http_.Send(bounded, std::move(request));
  auto response = co_await std::move(sending);
  if (!response.ok()) co_return response.status();
  Reply reply;
  reply.status = (*response)->status();
  if (location != nullptr) *location = std::string((*response)->headers().Get("Location"));
  // The deadline of the context ends with the head; a body that drips is bounded here.
  auto reading = (*response)->ReadAll(kAnswerBytesMax);
  auto limited = RunUntil(Clock::now() + kTime, std::move(reading));
  auto body = co_await std::move(limited);
  if (!body.ok()) co_return body.status();
  reply.body = *std::move(body);
  co_return reply;
}

Awaitable<absl::StatusOr<Reply>> Fetcher::Get(const CallContext& ctx, std::string what,
                                              std::string url) {
  for (int hops = 0; hops <= kRedirectsMax; ++hops) {
    METAMCP_CO_RETURN_IF_ERROR(CheckUrl(guard_, what, url));
    std::string location;
    http::HttpClientRequest request = Request("GET", url);
    auto sending = Send(ctx, std::move(request), &location);
    auto reply = co_await std::move(sending);
    if (!reply.ok()) co_return Annotate(reply.status(), StrCat(what, ": "));
    if (!IsRedirect(reply->status) || location.empty()) co_return reply;
    const auto base = http::ParseUrl(url);
    if (!base.ok()) co_return base.status();
    const auto next = http::ResolveUrl(*base, location);
    if (!next.ok()) co_return Said(StrCat(what, " redirects to something that is not a URL"));
    url = next->ToString();
  }
  co_return Said(StrCat(what, " redirects too often"));
}

Awaitable<absl::StatusOr<Reply>> Fetcher::Post(const CallContext& ctx, std::string what,
                                               std::string url, std::string content_type,
                                               std::string body, std::string authorization) {
  METAMCP_CO_RETURN_IF_ERROR(CheckUrl(guard_, what, url));
  http::HttpClientRequest request = Request("POST", url);
  request.headers.Set("Content-Type", content_type);
  if (!authorization.empty()) request.headers.Set("Authorization", authorization);
  request.body = std::move(body);
  auto sending = Send(ctx, std::move(request), nullptr);
  auto reply = co_await std::move(sending);
  if (!reply.ok()) co_return Annotate(reply.status(), StrCat(what, ": "));
  // Credentials and codes are not carried elsewhere.
  if (IsRedirect(reply->status)) co_return Said(StrCat(what, " redirects, which it must not"));
  co_return reply;
}

Awaitable<absl::StatusOr<ResourceMetadata>> Fetcher::Resource(const CallContext& ctx,
                                                              std::string upstream_url,
                                                              std::string challenge_url) {
  METAMCP_CO_ASSIGN_OR_RETURN(std::vector<std::string> places, ResourceMetadataUrls(upstream_url));
  if (!challenge_url.empty()) places = {challenge_url};
  for (const std::string& place : places) {
    auto getting = Get(ctx, "the protected resource metadata", place);
    auto reply = co_await std::move(getting);
    if (!reply.ok()) co_return reply.status();
    if (reply->status >= 500) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", guard_.domain,
                          StrCat("its protected resource metadata: HTTP ", reply->status));
    }
    if (reply->status != 200) continue;
    auto parsed = ParseResourceMetadata(reply->body);
    // Many servers answer every path with some page; only a challenge promises more.
    if (!parsed.ok() && challenge_url.empty()) continue;
    if (!parsed.ok()) co_return parsed.status();
    if (!ResourceMatches(parsed->resource, upstream_url, place)) {
      co_return Said(StrCat("its protected resource metadata is for another resource (",
                            PlainText(parsed->resource, 120), ")"));
    }
    co_return parsed;
  }
  co_return absl::NotFoundError("no protected resource metadata");
}

Awaitable<absl::StatusOr<ServerMetadata>> Fetcher::Server(const CallContext& ctx,
                                                          std::string issuer) {
  METAMCP_CO_RETURN_IF_ERROR(CheckUrl(guard_, "the authorization server", issuer));
  METAMCP_CO_ASSIGN_OR_RETURN(const std::vector<std::string> places, ServerMetadataUrls(issuer));
  for (const std::string& place : places) {
    auto getting = Get(ctx, "the authorization server's metadata", place);
    auto reply = co_await std::move(getting);
    if (!reply.ok()) co_return reply.status();
    if (reply->status >= 500) {
      co_return MakeError("UPSTREAM_UNAVAILABLE", guard_.domain,
                          StrCat("the authorization server's metadata: HTTP ", reply->status));
    }
    if (reply->status != 200) continue;
    auto parsed = ParseServerMetadata(reply->body);
    if (!parsed.ok()) co_return parsed.status();
    if (parsed->issuer != issuer) {
      co_return Said(StrCat("the metadata of the authorization server ", PlainText(issuer, 120),
                            " names another issuer"));
    }
    METAMCP_CO_RETURN_IF_ERROR(CheckUrl(guard_, "the token endpoint", parsed->token_endpoint));
    const std::pair<const char*, const std::string*> kOptional[] = {
        {"the authorization endpoint", &parsed->authorization_endpoint},
        {"the registration endpoint", &parsed->registration_endpoint},
        {"the revocation endpoint", &parsed->revocation_endpoint}};
    for (const auto& [what, url] : kOptional) {
      if (!url->empty()) METAMCP_CO_RETURN_IF_ERROR(CheckUrl(guard_, what, *url));
    }
    co_return parsed;
  }
  co_return absl::NotFoundError("no authorization server metadata");
}

Awaitable<absl::StatusOr<ClientIdentity>> Fetcher::Register(const CallContext& ctx,
                                                            ServerMetadata server,
                                                            std::string redirect_uri,
                                                            std::string scope) {
  auto posting = Post(ctx, "the registration endpoint", server.registration_endpoint,
                      "application/json", RegistrationBody(redirect_uri, server, scope), "");
  auto reply = co_await std::move(posting);
  if (!reply.ok()) co_return reply.status();
  if (reply->status != 200 && reply->status != 201) {
    const TokenError error = ParseTokenError(reply->body);
    co_return Said(StrCat("the authorization server did not register us: HTTP ", reply->status,
                          error.code.empty() ? "" : " ", error.code,
                          error.description.empty() ? "" : ": ", error.description));
  }
  co_return ParseRegistration(reply->body);
}

Awaitable<absl::StatusOr<Reply>> Fetcher::PostForm(const CallContext& ctx, std::string what,
                                                   std::string url, const ServerMetadata& server,
                                                   const ClientIdentity& client, Form form) {
  std::string authorization;
  METAMCP_CO_RETURN_IF_ERROR(AddClientAuth(client, server, NowMicros(), &form, &authorization));
  auto posting = Post(ctx, what, std::move(url), "application/x-www-form-urlencoded",
                      EncodeForm(form), std::move(authorization));
  auto reply = co_await std::move(posting);
  if (!reply.ok()) co_return reply.status();
  if (reply->status == 200) co_return reply;
  if (reply->status >= 500 || reply->status == 429) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", guard_.domain,
                        StrCat(what, " answered HTTP ", reply->status));
  }
  const TokenError error = ParseTokenError(reply->body);
  const std::string said = StrCat(error.code.empty() ? "" : " ", error.code,
                                  error.description.empty() ? "" : ": ", error.description);
  co_return MakeError("UPSTREAM_AUTH", guard_.domain,
                      StrCat(what, " refused: HTTP ", reply->status, said),
                      {{"oauth_error", error.code}});
}

Awaitable<absl::StatusOr<TokenSet>> Fetcher::Token(const CallContext& ctx, ServerMetadata server,
                                                   ClientIdentity client, Form form) {
  auto posting =
      PostForm(ctx, "the token endpoint", server.token_endpoint, server, client, std::move(form));
  auto reply = co_await std::move(posting);
  if (!reply.ok()) co_return reply.status();
  co_return ParseToken(reply->body, NowMicros());
}

Awaitable<absl::StatusOr<std::string>> Fetcher::Exchange(const CallContext& ctx,
                                                         ServerMetadata provider,
                                                         ClientIdentity client, Form form) {
  constexpr std::string_view kIdJag = "urn:ietf:params:oauth:token-type:id-jag";
  form.emplace_back("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
  form.emplace_back("requested_token_type", kIdJag);
  form.emplace_back("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");
  auto posting = PostForm(ctx, "the identity provider", provider.token_endpoint, provider, client,
                          std::move(form));
  auto reply = co_await std::move(posting);
  if (!reply.ok()) co_return reply.status();
  co_return ParseExchangedToken(reply->body, kIdJag);
}

Awaitable<void> Fetcher::Revoke(const CallContext& ctx, ServerMetadata server,
                                ClientIdentity client, std::string token) {
  if (server.revocation_endpoint.empty() || token.empty()) co_return;
  Form form = {{"token", std::move(token)}};
  auto posting = PostForm(ctx, "the revocation endpoint", server.revocation_endpoint, server,
                          client, std::move(form));
  (co_await std::move(posting)).status().IgnoreError();
}

}  // namespace metamcp::oauth
