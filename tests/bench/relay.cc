// The least that can stand between a client and a server: copies TCP both ways to one port of
// loopback. What it adds to a call, any process in the middle adds on the same machine.
//
//   metamcp-relay --to PORT [--work US]   work: microseconds of processor time per piece copied,
//                                         so that it is as busy as what it is compared with
//
// Prints "relay port=N" when it listens; ends with its standard input.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/fixtures/event_loop.h"

namespace metamcp::load {
namespace {

using Clock = fixtures::EventLoop::Clock;

constexpr size_t kPieceBytes = size_t{64} * 1024;

class Relay {
 public:
  Relay(uint16_t to, std::chrono::microseconds work) : to_(to), work_(work) {}

  int Run() {
    uint16_t port = 0;
    const int listener = fixtures::ListenLoopback(&port);
    loop_.Add(listener, EPOLLIN, [this, listener](uint32_t) { Accept(listener); });
    loop_.Add(STDIN_FILENO, EPOLLIN, [this](uint32_t) { loop_.Stop(); });
    std::printf("relay port=%u\n", static_cast<unsigned>(port));
    std::fflush(stdout);
    loop_.Run();
    close(listener);
    return 0;
  }

 private:
  void Accept(int listener) {
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = fixtures::ConnectLoopback(to_);
    if (server < 0) {
      close(client);
      return;
    }
    const int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Copy(client, server);
    Copy(server, client);
  }

  void Copy(int from, int to) {
    loop_.Add(from, EPOLLIN, [this, from, to](uint32_t) {
      const ssize_t size = read(from, piece_.data(), piece_.size());
      if (size <= 0) {
        if (size < 0 && errno == EAGAIN) return;
        Close(from, to);
        return;
      }
      const auto until = Clock::now() + work_;
      while (Clock::now() < until) {
      }
      for (ssize_t done = 0; done < size;) {
        const ssize_t wrote = write(to, piece_.data() + done, static_cast<size_t>(size - done));
        if (wrote < 0 && errno != EAGAIN && errno != EINTR) return;
        done += wrote > 0 ? wrote : 0;
      }
    });
  }

  // By value: the caller's copies go with the handler.
  void Close(int one, int other) {
    loop_.Remove(one);
    loop_.Remove(other);
    close(one);
    close(other);
  }

  const uint16_t to_;
  const std::chrono::microseconds work_;
  fixtures::EventLoop loop_;
  std::array<char, kPieceBytes> piece_{};
};

bool Number(std::string_view text, unsigned max, unsigned* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && *out <= max;
}

int Main(int argc, char** argv) {
  unsigned to = 0;
  unsigned work = 0;
  bool good = argc % 2 == 1;
  for (int i = 1; good && i < argc; i += 2) {
    const std::string_view name = argv[i];
    good = name == "--to" ? Number(argv[i + 1], 65535, &to)
                          : name == "--work" && Number(argv[i + 1], 100'000, &work);
  }
  if (!good || to == 0) {
    std::fputs("usage: metamcp-relay --to PORT [--work US]\n", stderr);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  return Relay(static_cast<uint16_t>(to), std::chrono::microseconds(work)).Run();
}

}  // namespace
}  // namespace metamcp::load

int main(int argc, char** argv) { return metamcp::load::Main(argc, argv); }
