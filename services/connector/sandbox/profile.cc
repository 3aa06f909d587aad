#include "services/connector/sandbox/profile.h"

#include <algorithm>
#include <charconv>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::connector::sandbox {
namespace {

using metamcp::catalog::v1::UpstreamSandbox;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int kDepthMax = 4;

absl::Status Invalid(const std::string& what) {
  return MakeError("CONFIG_INVALID", "connector", "sandbox: " + what);
}

// What every server can live with: the network by the filtering proxy, room for a browser.
Profile Default() {
  Profile out;
  out.name = "default";
  out.confined = true;
  out.allowed = {"public"};
  out.memory_bytes = 4096 * kMiB;
  out.processes = 512;
  out.files = 4096;
  out.file_bytes = 4096 * kMiB;
  return out;
}

Profile Strict() {
  Profile out;
  out.name = "strict";
  out.confined = true;
  out.memory_bytes = 1024 * kMiB;
  out.processes = 128;
  out.files = 1024;
  out.file_bytes = 1024 * kMiB;
  return out;
}

UpstreamSandbox AsSpec(const config::SandboxRules& rules) {
  UpstreamSandbox out;
  out.set_profile(rules.profile.empty() ? "strict" : rules.profile);
  out.mutable_read()->Assign(rules.read.begin(), rules.read.end());
  out.mutable_write()->Assign(rules.write.begin(), rules.write.end());
  out.mutable_network()->Assign(rules.network.begin(), rules.network.end());
  out.mutable_env()->Assign(rules.env.begin(), rules.env.end());
  out.set_memory_bytes(rules.memory_bytes);
  out.set_processes(static_cast<int32_t>(rules.processes));
  out.set_cpu_s(rules.cpu_s);
  out.set_files(static_cast<int32_t>(rules.files));
  out.set_file_bytes(rules.file_bytes);
  return out;
}

absl::Status AddPaths(const google::protobuf::RepeatedPtrField<std::string>& from,
                      const config::Environment& environment, std::vector<std::string>& to) {
  for (const std::string& text : from) {
    METAMCP_ASSIGN_OR_RETURN(std::string path, config::Expand(text, environment));
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    if (path.size() < 2 || path[0] != '/' || path.find('\0') != std::string::npos ||
        StrCat(path, "/").find("/../") != std::string::npos) {
      return Invalid(StrCat("'", path.substr(0, 200), "' is no absolute path below /"));
    }
    to.push_back(std::move(path));
  }
  return absl::OkStatus();
}

bool IsPort(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0 && port < 65536;
}

absl::Status SetNetwork(const google::protobuf::RepeatedPtrField<std::string>& from,
                        Profile& profile) {
  if (from.empty()) return absl::OkStatus();
  profile.allowed.clear();
  profile.host_network = false;
  for (const std::string& entry : from) {
    if ((entry == "none" || entry == "host") && from.size() > 1) {
      return Invalid(StrCat("the network '", entry, "' stands alone"));
    }
    if (entry == "none") continue;
    if (entry == "host") {
      profile.host_network = true;
      continue;
    }
    const size_t colon = entry.rfind(':');
    const bool good = colon != std::string::npos && colon > 0 && IsPort(entry.substr(colon + 1));
    if (entry != "public" && !good) {
      return Invalid(StrCat("the network '", entry.substr(0, 100), "' is not host:port"));
    }
    profile.allowed.push_back(entry);
  }
  return absl::OkStatus();
}

absl::Status Apply(const UpstreamSandbox& spec, const config::Environment& environment,
                   Profile& profile) {
  METAMCP_RETURN_IF_ERROR(AddPaths(spec.read(), environment, profile.read));
  METAMCP_RETURN_IF_ERROR(AddPaths(spec.write(), environment, profile.write));
  METAMCP_RETURN_IF_ERROR(SetNetwork(spec.network(), profile));
  profile.env.insert(profile.env.end(), spec.env().begin(), spec.env().end());
  if (spec.memory_bytes() > 0) profile.memory_bytes = spec.memory_bytes();
  if (spec.processes() > 0) profile.processes = spec.processes();
  if (spec.cpu_s() > 0) profile.cpu_s = spec.cpu_s();
  if (spec.files() > 0) profile.files = spec.files();
  if (spec.file_bytes() > 0) profile.file_bytes = spec.file_bytes();
  return absl::OkStatus();
}

absl::StatusOr<Profile> Named(const config::SandboxConfig& settings, const std::string& name,
                              const config::Environment& environment, int depth) {
  if (name == "none") {
    Profile none;
    none.name = "none";
    return none;
  }
  if (name == "default") return Default();
  if (name == "strict") return Strict();
  const auto own = settings.profiles.find(name);
  if (own == settings.profiles.end() || depth > kDepthMax) {
    return Invalid(StrCat("this connector has no profile '", name.substr(0, 100),
                          "'; add it to sandbox.profiles, or write none, default or strict"));
  }
  const UpstreamSandbox rules = AsSpec(own->second);
  METAMCP_ASSIGN_OR_RETURN(Profile profile,
                           Named(settings, rules.profile(), environment, depth + 1));
  METAMCP_RETURN_IF_ERROR(Apply(rules, environment, profile));
  profile.name = name;
  return profile;
}

}  // namespace

absl::StatusOr<Profile> ResolveProfile(const config::SandboxConfig& settings,
                                       const UpstreamSandbox& spec,
                                       const config::Environment& environment) {
  const std::string& name = spec.profile().empty() ? settings.profile : spec.profile();
  METAMCP_ASSIGN_OR_RETURN(Profile profile, Named(settings, name, environment, 0));
  if (profile.confined) {
    METAMCP_RETURN_IF_ERROR(Apply(spec, environment, profile));
  } else {
    UpstreamSandbox bare;
    bare.set_profile(spec.profile());
    if (spec.ByteSizeLong() != bare.ByteSizeLong()) {
      return Invalid(
          "rules without a profile other than none are not enforced; choose default "
          "or strict, or remove them");
    }
  }
  return profile;
}

}  // namespace metamcp::connector::sandbox
