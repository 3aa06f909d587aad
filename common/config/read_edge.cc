// gateway.tls, auth.certificates and auth.basic: who comes in at the gateway's listener, and how.
#include <algorithm>
#include <map>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr size_t kNameBytesMax = 256;
constexpr std::string_view kHashPrefix = "$argon2id$v=19$";

bool IsReference(const std::string& text) { return absl::StrContains(text, "${"); }

bool IsObject(ReadContext& context, const JsonNode& node, std::string_view what,
              std::string_view example) {
  if (node.kind == JsonNode::Kind::kObject) return true;
  context.Error(node.at,
                StrCat("found ", KindName(node.kind), " for ", what, ", expected an object"),
                StrCat("write ", example));
  return false;
}

// The name becomes a subject: in logs, in rules, beside those of keys.
void CheckName(ReadContext& context, const JsonMember& member, std::string_view what) {
  const bool plain = std::none_of(member.key.begin(), member.key.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == ':' || c == 0x7f;
  });
  if (!member.key.empty() && member.key.size() <= kNameBytesMax && plain) return;
  context.Error(member.at,
                StrCat("found the name \"", member.key.substr(0, 64), "\" in ", what,
                       ", expected 1 to ", kNameBytesMax, " characters without spaces and colons"),
                "rename it");
}

// Where the file says `path`; nowhere for what comes from elsewhere.
Position PlaceOf(const CheckResult& check, const std::string& path, std::string* file) {
  Position at;
  const auto it = check.loaded.origins.find(path);
  if (it == check.loaded.origins.end()) return at;
  if (it->second.source == ConfigOrigin::Source::kEnvironment) {
    *file = StrCat("environment variable ", it->second.detail);
  }
  if (it->second.source != ConfigOrigin::Source::kFile) return at;
  const std::vector<std::string> parts = absl::StrSplit(it->second.detail, ':');
  if (parts.size() < 3) return at;
  const size_t n = parts.size();
  if (!absl::SimpleAtoi(parts[n - 2], &at.line) || !absl::SimpleAtoi(parts[n - 1], &at.column)) {
    return Position();
  }
  *file = it->second.detail.substr(
      0, it->second.detail.size() - parts[n - 1].size() - parts[n - 2].size() - 2);
  return at;
}

}  // namespace

void ReadCertificates(ReadContext& context, const JsonNode& node) {
  constexpr std::string_view kExample = R"({ "ci": { "uri": "spiffe://example.com/ci" } })";
  if (!IsObject(context, node, "auth.certificates", kExample)) return;
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("auth.certificates.", member.key);
    CheckName(context, member, "auth.certificates");
    CertificateConfig entry;
    ObjectReader reader(context, CertificateFields(), &entry);
    reader.Read(member.value, "", where);
    if (member.value.kind != JsonNode::Kind::kObject) continue;
    CheckTenantAndRoles(context, member.value, entry.tenant, where);
    if (entry.uri.empty() && entry.dns.empty() && entry.email.empty() && entry.subject.empty()) {
      context.Error(member.at, StrCat("found neither uri, dns, email nor subject in ", where),
                    "say which certificate it is: \"uri\": \"spiffe://...\"");
    }
    for (const auto& [name, other] : context.config().auth.certificates) {
      const bool same = other.uri == entry.uri && other.dns == entry.dns &&
                        other.email == entry.email && other.subject == entry.subject;
      if (!same) continue;
      context.Error(
          member.at,
          StrCat("found the certificate of auth.certificates.", name, " again in ", where),
          "leave one entry for each certificate");
    }
    context.config().auth.certificates.emplace(member.key, std::move(entry));
  }
}

void ReadBasicUsers(ReadContext& context, const JsonNode& node) {
  constexpr std::string_view kExample = R"({ "ada": { "hash": "${file:/path}" } })";
  if (!IsObject(context, node, "auth.basic.users", kExample)) return;
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("auth.basic.users.", member.key);
    CheckName(context, member, "auth.basic.users");
    BasicUserConfig user;
    ObjectReader reader(context, BasicUserFields(), &user);
    reader.Read(member.value, "", where);
    if (member.value.kind != JsonNode::Kind::kObject) continue;
    CheckTenantAndRoles(context, member.value, user.tenant, where);
    if (!IsReference(user.hash) && !absl::StartsWith(user.hash, Av(kHashPrefix))) {
      context.Error(member.at, StrCat("found no Argon2id hash in ", where),
                    "make one with 'meta-mcp token password'");
    }
    context.config().auth.basic.users.emplace(member.key, std::move(user));
  }
}

void CheckGatewayTls(CheckResult* out) {
  const Config& config = out->loaded.config;
  const GatewayTlsConfig& tls = config.gateway.tls;
  const auto error = [out](const std::string& path, std::string message, std::string mend) {
    Problem problem;
    problem.at = PlaceOf(*out, path, &problem.file);
    problem.message = std::move(message);
    problem.mend = std::move(mend);
    out->errors.push_back(std::move(problem));
  };
  if (!tls.certificate.empty() && tls.key.empty()) {
    error("gateway.tls.certificate", "found gateway.tls.certificate without gateway.tls.key",
          "name the file of its private key");
  }
  if (tls.certificate.empty() && !tls.key.empty()) {
    error("gateway.tls.key", "found gateway.tls.key without gateway.tls.certificate",
          "name the file of its certificate");
  }
  if (tls.certificate.empty() && !tls.client_ca.empty()) {
    error("gateway.tls.clientCa", "found gateway.tls.clientCa without gateway.tls.certificate",
          "clients show certificates over TLS only: add gateway.tls.certificate and key");
  }
  if (!config.auth.basic.enabled) return;
  if (tls.certificate.empty()) {
    error("auth.basic.enabled", "found auth.basic.enabled without gateway.tls.certificate",
          "passwords come over TLS only: add gateway.tls.certificate and key");
  }
  if (config.auth.basic.users.empty()) {
    error("auth.basic.enabled", "found auth.basic.enabled and no auth.basic.users",
          "add { \"name\": { \"hash\": \"...\" } }");
  }
}

}  // namespace metamcp::config
