#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace metamcp::auth {

// How a request reached us.
struct Place {
  std::string_view host;  // the Host header
  bool tls = false;
};

// The URLs under which clients know what we serve: each virtual server is a protected resource of
// its own (MCP authorization, "Canonical Server URI"). A Host header counts only where it has been
// checked: on a loopback bind, or where it is listed. Immutable. Thread: any.
class ResourceNames {
 public:
  struct Options {
    Options() {}
    std::string public_url;
    bool loopback_bind = true;
    std::vector<std::string> allowed_hosts;
    std::string sse_path = "/sse";
  };
  explicit ResourceNames(Options options);

  // The URL of our root without a slash at its end; empty where none is known.
  std::string Base(const Place& place) const;
  // Whether a token for `audience` may be used at this virtual server (by any of its transports),
  // or at the REST API where that is empty.
  bool Fits(std::string_view audience, const Place& place, std::string_view virtual_server) const;
  // Where the metadata of the resource at `path` are; empty where no base is known.
  std::string MetadataUrl(const Place& place, std::string_view path) const;

 private:
  std::string HostBase(const Place& place) const;
  bool FitsBelow(std::string_view base, std::string_view audience,
                 std::string_view virtual_server) const;
  Options options_;
  std::string public_base_;
};

inline constexpr std::string_view kMetadataPath = "/.well-known/oauth-protected-resource";

}  // namespace metamcp::auth
