#include "common/auth/oauth/metadata.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/scan.h"

namespace metamcp::oauth {
namespace {

constexpr std::string_view kResourceWellKnown = "/.well-known/oauth-protected-resource";
constexpr std::string_view kServerWellKnown = "/.well-known/oauth-authorization-server";
constexpr std::string_view kOpenIdWellKnown = "/.well-known/openid-configuration";
constexpr size_t kListMax = 1000;

absl::Status Bad(std::string_view what, std::string_view why) {
  return MakeError("UPSTREAM_AUTH", "connector", StrCat(what, " ", why));
}

absl::StatusOr<json::ObjectView> Scan(std::string_view text, std::string_view what) {
  auto view = json::ScanObject(text);
  if (!view.ok()) return Bad(what, "is not a JSON object");
  return view;
}

// Members of one document, with the first mistake remembered.
class Reader {
 public:
  Reader(const json::ObjectView& view, std::string_view what) : view_(view), what_(what) {}

  std::string Text(std::string_view key, bool required) {
    if (!view_.Has(key) || view_.Raw(key) == "null") {
      if (required) Fail(key, "is missing");
      return "";
    }
    const auto value = view_.String(key);
    if (!value) Fail(key, "is not a string");
    return value.value_or("");
  }

  std::vector<std::string> List(std::string_view key) {
    std::vector<std::string> out;
    if (!view_.Has(key) || view_.Raw(key) == "null") return out;
    const auto elements = json::ScanArray(view_.Raw(key));
    if (!elements.ok() || elements->size() > kListMax) {
      Fail(key, "is not a list of strings");
      return out;
    }
    for (const json::Value& element : *elements) {
      auto text = element.is_string() ? json::JsonUnquote(element.raw)
                                      : absl::StatusOr<std::string>(absl::InternalError(""));
      if (!text.ok()) {
        Fail(key, "is not a list of strings");
        return out;
      }
      out.push_back(*std::move(text));
    }
    return out;
  }

  bool Flag(std::string_view key) const { return view_.Raw(key) == "true"; }
  absl::Status status() const { return status_; }

 private:
  void Fail(std::string_view key, std::string_view why) {
    if (status_.ok()) status_ = Bad(what_, StrCat("is not usable: ", key, " ", why));
  }
  const json::ObjectView& view_;
  const std::string_view what_;
  absl::Status status_;
};

// Path and query of a URL without one trailing slash; empty for the root.
std::string PathOf(const http::Url& url) {
  std::string path = url.target.substr(0, url.target.find('?'));
  if (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

absl::StatusOr<ResourceMetadata> ParseResourceMetadata(std::string_view text) {
  constexpr std::string_view kWhat = "the protected resource metadata";
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, Scan(text, kWhat));
  Reader reader(view, kWhat);
  ResourceMetadata out;
  out.resource = reader.Text("resource", true);
  out.authorization_servers = reader.List("authorization_servers");
  out.scopes_supported = reader.List("scopes_supported");
  METAMCP_RETURN_IF_ERROR(reader.status());
  return out;
}

absl::StatusOr<ServerMetadata> ParseServerMetadata(std::string_view text) {
  constexpr std::string_view kWhat = "the authorization server's metadata";
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, Scan(text, kWhat));
  Reader reader(view, kWhat);
  ServerMetadata out;
  out.issuer = reader.Text("issuer", true);
  out.authorization_endpoint = reader.Text("authorization_endpoint", false);
  out.token_endpoint = reader.Text("token_endpoint", true);
  out.registration_endpoint = reader.Text("registration_endpoint", false);
  out.revocation_endpoint = reader.Text("revocation_endpoint", false);
  out.scopes_supported = reader.List("scopes_supported");
  out.grant_types = reader.List("grant_types_supported");
  out.code_challenge_methods = reader.List("code_challenge_methods_supported");
  out.token_auth_methods = reader.List("token_endpoint_auth_methods_supported");
  out.token_auth_algorithms = reader.List("token_endpoint_auth_signing_alg_values_supported");
  out.client_id_metadata_document = reader.Flag("client_id_metadata_document_supported");
  out.iss_parameter = reader.Flag("authorization_response_iss_parameter_supported");
  METAMCP_RETURN_IF_ERROR(reader.status());
  return out;
}

absl::StatusOr<std::vector<std::string>> ResourceMetadataUrls(std::string_view text) {
  METAMCP_ASSIGN_OR_RETURN(const http::Url url, http::ParseUrl(text));
  const std::string origin = url.origin();
  std::vector<std::string> out;
  if (url.target != "/") out.push_back(StrCat(origin, kResourceWellKnown, url.target));
  out.push_back(StrCat(origin, kResourceWellKnown));
  return out;
}

absl::StatusOr<std::vector<std::string>> ServerMetadataUrls(std::string_view issuer) {
  METAMCP_ASSIGN_OR_RETURN(const http::Url url, http::ParseUrl(issuer));
  const std::string origin = url.origin();
  const std::string path = PathOf(url);
  std::vector<std::string> out;
  if (path.empty()) {
    out.push_back(StrCat(origin, kServerWellKnown));
    out.push_back(StrCat(origin, kOpenIdWellKnown));
    return out;
  }
  out.push_back(StrCat(origin, kServerWellKnown, path));
  out.push_back(StrCat(origin, kOpenIdWellKnown, path));
  out.push_back(StrCat(origin, path, kOpenIdWellKnown));
  return out;
}

bool ResourceMatches(std::string_view resource, std::string_view url, std::string_view found_at) {
  if (resource == url) return true;
  // One slash at the end is the only spelling that the two sides commonly differ in.
  if (StrCat(resource, "/") == url || resource == StrCat(url, "/")) return true;
  const auto ours = http::ParseUrl(url);
  const auto theirs = http::ParseUrl(resource);
  if (!ours.ok() || !theirs.ok() || ours->origin() != theirs->origin()) return false;
  const std::string parent = PathOf(*theirs);
  if (PathOf(*ours).rfind(StrCat(parent, "/"), 0) != 0) return false;
  const auto vouching = ResourceMetadataUrls(resource);
  return vouching.ok() &&
         (found_at == vouching->front() || StrCat(found_at, "/") == vouching->front());
}

ServerMetadata AssumedServer(std::string_view origin) {
  ServerMetadata out;
  out.issuer = std::string(origin);
  out.authorization_endpoint = StrCat(origin, "/authorize");
  out.token_endpoint = StrCat(origin, "/token");
  out.registration_endpoint = StrCat(origin, "/register");
  out.code_challenge_methods = {"S256"};
  out.assumed = true;
  return out;
}

}  // namespace metamcp::oauth
