#include "services/connector/sandbox/plan.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/connector/sandbox/fd.h"
#include "services/connector/sandbox/launch.h"
#include "services/connector/sandbox/needs.h"

namespace metamcp::connector::sandbox {
namespace {

constexpr std::string_view kHome = "/home/sandbox";
// Of /etc: what programs look up, nothing that says who may do what.
constexpr std::string_view kEtc[] = {
    "/etc/alternatives",    "/etc/ca-certificates", "/etc/ca-certificates.conf",
    "/etc/debian_version",  "/etc/fonts",           "/etc/gai.conf",
    "/etc/host.conf",       "/etc/ld.so.cache",     "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",    "/etc/localtime",       "/etc/magic",
    "/etc/mime.types",      "/etc/nsswitch.conf",   "/etc/os-release",
    "/etc/pki/tls/certs",   "/etc/protocols",       "/etc/python3",
    "/etc/python3.11",      "/etc/services",        "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/timezone",        "/etc/xattr.conf"};
constexpr std::string_view kEtcOfHostNetwork[] = {"/etc/hosts", "/etc/resolv.conf"};

bool IsThere(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The arguments of bubblewrap, and the descriptors that it reads files from.
class Bubble {
 public:
  explicit Bubble(const Machine& machine) { Add({machine.bwrap}); }

  void Add(std::vector<std::string> words) {
    args.insert(args.end(), std::make_move_iterator(words.begin()),
                std::make_move_iterator(words.end()));
  }
  absl::Status AddFile(std::string_view content, const std::string& to, std::string_view mode) {
    METAMCP_ASSIGN_OR_RETURN(Fd file, MemoryFile(content, false));
    Add({"--perms", std::string(mode), "--ro-bind-data", StrCat(kLaunchFd + files.size()), to});
    files.push_back(std::make_shared<Fd>(std::move(file)));
    return absl::OkStatus();
  }

  std::vector<std::string> args;
  std::vector<std::shared_ptr<Fd>> files;  // become descriptors from kLaunchFd on
};

void AddSystem(Bubble& bubble) {
  bubble.Add({"--ro-bind", "/usr", "/usr"});
  for (const std::string folder : {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(folder, error);
    if (!error) {
      bubble.Add({"--symlink", target.string(), folder});
    } else if (IsThere(folder)) {
      bubble.Add({"--ro-bind", folder, folder});
    }
  }
}

absl::Status AddEtc(Bubble& bubble, const Profile& profile) {
  for (const std::string_view path : kEtc) {
    bubble.Add({"--ro-bind-try", std::string(path), std::string(path)});
  }
  if (profile.host_network) {
    for (const std::string_view path : kEtcOfHostNetwork) {
      bubble.Add({"--ro-bind-try", std::string(path), std::string(path)});
    }
  } else {
    METAMCP_RETURN_IF_ERROR(
        bubble.AddFile("127.0.0.1 localhost\n::1 localhost\n", "/etc/hosts", "0444"));
  }
  METAMCP_RETURN_IF_ERROR(
      bubble.AddFile(StrCat("sandbox:x:", ::geteuid(), ":", ::getegid(), "::", kHome, ":/bin/sh\n"),
                     "/etc/passwd", "0444"));
  return bubble.AddFile(StrCat("sandbox:x:", ::getegid(), ":\n"), "/etc/group", "0444");
}

void AddScratch(Bubble& bubble, const Profile& profile) {
  const std::string size = StrCat(std::max<int64_t>(profile.memory_bytes / 2, 1 << 20));
  bubble.Add({"--proc", "/proc", "--dev", "/dev"});
  bubble.Add({"--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"});
  bubble.Add({"--perms", "1777", "--size", size, "--tmpfs", "/tmp"});
  bubble.Add({"--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir", "/run"});
  bubble.Add({"--perms", "0700", "--size", size, "--tmpfs", std::string(kHome)});
}

absl::Status AddPaths(Bubble& bubble, const Profile& profile, const Needs& needs) {
  // Wider ones first, so that a narrower one is laid over it whatever its kind.
  struct Bind {
    std::string path;
    const char* how;
  };
  std::vector<Bind> binds;
  for (const std::string& path : needs.read) binds.push_back({path, "--ro-bind-try"});
  for (const std::string& path : profile.read) binds.push_back({path, "--ro-bind"});
  for (const std::string& path : profile.write) binds.push_back({path, "--bind"});
  std::stable_sort(binds.begin(), binds.end(),
                   [](const Bind& a, const Bind& b) { return a.path.size() < b.path.size(); });
  for (const Bind& bind : binds) {
    if (!IsThere(bind.path) && std::string_view(bind.how) != "--ro-bind-try") {
      return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                       StrCat("sandbox: ", bind.path,
                              " is not there; make it, or remove it from "
                              "the profile"));
    }
    bubble.Add({bind.how, bind.path, bind.path});
  }
  return absl::OkStatus();
}

void Order(std::string& orders, char kind, std::string_view text) {
  orders += kind;
  orders += text;
  orders += '\0';
}

void OrderLimits(std::string& orders, const Machine& machine, const Profile& profile) {
  const auto limit = [&orders](int resource, int64_t value) {
    if (value > 0) Order(orders, 'L', StrCat(resource, "=", value));
  };
  Order(orders, 'L', StrCat(RLIMIT_CORE, "=", 0));
  limit(RLIMIT_DATA, profile.memory_bytes);
  limit(RLIMIT_CPU, profile.cpu_s);
  limit(RLIMIT_NOFILE, profile.files);
  limit(RLIMIT_FSIZE, profile.file_bytes);
  if (machine.limits_processes || ::geteuid() != 0) limit(RLIMIT_NPROC, profile.processes);
}

bool NamesLoopback(const std::string& entry) {
  return entry.starts_with("127.") || entry.starts_with("[::1]:");
}

std::string Orders(const Machine& machine, const Profile& profile, const StartOptions& start) {
  std::string orders;
  if (start.report) Order(orders, 'T', "");
  Order(orders, 'X', start.file);
  Order(orders, 'A', start.command);
  for (const std::string& word : start.args) Order(orders, 'A', word);
  auto env = start.env;
  env["HOME"] = std::string(kHome);
  env["TMPDIR"] = "/tmp";
  env["USER"] = env["LOGNAME"] = "sandbox";
  if (!start.proxy_socket.empty()) {
    const std::string proxy = StrCat("http://127.0.0.1:", kProxyPort);
    for (const char* name : {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}) {
      env[name] = proxy;
    }
    // Loopback is the server's own, unless the rules name something on this machine.
    const bool outside = std::any_of(profile.allowed.begin(), profile.allowed.end(), NamesLoopback);
    if (!outside) env["NO_PROXY"] = env["no_proxy"] = "localhost,127.0.0.1,::1";
    env["NODE_USE_ENV_PROXY"] = "1";  // Node's own fetch looks at the others only with this
    Order(orders, 'P', StrCat(kProxyPort, "=", kProxySocket));
  }
  for (const auto& [name, value] : env) Order(orders, 'E', StrCat(name, "=", value));
  Order(orders, 'C', start.cwd.empty() ? kHome : start.cwd);
  OrderLimits(orders, machine, profile);
  for (const std::string& path : profile.write) Order(orders, 'W', path);
  for (const std::string_view path : {std::string_view("/tmp"), kHome, std::string_view("/dev")}) {
    Order(orders, 'W', path);
  }
  Order(orders, 'N', "");
  return orders;
}

bool HasZero(const StartOptions& start) {
  const auto bad = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  return bad(start.command) || std::any_of(start.args.begin(), start.args.end(), bad) ||
         std::any_of(start.env.begin(), start.env.end(),
                     [&bad](const auto& entry) { return bad(entry.first) || bad(entry.second); });
}

}  // namespace

absl::StatusOr<SpawnPlan> MakePlan(const Machine& machine, const Profile& profile,
                                   const StartOptions& start) {
  if (HasZero(start)) {
    return MakeError("CONFIG_INVALID", "connector", "a zero byte in an argument or variable");
  }
  Bubble bubble(machine);
  bubble.Add({"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
              "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session",
              "--cap-drop", "ALL"});
  if (!profile.host_network) bubble.Add({"--unshare-net"});
  AddSystem(bubble);
  AddScratch(bubble, profile);
  // The first two files have the numbers that the launcher knows.
  METAMCP_RETURN_IF_ERROR(bubble.AddFile(LauncherImage(), kLaunchPath, "0555"));
  METAMCP_ASSIGN_OR_RETURN(Fd orders, MemoryFile(Orders(machine, profile, start), false));
  bubble.files.push_back(std::make_shared<Fd>(std::move(orders)));
  METAMCP_RETURN_IF_ERROR(AddEtc(bubble, profile));
  if (!start.report) {
    const auto path = start.env.find("PATH");
    const Needs needs =
        FindNeeds(start.file, start.args, start.cwd, path == start.env.end() ? "" : path->second);
    METAMCP_RETURN_IF_ERROR(AddPaths(bubble, profile, needs));
  }
  if (!start.proxy_socket.empty()) bubble.Add({"--bind", start.proxy_socket, kProxySocket});
  bubble.Add({"--remount-ro", "/", "--", kLaunchPath, "inner", StrCat(kOrdersFd)});

  METAMCP_ASSIGN_OR_RETURN(Fd image, MemoryFile(LauncherImage(), true));
  auto files = std::make_shared<std::vector<std::shared_ptr<Fd>>>(bubble.files);
  SpawnPlan plan;
  plan.name = start.command;
  const int image_fd = kLaunchFd + static_cast<int>(files->size());
  files->push_back(std::make_shared<Fd>(std::move(image)));
  plan.file = StrCat("/proc/self/fd/", image_fd);
  plan.args = {"meta-mcp-launch", "outer"};
  plan.args.insert(plan.args.end(), start.entrances.begin(), start.entrances.end());
  plan.args.push_back("--");
  plan.args.insert(plan.args.end(), bubble.args.begin(), bubble.args.end());
  plan.env = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
  plan.cwd = "/";
  for (const auto& file : *files) plan.fds.push_back(file->get());
  plan.held = files;
  return plan;
}

}  // namespace metamcp::connector::sandbox
