#include "gateway/login/login_page.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::gateway::login {
namespace {

constexpr size_t kParametersMax = 50;

constexpr std::string_view kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'";
constexpr std::string_view kStyle =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:4em auto;padding:0 1em;"
    "color:#1b1b1f;background:#fff}button,input,a.go{font:inherit;padding:.5em 1em;"
    "border-radius:.4em}button,a.go{background:#1d4ed8;color:#fff;border:0;text-decoration:none;"
    "display:inline-block}input{border:1px solid #777;width:100%;box-sizing:border-box;"
    "margin:.3em 0 1em}p{overflow-wrap:anywhere}@media(prefers-color-scheme:dark)"
    "{body{color:#eee;background:#18181b}}";

}  // namespace

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

http::HttpResponse Page(int status, std::string_view heading,
                        const std::vector<std::string>& paragraphs, std::string_view body) {
  std::string html = StrCat(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>",
      Escape(heading), "</title><style>", kStyle, "</style></head><body><main><h1>",
      Escape(heading), "</h1>");
  for (const std::string& text : paragraphs) html += StrCat("<p>", Escape(text), "</p>");
  html += StrCat(body, "</main></body></html>");
  http::HttpResponse response(status, "text/html; charset=utf-8", std::move(html));
  response.headers.Set("Content-Security-Policy", kPolicy);
  response.headers.Set("X-Frame-Options", "DENY");
  response.headers.Set("X-Content-Type-Options", "nosniff");
  response.headers.Set("Cache-Control", "no-store");
  // Our own forms need an Origin; nobody else learns the address.
  response.headers.Set("Referrer-Policy", "same-origin");
  return response;
}

http::HttpResponse AskPage(std::string_view upstream, std::string_view ticket, bool key,
                           std::string_view problem) {
  std::vector<std::string> text = {
      StrCat("Meta-MCP wants to use the server “", upstream,
             "” for you. You will be sent to where it lets people log in; what you enter there is "
             "not seen by Meta-MCP.")};
  if (!problem.empty()) text.push_back(std::string(problem));
  if (key) text.push_back("To show that it was you who asked, enter your Meta-MCP key.");
  std::string form = StrCat("<form method=\"post\" action=\"/oauth/login\" autocomplete=\"off\">",
                            "<input type=\"hidden\" name=\"t\" value=\"", Escape(ticket), "\">");
  if (key) {
    form += "<label>Key<input type=\"password\" name=\"key\" required autofocus></label>";
  }
  form += "<button>Continue</button></form>";
  return Page(key && !problem.empty() ? 403 : 200, StrCat("Log in to ", upstream), text, form);
}

http::HttpResponse LeavePage(std::string_view upstream, std::string_view issuer,
                             std::string_view url) {
  http::HttpResponse response =
      Page(200, StrCat("Log in to ", upstream), {StrCat("You are being sent to ", issuer, ".")},
           StrCat("<a class=\"go\" rel=\"noreferrer\" href=\"", Escape(url), "\">Continue</a>"));
  response.headers.Set("Refresh", StrCat("0; url=", url));
  return response;
}

std::optional<Parameters> ParseParameters(std::string_view text) {
  Parameters out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    std::string pair(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    std::replace(pair.begin(), pair.end(), '+', ' ');
    const size_t equals = std::min(pair.find('='), pair.size());
    auto name = http::PercentDecode(std::string_view(pair).substr(0, equals));
    auto value =
        http::PercentDecode(std::string_view(pair).substr(std::min(equals + 1, pair.size())));
    if (!name.ok() || !value.ok() || out.size() >= kParametersMax || Has(out, *name)) {
      return std::nullopt;
    }
    out.emplace_back(*std::move(name), *std::move(value));
  }
  return out;
}

std::string ValueOf(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return "";
}

bool Has(const Parameters& parameters, std::string_view name) {
  return std::any_of(parameters.begin(), parameters.end(),
                     [name](const auto& each) { return each.first == name; });
}

std::string CookieOf(const http::HttpHeaders& headers, std::string_view name) {
  std::string found;
  for (std::string_view field : headers.GetAll("Cookie")) {
    while (!field.empty()) {
      const size_t end = std::min(field.find(';'), field.size());
      std::string_view pair = field.substr(0, end);
      field.remove_prefix(std::min(end + 1, field.size()));
      while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
      if (!found.empty()) return "";
      found = std::string(pair.substr(equals + 1));
    }
  }
  return found;
}

}  // namespace metamcp::gateway::login
