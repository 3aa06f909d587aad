// 10,000 tools of 100 upstreams: first page, search, rebuild of a view after a change, full watch.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "services/catalog/query.h"
#include "services/catalog/testing.h"
#include "services/catalog/watch.h"

namespace metamcp::catalog {
namespace {

std::vector<pb::Item> Tools(int upstream) {
  static const char* kVerbs[] = {"list",  "create", "delete", "search", "update",
                                 "merge", "read",   "write",  "send",   "export"};
  static const char* kNouns[] = {"file",  "branch", "issue",  "page",  "message",
                                 "table", "user",   "report", "event", "key"};
  std::vector<pb::Item> tools;
  for (int i = 0; i < 100; ++i) {
    const std::string name =
        std::string(kVerbs[i % 10]) + "_" + kNouns[i / 10] + "_" + std::to_string(upstream);
    tools.push_back(MakeItem(pb::ITEM_KIND_TOOL, name,
                             ToolJson(name,
                                      R"({"path":{"type":"string","description":"Where it is"},
                     "limit":{"type":"integer","description":"How many at most"}})",
                                      ",\"description\":\"Does " + name +
                                          " in the given place and says what became of it. " +
                                          std::string(300, '.') + "\"")));
  }
  return tools;
}

struct Loaded {
  Loaded() {
    const size_t before = mallinfo2().uordblks;
    for (int u = 0; u < 100; ++u) {
      ids.push_back(f.AddUpstream(MakeUpstream("server-" + std::to_string(u))));
      f.Report(ids.back(), Tools(u));
    }
    f.registry->model().FindView("default");
    bytes = mallinfo2().uordblks - before;
    f.Flush();
    f.store.items.clear();
  }
  Fixture f;
  std::vector<std::string> ids;
  size_t bytes = 0;
};

Loaded& Shared() {
  static Loaded loaded;
  return loaded;
}

void FirstPage(benchmark::State& state) {
  pb::ListItemsRequest request;
  Model& model = Shared().f.registry->model();
  for (auto _ : state) benchmark::DoNotOptimize(ListItems(model, request));
  state.counters["model_bytes"] = static_cast<double>(Shared().bytes);
}
BENCHMARK(FirstPage)->Unit(benchmark::kMicrosecond);

void Search(benchmark::State& state) {
  pb::SearchItemsRequest request;
  request.set_query("create a branch in a given place");
  Model& model = Shared().f.registry->model();
  for (auto _ : state) benchmark::DoNotOptimize(SearchItems(model, request));
}
BENCHMARK(Search)->Unit(benchmark::kMicrosecond);

void RebuildAfterAChange(benchmark::State& state) {
  Loaded& loaded = Shared();
  Model& model = loaded.f.registry->model();
  std::vector<pb::Item> tools = Tools(7);
  bool odd = false;
  for (auto _ : state) {
    odd = !odd;
    tools[0] = MakeTool("list_file_7", odd ? ",\"description\":\"odd\"" : "");
    loaded.f.Report(loaded.ids[7], tools);
    benchmark::DoNotOptimize(model.FindView("default"));
  }
}
BENCHMARK(RebuildAfterAChange)->Unit(benchmark::kMicrosecond);

class NullSink final : public Sink<pb::WatchCatalogResponse> {
 public:
  Awaitable<absl::Status> Write(pb::WatchCatalogResponse message) override {
    // One complete batch is what is measured.
    if (message.end()) co_return absl::CancelledError("enough");
    co_return absl::OkStatus();
  }
};

void FullWatch(benchmark::State& state) {
  Loaded& loaded = Shared();
  for (auto _ : state) {
    NullSink sink;
    benchmark::DoNotOptimize(Await(loaded.f.io, WatchCatalog(*loaded.f.registry, 0, sink)));
  }
}
BENCHMARK(FullWatch)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace metamcp::catalog

BENCHMARK_MAIN();
