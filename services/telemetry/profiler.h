#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/run.h"

// Profiles of this process, on demand; nothing is loaded or measured before.
namespace metamcp::telemetry {

// Samples the CPU for `seconds`, with gperftools' libprofiler.so.0 where the system has it, and
// returns the file of pprof. One at a time. Errors: PROFILER_MISSING, PROFILER_BUSY, CANCELLED.
Awaitable<absl::StatusOr<std::string>> ProfileCpu(int seconds);

// Where the memory that is in use was allocated, as tcmalloc has sampled it, in the format of
// pprof. Nothing where this process was not started with it (LD_PRELOAD=libtcmalloc.so.4
// TCMALLOC_SAMPLE_PARAMETER=524288).
std::optional<std::string> SampleHeap();

// What the C library's heap looks like now (malloc_info(3)).
absl::StatusOr<std::string> DescribeHeap();

}  // namespace metamcp::telemetry
