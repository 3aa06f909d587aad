#pragma once

#include <string>

#include "services/connector/sandbox/cgroup.h"

namespace metamcp::connector::sandbox {

// What this machine can enforce, found by trying it.
struct Machine {
  std::string bwrap;  // path of bubblewrap; empty: none
  // A program was started in all name spaces, with its own network, the filter of system calls and
  // the limits.
  bool confines = false;
  std::string why;   // not; with a mend
  int landlock = 0;  // its ABI; 0: the kernel has none
  CgroupSite cgroups;
  // Whether a limit of processes holds: by cgroup, or by resource limit for users other than root.
  bool limits_processes = false;
};

// Starts a program in a sandbox and looks at what came of it (some 20 ms). Blocks. Who is to start
// servers then says kUse (FindCgroupSite).
Machine ProbeBlocking(CgroupUse use);

// "bubblewrap, seccomp, Landlock 7, cgroup v1", or "none: " and the reason.
std::string Describe(const Machine& machine);

}  // namespace metamcp::connector::sandbox
