// What policy costs a call and a list, with a thousand rules over ten thousand tools.
#include <benchmark/benchmark.h>

#include "common/base/strings.h"
#include "gateway/access/access_guard.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {
namespace {

constexpr int kUpstreams = 100;
constexpr int kToolsEach = 100;

// Most rules name a tool or a server; a tenth are globs over any tool, and a twentieth look at
// arguments of any tool.
std::string Rules(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    const std::string head = StrCat(i % 3 == 0 ? "deny r" : "allow r", i, " if ");
    if (i % 20 == 0) {
      out += StrCat(head, "role = nobody", i, " and args.path within /srv/", i, "\n");
    } else if (i % 20 == 1 && i % 3 != 0) {
      out += StrCat(head, "args.path ~ /tmp/", i, "/*\n");
    } else if (i % 10 == 2) {
      out += StrCat(head, "tool ~ *secret", i, "*\n");
    } else if (i % 10 < 6) {
      out +=
          StrCat(head, "tool = up", i % kUpstreams, ".t", i % kToolsEach, " and role = nobody\n");
    } else {
      out += StrCat(head, "upstream = up", i % kUpstreams, " and destructive and team = ops\n");
    }
  }
  return out;
}

struct World {
  explicit World(int rules)
      : guard(*policy::Policy::Compile({{Rules(rules), "bench"}}, policy::Effect::kAllow)) {
    catalog::v1::WatchCatalogResponse state;
    auto& view = *state.add_views();
    view.set_name("default");
    view.set_active(true);
    for (int u = 0; u < kUpstreams; ++u) {
      auto& up = *state.add_upstreams();
      up.mutable_meta()->set_id(StrCat("id", u));
      up.mutable_meta()->set_name(StrCat("up", u));
      view.add_upstream_ids(up.meta().id());
      for (int t = 0; t < kToolsEach; ++t) {
        auto& item = *state.add_items();
        item.set_id(StrCat(u, "/", t));
        item.set_kind(catalog::v1::ITEM_KIND_TOOL);
        item.set_definition(R"({"name":"t","inputSchema":{"type":"object"}})");
        auto& exposed = *view.add_items();
        exposed.set_kind(catalog::v1::ITEM_KIND_TOOL);
        exposed.set_name(StrCat("up", u, "__t", t));
        exposed.set_qualified_name(StrCat("up", u, ".t", t));
        exposed.set_item_id(item.id());
        exposed.add_routes()->set_upstream_id(up.meta().id());
        exposed.mutable_routes(0)->set_original_name(StrCat("t", t));
      }
    }
    state.set_begin(true);
    state.set_end(true);
    mirror.Apply(state);
    who = std::make_shared<Principal>();
    who->subject = "ada";
    who->roles = {"developer"};
    who->teams = {"core", "web"};
  }
  CatalogMirror mirror;
  AccessGuard guard;
  std::shared_ptr<Principal> who;
};

void BM_Call(benchmark::State& state) {
  World world(static_cast<int>(state.range(0)));
  const auto view = world.mirror.snapshot()->Find("default");
  CallSpec spec;
  spec.view = view;
  spec.method = "tools/call";
  spec.params = R"({"name":"up7__t7","arguments":{"path":"/home/ada/x","text":"some words"}})";
  spec.client_info = R"({"name":"bench","version":"1"})";
  const EntryPtr entry = view->Find(catalog::v1::ITEM_KIND_TOOL, "up7__t7");
  const CallContext ctx(world.who, CallContext::Clock::now() + std::chrono::hours(1));
  const StageCall call{ctx, spec, entry.get(), entry->name, entry->routes, false};
  for (auto _ : state) {
    const absl::Status passed = world.guard.Before(call);
    if (!passed.ok()) state.SkipWithError(std::string(passed.message()).c_str());
    world.guard.After(call, nullptr);
  }
}
BENCHMARK(BM_Call)->Arg(0)->Arg(10)->Arg(1000);

// Of a principal that was not seen before.
void BM_FirstList(benchmark::State& state) {
  World world(1000);
  const auto view = world.mirror.snapshot()->Find("default");
  int n = 0;
  for (auto _ : state) {
    world.who->teams[1] = StrCat("team", ++n);
    benchmark::DoNotOptimize(world.guard.Seen(view, *world.who));
  }
}
BENCHMARK(BM_FirstList)->Unit(benchmark::kMillisecond);

void BM_NextList(benchmark::State& state) {
  World world(1000);
  const auto view = world.mirror.snapshot()->Find("default");
  for (auto _ : state) benchmark::DoNotOptimize(world.guard.Seen(view, *world.who));
}
BENCHMARK(BM_NextList);

void BM_Compile(benchmark::State& state) {
  const std::string text = Rules(1000);
  for (auto _ : state) {
    benchmark::DoNotOptimize(policy::Policy::Compile({{text, "bench"}}, policy::Effect::kAllow));
  }
}
BENCHMARK(BM_Compile)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace metamcp::gateway

BENCHMARK_MAIN();
