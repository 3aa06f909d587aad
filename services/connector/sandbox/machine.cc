#include "services/connector/sandbox/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>

#include "absl/strings/match.h"
#include "common/base/strings.h"
#include "services/connector/sandbox/plan.h"

namespace metamcp::connector::sandbox {
namespace {

constexpr int kProbeMs = 10'000;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

// Runs `plan` to its end, or kills it.
Outcome RunBlocking(const SpawnPlan& plan) {
  Outcome outcome;
  int out[2], err[2], in[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0 || ::pipe2(in, O_CLOEXEC) != 0) {
    outcome.err = ::strerror(errno);
    return outcome;
  }
  const auto pid = StartPlan(plan, in[0], out[1], err[1]);
  for (const int fd : {out[1], err[1], in[0]}) ::close(fd);
  if (!pid.ok()) outcome.err = std::string(pid.status().message());
  pollfd watched[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string* texts[2] = {&outcome.out, &outcome.err};
  while (pid.ok() && (watched[0].fd >= 0 || watched[1].fd >= 0)) {
    if (::poll(watched, 2, kProbeMs) <= 0) {
      ::kill(-*pid, SIGKILL);
      outcome.err += "no answer";
      break;
    }
    for (int i = 0; i < 2; ++i) {
      if (watched[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = ::read(watched[i].fd, buffer, sizeof(buffer));
      if (n <= 0) {
        watched[i].fd = -1;
      } else if (texts[i]->size() < 64 << 10) {
        texts[i]->append(buffer, static_cast<size_t>(n));
      }
    }
  }
  if (pid.ok()) {
    int status = 0;
    while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
  for (const int fd : {out[0], err[0], in[1]}) ::close(fd);
  return outcome;
}

std::string Mend(const std::string& said) {
  if (absl::StrContains(said, "uid map") || absl::StrContains(said, "Permission denied") ||
      absl::StrContains(said, "Operation not permitted") ||
      absl::StrContains(said, "No permissions to create")) {
    return "the system or a container around it forbids user name spaces: allow them "
           "(kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or "
           "run each server in a container of its own (docs/security/sandbox.md)";
  }
  return "see docs/security/sandbox.md";
}

std::string FindBubblewrap() {
  for (const char* path : {"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

Machine ProbeBlocking(CgroupUse use) {
  Machine machine;
  machine.bwrap = FindBubblewrap();
  if (machine.bwrap.empty()) {
    machine.why =
        "bubblewrap is not installed; apt-get install bubblewrap, or run each server in a "
        "container of its own (docs/security/sandbox.md)";
    return machine;
  }
  machine.cgroups = FindCgroupSite("/proc/self", "/sys/fs/cgroup", use);
  machine.limits_processes = machine.cgroups.pids || ::geteuid() != 0;
  config::SandboxConfig settings;
  metamcp::catalog::v1::UpstreamSandbox spec;
  spec.set_profile("strict");
  const auto profile = ResolveProfile(settings, spec, {});
  StartOptions start;
  start.report = true;
  const auto plan = MakePlan(machine, *profile, start);
  if (!plan.ok()) {
    machine.why = std::string(plan.status().message());
    return machine;
  }
  const Outcome outcome = RunBlocking(*plan);
  constexpr std::string_view kLandlock = "landlock=";
  const size_t at = outcome.out.find(kLandlock);
  if (outcome.code != 0 || at == std::string::npos) {
    const std::string said = outcome.err.substr(0, outcome.err.find('\n')).substr(0, 300);
    machine.why = StrCat(said.empty() ? "bubblewrap failed" : said, "; ", Mend(outcome.err));
    return machine;
  }
  const char* digits = outcome.out.data() + at + kLandlock.size();
  std::from_chars(digits, outcome.out.data() + outcome.out.size(), machine.landlock);
  machine.confines = true;
  return machine;
}

std::string Describe(const Machine& machine) {
  if (!machine.confines) return "none: " + machine.why;
  std::string out = "bubblewrap, seccomp";
  out += machine.landlock > 0 ? StrCat(", Landlock ", machine.landlock) : ", no Landlock";
  if (machine.cgroups.version > 0) {
    out += StrCat(", cgroup v", machine.cgroups.version);
    if (!machine.cgroups.memory) out += " (no memory)";
    if (!machine.cgroups.pids) out += " (no pids)";
  } else {
    out += ", no cgroups: memory is limited for each process alone";
  }
  if (!machine.limits_processes) out += ", processes not limited (root without cgroups)";
  return out;
}

}  // namespace metamcp::connector::sandbox
