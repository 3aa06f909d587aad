#include "services/connector/sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::connector::sandbox {
namespace {

bool Write(const std::string& path, const std::string& value) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::write(fd, value.data(), value.size());
  const int error = errno;
  ::close(fd);
  errno = error;
  return n == static_cast<ssize_t>(value.size());
}

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

bool HasWord(const std::string& text, const std::string& word) {
  std::istringstream in(text);
  for (std::string one; in >> one;) {
    if (one == word) return true;
  }
  return false;
}

// Groups whose removal had to wait for the kernel to end their processes.
std::set<std::string>& Waiting() {
  static std::set<std::string> waiting;
  return waiting;
}

void RemoveWaiting() {
  for (auto it = Waiting().begin(); it != Waiting().end();) {
    const bool gone = ::rmdir(it->c_str()) == 0 || errno == ENOENT;
    it = gone ? Waiting().erase(it) : std::next(it);
  }
}

// The lines "number:controllers:path" of /proc/self/cgroup.
struct Membership {
  std::string controllers;
  std::string path;
};
std::vector<Membership> Memberships(const std::string& proc_self) {
  std::vector<Membership> out;
  std::ifstream in(proc_self + "/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    out.push_back({line.substr(first + 1, second - first - 1), line.substr(second + 1)});
  }
  return out;
}

bool Usable(const std::string& folder) { return ::access(folder.c_str(), W_OK | X_OK) == 0; }

bool FindVersion2(const std::string& own, CgroupUse use, CgroupSite& site) {
  const std::string offered = ReadText(own + "/cgroup.controllers");
  if (!HasWord(offered, "memory") || !HasWord(offered, "pids") || !Usable(own)) return false;
  if (use == CgroupUse::kUse) {
    const std::string leaf = own + "/gateway";
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return false;
    if (!Write(leaf + "/cgroup.procs", "0")) return false;
    if (!Write(own + "/cgroup.subtree_control", "+memory +pids")) return false;
  }
  site.version = 2;
  site.roots = {own};
  site.memory = site.pids = true;
  return true;
}

// Empty groups of a gateway that was killed: meta-mcp-<process>-<number>.
void RemoveLeft(const std::string& root) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kPrefix = "meta-mcp-";
    if (!name.starts_with(kPrefix)) continue;
    const std::string process = name.substr(kPrefix.size(), name.rfind('-') - kPrefix.size());
    if (!std::filesystem::exists("/proc/" + process, error)) ::rmdir(entry.path().c_str());
  }
}

}  // namespace

CgroupSite FindCgroupSite(const std::string& proc_self, const std::string& sys, CgroupUse use) {
  CgroupSite site;
  for (const Membership& one : Memberships(proc_self)) {
    if (!one.controllers.empty()) continue;
    std::string path = one.path == "/" ? "" : one.path;
    // A restart of the gateway in the same place.
    if (path.size() > 8 && path.substr(path.size() - 8) == "/gateway") {
      path.resize(path.size() - 8);
    }
    if (FindVersion2(sys + path, use, site)) {
      if (use == CgroupUse::kUse) RemoveLeft(site.roots.front());
      return site;
    }
  }
  for (const Membership& one : Memberships(proc_self)) {
    for (const std::string controller : {"memory", "pids"}) {
      if (one.controllers != controller) continue;
      const std::string folder = StrCat(sys, "/", controller, one.path == "/" ? "" : one.path);
      if (!Usable(folder)) continue;
      site.version = 1;
      site.roots.push_back(folder);
      (controller == "memory" ? site.memory : site.pids) = true;
    }
  }
  for (const std::string& root : site.roots) {
    if (use == CgroupUse::kUse) RemoveLeft(root);
  }
  if (site.version == 0) site.why = "no cgroup that this process may divide";
  return site;
}

absl::StatusOr<std::unique_ptr<Cgroup>> Cgroup::Make(const CgroupSite& site,
                                                     const std::string& name, int64_t memory_bytes,
                                                     int64_t processes) {
  RemoveWaiting();
  std::unique_ptr<Cgroup> group(new Cgroup);
  for (const std::string& root : site.roots) {
    const std::string folder = StrCat(root, "/", name);
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return MakeError("INTERNAL", "connector",
                       StrCat("cannot make the cgroup ", folder, ": ", ::strerror(errno)));
    }
    group->folders_.push_back(folder);
    const std::string memory =
        folder + (site.version == 2 ? "/memory.max" : "/memory.limit_in_bytes");
    const bool is_memory = ::access(memory.c_str(), F_OK) == 0;
    const bool is_pids = ::access((folder + "/pids.max").c_str(), F_OK) == 0;
    if ((is_memory && !Write(memory, StrCat(memory_bytes))) ||
        (is_pids && !Write(folder + "/pids.max", StrCat(processes)))) {
      return MakeError("INTERNAL", "connector",
                       StrCat("cannot limit the cgroup ", folder, ": ", ::strerror(errno)));
    }
    // Swap would let it have more; version 1 counts both together.
    if (is_memory && site.version == 2) Write(folder + "/memory.swap.max", "0");
    if (is_memory && site.version == 1) {
      Write(folder + "/memory.memsw.limit_in_bytes", StrCat(memory_bytes));
    }
  }
  return group;
}

Cgroup::~Cgroup() {
  for (const std::string& folder : folders_) {
    Write(folder + "/cgroup.kill", "1");
    if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) Waiting().insert(folder);
  }
  RemoveWaiting();
}

void RemoveEmptyCgroupsBlocking(std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  RemoveWaiting();
  while (!Waiting().empty() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    RemoveWaiting();
  }
}

std::vector<std::string> Cgroup::entrances() const {
  std::vector<std::string> out;
  for (const std::string& folder : folders_) out.push_back(folder + "/cgroup.procs");
  return out;
}

}  // namespace metamcp::connector::sandbox
