#include "gateway/auth/edge_listener.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

constexpr int64_t kHourUs = 3'600'000'000;
constexpr int64_t kEndsSoonHours = 7 * 24;

void NoteEnd(int64_t not_after_us) {
  const int64_t hours = (not_after_us - NowMicros()) / kHourUs;
  Log(hours < kEndsSoonHours ? LogLevel::kWarning : LogLevel::kInfo, "listener.certificate",
      {{"hours_left", hours}});
}

// In the words of the configuration.
absl::Status InSettings(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info || info->metadata.count("part") == 0) return status;
  const std::string& part = info->metadata.at("part");
  const std::string setting = part == "cert"  ? "gateway.tls.certificate"
                              : part == "key" ? "gateway.tls.key"
                                              : "gateway.tls.clientCa";
  return MakeError("CONFIG_INVALID", "gateway", StrCat(setting, ": ", Sv(status.message())),
                   {{"setting", setting}});
}

std::vector<auth::CertificateRule> RulesOf(const config::AuthConfig& config) {
  std::vector<auth::CertificateRule> out;
  for (const auto& [name, entry] : config.certificates) {
    auth::CertificateRule rule;
    rule.name = name;
    rule.uri = entry.uri;
    rule.dns = entry.dns;
    rule.email = entry.email;
    rule.subject = entry.subject;
    rule.tenant = entry.tenant;
    rule.roles = entry.roles;
    rule.teams = entry.teams;
    out.push_back(std::move(rule));
  }
  return out;
}

std::vector<auth::PasswordUser> UsersOf(const config::BasicConfig& config) {
  std::vector<auth::PasswordUser> out;
  if (!config.enabled) return out;
  for (const auto& [name, entry] : config.users) {
    auth::PasswordUser user;
    user.name = name;
    user.hash = entry.hash;
    user.tenant = entry.tenant;
    user.roles = entry.roles;
    user.teams = entry.teams;
    out.push_back(std::move(user));
  }
  return out;
}

}  // namespace

EdgeListener::EdgeListener(boost::asio::any_io_executor executor, const KeyRing& keys,
                           auth::Authenticator& authenticator, End end)
    : executor_(std::move(executor)),
      end_(std::move(end)),
      certificates_(&NowMicros),
      passwords_(keys, [] { return auth::Passwords::Clock::now(); }) {
  authenticator.SetCertificates(&certificates_);
  authenticator.SetPasswords(&passwords_);
}

absl::Status EdgeListener::SetConfig(const config::AuthConfig& config) {
  bool users_changed = false;
  METAMCP_RETURN_IF_ERROR(passwords_.SetUsers(UsersOf(config.basic), &users_changed));
  if (users_changed) end_("basic:");
  if (certificates_.SetRules(RulesOf(config))) end_("mtls:");
  return absl::OkStatus();
}

absl::StatusOr<http::HttpEndpoint> EdgeListener::Listen(http::HttpServer& server,
                                                        const std::string& host, uint16_t port,
                                                        const config::GatewayTlsConfig& tls) {
  if (tls.certificate.empty()) return server.ListenTcp(host, port);
  http::HttpTlsServerOptions options;
  options.cert_file = tls.certificate;
  options.key_file = tls.key;
  options.client_ca_file = tls.client_ca;
  options.allow_tls12 = tls.min == "1.2";
  auto endpoint = server.ListenTls(host, port, options);
  if (!endpoint.ok()) return InSettings(endpoint.status());
  server_ = &server;
  if (options.allow_tls12) {
    Log(LogLevel::kWarning, "listener.old_tls", {{"setting", "gateway.tls.min"}, {"min", "1.2"}});
  }
  if (const auto now = server.ReloadCertificates(); now.ok()) NoteEnd(now->not_after_us);
  Watch(tls);
  return endpoint;
}

void EdgeListener::Watch(const config::GatewayTlsConfig& tls) {
  for (const std::string& path : {tls.certificate, tls.key, tls.client_ca}) {
    if (path.empty()) continue;
    auto watcher = config::FileWatcher::Create(executor_, path, config::FileWatcher::Options(),
                                               [this] { Reload(); });
    if (watcher.ok()) {
      watchers_.push_back(*std::move(watcher));
    } else {
      Log(LogLevel::kWarning, "listener.not_watched",
          {{"file", path}, {"error", std::string(watcher.status().message())}});
    }
  }
}

// The files are small and local. While one has been written and another has not, they do not fit:
// the next change brings the rest.
void EdgeListener::Reload() {
  const auto reloaded = server_->ReloadCertificates();
  if (!reloaded.ok()) {
    const absl::Status why = InSettings(reloaded.status());
    Log(LogLevel::kWarning, "listener.reload_failed",
        {{"error", std::string(why.message())}, {"kept", "what was there before"}});
    return;
  }
  if (!reloaded->changed) return;
  NoteEnd(reloaded->not_after_us);
  if (!reloaded->authorities) return;
  Log(LogLevel::kInfo, "listener.authorities_changed", {});
  end_("mtls:");
}

}  // namespace metamcp::gateway
