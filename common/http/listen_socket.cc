#include "common/http/listen_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "common/base/strings.h"

namespace metamcp::http {
namespace {

constexpr int kBacklog = 1024;

absl::Status SystemError(std::string_view what, int error) {
  return absl::UnavailableError(
      Av(StrCat("cannot listen on ", what, ": ", std::string(std::strerror(error)))));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void DescribeLocal(int fd, HttpEndpoint& endpoint) {
  sockaddr_storage local{};
  socklen_t size = sizeof(local);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
  char text[INET6_ADDRSTRLEN] = "";
  if (local.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<sockaddr_in&>(local);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    endpoint.port = ntohs(v4.sin_port);
  } else {
    const auto& v6 = reinterpret_cast<sockaddr_in6&>(local);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    endpoint.port = ntohs(v6.sin6_port);
  }
  endpoint.host = text;
}

// Whether somebody accepts connections on the socket file.
bool IsAlive(const sockaddr_un& address) {
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return false;
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
         errno == EAGAIN;
}

absl::Status RemoveDeadSocket(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(Av(StrCat("'", path, "' exists and is not a socket")));
  }
  if (IsAlive(address)) {
    return absl::AlreadyExistsError(Av(StrCat("another process listens on '", path, "'")));
  }
  ::unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ListenSocket> ListenOnTcp(const std::string& host, uint16_t port) {
  const std::string shown = StrCat(host, ":", port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  const int error = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        Av(StrCat("cannot listen on ", shown, ": ", std::string(::gai_strerror(error)))));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  // A name such as localhost may have both families; IPv4 is what clients try most.
  const addrinfo* chosen = found;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET) {
      chosen = a;
      break;
    }
  }
  Fd fd(::socket(chosen->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return SystemError(shown, errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (chosen->ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  }
  if (::bind(fd.get(), chosen->ai_addr, chosen->ai_addrlen) != 0) return SystemError(shown, errno);
  if (::listen(fd.get(), kBacklog) != 0) return SystemError(shown, errno);
  ListenSocket out;
  DescribeLocal(fd.get(), out.endpoint);
  out.family = chosen->ai_family;
  out.fd = fd.Release();
  return out;
}

absl::StatusOr<ListenSocket> ListenOnUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(Av(StrCat("the socket path '", path, "' must have 1 to ",
                                                sizeof(address.sun_path) - 1, " bytes")));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const absl::Status removed = RemoveDeadSocket(path, address);
  if (!removed.ok()) return removed;
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return SystemError(path, errno);
  // On Linux the mode set on the socket before bind() becomes that of the file, so there is no
  // moment in which others could connect.
  ::fchmod(fd.get(), 0600);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return SystemError(path, errno);
  }
  ::chmod(path.c_str(), 0600);
  if (::listen(fd.get(), kBacklog) != 0) return SystemError(path, errno);
  ListenSocket out;
  out.family = AF_UNIX;
  out.endpoint.unix_path = path;
  out.fd = fd.Release();
  return out;
}

}  // namespace metamcp::http
