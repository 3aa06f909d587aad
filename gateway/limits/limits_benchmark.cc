// What a call costs that passes limits of one level and of all seven.
#include <benchmark/benchmark.h>

#include "common/base/strings.h"
#include "gateway/limits/limiter.h"

namespace metamcp::gateway::limits {
namespace {

constexpr const char* kScopes[] = {"principal", "global", "tenant", "client",
                                   "upstream",  "tool",   "team"};

std::vector<config::LimitRuleConfig> Rules(int64_t levels) {
  std::vector<config::LimitRuleConfig> rules;
  for (int64_t i = 0; i < levels; ++i) {
    config::LimitRuleConfig rule;
    rule.name = rule.scope = kScopes[i];
    rule.rate = "1000000000/second";
    rule.concurrency = 1000;
    rules.push_back(rule);
  }
  return rules;
}

void BM_Acquire(benchmark::State& state) {
  Limiter::Options options;
  options.shared = state.range(1) > 0;
  Limiter limiter(std::move(options));
  limiter.SetRules(Rules(state.range(0)));
  std::vector<std::string> principals;
  for (int i = 0; i < 1000; ++i) principals.push_back(StrCat("principal-", i));
  const std::vector<std::string> teams = {"red"};
  Subject subject;
  subject.tenant = "default";
  subject.client = "claude-code";
  subject.upstream = "git";
  subject.tool = "git.git_status";
  subject.exposed = "git__git_status";
  subject.teams = teams;
  size_t i = 0;
  for (auto _ : state) {
    subject.principal = principals[++i % principals.size()];
    Ticket ticket;
    benchmark::DoNotOptimize(limiter.Acquire(Surface::kCalls, subject, false, ticket));
    limiter.Release(ticket);
    if (i % 100'000 == 0) benchmark::DoNotOptimize(limiter.TakeActive());
  }
}
BENCHMARK(BM_Acquire)
    ->ArgNames({"levels", "shared"})
    ->Args({0, 0})
    ->Args({1, 0})
    ->Args({7, 0})
    ->Args({1, 1})
    ->Args({7, 1});

}  // namespace
}  // namespace metamcp::gateway::limits

BENCHMARK_MAIN();
