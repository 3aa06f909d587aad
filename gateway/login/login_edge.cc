#include "gateway/login/login_edge.h"

#include "common/auth/oauth/request.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/login/login_page.h"
#include "gateway/transport/admission.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kLogin = "/oauth/login";
constexpr std::string_view kCallback = "/oauth/callback";
constexpr std::string_view kDocument = "/oauth/client-metadata.json";
constexpr std::string_view kTicketContext = "login-link";
constexpr size_t kFormBytesMax = 16u << 10;
constexpr std::chrono::seconds kConnectorTime(90);

http::HttpResponse BadLink() {
  return login::Page(400, "This link is not valid",
                     {"It has expired, was cut off, or is not for this gateway. Ask for a new one: "
                      "repeat the call, or run meta-mcp server login."});
}

http::HttpResponse Failed(const absl::Status& status) {
  return login::Page(absl::IsInvalidArgument(status) ? 400 : 502, "Logging in did not work",
                     {std::string(status.message())});
}

std::string WithoutSlash(std::string_view url) {
  while (!url.empty() && url.back() == '/') url.remove_suffix(1);
  return std::string(url);
}

}  // namespace

void LoginEdge::SetListenUrl(std::string_view url) {
  const auto parsed = http::ParseUrl(url);
  // Every address of the machine includes the one that its own browser reaches.
  const bool any = parsed.ok() && (parsed->host == "0.0.0.0" || parsed->host == "::");
  listen_url_ = any ? StrCat(parsed->scheme, "://127.0.0.1:", parsed->port) : WithoutSlash(url);
}

std::string LoginEdge::Base() const {
  return public_url_.empty() ? listen_url_ : WithoutSlash(public_url_);
}

bool LoginEdge::secure() const { return Base().rfind("https://", 0) == 0; }

std::string LoginEdge::RedirectUri() const { return StrCat(Base(), kCallback); }

std::string LoginEdge::MetadataUrl(std::string_view public_url) {
  if (public_url.substr(0, 8) != "https://") return "";
  return StrCat(WithoutSlash(public_url), kDocument);
}

bool LoginEdge::Owns(std::string_view path) {
  return path == kLogin || path == kCallback || path == kDocument;
}

std::string LoginEdge::CookieName() const {
  return secure() ? "__Host-metamcp_login" : "metamcp_login";
}

std::string LoginEdge::SetCookie(std::string_view value, int max_age_s) const {
  return StrCat(CookieName(), "=", value, "; Path=/; Max-Age=", max_age_s,
                "; HttpOnly; SameSite=Lax", secure() ? "; Secure" : "");
}

std::string LoginEdge::LinkFor(const Principal& principal, const std::string& upstream_id,
                               const std::string& name, bool own) const {
  if (!own && !auth::HasRole(principal, "operator")) return "";
  json::ObjectWriter plain;
  plain.AddString("u", upstream_id);
  plain.AddString("n", name);
  plain.AddString("t", principal.tenant);
  plain.AddString("s", principal.subject);
  plain.AddBool("o", own);
  plain.AddInt("x", NowMicros() + std::chrono::microseconds(kLinkLifetime).count());
  const std::string sealed =
      keys_.Seal(SealPurpose::kToken, std::move(plain).Build(), kTicketContext);
  return StrCat(Base(), kLogin, "?t=", sealed);
}

std::optional<LoginEdge::Ticket> LoginEdge::OpenTicket(const std::string& sealed) const {
  const auto plain = keys_.Open(SealPurpose::kToken, sealed, kTicketContext);
  if (!plain) return std::nullopt;
  const auto view = json::ScanObject(*plain);
  if (!view.ok()) return std::nullopt;
  const auto expires = json::RawInt64(view->Raw("x"));
  if (!expires || *expires < NowMicros()) return std::nullopt;
  Ticket out;
  out.upstream_id = view->String("u").value_or("");
  out.name = view->String("n").value_or("");
  out.tenant = view->String("t").value_or("");
  out.subject = view->String("s").value_or("");
  out.own = view->Raw("o") == "true";
  return out;
}

std::shared_ptr<const Principal> LoginEdge::Prove(const http::HttpRequest& request,
                                                  const Ticket& ticket,
                                                  const std::string& key) const {
  auth::Credentials credentials = CredentialsOf(request);
  if (!key.empty()) credentials.api_key = key;
  auto principal = authenticator_.Authenticate(credentials);
  const bool same = principal.ok() && (*principal)->tenant == ticket.tenant &&
                    (*principal)->subject == ticket.subject;
  return same ? *principal : nullptr;
}

Awaitable<void> LoginEdge::Handle(http::HttpRequest& request, http::HttpResponder& responder) {
  http::HttpResponse response;
  const bool post = request.method == "POST";
  if (!post && request.method != "GET") {
    response = login::Page(405, "Not like that", {"This address takes GET."});
    response.headers.Set("Allow", "GET");
  } else if (request.path == kLogin) {
    auto answering = post ? Leave(request) : Ask(request);
    response = co_await std::move(answering);
  } else if (post) {
    response = login::Page(405, "Not like that", {"This address takes GET."});
    response.headers.Set("Allow", "GET");
  } else if (request.path == kCallback) {
    auto answering = Return(request);
    response = co_await std::move(answering);
  } else if (const std::string url = MetadataUrl(public_url_); !url.empty()) {
    response = http::HttpResponse(200, "application/json",
                                  oauth::ClientMetadataDocument(url, RedirectUri()));
  } else {
    response = login::Page(404, "Nothing here", {"This gateway has no public https address."});
  }
  (void)co_await responder.Send(std::move(response));
}

Awaitable<http::HttpResponse> LoginEdge::Ask(http::HttpRequest& request) {
  const auto parameters = login::ParseParameters(request.query);
  const std::string sealed = parameters ? login::ValueOf(*parameters, "t") : "";
  const auto ticket = OpenTicket(sealed);
  if (!ticket) co_return BadLink();
  const bool known = Prove(request, *ticket, "") != nullptr;
  co_return login::AskPage(ticket->name, sealed, !known, "");
}

Awaitable<http::HttpResponse> LoginEdge::Leave(http::HttpRequest& request) {
  const auto form = request.body.size() <= kFormBytesMax ? login::ParseParameters(request.body)
                                                         : std::optional<login::Parameters>();
  const std::string sealed = form ? login::ValueOf(*form, "t") : "";
  const auto ticket = OpenTicket(sealed);
  if (!ticket) co_return BadLink();
  const std::string key = login::ValueOf(*form, "key");
  const auto principal = Prove(request, *ticket, key);
  if (principal == nullptr) {
    co_return login::AskPage(ticket->name, sealed, true,
                             "That is not the key of the one who asked for this login.");
  }
  if (!ticket->own && !auth::HasRole(*principal, "operator")) {
    co_return login::Page(403, "Not allowed", {"Everybody uses this login: it is an operator's."});
  }
  const std::string cookie = Base64UrlEncode(RandomBytes(32));
  connector::v1::BeginLoginRequest begin;
  begin.set_name(ticket->upstream_id);
  if (ticket->own) begin.set_subject(ticket->subject);
  begin.set_redirect_uri(RedirectUri());
  begin.set_binding(Sha256Hex(cookie));
  const CallContext ctx(principal, CallContext::Clock::now() + kConnectorTime);
  auto beginning = connector_.BeginLogin(ctx, std::move(begin));
  const auto begun = co_await std::move(beginning);
  if (!begun.ok()) co_return Failed(begun.status());
  http::HttpResponse response =
      login::LeavePage(ticket->name, begun->issuer(), begun->authorization_url());
  response.headers.Add("Set-Cookie", SetCookie(cookie, 600));
  co_return response;
}

Awaitable<http::HttpResponse> LoginEdge::Return(http::HttpRequest& request) {
  const auto parameters = login::ParseParameters(request.query);
  const std::string cookie = login::CookieOf(request.headers, CookieName());
  if (!parameters || !login::Has(*parameters, "state")) co_return BadLink();
  connector::v1::FinishLoginRequest finish;
  finish.set_state(login::ValueOf(*parameters, "state"));
  finish.set_binding(Sha256Hex(cookie));
  finish.set_code(login::ValueOf(*parameters, "code"));
  finish.set_iss(login::ValueOf(*parameters, "iss"));
  finish.set_has_iss(login::Has(*parameters, "iss"));
  finish.set_error(login::ValueOf(*parameters, "error"));
  finish.set_error_description(login::ValueOf(*parameters, "error_description"));
  const CallContext ctx(nullptr, CallContext::Clock::now() + kConnectorTime);
  auto finishing = connector_.FinishLogin(ctx, std::move(finish));
  const auto finished = co_await std::move(finishing);
  http::HttpResponse response =
      finished.ok() ? login::Page(200, "Logged in",
                                  {StrCat("Meta-MCP may now use “", finished->name(),
                                          "” for you. You can close this window.")})
                    : Failed(finished.status());
  // The address holds the code.
  response.headers.Set("Referrer-Policy", "no-referrer");
  response.headers.Add("Set-Cookie", SetCookie("", 0));
  co_return response;
}

}  // namespace metamcp::gateway
