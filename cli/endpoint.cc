#include "cli/endpoint.h"

#include "cli/context.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::cli {
namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string BaseUrl(std::string_view url) {
  while (EndsWith(url, "/")) url.remove_suffix(1);
  if (EndsWith(url, "/mcp")) url.remove_suffix(4);
  const size_t servers = url.rfind("/servers/");
  if (servers != std::string_view::npos && url.find('/', servers + 9) == std::string_view::npos) {
    url = url.substr(0, servers);
  }
  return std::string(url);
}

absl::StatusOr<std::string> EndpointUrl(std::string_view url, std::string_view virtual_server) {
  const auto parsed = http::ParseUrl(url);
  if (!parsed.ok()) {
    return UsageError(StrCat("the URL ", Sv(parsed.status().message())),
                      "Give one such as http://127.0.0.1:8931/mcp.");
  }
  if (parsed->scheme != "http" && parsed->scheme != "https") {
    return UsageError("the URL must begin with http:// or https://");
  }
  if (!virtual_server.empty()) {
    if (Slug(virtual_server) != virtual_server) {
      return UsageError(StrCat("\"", virtual_server, "\" is no name of a virtual server"),
                        "Names hold lower-case letters, digits and '-'.");
    }
    return StrCat(BaseUrl(url), "/servers/", virtual_server, "/mcp");
  }
  std::string out(url);
  while (EndsWith(out, "/")) out.pop_back();
  const std::string_view path = parsed->target;
  const bool base = path == "/" || path.find("/servers/") == 0;
  return base && !EndsWith(out, "/mcp") ? out + "/mcp" : out;
}

}  // namespace metamcp::cli
