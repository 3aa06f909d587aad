#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kTenant = "default";
// What common/auth ranks.
constexpr std::string_view kRoles[] = {"viewer", "developer", "auditor", "operator", "admin"};
constexpr size_t kKeyBytesMin = 16;  // shorter bearer keys can be guessed

bool ExpectObject(ReadContext& context, const JsonNode& node, std::string_view where) {
  if (node.kind == JsonNode::Kind::kObject) return true;
  context.Error(node.at,
                StrCat("found ", KindName(node.kind), " for ", where, ", expected an object"),
                "write { ... }");
  return false;
}

void ReadArguments(ReadContext& context, const JsonNode& node, const std::string& where,
                   OverrideConfig* out) {
  if (!ExpectObject(context, node, where)) return;
  std::set<std::string> renamed;
  for (const JsonMember& member : node.members) {
    ArgumentConfig argument;
    ObjectReader reader(context, ArgumentFields(), &argument);
    const std::string place = StrCat(where, ".", member.key);
    reader.Read(member.value, "", place);
    if (!argument.value.empty() && !argument.rename.empty()) {
      context.Error(member.at, StrCat("found both value and rename in ", place),
                    "remove rename: an argument with a fixed value is hidden");
    }
    if (!argument.rename.empty() && !renamed.insert(argument.rename).second) {
      context.Error(member.at,
                    StrCat("found the new name \"", argument.rename, "\" twice in ", where),
                    "rename one of them otherwise");
    }
    out->arguments.emplace(member.key, std::move(argument));
  }
}

void ReadOverrides(ReadContext& context, const JsonNode& node, const std::string& where,
                   VirtualServerConfig* out) {
  if (!ExpectObject(context, node, where)) return;
  for (const JsonMember& member : node.members) {
    const std::string place = StrCat(where, ".", member.key);
    if (member.key.find('.') == std::string::npos) {
      context.Error(
          member.at,
          StrCat("found the item \"", member.key, "\" in ", where, ", expected \"server.item\""),
          "put the server's name and a dot before it");
    }
    OverrideConfig item;
    ObjectReader reader(context, OverrideFields(), &item);
    reader.more_keys = {"arguments"};
    reader.extra = [&context, &item, &place](const std::string& path, const JsonMember& m) {
      if (path != "arguments") return false;
      ReadArguments(context, m.value, place + ".arguments", &item);
      return true;
    };
    reader.Read(member.value, "", place);
    out->overrides.emplace(member.key, std::move(item));
  }
}

bool IsGlob(std::string_view text) { return text.find_first_of("*?") != std::string_view::npos; }

void NoteUnknownServers(ReadContext& context, const JsonMember& member) {
  const JsonNode* list = member.value.Find("servers");
  if (list == nullptr) return;
  std::vector<std::string> names;
  for (const auto& [name, server] : context.config().mcp_servers) {
    names.push_back(name);
    names.push_back(Slug(name));
  }
  for (const JsonNode& item : list->items) {
    if (IsGlob(item.text) || std::find(names.begin(), names.end(), item.text) != names.end()) {
      continue;
    }
    const std::string nearest = Nearest(item.text, names);
    context.Note(item.at,
                 StrCat("virtualServers.", member.key, " picks the server \"", item.text,
                        "\", which this file does not have"),
                 nearest.empty() ? "" : StrCat("did you mean \"", nearest, "\"?"));
  }
}

}  // namespace

void CheckTenantAndRoles(ReadContext& context, const JsonNode& item, const std::string& tenant,
                         const std::string& where) {
  if (tenant != kTenant && tenant.find("${") == std::string::npos) {
    context.Error(item.Find("tenant")->at,
                  StrCat("found the tenant \"", tenant, "\" in ", where, ", expected \"", kTenant,
                         "\": this version serves one tenant"),
                  "remove it");
  }
  const JsonNode* roles = item.Find("roles");
  if (roles == nullptr) return;
  for (const JsonNode& role : roles->items) {
    if (role.text.find("${") != std::string::npos) continue;  // not resolved here
    if (std::find(std::begin(kRoles), std::end(kRoles), role.text) != std::end(kRoles)) continue;
    const std::string nearest = Nearest(role.text, kRoles);
    context.Error(role.at,
                  StrCat("found the role \"", role.text.substr(0, 64), "\" in ", where,
                         ", expected viewer, developer, auditor, operator or admin"),
                  nearest.empty() ? "" : StrCat("did you mean \"", nearest, "\"?"));
  }
}

namespace {

void CheckPrefix(ReadContext& context, const JsonMember& member, const std::string& prefix) {
  const bool fits = std::all_of(prefix.begin(), prefix.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
  const JsonNode* node = member.value.Find("prefix");
  if (fits || node == nullptr) return;
  context.Error(node->at,
                StrCat("found \"", prefix.substr(0, 64), "\" for virtualServers.", member.key,
                       ".prefix, expected slug, none, or text of A-Z, a-z, 0-9, _ and -"),
                "remove the other characters");
}

}  // namespace

void ReadVirtualServers(ReadContext& context, const JsonNode& node) {
  if (!ExpectObject(context, node, "virtualServers")) return;
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("virtualServers.", member.key);
    if (Slug(member.key) != member.key) {
      context.Error(member.at,
                    StrCat("found the name \"", member.key,
                           "\" in virtualServers, expected lower "
                           "case letters, digits and '-'"),
                    StrCat("write \"", Slug(member.key), "\""));
    }
    VirtualServerConfig server;
    ObjectReader reader(context, VirtualServerFields(), &server);
    reader.more_keys = {"overrides"};
    reader.extra = [&context, &server, &where](const std::string& path, const JsonMember& m) {
      if (path != "overrides") return false;
      ReadOverrides(context, m.value, where + ".overrides", &server);
      return true;
    };
    reader.Read(member.value, "", where);
    CheckPrefix(context, member, server.prefix);
    NoteUnknownServers(context, member);
    context.out->loaded.places.emplace(where, member.at);
    context.config().virtual_servers.emplace(member.key, std::move(server));
  }
}

void ReadKeys(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kArray) {
    context.Error(node.at,
                  StrCat("found ", KindName(node.kind), " for auth.keys, expected an array"),
                  "write [{ \"name\": \"...\", \"key\": \"${VAR}\" }]");
    return;
  }
  std::set<std::string> names;
  std::set<std::string> values;
  for (size_t i = 0; i < node.items.size(); ++i) {
    const JsonNode& item = node.items[i];
    const std::string where = StrCat("auth.keys[", i, "]");
    KeyConfig key;
    ObjectReader reader(context, KeyFields(), &key);
    reader.Read(item, "", where);
    if (item.kind != JsonNode::Kind::kObject) continue;
    if (key.name.empty()) {
      context.Error(item.at, StrCat("found no name in ", where), "add \"name\": \"...\"");
    } else if (!names.insert(key.name).second) {
      context.Error(item.at, StrCat("found the key name \"", key.name, "\" twice"),
                    "rename one of them");
    }
    const JsonNode* value = item.Find("key");
    const Position at = value == nullptr ? item.at : value->at;
    CheckTenantAndRoles(context, item, key.tenant, where);
    // An unresolved reference is no key yet.
    const bool resolved = key.key.find("${") == std::string::npos;
    if (value == nullptr) {
      context.Error(at, StrCat("found no key in ", where), "add \"key\": \"${VAR}\"");
    } else if (resolved && key.key.size() < kKeyBytesMin) {
      context.Error(at,
                    StrCat("found a key of ", key.key.size(), " characters in ", where,
                           ", expected at least ", kKeyBytesMin),
                    "make one with 'openssl rand -hex 32'");
    } else if (resolved && !values.insert(key.key).second) {
      context.Error(at, StrCat("found the same key again in ", where),
                    "give every name a key of its own");
    }
    context.config().auth.keys.push_back(std::move(key));
  }
}

}  // namespace metamcp::config
