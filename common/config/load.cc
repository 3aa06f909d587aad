#include "common/config/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <tuple>

#include "absl/strings/match.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/cache_rule.h"
#include "common/config/counter_rule.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kDomain = "config";
constexpr std::string_view kEnvironmentPrefix = "META_MCP_";
// Variables of that prefix that are no settings.
constexpr std::string_view kOtherVariables[] = {"META_MCP_CONFIG", "META_MCP_DATA_DIR",
                                                "META_MCP_URL", "META_MCP_TOKEN"};

constexpr char kJwtSecretVariable[] = "JWT_SECRET_KEY";

// Replaces references in the strings below `node`.
void ExpandTree(ReadContext& context, JsonNode* node) {
  for (JsonNode& item : node->items) ExpandTree(context, &item);
  for (JsonMember& member : node->members) ExpandTree(context, &member.value);
  if (node->kind != JsonNode::Kind::kString || !absl::StrContains(node->text, "${")) return;
  context.expanded.insert(node);
  if (!context.options.resolve) return;
  auto value = Expand(node->text, context.options.env);
  if (value.ok()) {
    node->text = *std::move(value);
    return;
  }
  const bool missing = value.status().code() == absl::StatusCode::kNotFound;
  context.Error(node->at, std::string(Sv(value.status().message())),
                missing ? "set it, or give a default: ${NAME:-value}" : "");
}

bool IsServersKey(std::string_view key) { return key == "mcpServers" || key == "servers"; }

// Members of the root that are not settings.
class RootReader {
 public:
  explicit RootReader(ReadContext& context) : context_(context) {}

  void Read(JsonNode* root) {
    for (JsonMember& member : root->members) {
      if (!IsServersKey(member.key)) ExpandTree(context_, &member.value);
    }
    ObjectReader reader(context_, Settings(), &context_.config());
    reader.more_keys = {"mcpServers",   "virtualServers",    "auth.keys",
                        "auth.issuers", "auth.certificates", "auth.basic.users",
                        "ai.providers", "limits.rules",      "sandbox.profiles"};
    reader.extra = [this](const std::string& path, const JsonMember& member) {
      return ReadExtra(path, member);
    };
    reader.on_set = [this](const Field& field, const JsonNode& node) {
      ConfigOrigin& origin = context_.out->loaded.origins[std::string(field.path)];
      origin.source = ConfigOrigin::Source::kFile;
      origin.detail = StrCat(context_.file, ":", node.at.line, ":", node.at.column);
    };
    reader.Read(*root, "", "");
    if (servers_ != nullptr && servers_->kind == JsonNode::Kind::kObject) {
      CheckServerLinks(context_, *servers_);
    }
    if (virtual_ != nullptr) ReadVirtualServers(context_, *virtual_);
    CheckAiOrder(context_, *root);
    CheckSandboxLinks(context_, *root);
    CheckAcross(*root);
  }

 private:
  bool ReadExtra(const std::string& key, const JsonMember& member) {
    if (IsServersKey(key)) {
      if (servers_ != nullptr) {
        context_.Error(member.at, "found both mcpServers and servers, expected one of them",
                       "move all servers into mcpServers");
        return true;
      }
      servers_ = &member.value;
      ReadServers(context_, member.value);
    } else if (key == "virtualServers") {
      virtual_ = &member.value;
    } else if (key == "auth.keys") {
      ReadKeys(context_, member.value);
    } else if (key == "auth.certificates") {
      ReadCertificates(context_, member.value);
    } else if (key == "auth.basic.users") {
      ReadBasicUsers(context_, member.value);
    } else if (key == "auth.issuers") {
      ReadIssuers(context_, member.value);
    } else if (key == "ai.providers") {
      ReadAiProviders(context_, member.value);
    } else if (key == "limits.rules") {
      ReadLimitRules(context_, member.value);
    } else if (key == "sandbox.profiles") {
      ReadSandboxProfiles(context_, member.value);
    } else if (key == "inputs") {
      context_.Note(member.at, "inputs is ignored: nobody can be asked at start",
                    "write ${VAR} instead of ${input:...} and set the variable");
    } else if (key != "$schema") {
      return false;
    }
    return true;
  }

  // The place of a setting in the file, or nowhere.
  static Position PlaceOf(const JsonNode& root, std::string_view section, std::string_view key) {
    const JsonNode* group = root.Find(section);
    const JsonNode* value = group == nullptr ? nullptr : group->Find(key);
    return value == nullptr ? Position() : value->at;
  }

  void CheckAcross(const JsonNode& root) {
    const Config& c = context_.config();
    const std::string& separator = c.gateway.name_separator;
    const bool good = !separator.empty() && separator.size() <= 4 &&
                      separator.find_first_not_of(
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
                          "wxyz0123456789_-") == std::string::npos;
    if (!good) {
      context_.Error(PlaceOf(root, "gateway", "nameSeparator"),
                     StrCat("found \"", separator,
                            "\" for gateway.nameSeparator, expected 1 to 4 "
                            "characters of A-Z, a-z, 0-9, _ and -"),
                     "write \"__\"");
    }
    if (c.connector.backoff.min_ms > c.connector.backoff.max_ms) {
      context_.Error(PlaceOf(root, "connector", "backoff"),
                     StrCat("found connector.backoff.minMs ", c.connector.backoff.min_ms,
                            " above maxMs ", c.connector.backoff.max_ms),
                     "lower minMs or raise maxMs");
    }
    for (size_t i = 0; i < c.telemetry.counters.size(); ++i) {
      const auto rule = ParseCounterRule(c.telemetry.counters[i]);
      if (rule.ok()) continue;
      context_.Error(PlaceOf(root, "telemetry", "counters"),
                     StrCat("found \"", c.telemetry.counters[i],
                            "\" in telemetry.counters: ", Sv(rule.status().message())),
                     "write \"NAME FIELD=GLOB ...\", for example \"pushes item=*push\"");
    }
    for (const std::string& text : c.cache.resources) {
      const auto rule = ParseCacheRule(text);
      if (rule.ok()) continue;
      context_.Error(
          PlaceOf(root, "cache", "resources"),
          StrCat("found \"", text, "\" in cache.resources: ", Sv(rule.status().message())),
          "write \"SERVER SECONDS\", for example \"docs-* 60\"");
    }
    const std::string& url = c.database.url;
    const bool known = url.empty() || absl::StartsWith(url, "sqlite:") ||
                       absl::StartsWith(url, "postgresql://") ||
                       absl::StartsWith(url, "postgres://") || absl::StrContains(url, "${");
    if (!known) {
      context_.Error(PlaceOf(root, "database", "url"),
                     "found another kind of URL for database.url, expected postgresql://... or "
                     "sqlite:PATH",
                     "remove it for storage.db in the data directory");
    }
  }

  ReadContext& context_;
  const JsonNode* servers_ = nullptr;
  const JsonNode* virtual_ = nullptr;
};

void Overlay(const std::string& file, const Field& field, std::string_view text,
             ConfigOrigin::Source source, const std::string& name, CheckResult* out) {
  const std::string wrong = SetFromText(field, text, &out->loaded.config);
  if (!wrong.empty()) {
    Problem problem;
    problem.file = file;
    problem.message = StrCat(wrong, " for ", field.path);
    out->errors.push_back(std::move(problem));
    return;
  }
  ConfigOrigin& origin = out->loaded.origins[std::string(field.path)];
  origin.source = source;
  origin.detail = name;
}

void OverlayEnvironment(const LoadOptions& options, CheckResult* out) {
  std::vector<std::string> known;
  for (const Field& field : Settings()) {
    const std::string name = EnvironmentName(field.path);
    known.push_back(name);
    const auto found = options.env.find(name);
    if (found == options.env.end()) continue;
    Overlay(StrCat("environment variable ", name), field, found->second,
            ConfigOrigin::Source::kEnvironment, name, out);
  }
  // Its name elsewhere, where no setting says otherwise.
  const auto secret = options.env.find(kJwtSecretVariable);
  if (secret != options.env.end() && out->loaded.config.auth.jwt.secret.empty()) {
    Overlay(StrCat("environment variable ", kJwtSecretVariable),
            *FindField(Settings(), "auth.jwt.secret"), secret->second,
            ConfigOrigin::Source::kEnvironment, std::string(kJwtSecretVariable), out);
  }
  for (auto it = options.env.lower_bound(kEnvironmentPrefix);
       it != options.env.end() && absl::StartsWith(it->first, Av(kEnvironmentPrefix)); ++it) {
    const bool other = std::find(std::begin(kOtherVariables), std::end(kOtherVariables),
                                 it->first) != std::end(kOtherVariables);
    if (other || std::find(known.begin(), known.end(), it->first) != known.end()) continue;
    // Only a note: users name variables of their own servers as they like.
    Problem note;
    note.file = StrCat("environment variable ", it->first);
    note.message = "names no setting and is ignored";
    const std::string nearest = Nearest(it->first, known);
    if (!nearest.empty()) note.mend = StrCat("did you mean ", nearest, "?");
    out->loaded.notes.push_back(std::move(note));
  }
}

void OverlayFlags(const LoadOptions& options, CheckResult* out) {
  for (const auto& [path, text] : options.flags) {
    const Field* field = FindField(Settings(), path);
    if (field == nullptr) {
      Problem problem;
      problem.message = StrCat("found the unknown setting \"", path, "\" on the command line");
      std::vector<std::string_view> known;
      for (const Field& f : Settings()) known.push_back(f.path);
      const std::string nearest = Nearest(path, known);
      if (!nearest.empty()) problem.mend = StrCat("did you mean \"", nearest, "\"?");
      out->errors.push_back(std::move(problem));
      continue;
    }
    const std::string name =
        field->flag.empty() ? StrCat("--set ", path) : std::string(field->flag);
    Overlay(StrCat("flag ", name), *field, text, ConfigOrigin::Source::kFlag, name, out);
  }
}

void ReadText(std::string_view text, const std::string& file, const LoadOptions& options,
              CheckResult* out) {
  JsonTree tree = ParseJsonc(text, file);
  if (!tree.errors.empty()) {
    out->errors = std::move(tree.errors);
    return;
  }
  ReadContext context(file, options, out);
  if (tree.root.kind != JsonNode::Kind::kObject) {
    context.Error(tree.root.at, StrCat("found ", KindName(tree.root.kind), ", expected an object"),
                  "write { ... }");
    return;
  }
  if (IsVersion0(tree.root)) {
    context.Note(tree.root.at, "this file has schema version 0, the current one is 1",
                 "run 'meta-mcp config migrate'");
    for (Problem& p : UpgradeTree(file, &tree.root)) out->loaded.notes.push_back(std::move(p));
  }
  if (const JsonNode* version = tree.root.Find("version");
      version != nullptr && version->is_integer && version->integer > 1) {
    context.Error(version->at, StrCat("found version ", version->integer, ", expected 1"),
                  "update meta-mcp, which is older than this file");
    return;
  }
  RootReader(context).Read(&tree.root);
}

// Names a value in the file that looks like a credential written out, or "".
std::string LiteralCredential(const std::string& text, const LoadOptions& options) {
  LoadOptions raw = options;
  raw.resolve = false;
  raw.flags.clear();
  raw.env.clear();
  CheckResult check;
  ReadText(text, "", raw, &check);
  const auto literal = [](const std::string& value) {
    return !value.empty() && !absl::StrContains(value, "${");
  };
  for (const auto& [name, server] : check.loaded.config.mcp_servers) {
    for (const auto& [key, value] : server.headers) {
      if (literal(value)) return StrCat("mcpServers.", name, ".headers.", key);
    }
    for (const auto& [key, value] : server.env) {
      if (literal(value)) return StrCat("mcpServers.", name, ".env.", key);
    }
  }
  for (const KeyConfig& key : check.loaded.config.auth.keys) {
    if (literal(key.key)) return StrCat("auth.keys (", key.name, ")");
  }
  if (literal(check.loaded.config.auth.jwt.secret)) return "auth.jwt.secret";
  for (const auto& [name, provider] : check.loaded.config.ai.providers) {
    if (literal(provider.key)) return StrCat("ai.providers.", name, ".key");
  }
  const std::string& url = check.loaded.config.database.url;
  return literal(url) && absl::StrContains(url, "@") ? "database.url" : "";
}

void CheckPermissions(const std::string& path, mode_t mode, const std::string& text,
                      const LoadOptions& options, LoadResult* result) {
  if ((mode & (S_IRGRP | S_IROTH)) == 0) return;
  const std::string where = LiteralCredential(text, options);
  if (where.empty()) return;
  Problem note;
  note.file = path;
  note.message =
      StrCat("others on this machine can read this file, and ", where, " is written out in it");
  note.mend = StrCat("run 'chmod 600 ", path, "', or write ${VAR} or ${file:/path}");
  result->notes.push_back(std::move(note));
}

absl::Status ReadError(const std::string& path, int error) {
  const bool denied = error == EACCES || error == EPERM;
  return MakeError(denied            ? "PERMISSION_DENIED"
                   : error == ENOENT ? "NOT_FOUND"
                                     : "CONFIG_INVALID",
                   kDomain, StrCat(path, ": cannot be read: ", std::strerror(error)));
}

}  // namespace

std::string_view OriginName(ConfigOrigin::Source source) {
  switch (source) {
    case ConfigOrigin::Source::kDefault:
      return "default";
    case ConfigOrigin::Source::kFile:
      return "file";
    case ConfigOrigin::Source::kEnvironment:
      return "environment";
    case ConfigOrigin::Source::kFlag:
      return "flag";
  }
  return "default";
}

CheckResult CheckConfig(std::string_view text, const std::string& file,
                        const LoadOptions& options) {
  CheckResult out;
  for (const Field& field : Settings()) out.loaded.origins[std::string(field.path)];
  ReadText(text, file, options, &out);
  OverlayEnvironment(options, &out);
  OverlayFlags(options, &out);
  CheckAuth(out.loaded.config.auth, &out);
  CheckGatewayTls(&out);
  ReadPolicy(file, options, &out);
  std::stable_sort(out.errors.begin(), out.errors.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.line, a.at.column) < std::tie(b.at.line, b.at.column);
  });
  return out;
}

absl::StatusOr<LoadResult> LoadConfigBlocking(const std::string& path, const LoadOptions& options) {
  struct stat info {};
  std::string text = "{}";
  bool from_file = false;
  if (stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) return ReadError(path, EISDIR);
    std::ifstream in(path, std::ios::binary);
    if (!in) return ReadError(path, errno);
    text.assign(kConfigBytesMax + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(in.gcount()));
    from_file = true;
  } else if (errno != ENOENT || options.require_file) {
    return ReadError(path, errno);
  }
  CheckResult check = CheckConfig(text, path, options);
  if (!check.errors.empty()) {
    return MakeError("CONFIG_INVALID", kDomain, FormatErrors(check.errors));
  }
  check.loaded.from_file = from_file;
  if (from_file) CheckPermissions(path, info.st_mode, text, options, &check.loaded);
  return std::move(check.loaded);
}

}  // namespace metamcp::config
