// What looking for everything costs, by the KiB, in prose, code and a result as JSON.
#include <benchmark/benchmark.h>

#include "common/base/strings.h"
#include "common/detect/detector.h"
#include "common/json/scan.h"

namespace metamcp::detect {
namespace {

std::string Prose(size_t bytes) {
  std::string out;
  while (out.size() < bytes) {
    out +=
        "The quick brown fox reads 12 files from /srv/data and tells its user what it found, "
        "before it goes on to https://docs.test/page?id=7. ";
  }
  out.resize(bytes);
  return out;
}

void Run(benchmark::State& state, Kinds kinds) {
  const std::string json =
      StrCat(R"({"content":[{"type":"text","text":)",
             json::JsonQuote(Prose(static_cast<size_t>(state.range(0)))), "}]}");
  for (auto _ : state) benchmark::DoNotOptimize(ScanJson(json, kinds, kinds));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(json.size()));
  state.counters["us/KiB"] = benchmark::Counter(
      static_cast<double>(json.size()) / 1024 * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_One(benchmark::State& state) { Run(state, kAllKinds[state.range(1)]); }
void BM_All(benchmark::State& state) {
  Kinds all;
  for (const Kind kind : kAllKinds) all = all | kind;
  Run(state, all);
}
void BM_Off(benchmark::State& state) { Run(state, Kinds()); }
BENCHMARK(BM_One)->ArgNames({"bytes", "kind"})->ArgsProduct({{16384}, {0, 1, 2, 3, 4}});
BENCHMARK(BM_All)->Arg(1024)->Arg(16384)->Arg(1 << 20);
BENCHMARK(BM_Off)->Arg(16384);

}  // namespace
}  // namespace metamcp::detect

BENCHMARK_MAIN();
