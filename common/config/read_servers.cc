#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/expand.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

// Keys that other clients write into the same block.
struct ForeignKey {
  std::string_view key;
  std::string_view maps_to;  // a key of ours; empty: ignored
  std::string_view why;      // for the note
};
constexpr ForeignKey kForeign[] = {
    {"alwaysAllow", "", "what runs without asking stays with the client"},
    {"autoApprove", "", "what runs without asking stays with the client"},
    {"description", "", "people see displayName and the server's own instructions"},
    {"dev", "", "it belongs to the editor"},
    {"disabledTools", "", "choose tools with virtualServers.<name>.tools.exclude"},
    {"enabledTools", "", "choose tools with virtualServers.<name>.tools.include"},
    {"envFile", "", "put its variables under env, or into the environment as ${VAR}"},
    {"excludeTools", "", "choose tools with virtualServers.<name>.tools.exclude"},
    {"gallery", "", "it belongs to the editor"},
    {"httpUrl", "url", ""},
    {"icon", "", "it belongs to the editor"},
    {"id", "", "the name is the key"},
    {"includeTools", "", "choose tools with virtualServers.<name>.tools.include"},
    {"name", "displayName", ""},
    {"oauth", "", "a login that needs a client of its own is set under auth"},
    {"serverUrl", "url", ""},
    {"timeout", "", "its unit differs between clients; use timeoutMs"},
    {"transport", "type", ""},
    {"transportType", "type", ""},
    {"trust", "", "what runs without asking stays with the client"},
    {"version", "", "pin the version in args"},
};

constexpr std::pair<std::string_view, std::string_view> kTypeSynonyms[] = {
    {"streamable-http", "http"}, {"streamableHttp", "http"}, {"streamable_http", "http"},
    {"streamable", "http"},      {"websocket", "ws"},        {"local", "stdio"},
    {"STDIO", "stdio"},          {"remote", "http"}};

constexpr size_t kNameBytesMax = 256;  // as the catalog has it

bool IsToken(std::string_view s) {
  constexpr std::string_view kExtra = "!#$%&'*+-.^_`|~";  // RFC 9110, section 5.6.2
  return !s.empty() && std::all_of(s.begin(), s.end(), [kExtra](char c) {
    return absl::ascii_isalnum(c) || kExtra.find(c) != std::string_view::npos;
  });
}

bool IsLoopbackUrl(std::string_view url) {
  for (const std::string_view prefix : {"http://127.", "http://localhost", "http://[::1]",
                                        "ws://127.", "ws://localhost", "ws://[::1]"}) {
    if (url.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

class ServerReader {
 public:
  ServerReader(ReadContext& context, const JsonMember& member)
      : context_(context), member_(member), where_(StrCat("mcpServers.", member.key)) {}

  void Read() {
    server_.display_name = member_.key;
    ObjectReader reader(context_, ServerFields(), &server_);
    reader.extra = [this](const std::string& path, const JsonMember& m) {
      return path == m.key ? ReadForeign(m) : ReadForeignAuth(path, m);
    };
    const size_t errors_before = context_.out->errors.size();
    const JsonNode normal = WithOurTypeName(member_.value);
    reader.Read(normal, "", where_);
    if (member_.value.kind == JsonNode::Kind::kObject &&
        errors_before == context_.out->errors.size()) {
      CheckShape();
      CheckValues();
    }
    CheckVariables();
    context_.config().mcp_servers.emplace(member_.key, std::move(server_));
  }

 private:
  // A copy in which `type` has our spelling; the copy keeps the places.
  static JsonNode WithOurTypeName(JsonNode node) {
    for (JsonMember& m : node.members) {
      if (m.key != "type" && m.key != "transport" && m.key != "transportType") continue;
      for (const auto& [theirs, ours] : kTypeSynonyms) {
        if (m.value.text == theirs) m.value.text = std::string(ours);
      }
    }
    return node;
  }

  // Cursor's spelling.
  bool ReadForeignAuth(const std::string& path, const JsonMember& m) {
    const std::string_view ours = path == "auth.CLIENT_ID"       ? "auth.clientId"
                                  : path == "auth.CLIENT_SECRET" ? "auth.clientSecret"
                                                                 : "";
    if (ours.empty()) return false;
    SetFromNode(context_, *FindField(ServerFields(), ours), m.value, StrCat(where_, ".", path),
                &server_);
    return true;
  }

  bool ReadForeign(const JsonMember& m) {
    if (m.key == "auth" && m.value.kind != JsonNode::Kind::kObject) {
      context_.Note(m.at, StrCat(where_, ".auth is ignored: a login is asked for where needed"),
                    "");
      return true;
    }
    if (m.key == "enabled" && m.value.kind == JsonNode::Kind::kBool) {
      server_.disabled = !m.value.boolean;
      return true;
    }
    if (m.key == "sandbox" && m.value.kind == JsonNode::Kind::kString) {
      server_.sandbox.profile = m.value.text;
      return true;
    }
    const auto* foreign = std::find_if(std::begin(kForeign), std::end(kForeign),
                                       [&m](const ForeignKey& f) { return f.key == m.key; });
    if (foreign == std::end(kForeign)) return false;
    if (foreign->maps_to.empty()) {
      context_.Note(m.at, StrCat(where_, ".", m.key, " is ignored: ", foreign->why), "");
      return true;
    }
    if (member_.value.Find(foreign->maps_to) != nullptr) {
      context_.Note(
          m.at, StrCat(where_, ".", m.key, " is ignored: ", foreign->maps_to, " is there too"), "");
      return true;
    }
    SetFromNode(context_, *FindField(ServerFields(), foreign->maps_to), m.value,
                StrCat(where_, ".", m.key), &server_);
    return true;
  }

  Position PlaceOfKey(std::string_view key) const {
    const JsonMember* m = member_.value.FindMember(key);
    return m == nullptr ? member_.at : m->value.at;
  }

  void CheckShape() {
    const bool has_command = !server_.command.empty();
    const bool has_url = !server_.url.empty();
    if (has_command && has_url) {
      context_.Error(member_.at,
                     StrCat("found both command and url in ", where_, ", expected one of them"),
                     "split it into two servers");
      return;
    }
    if (!has_command && !has_url) {
      const bool wants_url = !server_.type.empty() && server_.type != "stdio";
      context_.Error(member_.at,
                     StrCat("found no ",
                            wants_url              ? "url"
                            : server_.type.empty() ? "command and no url"
                                                   : "command",
                            " in ", where_),
                     wants_url ? "add \"url\": \"https://...\""
                               : "add \"command\": \"...\" or \"url\": \"https://...\"");
      return;
    }
    if (server_.type.empty()) server_.type = has_command ? "stdio" : TypeOfUrl();
    if ((server_.type == "stdio") == has_command) return;
    context_.Error(PlaceOfKey("type"),
                   StrCat("found type ", server_.type, " with a ", has_command ? "command" : "url",
                          " in ", where_),
                   StrCat("write \"type\": \"", has_command ? "stdio" : "http", "\""));
  }

  std::string TypeOfUrl() const {
    const std::string_view url = server_.url;
    if (url.substr(0, 5) == "ws://" || url.substr(0, 6) == "wss://") return "ws";
    return "http";
  }

  void CheckValues() {
    for (const auto& [name, value] : server_.env) {
      if (name.empty() || name.find('=') != std::string::npos) {
        context_.Error(
            PlaceOfKey("env"),
            StrCat("found the name \"", name, "\" in ", where_, ".env, expected a variable's name"),
            "remove '='");
      }
    }
    for (const auto& [name, value] : server_.headers) {
      if (!IsToken(name)) {
        context_.Error(PlaceOfKey("headers"),
                       StrCat("found the name \"", name, "\" in ", where_,
                              ".headers, expected an HTTP header's name"),
                       "remove the colon and spaces");
      }
      if (value.find_first_of("\r\n") != std::string::npos) {
        context_.Error(PlaceOfKey("headers"),
                       StrCat("found a line break in ", where_, ".headers.", name), "remove it");
      }
    }
    CheckAuth();
    if (server_.tls.certificate.empty() && !server_.tls.key.empty()) {
      context_.Error(PlaceOfKey("tls"),
                     StrCat("found ", where_, ".tls.key without tls.certificate"),
                     "add \"certificate\": \"/path\"");
    }
    if (server_.type != "stdio" && server_.sandbox != SandboxRules()) {
      context_.Error(PlaceOfKey("sandbox"),
                     StrCat("found ", where_, ".sandbox for a server on another machine"),
                     "remove it; only programs that are started here have one");
    }
    CheckSandboxRules(context_, server_.sandbox, PlaceOfKey("sandbox"), where_ + ".sandbox");
    const bool plain =
        absl::StartsWith(server_.url, "http://") || absl::StartsWith(server_.url, "ws://");
    if (plain && !server_.allow_plain_http && !IsLoopbackUrl(server_.url)) {
      context_.Note(PlaceOfKey("url"),
                    StrCat(where_, " is another machine over plain http and will not be connected"),
                    "use https://, or accept it with \"allowPlainHttp\": true");
    }
    if (server_.args.empty() && server_.command.find(' ') != std::string::npos &&
        server_.command.find('/') == std::string::npos) {
      context_.Note(PlaceOfKey("command"), StrCat(where_, ".command holds a space"),
                    "put what follows it into \"args\": [\"...\"]");
    }
  }

  void CheckAuth() {
    const ServerAuthConfig& auth = server_.auth;
    const auto wrong = [this](std::string what, std::string mend) {
      context_.Error(PlaceOfKey("auth"), StrCat("found ", where_, ".auth ", what), std::move(mend));
    };
    if (auth == ServerAuthConfig()) return;
    if (server_.type == "stdio") {
      return wrong("for a program on this machine", "remove it; give it its key under env");
    }
    if (server_.type == "ws") {
      return wrong("for a server over WebSocket", "remove it; give it its key under headers");
    }
    const bool machine = auth.grant == "client_credentials" || auth.grant == "enterprise";
    if (machine && auth.client_id.empty()) {
      wrong(StrCat("with grant ", auth.grant, " and no clientId"), "add \"clientId\": \"...\"");
    }
    if (machine && auth.per_principal) {
      wrong("with perPrincipal, but no user logs in", "remove one of them");
    }
    if (auth.grant == "token_exchange") {
      if (auth.client_id.empty()) {
        wrong("with grant token_exchange and no clientId", "add \"clientId\": \"...\"");
      }
      if (auth.authorization_server.empty()) {
        // Else the server itself could say who gets its callers' tokens.
        wrong("with grant token_exchange and no authorizationServer",
              "add \"authorizationServer\": \"https://...\", which gets the callers' tokens");
      }
      if (auth.per_principal) wrong("with perPrincipal and grant token_exchange", "remove one");
    }
    if (auth.grant != "token_exchange" && !auth.audience.empty()) {
      wrong("with an audience and another grant than token_exchange", "remove the audience");
    }
    if (auth.grant == "client_credentials" && auth.client_secret.empty() &&
        auth.private_key.empty()) {
      wrong("with neither clientSecret nor privateKey", "add \"clientSecret\": \"${NAME}\"");
    }
    if (auth.grant == "enterprise" && (auth.id_token.empty() || auth.identity_provider.empty())) {
      wrong("with grant enterprise and no idToken or identityProvider", "add both");
    }
    if (auth.client_id.empty() && (!auth.client_secret.empty() || !auth.private_key.empty())) {
      wrong("with a secret and no clientId", "add \"clientId\": \"...\"");
    }
  }

  void CheckVariables() {
    if (!context_.options.resolve) return;
    for (const std::string_view key : {"command", "args", "env", "cwd", "url", "headers", "auth"}) {
      if (const JsonNode* node = member_.value.Find(key)) CheckVariablesOf(*node);
    }
  }

  void CheckVariablesOf(const JsonNode& node) {
    for (const JsonNode& item : node.items) CheckVariablesOf(item);
    for (const JsonMember& m : node.members) CheckVariablesOf(m.value);
    if (node.kind != JsonNode::Kind::kString) return;
    const auto value = Expand(node.text, context_.options.env);
    if (value.ok()) return;
    const auto info = GetErrorInfo(value.status());
    if (info && info->metadata.count("secret") > 0) return;  // the vault is not read with the file
    std::string message = StrCat(where_, ": ", Sv(value.status().message()));
    if (context_.options.require_server_variables) {
      context_.Error(node.at, std::move(message), "set it, or give a default: ${NAME:-value}");
    } else {
      context_.Note(node.at, std::move(message), "this server stays unconnected until it is");
    }
  }

  ReadContext& context_;
  const JsonMember& member_;
  const std::string where_;
  ServerConfig server_;
};

}  // namespace

void ReadServers(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kObject) {
    context.Error(node.at,
                  StrCat("found ", KindName(node.kind), " for mcpServers, expected an object"),
                  "write \"mcpServers\": { \"name\": { ... } }");
    return;
  }
  std::map<std::string, const JsonMember*> by_slug;
  for (const JsonMember& member : node.members) {
    const std::string slug = Slug(member.key);
    const auto [it, fresh] = by_slug.emplace(slug, &member);
    if (!fresh) {
      context.Error(member.at,
                    StrCat("found \"", member.key, "\", whose short name \"", slug,
                           "\" is that of \"", it->second->key, "\" on line ", it->second->at.line),
                    "rename one of them");
    }
    if (member.key.size() > kNameBytesMax) {
      context.Error(member.at,
                    StrCat("found a name of ", member.key.size(),
                           " bytes in mcpServers, expected at "
                           "most ",
                           kNameBytesMax),
                    "shorten it");
    }
    context.out->loaded.places.emplace(StrCat("mcpServers.", member.key), member.at);
    ServerReader(context, member).Read();
  }
}

void CheckServerLinks(ReadContext& context, const JsonNode& node) {
  std::vector<std::string> names;
  for (const auto& [name, server] : context.config().mcp_servers) {
    names.push_back(name);
    if (Slug(name) != name) names.push_back(Slug(name));
  }
  for (const JsonMember& member : node.members) {
    const JsonNode* list = member.value.Find("fallbacks");
    if (list == nullptr) continue;
    for (const JsonNode& item : list->items) {
      const bool self = Slug(item.text) == Slug(member.key);
      if (!self && std::find(names.begin(), names.end(), item.text) != names.end()) continue;
      const std::string nearest = self ? "" : Nearest(item.text, names);
      context.Error(item.at,
                    StrCat("found \"", item.text, "\" in mcpServers.", member.key,
                           ".fallbacks, expected the name of another server"),
                    nearest.empty() ? "remove it" : StrCat("did you mean \"", nearest, "\"?"));
    }
  }
  const int64_t max = context.config().limits.servers_max;
  if (static_cast<int64_t>(node.members.size()) > max) {
    context.Error(node.at,
                  StrCat("found ", node.members.size(), " servers, expected at most ", max),
                  "raise limits.serversMax");
  }
}

}  // namespace metamcp::config
