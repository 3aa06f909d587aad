// sandbox.profiles, and the rules of single servers.
#include <algorithm>
#include <charconv>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/base/names.h"
#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kBuiltIn[] = {"none", "default", "strict"};

bool IsBuiltIn(std::string_view name) {
  return std::find(std::begin(kBuiltIn), std::end(kBuiltIn), name) != std::end(kBuiltIn);
}

// host:port, [v6]:port, *.domain:port.
bool IsNetworkEntry(std::string_view entry) {
  const size_t colon = entry.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = entry.substr(colon + 1);
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535) {
    return false;
  }
  std::string_view host = entry.substr(0, colon);
  if (host.front() == '[') return host.size() > 3 && host.back() == ']';
  if (host.substr(0, 2) == "*.") host.remove_prefix(2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

void CheckPaths(ReadContext& context, const std::vector<std::string>& paths, Position at,
                const std::string& where) {
  for (const std::string& path : paths) {
    const bool outside = path.empty() || (path[0] != '/' && path.substr(0, 2) != "${");
    if (!outside && path != "/") continue;
    context.Error(at, StrCat("found \"", path, "\" in ", where, ", expected an absolute path"),
                  path == "/" ? "name single folders" : "write /the/whole/path");
  }
}

void CheckNetwork(ReadContext& context, const std::vector<std::string>& network, Position at,
                  const std::string& where) {
  for (const std::string& entry : network) {
    const bool alone = entry == "none" || entry == "host";
    if (alone && network.size() > 1) {
      context.Error(at, StrCat("found \"", entry, "\" with others in ", where), "leave it alone");
    }
    if (alone || entry == "public" || IsNetworkEntry(entry)) continue;
    context.Error(
        at,
        StrCat("found \"", entry, "\" in ", where, ", expected none, host, public or host:port"),
        "write for example \"api.example.com:443\"");
  }
}

}  // namespace

void CheckSandboxRules(ReadContext& context, const SandboxRules& rules, Position at,
                       const std::string& where) {
  CheckPaths(context, rules.read, at, where + ".read");
  CheckPaths(context, rules.write, at, where + ".write");
  CheckNetwork(context, rules.network, at, where + ".network");
  SandboxRules bare;
  bare.profile = rules.profile;
  if (rules.profile == "none" && rules != bare) {
    context.Error(at, StrCat("found rules with the profile none in ", where),
                  "remove them, or choose default or strict");
  }
}

void ReadSandboxProfiles(ReadContext& context, const JsonNode& node) {
  if (node.kind != JsonNode::Kind::kObject) {
    context.Error(
        node.at, StrCat("found ", KindName(node.kind), " for sandbox.profiles, expected an object"),
        "write { \"name\": { \"read\": [\"/srv/data\"] } }");
    return;
  }
  for (const JsonMember& member : node.members) {
    const std::string where = StrCat("sandbox.profiles.", member.key);
    if (IsBuiltIn(member.key) || Slug(member.key) != member.key) {
      context.Error(member.at, StrCat("found the name \"", member.key, "\" in sandbox.profiles"),
                    IsBuiltIn(member.key) ? "it is built in; take another name"
                                          : StrCat("write \"", Slug(member.key), "\""));
    }
    SandboxRules rules;
    ObjectReader(context, SandboxFields(), &rules).Read(member.value, "", where);
    if (!rules.profile.empty() && rules.profile != "default" && rules.profile != "strict") {
      context.Error(member.at,
                    StrCat("found the profile \"", rules.profile, "\" in ", where,
                           ", expected default or strict"),
                    "base it on one of them");
      rules.profile.clear();
    }
    CheckSandboxRules(context, rules, member.at, where);
    context.config().sandbox.profiles.emplace(member.key, std::move(rules));
  }
}

void CheckSandboxLinks(ReadContext& context, const JsonNode& root) {
  const SandboxConfig& sandbox = context.config().sandbox;
  std::vector<std::string> names(std::begin(kBuiltIn), std::end(kBuiltIn));
  for (const auto& [name, rules] : sandbox.profiles) names.push_back(name);
  const auto check = [&](const std::string& name, Position at, const std::string& where) {
    if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
    const std::string nearest = Nearest(name, names);
    context.Error(at, StrCat("found \"", name, "\" for ", where, ", expected a known profile"),
                  nearest.empty() ? "write none, default or strict"
                                  : StrCat("did you mean \"", nearest, "\"?"));
  };
  const JsonNode* section = root.Find("sandbox");
  const JsonNode* profile = section == nullptr ? nullptr : section->Find("profile");
  check(sandbox.profile, profile == nullptr ? root.at : profile->at, "sandbox.profile");
  for (const auto& [name, server] : context.config().mcp_servers) {
    const auto place = context.out->loaded.places.find(StrCat("mcpServers.", name));
    check(server.sandbox.profile,
          place == context.out->loaded.places.end() ? root.at : place->second,
          StrCat("mcpServers.", name, ".sandbox.profile"));
  }
}

}  // namespace metamcp::config
