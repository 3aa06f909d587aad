// Events a second into each database, and what a record costs without one. PostgreSQL: the one that
// METAMCP_TEST_POSTGRES_URL names.
#include <benchmark/benchmark.h>

#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

v1::Event MakeEvent(int i) {
  v1::Event event;
  event.set_id(NewUuidV7());
  event.set_time_us(NowMicros());
  event.mutable_principal()->set_subject("user-" + std::to_string(i % 200));
  event.mutable_principal()->set_method("key:user");
  event.set_action("tools/call");
  event.set_item("git__tool_" + std::to_string(i % 50));
  event.set_upstream("git");
  event.set_virtual_server("default");
  event.set_provider("connector");
  event.set_outcome("ok");
  event.set_decision("allow");
  event.set_rule("virtual-server:default");
  event.set_duration_us(1500);
  event.set_trace("0af7651916cd43dd8448eb211c80319c");
  event.mutable_arguments()->set_shape("{\"path\":\"string\",\"limit\":\"number\"}");
  event.mutable_arguments()->set_digest(std::string(32, 'd'));
  event.mutable_arguments()->set_size(420);
  event.set_result_size(1024);
  return event;
}

void BM_Append(benchmark::State& state, db::TestBackend backend) {
  const db::ScratchDatabase scratch(backend);
  if (scratch.url().empty()) {
    state.SkipWithError("no such database here");
    return;
  }
  auto database = *db::OpenDatabaseBlocking(scratch.url());
  if (!SqlStore::MigrateBlocking(*database).ok()) state.SkipWithError("migration");
  const KeyRing ring = KeyRing::Ephemeral();
  SqlStore store(ring);
  const auto batch = static_cast<int>(state.range(0));
  int64_t stored = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<v1::Event> events;
    for (int i = 0; i < batch; ++i) events.push_back(MakeEvent(i));
    std::vector<const v1::Event*> list;
    for (const v1::Event& event : events) list.push_back(&event);
    state.ResumeTiming();
    const auto count = store.Append(*database, "default", list);
    if (!count.ok()) state.SkipWithError(std::string(count.status().message()).c_str());
    stored += count.value_or(0);
  }
  state.SetItemsProcessed(stored);
}
BENCHMARK_CAPTURE(BM_Append, sqlite, db::TestBackend::kSqliteFile)
    ->Arg(1)
    ->Arg(500)
    ->UseRealTime()
    ->MinTime(3);
BENCHMARK_CAPTURE(BM_Append, postgres, db::TestBackend::kPostgres)
    ->Arg(1)
    ->Arg(500)
    ->UseRealTime()
    ->MinTime(3);

void BM_Record(benchmark::State& state) {
  const v1::Event event = MakeEvent(1);
  const SubjectKey subject{"s-0123456789abcdef01234567", std::string(32, 'k')};
  std::string hash = kChainStart;
  MerkleFrontier tree;
  for (auto _ : state) {
    const RecordRow row = MakeRow("default", event, subject);
    hash = ChainHash(hash, MakeRecord(row, 7, event, subject));
    tree.Append(hash);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Record);

}  // namespace
}  // namespace metamcp::audit

BENCHMARK_MAIN();
