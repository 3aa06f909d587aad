#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/http_types.h"

// What the browser sees of a login. Pure.
namespace metamcp::gateway::login {

// Text for HTML, in elements and quoted attributes.
std::string Escape(std::string_view text);

// A page with a heading and paragraphs (escaped here), then `body` (HTML made by us). No scripts,
// not to be framed, stored or sniffed; forms only to ourselves.
http::HttpResponse Page(int status, std::string_view heading,
                        const std::vector<std::string>& paragraphs, std::string_view body = {});

// The page that asks the user to go on, with a field for the key where the browser has shown none.
http::HttpResponse AskPage(std::string_view upstream, std::string_view ticket, bool key,
                           std::string_view problem);
// The page that sends the browser on to `url`.
http::HttpResponse LeavePage(std::string_view upstream, std::string_view issuer,
                             std::string_view url);

using Parameters = std::vector<std::pair<std::string, std::string>>;
// Parameters of a query or form, decoded; nothing when malformed, too many, or one is there twice
// (RFC 6749, section 3.1).
std::optional<Parameters> ParseParameters(std::string_view text);
std::string ValueOf(const Parameters& parameters, std::string_view name);
bool Has(const Parameters& parameters, std::string_view name);

// The value of a cookie; empty when it is absent or there twice.
std::string CookieOf(const http::HttpHeaders& headers, std::string_view name);

}  // namespace metamcp::gateway::login
