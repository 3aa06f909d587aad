#pragma once

namespace metamcp::connector::sandbox {

// Refuses (EPERM) the system calls that no MCP server needs and escapes are made of: tracing and
// reading others, mounts, name spaces, kernel keys, BPF, performance counters, modules, io_uring,
// sockets of other families than unix, IPv4, IPv6 and netlink. Calls of another architecture end
// the process. Returns whether the filter is in force. Needs no_new_privs.
bool FilterCalls();

}  // namespace metamcp::connector::sandbox
