#include "common/config/fields.h"

#include "absl/strings/ascii.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

#define SLOT(Type, member) [](void* o) -> Slot { return &static_cast<Type*>(o)->member; }
Slot NoSlot(void*) { return std::monostate(); }

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kYearS = 366 * 86'400;
constexpr int64_t kTiB = int64_t{1} << 40;

// Rules of a sandbox, which a server and an own profile share.
constexpr std::string_view kSandboxRead =
    "Paths it can read, beside the system's programs and what its command needs.";
constexpr std::string_view kSandboxWrite = "Paths it can change.";
constexpr std::string_view kSandboxNetwork =
    "none; or host, this machine's network as it is; or what the filtering proxy lets through: "
    "public for all public addresses on ports 80 and 443, and entries host:port or *.domain:port.";
constexpr std::string_view kSandboxEnv =
    "Variables of the gateway's environment that it sees, beside what env gives it.";
constexpr std::string_view kSandboxMemory =
    "Memory of all its processes together where there are cgroups, else of each; 0 keeps the "
    "profile's.";
constexpr std::string_view kSandboxProcesses =
    "Processes and threads at once; 0 keeps the profile's.";
constexpr std::string_view kSandboxCpu =
    "Processor time of each of its processes; 0 keeps the profile's.";
constexpr std::string_view kSandboxFiles = "Open files of each process; 0 keeps the profile's.";
constexpr std::string_view kSandboxFileBytes = "Largest file it writes; 0 keeps the profile's.";

constexpr Field Make(std::string_view path, FieldType type, Slot (*slot)(void*),
                     std::string_view description) {
  Field f{path, type, description, slot};
  f.restart = false;
  return f;
}
constexpr Field Choice(std::string_view path, Slot (*slot)(void*), std::string_view choices,
                       std::string_view description) {
  Field f = Make(path, FieldType::kChoice, slot, description);
  f.choices = choices;
  return f;
}
constexpr Field Number(std::string_view path, Slot (*slot)(void*), int64_t min, int64_t max,
                       std::string_view unit, std::string_view description) {
  Field f = Make(path, FieldType::kInteger, slot, description);
  f.min = min;
  f.max = max;
  f.unit = unit;
  return f;
}
constexpr Field Secret(Field f) {
  f.secret = true;
  return f;
}

// Bounds of the catalog (services/catalog/validate.cc), said here with the place.
constexpr int64_t kTextMax = 16 << 10;
constexpr int64_t kListMax = 1000;
constexpr Field Bounded(Field f, int64_t bytes_max, int64_t items_max = 0) {
  f.bytes_max = bytes_max;
  f.items_max = items_max;
  return f;
}
constexpr Field Filled(Field f) {
  f.filled = true;
  return f;
}
constexpr Field Globs(std::string_view path, Slot (*slot)(void*), std::string_view description) {
  return Filled(Bounded(Make(path, FieldType::kStrings, slot, description), 512, kListMax));
}
constexpr Field UpTo(Field f, int64_t max) {
  f.max = max;
  return f;
}

constexpr Field kServer[] = {
    Choice("type", SLOT(ServerConfig, type), "stdio|http|sse|ws",
           "How the server is reached; stdio where command is given, ws for a URL that begins "
           "with ws, else http (Streamable HTTP). streamable-http, streamableHttp and websocket "
           "are understood too."),
    Bounded(Make("command", FieldType::kString, SLOT(ServerConfig, command),
                 "Program to start (stdio)."),
            kTextMax),
    Bounded(Make("args", FieldType::kStrings, SLOT(ServerConfig, args), "Its arguments."),
            128 << 10, kListMax),
    Secret(Make("env", FieldType::kStringMap, SLOT(ServerConfig, env),
                "Its environment variables; it gets these and a few safe ones, nothing else.")),
    Bounded(Make("cwd", FieldType::kString, SLOT(ServerConfig, cwd), "Its working directory."),
            kTextMax),
    Bounded(Make("url", FieldType::kUrl, SLOT(ServerConfig, url),
                 "Address of the server; ws:// or wss:// for ws."),
            kTextMax),
    Secret(Make("headers", FieldType::kStringMap, SLOT(ServerConfig, headers),
                "HTTP headers sent with every request.")),
    Bounded(Make("displayName", FieldType::kString, SLOT(ServerConfig, display_name),
                 "Name shown to people; the key where none is given."),
            256),
    Make("disabled", FieldType::kBoolean, SLOT(ServerConfig, disabled),
         "Keep the entry, do not connect."),
    Bounded(Make("owner", FieldType::kString, SLOT(ServerConfig, sharing.owner),
                 "Subject of whom the server is."),
            256),
    Bounded(Make("team", FieldType::kString, SLOT(ServerConfig, sharing.team),
                 "Team that the server belongs to."),
            256),
    Choice("visibility", SLOT(ServerConfig, sharing.visibility), "private|team|public",
           "Who sees and uses it: its owner, its team, or all; by default its team where it has "
           "one, else all. Operators and administrators see everything."),
    Choice("era", SLOT(ServerConfig, era), "auto|legacy|modern",
           "Protocol era; auto asks the server."),
    Choice("isolation", SLOT(ServerConfig, isolation), "shared|principal|session|call",
           "Who shares one connection; by default stdio and modern servers are shared and other "
           "legacy servers get one per session."),
    Make("interactive", FieldType::kBoolean, SLOT(ServerConfig, interactive),
         "The server asks its client questions during calls."),
    Number("timeoutMs", SLOT(ServerConfig, timeout_ms), 0, kDayMs, "ms",
           "Longest time for one call; 0 is connector.callTimeoutMs."),
    UpTo(Make("toolTimeoutsMs", FieldType::kIntegerMap, SLOT(ServerConfig, tool_timeouts_ms),
              "The same for single tools, by original name."),
         kDayMs),
    Number("priority", SLOT(ServerConfig, priority), -1'000'000, 1'000'000, "",
           "Of two servers with the same exposed name the higher one keeps it."),
    Number("concurrency", SLOT(ServerConfig, concurrency), 0, 10'000, "",
           "Calls at once; 0 is connector.concurrency."),
    Bounded(Make("fallbacks", FieldType::kStrings, SLOT(ServerConfig, fallbacks),
                 "Servers that answer, in this order, while this one is not ready."),
            256, 16),
    Filled(
        Bounded(Make("tags", FieldType::kStrings, SLOT(ServerConfig, tags), "Words to find it by."),
                128, 64)),
    Make("trusted", FieldType::kBoolean, SLOT(ServerConfig, trusted),
         "false: what the server answers is not to lead to destructive or open-world calls "
         "(taint)."),
    Choice("tls.min", SLOT(ServerConfig, tls.min), "1.2|1.3",
           "Lowest TLS version; 1.2 is logged as an exception."),
    Make("tls.ca", FieldType::kString, SLOT(ServerConfig, tls.ca),
         "PEM file of further certificate authorities."),
    Make("tls.certificate", FieldType::kString, SLOT(ServerConfig, tls.certificate),
         "PEM file of the certificate chain that is shown to a server that asks for one (mutual "
         "TLS); read again for the next connection when it changes."),
    Make("tls.key", FieldType::kString, SLOT(ServerConfig, tls.key),
         "PEM file of its private key; the same file where none is given."),
    Make("allowPlainHttp", FieldType::kBoolean, SLOT(ServerConfig, allow_plain_http),
         "Accept http:// and ws:// to another machine; logged as an exception."),
    Choice(
        "auth.grant", SLOT(ServerConfig, auth.grant),
        "authorization_code|client_credentials|enterprise|token_exchange|none",
        "How the server is logged in to by OAuth: by a user (authorization_code, also where "
        "nothing is set), by a secret of ours, by an identity provider's assertion, by exchanging "
        "the caller's own token (RFC 8693), or never."),
    Make("auth.clientId", FieldType::kString, SLOT(ServerConfig, auth.client_id),
         "Client registered by hand; without it the gateway registers itself where it can."),
    Secret(Make("auth.clientSecret", FieldType::kString, SLOT(ServerConfig, auth.client_secret),
                "Its secret.")),
    Secret(Make("auth.privateKey", FieldType::kString, SLOT(ServerConfig, auth.private_key),
                "Its private key (PEM, for example ${file:/path}), for private_key_jwt.")),
    Make("auth.keyId", FieldType::kString, SLOT(ServerConfig, auth.key_id), "Key id of that key."),
    Choice("auth.algorithm", SLOT(ServerConfig, auth.algorithm), "ES256|ES384|RS256|PS256|EdDSA",
           "Signature algorithm of that key; what fits it where none is given."),
    Make("auth.scopes", FieldType::kStrings, SLOT(ServerConfig, auth.scopes),
         "Scopes to ask for; what the server wants where none are given."),
    Make("auth.authorizationServer", FieldType::kUrl, SLOT(ServerConfig, auth.authorization_server),
         "Issuer that clientId belongs to; no other is accepted."),
    Make("auth.audience", FieldType::kString, SLOT(ServerConfig, auth.audience),
         "Of grant token_exchange: whom the tokens are for; the server's URL (as resource) where "
         "none is given."),
    Make("auth.perPrincipal", FieldType::kBoolean, SLOT(ServerConfig, auth.per_principal),
         "Everybody logs in for their own calls; lists are read with the operator's login."),
    Make("auth.privateNetworks", FieldType::kBoolean, SLOT(ServerConfig, auth.private_networks),
         "The authorization server may be on a private network."),
    Secret(Make("auth.idToken", FieldType::kString, SLOT(ServerConfig, auth.id_token),
                "The user's id token, of grant enterprise.")),
    Make("auth.identityProvider", FieldType::kUrl, SLOT(ServerConfig, auth.identity_provider),
         "Issuer of that token."),
    Make("auth.identityClientId", FieldType::kString, SLOT(ServerConfig, auth.identity_client_id),
         "Our client there."),
    Secret(Make("auth.identityClientSecret", FieldType::kString,
                SLOT(ServerConfig, auth.identity_client_secret), "Its secret.")),
    Make("sandbox.profile", FieldType::kString, SLOT(ServerConfig, sandbox.profile),
         "What a program on this machine may touch: none, default, strict, or a name of "
         "sandbox.profiles; empty is sandbox.profile. \"sandbox\": \"strict\" is short for it. The "
         "keys that follow change single rules, as they do in sandbox.profiles."),
    Make("sandbox.read", FieldType::kStrings, SLOT(ServerConfig, sandbox.read), kSandboxRead),
    Make("sandbox.write", FieldType::kStrings, SLOT(ServerConfig, sandbox.write), kSandboxWrite),
    Make("sandbox.network", FieldType::kStrings, SLOT(ServerConfig, sandbox.network),
         kSandboxNetwork),
    Make("sandbox.env", FieldType::kStrings, SLOT(ServerConfig, sandbox.env), kSandboxEnv),
    Number("sandbox.memoryBytes", SLOT(ServerConfig, sandbox.memory_bytes), 0, kTiB, "bytes",
           kSandboxMemory),
    Number("sandbox.processes", SLOT(ServerConfig, sandbox.processes), 0, 1'000'000, "",
           kSandboxProcesses),
    Number("sandbox.cpuS", SLOT(ServerConfig, sandbox.cpu_s), 0, kYearS, "s", kSandboxCpu),
    Number("sandbox.files", SLOT(ServerConfig, sandbox.files), 0, 1'000'000, "", kSandboxFiles),
    Number("sandbox.fileBytes", SLOT(ServerConfig, sandbox.file_bytes), 0, kTiB, "bytes",
           kSandboxFileBytes),
};

constexpr Field kSandbox[] = {
    Make("profile", FieldType::kString, SLOT(SandboxRules, profile),
         "The profile that this one is based on: default or strict; empty is strict."),
    Make("read", FieldType::kStrings, SLOT(SandboxRules, read), kSandboxRead),
    Make("write", FieldType::kStrings, SLOT(SandboxRules, write), kSandboxWrite),
    Make("network", FieldType::kStrings, SLOT(SandboxRules, network), kSandboxNetwork),
    Make("env", FieldType::kStrings, SLOT(SandboxRules, env), kSandboxEnv),
    Number("memoryBytes", SLOT(SandboxRules, memory_bytes), 0, kTiB, "bytes", kSandboxMemory),
    Number("processes", SLOT(SandboxRules, processes), 0, 1'000'000, "", kSandboxProcesses),
    Number("cpuS", SLOT(SandboxRules, cpu_s), 0, kYearS, "s", kSandboxCpu),
    Number("files", SLOT(SandboxRules, files), 0, 1'000'000, "", kSandboxFiles),
    Number("fileBytes", SLOT(SandboxRules, file_bytes), 0, kTiB, "bytes", kSandboxFileBytes),
};

constexpr Field kVirtual[] = {
    Bounded(Make("title", FieldType::kString, SLOT(VirtualServerConfig, title),
                 "Name shown to people."),
            256),
    Bounded(Make("instructions", FieldType::kString, SLOT(VirtualServerConfig, instructions),
                 "Instructions given to clients; by default those of its servers."),
            kTextMax),
    Bounded(Make("owner", FieldType::kString, SLOT(VirtualServerConfig, sharing.owner),
                 "Subject of whom the virtual server is."),
            256),
    Bounded(Make("team", FieldType::kString, SLOT(VirtualServerConfig, sharing.team),
                 "Team that it belongs to."),
            256),
    Choice("visibility", SLOT(VirtualServerConfig, sharing.visibility), "private|team|public",
           "Who sees and uses it, as for servers."),
    Globs("servers", SLOT(VirtualServerConfig, servers),
          "Globs over server names; empty means all."),
    Bounded(Make("prefix", FieldType::kString, SLOT(VirtualServerConfig, prefix),
                 "Prefix of names: slug, none, or a fixed text."),
            32),
    Globs("tools.include", SLOT(VirtualServerConfig, tools.include),
          "Globs over original and qualified names; empty means all."),
    Globs("tools.exclude", SLOT(VirtualServerConfig, tools.exclude), "Globs of what is left out."),
    Make("tools.annotations", FieldType::kJsonObject, SLOT(VirtualServerConfig, tools.annotations),
         "Every member must equal the tool's annotation."),
    Globs("resources.include", SLOT(VirtualServerConfig, resources.include), "Globs over URIs."),
    Globs("resources.exclude", SLOT(VirtualServerConfig, resources.exclude),
          "Globs of what is left out."),
    Globs("prompts.include", SLOT(VirtualServerConfig, prompts.include),
          "Globs over original and qualified names."),
    Globs("prompts.exclude", SLOT(VirtualServerConfig, prompts.exclude),
          "Globs of what is left out."),
    Make("overrides", FieldType::kNested, NoSlot,
         "Changes to single items, by qualified name (slug.original)."),
    Bounded(Make("metricsLabel", FieldType::kString, SLOT(VirtualServerConfig, metrics_label),
                 "Label of its metrics; by default its name."),
            64),
    Choice("mode", SLOT(VirtualServerConfig, mode), "all|search",
           "all: clients list every tool. search: they list search_tools, describe_tool and "
           "call_tool, by which they find and call the others."),
    Make("suggest", FieldType::kBoolean, SLOT(VirtualServerConfig, suggest),
         "Clients list suggest_workflow, too, which proposes a workflow for a task."),
    Number("maxOutput", SLOT(VirtualServerConfig, max_output), 0, 1'000'000'000, "",
           "Characters of a tool's result, above which it is cut with a remark that says so; 0: "
           "never. Results with an output schema are cut only by call_tool."),
    Make("disabled", FieldType::kBoolean, SLOT(VirtualServerConfig, disabled),
         "Keep the entry, do not serve it."),
};

constexpr Field kOverride[] = {
    Make("name", FieldType::kString, SLOT(OverrideConfig, name), "Name that clients see."),
    Make("title", FieldType::kString, SLOT(OverrideConfig, title), "Title that clients see."),
    Make("description", FieldType::kString, SLOT(OverrideConfig, description),
         "Description that clients see."),
    Make("annotations", FieldType::kJsonObject, SLOT(OverrideConfig, annotations),
         "Annotations laid over the item's own."),
    Make("disabled", FieldType::kBoolean, SLOT(OverrideConfig, disabled), "Leave the item out."),
    Make("arguments", FieldType::kNested, NoSlot, "Changes to arguments, by original name."),
};

constexpr Field kArgument[] = {
    Make("rename", FieldType::kString, SLOT(ArgumentConfig, rename), "Name that clients see."),
    Make("default", FieldType::kJson, SLOT(ArgumentConfig, default_value),
         "Value used when the client sends none."),
    Make("value", FieldType::kJson, SLOT(ArgumentConfig, value),
         "Value sent always; the argument is hidden."),
    Make("hidden", FieldType::kBoolean, SLOT(ArgumentConfig, hidden),
         "Clients do not see the argument."),
    Choice("coerce", SLOT(ArgumentConfig, coerce), "string|integer|number|boolean",
           "Convert what clients send to this type."),
};

constexpr Field kKey[] = {
    Make("name", FieldType::kString, SLOT(KeyConfig, name), "Name of the key in logs and audit."),
    Secret(Make("key", FieldType::kString, SLOT(KeyConfig, key),
                "The bearer key, at least 16 characters; write ${VAR} or ${file:/path}.")),
    Make("tenant", FieldType::kString, SLOT(KeyConfig, tenant), "Tenant of who uses it."),
    Make("roles", FieldType::kStrings, SLOT(KeyConfig, roles), "Roles of who uses it."),
};

constexpr Field kCertificate[] = {
    Make(
        "uri", FieldType::kString, SLOT(CertificateConfig, uri),
        "Alternative name of type URI, for example spiffe://example.com/ci, to the letter. Of this "
        "and the next three at least one is given, and all that are must fit."),
    Make("dns", FieldType::kString, SLOT(CertificateConfig, dns),
         "Alternative name of type DNS, in lower case."),
    Make("email", FieldType::kString, SLOT(CertificateConfig, email),
         "Alternative name of type email, to the letter."),
    Make("subject", FieldType::kString, SLOT(CertificateConfig, subject),
         "The whole subject as 'openssl x509 -subject -nameopt RFC2253' writes it: "
         "CN=ci,O=Example."),
    Make("tenant", FieldType::kString, SLOT(CertificateConfig, tenant), "Tenant of who shows it."),
    Make("roles", FieldType::kStrings, SLOT(CertificateConfig, roles), "Roles of who shows it."),
    Make("teams", FieldType::kStrings, SLOT(CertificateConfig, teams), "Teams of who shows it."),
};

constexpr Field kBasicUser[] = {
    Secret(Make("hash", FieldType::kString, SLOT(BasicUserConfig, hash),
                "Argon2id hash of the password, as 'meta-mcp token password' makes it.")),
    Make("tenant", FieldType::kString, SLOT(BasicUserConfig, tenant), "Tenant of the user."),
    Make("roles", FieldType::kStrings, SLOT(BasicUserConfig, roles), "Roles of the user."),
    Make("teams", FieldType::kStrings, SLOT(BasicUserConfig, teams), "Teams of the user."),
};

constexpr Field kIssuer[] = {
    Make("issuer", FieldType::kString, SLOT(IssuerConfig, issuer),
         "The claim iss of its tokens, to the letter."),
    Make("jwksUrl", FieldType::kUrl, SLOT(IssuerConfig, jwks_url),
         "Where its keys are (JWK set). Empty: found in the issuer's metadata."),
    Make("jwksFile", FieldType::kString, SLOT(IssuerConfig, jwks_file),
         "File of its keys, instead; read again when a token names another key."),
    Make("audiences", FieldType::kStrings, SLOT(IssuerConfig, audiences),
         "Claims aud that are good at every address of the gateway. Tokens for the URL of one "
         "virtual server are good there without being named here."),
    Make("algorithms", FieldType::kStrings, SLOT(IssuerConfig, algorithms),
         "Of RS256, RS384, RS512, PS256, ES256, ES384 and EdDSA. Empty: all of them."),
    Choice("defaultRole", SLOT(IssuerConfig, default_role),
           "admin|operator|developer|viewer|auditor",
           "Role of those whose token names none. Empty: none."),
    Make("subjectClaim", FieldType::kString, SLOT(IssuerConfig, subject_claim),
         "Claim that says who it is. It must be one that its bearers cannot choose."),
    Make("nameClaim", FieldType::kString, SLOT(IssuerConfig, name_claim),
         "Claim with a name to show."),
    Make("rolesClaim", FieldType::kString, SLOT(IssuerConfig, roles_claim),
         "Claim with roles; dots lead into objects, as in realm_access.roles."),
    Make("teamsClaim", FieldType::kString, SLOT(IssuerConfig, teams_claim), "Claim with teams."),
    Make("scopesClaim", FieldType::kString, SLOT(IssuerConfig, scopes_claim),
         "Claim with scopes. Empty: scope, else scp."),
    Make("roleMap", FieldType::kStringMap, SLOT(IssuerConfig, role_map),
         "Our roles by what the claim says: {\"MCP.Admins\": \"admin\"}; others then count for "
         "nothing. Empty: our own names count."),
    Choice("tls.min", SLOT(IssuerConfig, tls.min), "1.2|1.3", "Oldest TLS version for its keys."),
    Make("tls.ca", FieldType::kString, SLOT(IssuerConfig, tls.ca),
         "PEM file of further authorities for its keys."),
};

constexpr Field kAiProvider[] = {
    Choice("api", SLOT(AiProviderConfig, api), "responses|chat|anthropic",
           "The API that it speaks: OpenAI's Responses or Chat Completions, which others offer, "
           "too, or Anthropic's Messages."),
    Make("url", FieldType::kUrl, SLOT(AiProviderConfig, url),
         "Where the API is, for example http://127.0.0.1:8000/v1; empty: the vendor's own."),
    Make("model", FieldType::kString, SLOT(AiProviderConfig, model), "Name of the model."),
    Secret(Make("key", FieldType::kString, SLOT(AiProviderConfig, key),
                "API key; write ${VAR} or ${file:/path}.")),
    Number("timeoutMs", SLOT(AiProviderConfig, timeout_ms), 100, 600'000, "ms",
           "Longest time for one answer."),
    Number("outputTokensMax", SLOT(AiProviderConfig, output_tokens_max), 16, 1'000'000, "",
           "Tokens of one answer at most."),
    Make("stream", FieldType::kBoolean, SLOT(AiProviderConfig, stream),
         "Read answers as they are made."),
    Make("jsonSchema", FieldType::kBoolean, SLOT(AiProviderConfig, json_schema),
         "The API can hold answers to a JSON Schema; else the schema is part of the question."),
    Make("allowPlainHttp", FieldType::kBoolean, SLOT(AiProviderConfig, allow_plain_http),
         "Accept http:// to another machine."),
    Number("requestsPerMinute", SLOT(AiProviderConfig, requests_per_minute), 0, 1'000'000, "",
           "Requests to it at most; 0: no limit."),
    Number("tokensPerDay", SLOT(AiProviderConfig, tokens_per_day), 0, INT64_MAX, "",
           "Tokens in and out at most; 0: no limit."),
    Number("inputCents", SLOT(AiProviderConfig, input_cents), 0, 10'000'000, "",
           "Price of a million tokens in, in cents of your currency."),
    Number("outputCents", SLOT(AiProviderConfig, output_cents), 0, 10'000'000, "",
           "Price of a million tokens out."),
};
constexpr Field kLimitRule[] = {
    Bounded(Make("name", FieldType::kString, SLOT(LimitRuleConfig, name),
                 "What errors, metrics and the command line call it; empty: made of the others."),
            64),
    Choice("scope", SLOT(LimitRuleConfig, scope),
           "global|tenant|principal|team|client|upstream|tool",
           "What is limited. Each value has its own allowance: every principal, every tool. A "
           "client is called what it calls itself."),
    Bounded(Make("match", FieldType::kString, SLOT(LimitRuleConfig, match),
                 "Glob over the values, * for all: subjects, slugs, tools by qualified or exposed "
                 "name."),
            256),
    Choice("per", SLOT(LimitRuleConfig, per), "tenant|principal|team|client|upstream|tool",
           "A second scope: each pair of values has its own allowance."),
    Choice("surface", SLOT(LimitRuleConfig, surface), "calls|admin",
           "calls: tools, prompts, resources, completions; admin: requests to the REST API, where "
           "scope is global, tenant, principal or team."),
    Bounded(Make("rate", FieldType::kString, SLOT(LimitRuleConfig, rate),
                 "So many in the long run, as 10/second, 100/minute or 1000/hour."),
            32),
    Number("burst", SLOT(LimitRuleConfig, burst), 0, 1'000'000'000, "",
           "So many at once after a time of rest; 0: as many as the rate names."),
    Number("concurrency", SLOT(LimitRuleConfig, concurrency), 0, 1'000'000, "",
           "So many at the same time; 0: any number."),
    Number("dailyQuota", SLOT(LimitRuleConfig, daily_quota), 0, 1'000'000'000'000, "",
           "So many in one day of UTC; 0: any number. Survives restarts."),
};
#undef SLOT

std::string SlotText(const Slot& slot) {
  std::string out;
  if (const auto* text = std::get_if<std::string*>(&slot)) {
    out = **text;
  } else if (const auto* number = std::get_if<int64_t*>(&slot)) {
    out = StrCat(**number);
  } else if (const auto* flag = std::get_if<bool*>(&slot)) {
    out = **flag ? "true" : "false";
  } else if (const auto* list = std::get_if<std::vector<std::string>*>(&slot)) {
    for (const std::string& item : **list) out += (out.empty() ? "" : ",") + item;
  } else if (const auto* map = std::get_if<std::map<std::string, std::string>*>(&slot)) {
    for (const auto& [key, value] : **map) {
      out += StrCat(out.empty() ? "" : ",", key, "=", value);
    }
  }
  return out;
}

}  // namespace

std::span<const Field> LimitRuleFields() { return kLimitRule; }
std::span<const Field> ServerFields() { return kServer; }
std::span<const Field> VirtualServerFields() { return kVirtual; }
std::span<const Field> OverrideFields() { return kOverride; }
std::span<const Field> ArgumentFields() { return kArgument; }
std::span<const Field> KeyFields() { return kKey; }
std::span<const Field> SandboxFields() { return kSandbox; }
std::span<const Field> CertificateFields() { return kCertificate; }
std::span<const Field> BasicUserFields() { return kBasicUser; }
std::span<const Field> IssuerFields() { return kIssuer; }
std::span<const Field> AiProviderFields() { return kAiProvider; }

const Field* FindField(std::span<const Field> fields, std::string_view path) {
  for (const Field& field : fields) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

std::string EnvironmentName(std::string_view path) {
  std::string out = "META_MCP_";
  for (const char c : path) {
    if (c == '.') {
      out.push_back('_');
      continue;
    }
    if (absl::ascii_isupper(c)) out.push_back('_');
    out.push_back(absl::ascii_toupper(c));
  }
  return out;
}

std::string FieldText(const Field& field, const void* object) {
  // Slots are handed out for writing; here nothing is written.
  const std::string text = SlotText(field.slot(const_cast<void*>(object)));
  return field.secret && !text.empty() ? "***" : text;
}

std::string DefaultText(const Field& setting) {
  static const Config kDefaults;
  return FieldText(setting, &kDefaults);
}

}  // namespace metamcp::config
