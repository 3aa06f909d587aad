#pragma once

namespace metamcp::connector::sandbox {

// Takes from this process the right to change files outside `writable` (`count` paths; those that
// are not there are left out), and with `no_connections` the right to reach sockets and signal
// processes outside. Returns the ABI of Landlock that did it, 0 where the kernel has none, or -1
// with errno. Source: kernel documentation, userspace-api/landlock, ABI 1 to 6.
int RestrictFiles(char** writable, int count, bool no_connections);

}  // namespace metamcp::connector::sandbox
