#include "common/auth/resource.h"

#include <algorithm>

#include "common/base/strings.h"

namespace metamcp::auth {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string_view WithoutSlash(std::string_view text) {
  while (!text.empty() && text.back() == '/') text.remove_suffix(1);
  return text;
}

}  // namespace

ResourceNames::ResourceNames(Options options)
    : options_(std::move(options)), public_base_(WithoutSlash(options_.public_url)) {}

std::string ResourceNames::HostBase(const Place& place) const {
  if (place.host.empty()) return "";
  const bool listed = std::find(options_.allowed_hosts.begin(), options_.allowed_hosts.end(),
                                place.host) != options_.allowed_hosts.end();
  if (!options_.loopback_bind && !listed) return "";
  return StrCat(place.tls ? "https://" : "http://", Lower(place.host));
}

std::string ResourceNames::Base(const Place& place) const {
  return public_base_.empty() ? HostBase(place) : public_base_;
}

bool ResourceNames::FitsBelow(std::string_view base, std::string_view audience,
                              std::string_view virtual_server) const {
  if (base.empty() || audience.substr(0, base.size()) != base) return false;
  const std::string_view path = WithoutSlash(audience.substr(base.size()));
  if (virtual_server.empty()) return path.empty() || path == "/api/v1";
  if (virtual_server == "default" &&
      (path == "/mcp" || path == "/ws" || path == options_.sse_path)) {
    return true;
  }
  const std::string prefix = StrCat("/servers/", virtual_server, "/");
  if (path.substr(0, prefix.size()) != prefix) return false;
  const std::string_view transport = path.substr(prefix.size());
  return transport == "mcp" || transport == "sse" || transport == "ws";
}

bool ResourceNames::Fits(std::string_view audience, const Place& place,
                         std::string_view virtual_server) const {
  return FitsBelow(public_base_, audience, virtual_server) ||
         FitsBelow(HostBase(place), audience, virtual_server);
}

std::string ResourceNames::MetadataUrl(const Place& place, std::string_view path) const {
  const std::string base = Base(place);
  const size_t scheme = base.find("://");
  if (scheme == std::string::npos) return "";
  const size_t slash = std::min(base.find('/', scheme + 3), base.size());
  return StrCat(base.substr(0, slash), kMetadataPath, base.substr(slash), path);
}

}  // namespace metamcp::auth
