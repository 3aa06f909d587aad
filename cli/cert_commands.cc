#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "cli/cert_store.h"
#include "cli/commands.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;

constexpr int64_t kLeafDays = 90;
constexpr int64_t kAuthorityDays = 3650;
constexpr int64_t kDaysMax = 36500;
// A clock may be behind the one that signs.
constexpr hours kBackdated{1};
constexpr std::string_view kRoles[] = {"gateway",  "connector", "catalog",
                                       "workflow", "audit",     "ai"};

struct CertOptions {
  std::string dir, name, file;
  std::vector<std::string> roles, names;
  int64_t days = kLeafDays;
  int64_t authority_days = kAuthorityDays;
  bool all = false;
};

CertStore StoreOf(const CommandContext& ctx, const CertOptions& o) {
  return CertStore(o.dir.empty() ? StrCat(ctx.DataDir(), "/certs") : o.dir);
}

hours Days(int64_t days) { return hours(24 * days); }

std::string Day(pki::Time time) {
  const std::time_t seconds = system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", &parts);
  return text;
}

// A third of its life is left at most.
bool EndsSoon(const pki::Certificate& one, pki::Time now) {
  return one.not_after - now <= (one.not_after - one.not_before) / 3;
}

std::string StateOf(const pki::Certificate& one, pki::Time now) {
  if (now >= one.not_after) return "ended";
  return EndsSoon(one, now) ? "renew" : "ok";
}

absl::Status Issue(const CertStore& store, const pki::Issued& authority, pki::LeafRequest request,
                   int64_t days) {
  METAMCP_ASSIGN_OR_RETURN(const pki::Certificate signer, store.Describe(kAuthority));
  const pki::Time now = system_clock::now();
  if (now >= signer.not_after) {
    return Fail("CONFIG_INVALID", "the authority has ended", "Renew it: 'meta-mcp cert renew'.");
  }
  request.from = now - kBackdated;
  request.until = std::min<pki::Time>(now + Days(days), signer.not_after);
  const std::string name = request.name;
  METAMCP_ASSIGN_OR_RETURN(const pki::Issued leaf, pki::IssueLeaf(authority, request));
  return store.Write(name, leaf);
}

void SayWritten(CommandContext& ctx, const CertStore& store,
                const std::vector<std::string>& names) {
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["folder"] = store.folder();
    out["written"] = names;
    ctx.PrintJson(json::DumpJson(out));
    return;
  }
  for (const std::string& name : names) ctx.Say(StrCat("wrote ", store.CertificatePath(name)));
}

absl::Status Init(CommandContext& ctx, const CertOptions& o) {
  const CertStore store = StoreOf(ctx, o);
  if (store.Has(kAuthority)) {
    return Fail("ALREADY_EXISTS", StrCat(store.folder(), " has an authority already"),
                "Use 'meta-mcp cert issue' or 'meta-mcp cert renew', or another --dir.");
  }
  const pki::Time now = system_clock::now();
  METAMCP_ASSIGN_OR_RETURN(
      const pki::Issued authority,
      pki::MakeAuthority("Meta-MCP services", now - kBackdated, now + Days(o.authority_days)));
  METAMCP_RETURN_IF_ERROR(store.Write(kAuthority, authority));
  std::vector<std::string> written = {kAuthority};
  for (const std::string_view role : kRoles) {
    pki::LeafRequest request;
    request.name = std::string(role);
    request.roles = {std::string(role)};
    request.names = o.names;
    METAMCP_RETURN_IF_ERROR(Issue(store, authority, std::move(request), o.days));
    written.emplace_back(role);
  }
  SayWritten(ctx, store, written);
  ctx.Say(
      "Set services.tls.ca, .certificate and .key of each process to its files, and keep "
      "ca-key.pem where only you read it.");
  return absl::OkStatus();
}

absl::Status IssueOne(CommandContext& ctx, const CertOptions& o) {
  if (o.roles.empty()) {
    return UsageError("a certificate needs a role",
                      "Roles: gateway, connector, catalog, workflow, audit, ai.");
  }
  for (const std::string& role : o.roles) {
    if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
      return UsageError(StrCat("there is no role \"", role, "\""),
                        "Roles: gateway, connector, catalog, workflow, audit, ai.");
    }
  }
  if (o.name == kAuthority || o.name.empty() || o.name.find('/') != std::string::npos) {
    return UsageError(StrCat("\"", o.name, "\" cannot be the name of a certificate"));
  }
  const CertStore store = StoreOf(ctx, o);
  METAMCP_ASSIGN_OR_RETURN(const pki::Issued authority, store.Read(kAuthority));
  pki::LeafRequest request;
  request.name = o.name;
  request.roles = o.roles;
  request.names = o.names;
  METAMCP_RETURN_IF_ERROR(Issue(store, authority, std::move(request), o.days));
  SayWritten(ctx, store, {o.name});
  return absl::OkStatus();
}

nlohmann::ordered_json ToJson(const pki::Certificate& one) {
  nlohmann::ordered_json out;
  out["subject"] = one.subject;
  out["issuer"] = one.issuer;
  out["serial"] = one.serial;
  out["authority"] = one.authority;
  out["roles"] = pki::RolesOf(one.uris);
  std::vector<std::string> names = one.dns_names;
  names.insert(names.end(), one.addresses.begin(), one.addresses.end());
  out["names"] = names;
  out["from"] = Day(one.not_before);
  out["until"] = Day(one.not_after);
  out["state"] = StateOf(one, system_clock::now());
  out["fingerprint"] = one.fingerprint;
  return out;
}

absl::Status Show(CommandContext& ctx, const CertOptions& o) {
  std::vector<std::pair<std::string, pki::Certificate>> found;
  if (!o.file.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string pem, config::ReadTextBlocking(o.file));
    METAMCP_ASSIGN_OR_RETURN(auto all, pki::ReadCertificates(pem));
    for (pki::Certificate& one : all) found.emplace_back(o.file, std::move(one));
  } else {
    const CertStore store = StoreOf(ctx, o);
    METAMCP_RETURN_IF_ERROR(store.Read(kAuthority).status());
    std::vector<std::string> names = store.Names();
    names.insert(names.begin(), kAuthority);
    for (const std::string& name : names) {
      METAMCP_ASSIGN_OR_RETURN(pki::Certificate one, store.Describe(name));
      found.emplace_back(name, std::move(one));
    }
  }
  Table table({"NAME", "SUBJECT", "ROLES", "NAMES", "UNTIL", "STATE"});
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& [name, one] : found) {
    nlohmann::ordered_json row = ToJson(one);
    const std::vector<std::string> names = row["names"];
    table.Row({name, one.subject,
               one.authority ? "authority" : absl::StrJoin(pki::RolesOf(one.uris), ","),
               absl::StrJoin(names, ","), Day(one.not_after), row["state"]});
    row["name"] = name;
    rows.push_back(std::move(row));
  }
  if (ctx.json()) {
    nlohmann::ordered_json out;
    out["certificates"] = std::move(rows);
    ctx.PrintJson(json::DumpJson(out));
  } else {
    ctx.PrintTable(table, "");
  }
  return absl::OkStatus();
}

absl::Status Renew(CommandContext& ctx, const CertOptions& o) {
  const CertStore store = StoreOf(ctx, o);
  METAMCP_ASSIGN_OR_RETURN(pki::Issued authority, store.Read(kAuthority));
  METAMCP_ASSIGN_OR_RETURN(const pki::Certificate signer, store.Describe(kAuthority));
  const pki::Time now = system_clock::now();
  std::vector<std::string> written;
  if (EndsSoon(signer, now)) {
    // The same key: what it has signed stays valid, whichever of the two a process still has.
    METAMCP_ASSIGN_OR_RETURN(authority,
                             pki::MakeAuthority("Meta-MCP services", now - kBackdated,
                                                now + Days(o.authority_days), authority.key));
    METAMCP_RETURN_IF_ERROR(store.Write(kAuthority, authority));
    written.emplace_back(kAuthority);
  }
  for (const std::string& name : store.Names()) {
    METAMCP_ASSIGN_OR_RETURN(const pki::Certificate old, store.Describe(name));
    if (!o.all && !EndsSoon(old, now)) continue;
    pki::LeafRequest request;
    request.name = name;
    request.roles = pki::RolesOf(old.uris);
    request.names = old.dns_names;
    request.names.insert(request.names.end(), old.addresses.begin(), old.addresses.end());
    METAMCP_RETURN_IF_ERROR(Issue(store, authority, std::move(request), o.days));
    written.push_back(name);
  }
  SayWritten(ctx, store, written);
  if (written.empty()) ctx.Say("Nothing ends soon; --all renews all the same.");
  return absl::OkStatus();
}

}  // namespace

void AddCertCommands(Command& root) {
  CommandContext& ctx = root.context();
  auto o = std::make_shared<CertOptions>();
  Command cert = root.Sub("cert", "Certificates for mutual TLS between services");
  const auto dir = [&o](Command& command) {
    command.Option("--dir", &o->dir, "folder of the certificates (default <data-dir>/certs)",
                   "FOLDER");
  };
  const auto leaf = [&o, &dir](Command& command) {
    dir(command);
    command.Integer("--days", &o->days, 1, kDaysMax, "how long certificates are valid (90)");
  };
  Command init = cert.Sub("init", "Makes an authority and a certificate for each service");
  init.Example("meta-mcp cert init")
      .Example("meta-mcp cert init --dir /etc/meta-mcp/certs --san catalog.meta-mcp.svc");
  leaf(init);
  init.Integer("--authority-days", &o->authority_days, 1, kDaysMax,
               "how long the authority is valid (3650)")
      .List("--san", &o->names, "host name or IP address to put into each certificate", "NAME");
  init.Run([&ctx, o] { return Init(ctx, *o); });

  Command issue = cert.Sub("issue", "Makes one more certificate");
  issue.Example("meta-mcp cert issue edge --role gateway --role connector");
  issue.Argument("name", &o->name, "of its files");
  leaf(issue);
  issue
      .List("--role", &o->roles,
            "service that its process runs: gateway, connector, catalog, workflow", "ROLE")
      .List("--san", &o->names, "host name or IP address to put into it", "NAME");
  issue.Run([&ctx, o] { return IssueOne(ctx, *o); });

  Command show = cert.Sub("show", "Says for whom certificates are, and until when");
  show.Example("meta-mcp cert show").Example("meta-mcp cert show /etc/tls/tls.crt");
  show.OptionalArgument("file", &o->file, "PEM file; default: all of the folder");
  dir(show);
  show.Run([&ctx, o] { return Show(ctx, *o); });

  Command renew = cert.Sub("renew", "Makes those anew that end soon");
  renew.Example("meta-mcp cert renew").Example("meta-mcp cert renew --all");
  leaf(renew);
  renew
      .Integer("--authority-days", &o->authority_days, 1, kDaysMax,
               "how long the authority is valid, if it is renewed (3650)")
      .Flag("--all", &o->all, "also those with more than a third of their time left")
      .More("Running processes read the new files by themselves.");
  renew.Run([&ctx, o] { return Renew(ctx, *o); });
}

}  // namespace metamcp::cli
