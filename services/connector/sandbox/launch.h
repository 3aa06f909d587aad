#pragma once

// What the gateway and its launcher (launch_main.cc) have agreed on. The launcher runs twice for
// one server: outside the sandbox to enter its cgroups and start bubblewrap, and inside to apply
// what only the process itself can apply. Inside it reads its orders from a descriptor, so that no
// argument and no variable of the server is visible to others of the machine.
//
// Orders are texts that begin with a letter and end with a zero byte, in any order:
//   A argument (the first is the name of the program)   X file to run
//   E NAME=value                                        C working directory
//   L number=value, a soft and hard resource limit      W path that may be changed
//   P port=path, a forwarder on loopback to that socket
//   N no connections, not even to sockets of the machine's abstract name space (Landlock)
//   T report what is in force instead of running anything
namespace metamcp::connector::sandbox {

inline constexpr char kLaunchPath[] = "/run/meta-mcp/launch";       // of the launcher, inside
inline constexpr char kProxySocket[] = "/run/meta-mcp/proxy.sock";  // of the egress proxy, inside
inline constexpr int kProxyPort = 3128;
inline constexpr int kLaunchFd = 3;  // the launcher's own image
inline constexpr int kOrdersFd = 4;
// Where something could not be applied the launcher ends with this and says why on stderr.
inline constexpr int kLaunchFailed = 125;

}  // namespace metamcp::connector::sandbox
