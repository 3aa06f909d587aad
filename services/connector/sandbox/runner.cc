#include "services/connector/sandbox/runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <filesystem>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/connector/sandbox/egress_proxy.h"
#include "services/connector/sandbox/plan.h"

namespace metamcp::connector::sandbox {
namespace {

// The kernel needs a moment to end what is left in a name space.
constexpr std::chrono::milliseconds kCgroupsEnd(500);

// What a child has beside its process; ends with it.
struct Kept {
  ~Kept() {
    if (proxy != nullptr) proxy->Close();
  }
  std::shared_ptr<EgressProxy> proxy;
  std::unique_ptr<Cgroup> cgroup;
};

absl::Status Refused(const std::string& why) {
  return MakeError("CONFIG_INVALID", "connector", why);
}

}  // namespace

Runner::Runner(boost::asio::any_io_executor executor, TaskGroup& tasks,
               config::SandboxConfig settings, Machine machine)
    : executor_(std::move(executor)),
      tasks_(tasks),
      settings_(std::move(settings)),
      machine_(std::move(machine)) {}

Runner::~Runner() {
  RemoveEmptyCgroupsBlocking(kCgroupsEnd);
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<std::string> Runner::Folder() {
  if (!folder_.empty()) return folder_;
  std::error_code ignored;
  std::string name = (std::filesystem::temp_directory_path(ignored) / "meta-mcp-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    return MakeError("INTERNAL", "connector",
                     StrCat("cannot make a folder in ", name, ": ", ::strerror(errno)));
  }
  folder_ = std::move(name);
  return folder_;
}

std::string Runner::Lacks(const Profile& profile) const {
  if (!profile.confined) return "";
  if (!machine_.confines) return machine_.why;
  if (!machine_.limits_processes && profile.processes > 0) {
    return "root without cgroups has no limit of processes; run the gateway as another user, or "
           "delegate a cgroup to it";
  }
  return "";
}

absl::Status Runner::CheckProduction(const Profile& profile, const SpawnOptions& options) const {
  if (!settings_.production) return absl::OkStatus();
  if (!profile.confined) {
    return Refused(
        "sandbox.production: a server without a sandbox is not started; choose the "
        "profile default or strict");
  }
  std::string mend;
  if (!IsPinned(options.command, options.args, &mend)) {
    return Refused(StrCat("sandbox.production: what '", options.command,
                          "' runs is not decided before it starts; ", mend));
  }
  return absl::OkStatus();
}

absl::StatusOr<SpawnPlan> Runner::Plan(const std::string& server, const SpawnOptions& options,
                                       const metamcp::catalog::v1::UpstreamSandbox& spec) {
  METAMCP_ASSIGN_OR_RETURN(const Profile profile, ResolveProfile(settings_, spec, *environment_));
  METAMCP_RETURN_IF_ERROR(CheckProduction(profile, options));
  if (!profile.confined) return PlainPlan(options);
  if (const std::string lacks = Lacks(profile); !lacks.empty()) {
    if (!settings_.unsafe) {
      return Refused(StrCat("the sandbox '", profile.name, "' cannot be enforced here: ", lacks));
    }
    Log(LogLevel::kWarning, "sandbox.unsafe",
        {{"upstream", server}, {"profile", profile.name}, {"lacks", lacks}});
    if (!machine_.confines) return PlainPlan(options);
  }
  StartOptions start;
  start.command = options.command;
  start.args = options.args;
  start.cwd = options.cwd;
  for (const char* name : {"PATH", "LANG", "LC_ALL", "TZ"}) {
    if (const char* value = ::getenv(name); value != nullptr) start.env[name] = value;
  }
  if (start.env.count("PATH") == 0) start.env["PATH"] = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& name : profile.env) {
    // The vault's entries are no variables.
    const auto found = environment_->find(name);
    if (found != environment_->end() && name.find(':') == std::string::npos)
      start.env[name] = found->second;
  }
  for (const auto& [name, value] : options.env) start.env[name] = value;
  METAMCP_ASSIGN_OR_RETURN(start.file, ResolveCommand(options.command, start.env.at("PATH")));
  std::error_code ignored;
  start.file = std::filesystem::absolute(start.file, ignored).lexically_normal().string();
  if (::access(start.file.c_str(), X_OK) != 0) {
    return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                     StrCat("cannot start '", options.command, "': ", ::strerror(errno)));
  }
  auto kept = std::make_shared<Kept>();
  ++last_;
  if (!profile.allowed.empty()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string folder, Folder());
    start.proxy_socket = StrCat(folder, "/", last_, ".sock");
    METAMCP_ASSIGN_OR_RETURN(kept->proxy, EgressProxy::Start(executor_, tasks_, start.proxy_socket,
                                                             server, EgressRules(profile.allowed)));
  }
  if (machine_.cgroups.version > 0) {
    METAMCP_ASSIGN_OR_RETURN(
        kept->cgroup, Cgroup::Make(machine_.cgroups, StrCat("meta-mcp-", ::getpid(), "-", last_),
                                   profile.memory_bytes, profile.processes));
    start.entrances = kept->cgroup->entrances();
  }
  METAMCP_ASSIGN_OR_RETURN(SpawnPlan plan, MakePlan(machine_, profile, start));
  plan.kept = std::move(kept);
  return plan;
}

std::string Runner::Shown(const metamcp::catalog::v1::UpstreamSandbox& spec) const {
  const auto profile = ResolveProfile(settings_, spec, *environment_);
  if (!profile.ok()) return "";
  if (!profile->confined) return "none";
  const std::string lacks = Lacks(*profile);
  if (!lacks.empty()) return StrCat("unsafe: ", profile->name, " is not enforced: ", lacks);
  return StrCat(profile->name, " (", Describe(machine_), ")");
}

}  // namespace metamcp::connector::sandbox
