// Credentials of clients.
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/hidden_input.h"
#include "cli/rest_json.h"
#include "common/auth/jwt/issue.h"
#include "common/auth/password_hash.h"
#include "common/base/key_ring.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/load.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

constexpr int64_t kMicros = 1'000'000;
constexpr int64_t kMinutesMax = 5'256'000;  // ten years
constexpr size_t kPasswordBytesMin = 12;
constexpr std::string_view kRoles[] = {"admin", "operator", "developer", "viewer", "auditor"};

struct TokenCommandOptions {
  std::string subject, name;
  std::vector<std::string> roles, teams, scopes;
  int64_t minutes = 0;
};

absl::Status CheckRoles(const std::vector<std::string>& roles) {
  for (const std::string& role : roles) {
    if (std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles)) continue;
    return UsageError(StrCat("there is no role \"", role, "\""),
                      "Roles: admin, operator, developer, viewer, auditor.");
  }
  return absl::OkStatus();
}

// What signs: the configured secret, else the first key of the ring.
absl::StatusOr<std::string> Sign(const CommandContext& ctx, const config::Config& config,
                                 const jwt::NewToken& token) {
  if (!config.auth.jwt.secret.empty()) return jwt::IssueToken(token, config.auth.jwt.secret, "");
  const std::string& shared = config.services.keys_file;
  // Before the first start of a gateway there is no folder for them.
  if (shared.empty()) (void)::mkdir(ctx.DataDir().c_str(), 0700);
  const auto ring = shared.empty()
                        ? KeyRing::LoadOrCreateBlocking(StrCat(ctx.DataDir(), "/keys.json"))
                        : KeyRing::LoadSharedBlocking(shared);
  if (!ring.ok()) {
    return Fail("CONFIG_INVALID", Sv(ring.status().message()),
                "Run it as the user of the gateway, or set auth.jwt.secret.");
  }
  const std::string kid = ring->Kids().front();
  return jwt::IssueToken(token, jwt::RingSecret(*ring, kid), kid);
}

absl::Status CreateToken(CommandContext& ctx, const TokenCommandOptions& o) {
  METAMCP_RETURN_IF_ERROR(CheckRoles(o.roles));
  if (o.subject.empty()) return UsageError("a token needs a subject", "Add --subject NAME.");
  config::LoadOptions load;
  load.env = ctx.env;
  load.require_file = !ctx.global.config.empty();
  METAMCP_ASSIGN_OR_RETURN(const config::LoadResult loaded,
                           config::LoadConfigBlocking(ctx.ConfigPath(), load));
  const config::JwtConfig& own = loaded.config.auth.jwt;
  jwt::NewToken token;
  token.issuer = own.issuer;
  token.audience = own.audience;
  token.subject = o.subject;
  token.name = o.name;
  token.roles = o.roles;
  token.teams = o.teams;
  token.scopes = o.scopes;
  token.issued_at_s = NowUs() / kMicros;
  token.expires_s = token.issued_at_s + 60 * (o.minutes > 0 ? o.minutes : own.expiry_minutes);
  METAMCP_ASSIGN_OR_RETURN(const std::string text, Sign(ctx, loaded.config, token));
  if (!ctx.json()) {
    *ctx.out << text << "\n";
    return absl::OkStatus();
  }
  nlohmann::ordered_json out;
  out["token"] = text;
  out["subject"] = token.subject;
  out["expires"] = TimeText(token.expires_s * kMicros);
  ctx.PrintJson(json::DumpJson(out));
  return absl::OkStatus();
}

absl::Status HashPassword(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(
      const std::string password,
      ReadHidden(ctx, "Password", "Write it to standard input: meta-mcp token password < FILE"));
  if (password.size() < kPasswordBytesMin) {
    return UsageError(StrCat("a password has at least ", kPasswordBytesMin, " characters"));
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string hash, auth::HashPasswordBlocking(password));
  if (!ctx.json()) {
    *ctx.out << hash << "\n";
    return absl::OkStatus();
  }
  nlohmann::ordered_json out;
  out["hash"] = hash;
  ctx.PrintJson(json::DumpJson(out));
  return absl::OkStatus();
}

}  // namespace

void AddTokenCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<TokenCommandOptions>();
  Command group = root.Sub("token", "Credentials of clients");
  Command create = group.Sub("create", "Makes a token that the gateway takes");
  create.Example("meta-mcp token create --subject alice --role viewer --expires 60");
  create.More(
      "Signed with auth.jwt.secret (or JWT_SECRET_KEY), else with the sealing keys in the data "
      "directory; no gateway needs to run. It cannot be taken back before it ends, so keep its "
      "time short.");
  create.Option("--subject", &o->subject, "whom it speaks for", "NAME")
      .List("--role", &o->roles, "admin, operator, developer, viewer or auditor", "ROLE")
      .List("--team", &o->teams, "a team", "TEAM")
      .List("--scope", &o->scopes, "a scope", "SCOPE")
      .Option("--name", &o->name, "a name to show")
      .Integer("--expires", &o->minutes, 1, kMinutesMax,
               "how long it holds (default auth.jwt.expiryMinutes)", "MINUTES");
  create.Run([&ctx, o] { return CreateToken(ctx, *o); });
  Command password = group.Sub("password", "Makes the hash of a password");
  password.Example("meta-mcp token password");
  password.More(
      "Asks for the password, or reads it from standard input, and prints its Argon2id hash for "
      "auth.basic.users.NAME.hash.");
  password.Run([&ctx] { return HashPassword(ctx); });
  AddKeyCommands(group);
}

}  // namespace metamcp::cli
