#include "services/connector/target.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_types.h"

namespace metamcp::connector {
namespace {

absl::StatusOr<AuthOptions> ResolveAuth(const metamcp::catalog::v1::UpstreamAuth& spec,
                                        const config::Environment& environment) {
  AuthOptions out;
  out.configured = spec.ByteSizeLong() > 0;
  out.grant = spec.grant();
  out.per_principal = spec.per_principal();
  out.private_networks = spec.private_networks();
  out.client.key_id = spec.key_id();
  out.client.algorithm = spec.algorithm();
  const std::pair<const std::string*, std::string*> kTexts[] = {
      {&spec.client_id(), &out.client.id},
      {&spec.client_secret(), &out.client.secret},
      {&spec.private_key(), &out.client.private_key},
      {&spec.authorization_server(), &out.authorization_server},
      {&spec.audience(), &out.audience},
      {&spec.id_token(), &out.id_token},
      {&spec.identity_provider(), &out.identity_provider},
      {&spec.identity_client_id(), &out.identity_client.id},
      {&spec.identity_client_secret(), &out.identity_client.secret}};
  for (const auto& [text, slot] : kTexts) {
    METAMCP_ASSIGN_OR_RETURN(*slot, config::Expand(*text, environment));
  }
  for (const std::string& scope : spec.scopes()) {
    out.scopes = oauth::UnionScopes(out.scopes, scope);
  }
  return out;
}

}  // namespace

bool Target::has_authorization() const {
  for (const auto& [name, value] : headers) {
    if (http::EqualsNoCase(name, "Authorization")) return true;
  }
  return false;
}

absl::StatusOr<Target> ResolveTarget(const std::string& slug,
                                     const metamcp::catalog::v1::UpstreamSpec& spec,
                                     const config::Environment& environment) {
  Target out;
  out.slug = slug;
  out.domain = StrCat("upstream:", slug);
  out.type = spec.type();
  out.era = spec.era().empty() ? "auto" : spec.era();
  if (out.type.empty()) out.type = spec.command().empty() ? "http" : "stdio";
  METAMCP_ASSIGN_OR_RETURN(out.spawn.command, config::Expand(spec.command(), environment));
  METAMCP_ASSIGN_OR_RETURN(out.spawn.cwd, config::Expand(spec.cwd(), environment));
  out.sandbox = spec.sandbox();
  METAMCP_ASSIGN_OR_RETURN(out.url, config::Expand(spec.url(), environment));
  METAMCP_ASSIGN_OR_RETURN(out.ca_file, config::Expand(spec.ca_file(), environment));
  METAMCP_ASSIGN_OR_RETURN(out.client_cert_file,
                           config::Expand(spec.client_cert_file(), environment));
  METAMCP_ASSIGN_OR_RETURN(out.client_key_file,
                           config::Expand(spec.client_key_file(), environment));
  if (out.client_key_file.empty()) out.client_key_file = out.client_cert_file;
  for (const std::string& argument : spec.args()) {
    METAMCP_ASSIGN_OR_RETURN(std::string value, config::Expand(argument, environment));
    out.spawn.args.push_back(std::move(value));
  }
  for (const auto& [name, text] : spec.env()) {
    METAMCP_ASSIGN_OR_RETURN(out.spawn.env[name], config::Expand(text, environment));
  }
  for (const auto& [name, text] : spec.headers()) {
    METAMCP_ASSIGN_OR_RETURN(std::string value, config::Expand(text, environment));
    if (!http::IsHttpToken(name) || !http::IsHeaderValue(value)) {
      return MakeError("CONFIG_INVALID", out.domain,
                       StrCat("the header '", name.substr(0, 60), "' is malformed"));
    }
    out.headers.emplace_back(name, std::move(value));
  }
  METAMCP_ASSIGN_OR_RETURN(out.auth, ResolveAuth(spec.auth(), environment));
  out.allow_tls12 = spec.allow_tls12();
  out.allow_plain_http = spec.allow_plain_http();
  if (out.type != "stdio" && out.type != "http" && out.type != "sse" && out.type != "ws") {
    return MakeError(
        "CONFIG_INVALID", out.domain,
        StrCat("the type '", out.type, "' is not supported; use stdio, http, sse or ws"));
  }
  return out;
}

}  // namespace metamcp::connector
