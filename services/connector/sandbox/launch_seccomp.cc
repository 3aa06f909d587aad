#include "services/connector/sandbox/launch_seccomp.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <initializer_list>

namespace metamcp::connector::sandbox {
namespace {

constexpr int kRefused[] = {
    // others' memory
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise), SCMP_SYS(process_mrelease),
    // mounts and roots
    SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
    SCMP_SYS(name_to_handle_at), SCMP_SYS(open_by_handle_at),
    // name spaces
    SCMP_SYS(unshare), SCMP_SYS(setns),
    // kernel
    SCMP_SYS(add_key), SCMP_SYS(keyctl), SCMP_SYS(request_key), SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    SCMP_SYS(lookup_dcookie), SCMP_SYS(syslog), SCMP_SYS(reboot), SCMP_SYS(nfsservctl),
    SCMP_SYS(vmsplice), SCMP_SYS(fanotify_init), SCMP_SYS(vhangup), SCMP_SYS(iopl),
    SCMP_SYS(ioperm), SCMP_SYS(modify_ldt), SCMP_SYS(uselib), SCMP_SYS(sysfs), SCMP_SYS(ustat),
    SCMP_SYS(personality), SCMP_SYS(move_pages), SCMP_SYS(migrate_pages),
    // clocks
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(stime), SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime)};

constexpr scmp_datum_t kNameSpaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// Rules for a call that this architecture does not have are left out.
bool Added(int result) { return result == 0 || result == -EDOM || result == -EINVAL; }

bool Rules(scmp_filter_ctx filter) {
  bool good = true;
  for (const int call : kRefused) {
    good = good && Added(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0));
  }
  // clone with any of the name spaces; clone3 hides its flags in memory, so the C library is told
  // that there is none and takes clone.
  for (int bit = 0; bit < 32; ++bit) {
    const scmp_datum_t flag = scmp_datum_t{1} << bit;
    if ((kNameSpaces & flag) == 0) continue;
    good = good && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                    SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)) == 0;
  }
  good = good && Added(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
  // Pushing input into a terminal.
  for (const scmp_datum_t request : {scmp_datum_t{TIOCSTI}, scmp_datum_t{TIOCLINUX}}) {
    good = good && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, request)) == 0;
  }
  // The kernel looks at the lower half of an int only.
  for (int family = 0; family < 64; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK) {
      continue;
    }
    good = good && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                    SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff,
                                            static_cast<scmp_datum_t>(family))) == 0;
  }
  return good;
}

}  // namespace

bool FilterCalls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return false;
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  const bool good = Rules(filter) && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return good;
}

}  // namespace metamcp::connector::sandbox
