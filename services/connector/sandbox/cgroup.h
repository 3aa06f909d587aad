#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::connector::sandbox {

// Where servers can be put into cgroups of their own: version 2 where a subtree is delegated to
// this process, else the memory and pids hierarchies of version 1 where they can be written to.
struct CgroupSite {
  int version = 0;                 // 0: none
  std::vector<std::string> roots;  // folders that groups are made in: one, or memory and pids
  bool memory = false;
  bool pids = false;
  std::string why;  // there is none
};

enum class CgroupUse { kLook, kUse };

// Looks for a site; to use one of version 2 this process moves into a group "gateway" below its
// own, since a group with processes cannot have limited children. `proc_self` and `sys` are
// /proc/self and /sys/fs/cgroup, or a test's. Blocks on the file system, briefly.
CgroupSite FindCgroupSite(const std::string& proc_self, const std::string& sys, CgroupUse use);

// One group of one server, with its limits. The destructor ends what is left in it and removes it.
class Cgroup {
 public:
  // Errors: INTERNAL with the file that could not be written.
  static absl::StatusOr<std::unique_ptr<Cgroup>> Make(const CgroupSite& site,
                                                      const std::string& name, int64_t memory_bytes,
                                                      int64_t processes);
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  // Files that a process writes "0" to in order to enter.
  std::vector<std::string> entrances() const;

 private:
  Cgroup() = default;
  std::vector<std::string> folders_;
};

// Removes groups that could not be removed with their server because its processes were still
// ending; waits for them at most that long. Blocks.
void RemoveEmptyCgroupsBlocking(std::chrono::milliseconds limit);

}  // namespace metamcp::connector::sandbox
