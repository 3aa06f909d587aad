#include "services/telemetry/profiler.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::telemetry {
namespace {

constexpr const char* kLibrary = "libprofiler.so.0";
using StartFunction = int (*)(const char*);
using StopFunction = void (*)();

bool g_running = false;  // the io thread's

struct Running {
  Running() { g_running = true; }
  ~Running() {
    if (stop != nullptr) stop();
    g_running = false;
    if (!path.empty()) ::unlink(path.c_str());
  }
  StopFunction stop = nullptr;
  std::string path;
};

absl::Status Missing() {
  return MakeError(
      "PROFILER_MISSING", "gateway",
      StrCat("this machine has no ", kLibrary, " (Debian: apt-get install libgoogle-perftools4)"));
}

}  // namespace

Awaitable<absl::StatusOr<std::string>> ProfileCpu(int seconds) {
  if (g_running) {
    co_return MakeError("PROFILER_BUSY", "gateway", "this process is being profiled already");
  }
  Running running;
  // Stays loaded: its signal handler may still be on its way.
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) co_return Missing();
  const auto start = reinterpret_cast<StartFunction>(::dlsym(library, "ProfilerStart"));
  const auto stop = reinterpret_cast<StopFunction>(::dlsym(library, "ProfilerStop"));
  if (start == nullptr || stop == nullptr) co_return Missing();
  const char* folder = ::getenv("TMPDIR");
  std::string path = StrCat(folder == nullptr ? "/tmp" : folder, "/meta-mcp-profile-XXXXXX");
  const int file = ::mkstemp(path.data());
  if (file < 0) {
    co_return MakeError("PROFILER_MISSING", "gateway", StrCat("cannot write ", path));
  }
  ::close(file);
  running.path = path;
  if (start(path.c_str()) == 0) {
    co_return MakeError("PROFILER_BUSY", "gateway", "another profiler runs in this process");
  }
  running.stop = stop;
  const bool whole = co_await Sleep(std::chrono::seconds(seconds));
  running.stop();
  running.stop = nullptr;
  if (!whole) co_return absl::CancelledError("cancelled");
  std::ifstream in(path, std::ios::binary);
  co_return std::string(std::istreambuf_iterator<char>(in), {});
}

std::optional<std::string> SampleHeap() {
  // By name: its header is no part of a build, and a program without it must start. A member
  // function takes its object as first argument (Itanium C++ ABI, as on every Linux).
  using InstanceFunction = void* (*)();
  using SampleFunction = void (*)(void* extension, std::string* out);
  const auto instance =
      reinterpret_cast<InstanceFunction>(::dlsym(RTLD_DEFAULT, "_ZN15MallocExtension8instanceEv"));
  const auto sample = reinterpret_cast<SampleFunction>(::dlsym(
      RTLD_DEFAULT,
      "_ZN15MallocExtension13GetHeapSampleEPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"));
  const char* rate = ::getenv("TCMALLOC_SAMPLE_PARAMETER");
  if (instance == nullptr || sample == nullptr || rate == nullptr || ::atoll(rate) <= 0) {
    return std::nullopt;
  }
  std::string out;
  sample(instance(), &out);
  return out;
}

absl::StatusOr<std::string> DescribeHeap() {
  char* text = nullptr;
  size_t size = 0;
  FILE* memory = ::open_memstream(&text, &size);
  if (memory == nullptr) return absl::ResourceExhaustedError("no memory");
  const int failed = ::malloc_info(0, memory);
  ::fclose(memory);
  std::string out(text, size);
  ::free(text);
  if (failed != 0) return absl::InternalError("malloc_info failed");
  return out;
}

}  // namespace metamcp::telemetry
