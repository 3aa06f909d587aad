// meta-mcp-launch: starts a server inside its sandbox (launch.h). One static program without
// dependencies, embedded into the gateway; it allocates little and starts in under a millisecond.
//
//   meta-mcp-launch outer [CGROUP.PROCS...] -- BWRAP ARGUMENTS...
//   meta-mcp-launch inner FD
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services/connector/sandbox/launch.h"
#include "services/connector/sandbox/launch_landlock.h"
#include "services/connector/sandbox/launch_seccomp.h"

namespace metamcp::connector::sandbox {
namespace {

constexpr size_t kOrdersMax = 4 << 20;
constexpr int kTextsMax = 65'536;

[[noreturn]] void Fail(const char* what) {
  ::dprintf(2, "meta-mcp-launch: %s: %s\n", what, ::strerror(errno));
  ::_exit(kLaunchFailed);
}

// --- outside ------------------------------------------------------------------------------------

int Outer(int argc, char** argv) {
  int at = 2;
  for (; at < argc && ::strcmp(argv[at], "--") != 0; ++at) {
    const int fd = ::open(argv[at], O_WRONLY | O_CLOEXEC);
    if (fd < 0) Fail(argv[at]);
    if (::write(fd, "0", 1) != 1) Fail(argv[at]);
    ::close(fd);
  }
  if (at + 1 >= argc) {
    errno = EINVAL;
    Fail("no program");
  }
  ::execv(argv[at + 1], argv + at + 1);
  Fail(argv[at + 1]);
}

// --- the forwarder to the egress proxy ----------------------------------------------------------

void Pump(int a, int b) {
  // One process for each connection: closed halves are passed on, everything ends with both.
  pollfd watched[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
  static char buffer[64 << 10];
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    if (::poll(watched, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    for (int i = 0; i < 2; ++i) {
      if (watched[i].fd < 0 || watched[i].revents == 0) continue;
      const int to = i == 0 ? b : a;
      const ssize_t n = ::read(watched[i].fd, buffer, sizeof(buffer));
      if (n <= 0) {
        ::shutdown(to, SHUT_WR);
        watched[i].fd = -1;
        continue;
      }
      for (ssize_t done = 0; done < n;) {
        const ssize_t sent = ::write(to, buffer + done, static_cast<size_t>(n - done));
        if (sent <= 0) return;
        done += sent;
      }
    }
  }
}

void Serve(int listener, const char* path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ::strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  ::signal(SIGCHLD, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  while (true) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      ::usleep(10'000);
      continue;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(listener);
      const int proxy = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (proxy >= 0 &&
          ::connect(proxy, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
        Pump(client, proxy);
      }
      ::_exit(0);
    }
    ::close(client);
  }
}

// Leaves a forwarder behind that belongs to nobody: the server does not see it as its child.
void StartForwarder(const char* order) {
  char* path = nullptr;
  const long port = ::strtol(order, &path, 10);
  if (path == nullptr || *path != '=') Fail("a malformed forwarder");
  ++path;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0 ||
      ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, 64) != 0) {
    Fail("cannot listen for the proxy");
  }
  const pid_t pid = ::fork();
  if (pid < 0) Fail("fork");
  if (pid == 0) {
    if (::fork() != 0) ::_exit(0);
    // Its own standard streams would keep the server's pipes open.
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    if (null > 2) ::close(null);
    Serve(listener, path);
  }
  ::close(listener);
  ::waitpid(pid, nullptr, 0);
}

// --- inside -------------------------------------------------------------------------------------

struct Orders {
  char* arguments[kTextsMax] = {};
  int argument_count = 0;
  char* environment[kTextsMax] = {};
  int environment_count = 0;
  char* writable[kTextsMax] = {};
  int writable_count = 0;
  const char* file = nullptr;
  const char* folder = nullptr;
  const char* forwarder = nullptr;
  bool no_connections = false;
  bool report = false;
};

void Limit(const char* order) {
  char* value = nullptr;
  const long resource = ::strtol(order, &value, 10);
  if (value == nullptr || *value != '=') Fail("a malformed limit");
  rlimit limit = {};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) Fail("getrlimit");
  const rlim_t wanted = ::strtoull(value + 1, nullptr, 10);
  if (limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max) limit.rlim_max = wanted;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) Fail("setrlimit");
}

void Put(char** list, int& count, char* text) {
  if (count >= kTextsMax - 1) {
    errno = E2BIG;
    Fail("too many orders");
  }
  list[count++] = text;
}

// Limits come last, as the launcher itself must not be hit by them.
void Read(char* data, size_t size, Orders& orders) {
  for (char* at = data; at < data + size; at += ::strlen(at) + 1) {
    char* const text = at + 1;
    switch (*at) {
      case 'A':
        Put(orders.arguments, orders.argument_count, text);
        break;
      case 'E':
        Put(orders.environment, orders.environment_count, text);
        break;
      case 'W':
        Put(orders.writable, orders.writable_count, text);
        break;
      case 'X':
        orders.file = text;
        break;
      case 'C':
        orders.folder = text;
        break;
      case 'P':
        orders.forwarder = text;
        break;
      case 'N':
        orders.no_connections = true;
        break;
      case 'T':
        orders.report = true;
        break;
      case 'L':
        break;
      default:
        errno = EINVAL;
        Fail("an unknown order");
    }
  }
}

void ApplyLimits(char* data, size_t size) {
  for (char* at = data; at < data + size; at += ::strlen(at) + 1) {
    if (*at == 'L') Limit(at + 1);
  }
}

int Inner(int fd) {
  static Orders orders;
  char* data = static_cast<char*>(::malloc(kOrdersMax));
  size_t size = 0;
  while (size < kOrdersMax) {
    const ssize_t n = ::read(fd, data + size, kOrdersMax - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail("cannot read the orders");
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size == 0 || size == kOrdersMax || data[size - 1] != '\0') {
    errno = EINVAL;
    Fail("malformed orders");
  }
  Read(data, size, orders);
  ::close_range(3, ~0u, 0);
  if (orders.folder != nullptr && ::chdir(orders.folder) != 0) Fail(orders.folder);
  if (orders.forwarder != nullptr) StartForwarder(orders.forwarder);
  ApplyLimits(data, size);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail("no_new_privs");
  const int landlock = RestrictFiles(orders.writable, orders.writable_count, orders.no_connections);
  if (landlock < 0) Fail("Landlock");
  if (!FilterCalls()) Fail("seccomp");
  if (orders.report) {
    ::dprintf(1, "landlock=%d\n", landlock);
    return 0;
  }
  ::execve(orders.file, orders.arguments, orders.environment);
  Fail(orders.file);
}

}  // namespace
}  // namespace metamcp::connector::sandbox

int main(int argc, char** argv) {
  using namespace metamcp::connector::sandbox;
  if (argc >= 3 && ::strcmp(argv[1], "outer") == 0) return Outer(argc, argv);
  if (argc == 3 && ::strcmp(argv[1], "inner") == 0) return Inner(::atoi(argv[2]));
  ::dprintf(2, "meta-mcp-launch is started by meta-mcp\n");
  return 2;
}
