#pragma once

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "common/async/sink.h"

namespace metamcp::connector {

// Runs the loop until `op` is done and returns its value.
template <typename T>
T Await(boost::asio::io_context& io, Awaitable<T> op) {
  std::optional<T> result;
  std::exception_ptr failure;
  auto done = [&](std::exception_ptr e, T value) {
    failure = e;
    if (!e) result.emplace(std::move(value));
    io.stop();
  };
  boost::asio::co_spawn(io, std::move(op), std::move(done));
  io.restart();
  io.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

inline void AwaitVoid(boost::asio::io_context& io, Awaitable<void> op) {
  std::exception_ptr failure;
  auto done = [&](std::exception_ptr e) {
    failure = e;
    io.stop();
  };
  boost::asio::co_spawn(io, std::move(op), std::move(done));
  io.restart();
  io.run();
  if (failure) std::rethrow_exception(failure);
}

// Runs the loop until `condition` holds; false if it does not within 20 s.
inline bool RunUntilTrue(boost::asio::io_context& io, const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  io.restart();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

inline size_t OpenDescriptors() {
  size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// Whether the process is gone, or a zombie that only its parent can reap.
inline bool Gone(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return true;
  const size_t state = text.rfind(") ");
  return state != std::string::npos && text[state + 2] == 'Z';
}

// Whether that happens within 5 s, without anything that this thread would do about it.
inline bool GoneSoon(int pid) {
  for (int i = 0; i < 500; ++i) {
    if (Gone(pid)) return true;
    ::usleep(10000);
  }
  return false;
}

inline std::string TempDir() {
  std::string path = "/tmp/metamcp-connector-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

}  // namespace metamcp::connector
