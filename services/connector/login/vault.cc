#include "services/connector/login/vault.h"

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::connector {
namespace {

std::string ListText(const std::vector<std::string>& list) {
  std::vector<std::string> quoted;
  for (const std::string& text : list) quoted.push_back(json::JsonQuote(text));
  return json::JoinArray(quoted);
}

std::string TextAt(const json::ObjectView& view, std::string_view key) {
  return view.String(key).value_or("");
}

std::string ClientText(const oauth::ClientIdentity& client) {
  json::ObjectWriter out;
  out.AddString("id", client.id);
  out.AddString("secret", client.secret);
  out.AddString("method", client.auth_method);
  out.AddInt("secretExpiresUs", client.secret_expires_us);
  return std::move(out).Build();
}

std::optional<oauth::ClientIdentity> ReadClient(std::string_view text) {
  const auto view = json::ScanObject(text);
  if (!view.ok()) return std::nullopt;
  oauth::ClientIdentity out;
  out.id = TextAt(*view, "id");
  out.secret = TextAt(*view, "secret");
  out.auth_method = TextAt(*view, "method");
  out.secret_expires_us = json::RawInt64(view->Raw("secretExpiresUs")).value_or(0);
  return out;
}

// In the names of the metadata itself, so that its own parser reads it back.
std::string ServerText(const oauth::ServerMetadata& server) {
  json::ObjectWriter out;
  out.AddString("issuer", server.issuer);
  out.AddString("token_endpoint", server.token_endpoint);
  if (!server.revocation_endpoint.empty()) {
    out.AddString("revocation_endpoint", server.revocation_endpoint);
  }
  out.Add("token_endpoint_auth_methods_supported", ListText(server.token_auth_methods));
  return std::move(out).Build();
}

std::string GrantText(const Grant& grant) {
  json::ObjectWriter out;
  out.AddString("resource", grant.resource);
  out.Add("server", ServerText(grant.server));
  out.AddBool("configured", grant.configured_client);
  if (!grant.configured_client) out.Add("client", ClientText(grant.client));
  out.AddString("access", grant.tokens.access_token);
  out.AddString("refresh", grant.tokens.refresh_token);
  out.AddString("granted", grant.tokens.scope);
  out.AddInt("expiresUs", grant.tokens.expires_us);
  out.AddString("scope", grant.scope);
  out.AddString("redirect", grant.redirect_uri);
  out.AddInt("obtainedUs", grant.obtained_us);
  return std::move(out).Build();
}

std::optional<Grant> ReadGrant(std::string_view text) {
  const auto view = json::ScanObject(text);
  if (!view.ok()) return std::nullopt;
  auto server = oauth::ParseServerMetadata(view->Raw("server"));
  if (!server.ok()) return std::nullopt;
  Grant out;
  out.resource = TextAt(*view, "resource");
  out.server = *std::move(server);
  out.configured_client = view->Raw("configured") == "true";
  if (const auto client = ReadClient(view->Raw("client"))) out.client = *client;
  out.tokens.access_token = TextAt(*view, "access");
  out.tokens.refresh_token = TextAt(*view, "refresh");
  out.tokens.scope = TextAt(*view, "granted");
  out.tokens.expires_us = json::RawInt64(view->Raw("expiresUs")).value_or(0);
  out.scope = TextAt(*view, "scope");
  out.redirect_uri = TextAt(*view, "redirect");
  out.obtained_us = json::RawInt64(view->Raw("obtainedUs")).value_or(0);
  return out;
}

SecretKey TokenKey(const Holder& holder, std::string issuer) {
  return {holder.tenant, "token", holder.owner, holder.upstream, std::move(issuer)};
}

SecretKey ClientKey(std::string tenant, std::string issuer, std::string redirect_uri) {
  return {std::move(tenant), "client", "", std::move(redirect_uri), std::move(issuer)};
}

// The issuer is the value here, so its place in the key is taken by the client id.
SecretKey IssuerKey(const Holder& holder, std::string client_id) {
  return {holder.tenant, "issuer", "", holder.upstream, std::move(client_id)};
}

}  // namespace

Awaitable<absl::StatusOr<std::string>> Vault::Load(SecretKey key, std::string* issuer) {
  auto loading = store_.Load(key);
  auto found = co_await std::move(loading);
  if (!found.ok()) co_return found.status();
  for (StoredSecret& secret : *found) {
    key.issuer = secret.issuer;
    auto plain = keys_.Open(SealPurpose::kToken, secret.sealed, key.Context());
    if (!plain) continue;
    if (issuer != nullptr) *issuer = std::move(secret.issuer);
    co_return *std::move(plain);
  }
  co_return std::string();
}

Awaitable<absl::Status> Vault::Save(SecretKey key, std::string plain) {
  std::string sealed = keys_.Seal(SealPurpose::kToken, plain, key.Context());
  auto putting = store_.Put(std::move(key), std::move(sealed));
  co_return co_await std::move(putting);
}

Awaitable<absl::StatusOr<std::optional<Grant>>> Vault::LoadGrant(Holder holder,
                                                                 std::string issuer) {
  auto loading = Load(TokenKey(holder, std::move(issuer)), nullptr);
  auto text = co_await std::move(loading);
  if (!text.ok()) co_return text.status();
  co_return ReadGrant(*text);
}

Awaitable<absl::Status> Vault::SaveGrant(Holder holder, Grant grant) {
  auto saving = Save(TokenKey(holder, grant.server.issuer), GrantText(grant));
  co_return co_await std::move(saving);
}

Awaitable<absl::Status> Vault::RemoveGrants(Holder holder, std::string issuer) {
  auto removing = store_.Remove(TokenKey(holder, std::move(issuer)));
  co_return co_await std::move(removing);
}

Awaitable<absl::StatusOr<bool>> Vault::Claim(Holder holder, std::string claimant,
                                             std::chrono::microseconds time) {
  auto claiming = store_.Claim(TokenKey(holder, ""), std::move(claimant), time);
  co_return co_await std::move(claiming);
}

Awaitable<absl::Status> Vault::Release(Holder holder, std::string claimant) {
  auto releasing = store_.Release(TokenKey(holder, ""), std::move(claimant));
  co_return co_await std::move(releasing);
}

Awaitable<absl::StatusOr<std::optional<oauth::ClientIdentity>>> Vault::LoadClient(
    std::string tenant, std::string issuer, std::string redirect_uri) {
  auto loading =
      Load(ClientKey(std::move(tenant), std::move(issuer), std::move(redirect_uri)), nullptr);
  auto text = co_await std::move(loading);
  if (!text.ok()) co_return text.status();
  std::optional<oauth::ClientIdentity> client = ReadClient(*text);
  const bool expired =
      client && client->secret_expires_us > 0 && client->secret_expires_us <= NowMicros();
  if (expired) client.reset();
  co_return client;
}

Awaitable<absl::Status> Vault::SaveClient(std::string tenant, std::string issuer,
                                          std::string redirect_uri, oauth::ClientIdentity client) {
  auto saving = Save(ClientKey(std::move(tenant), std::move(issuer), std::move(redirect_uri)),
                     ClientText(client));
  co_return co_await std::move(saving);
}

Awaitable<absl::Status> Vault::RemoveClient(std::string tenant, std::string issuer,
                                            std::string redirect_uri) {
  auto removing =
      store_.Remove(ClientKey(std::move(tenant), std::move(issuer), std::move(redirect_uri)));
  co_return co_await std::move(removing);
}

Awaitable<absl::StatusOr<std::string>> Vault::LoadIssuer(Holder holder, std::string client_id) {
  auto loading = Load(IssuerKey(holder, std::move(client_id)), nullptr);
  co_return co_await std::move(loading);
}

Awaitable<absl::Status> Vault::SaveIssuer(Holder holder, std::string client_id,
                                          std::string issuer) {
  auto saving = Save(IssuerKey(holder, std::move(client_id)), std::move(issuer));
  co_return co_await std::move(saving);
}

}  // namespace metamcp::connector
