#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/auth/authenticator.h"
#include "common/base/key_ring.h"
#include "common/http/http_server.h"
#include "gateway/routing/login_links.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"

namespace metamcp::gateway {

// The pages of a login at an upstream: /oauth/login, where a link leads; /oauth/callback, where the
// authorization server sends the browser back; /oauth/client-metadata.json, our Client ID Metadata
// Document where the public URL is https.
//
// A link is sealed for one principal. The page makes sure that the browser is that principal's
// (this machine, or the key) before anything leaves, and the answer must come from the same
// browser (a cookie), so that nobody can be made to log in for somebody else.
// Source: MCP 2026-07-28, client/elicitation, "Phishing"; basic/authorization.
// Thread: the io thread. The references outlive it.
class LoginEdge final : public LoginLinks {
 public:
  LoginEdge(connector::v1::ConnectorService& connector, const auth::Authenticator& authenticator,
            const KeyRing& keys, std::string public_url)
      : connector_(connector),
        authenticator_(authenticator),
        keys_(keys),
        public_url_(std::move(public_url)) {}

  // "http://127.0.0.1:8931": used where there is no public URL.
  void SetListenUrl(std::string_view url);
  // The redirect URI; the address of the metadata document for a public URL, empty where that is
  // not https.
  std::string RedirectUri() const;
  static std::string MetadataUrl(std::string_view public_url);

  static bool Owns(std::string_view path);
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder);

  std::string LinkFor(const Principal& principal, const std::string& upstream_id,
                      const std::string& name, bool own) const override;
  static constexpr std::chrono::minutes kLinkLifetime{10};

 private:
  struct Ticket {
    std::string upstream_id, name, tenant, subject;
    bool own = false;
  };
  std::string Base() const;
  bool secure() const;
  std::string CookieName() const;
  std::string SetCookie(std::string_view value, int max_age_s) const;
  std::optional<Ticket> OpenTicket(const std::string& sealed) const;
  // The principal of the ticket, if the request proves to be that one's.
  std::shared_ptr<const Principal> Prove(const http::HttpRequest& request, const Ticket& ticket,
                                         const std::string& key) const;
  Awaitable<http::HttpResponse> Ask(http::HttpRequest& request);
  Awaitable<http::HttpResponse> Leave(http::HttpRequest& request);
  Awaitable<http::HttpResponse> Return(http::HttpRequest& request);

  connector::v1::ConnectorService& connector_;
  const auth::Authenticator& authenticator_;
  const KeyRing& keys_;
  const std::string public_url_;
  std::string listen_url_;
};

}  // namespace metamcp::gateway
