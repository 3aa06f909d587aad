// Load generator and judge for MCP servers: every answer is checked.
//
//   metamcp-load (--url http://127.0.0.1:PORT/mcp | --stdio COMMAND ARG...)
//     --url URL             repeatable: the lanes go to each in turn
//     --key KEY             sent as a bearer token
//     --era legacy|modern   default modern
//     --declares            the client declares every capability; without it none
//     --connections N       lanes, each with one request on its way; default 1
//     --seconds S           measured time after --warmup S (default 0.5); default 2
//     --calls N             ends after N answers instead (no warm-up)
//     --rate R              open loop: R requests per second, late ones counted from when they
//                           were due; 0 (default) is a closed loop
//     --tool NAME           tool to call, repeatable in turn; default echo
//     --mix FILE            what to do instead, see work.h
//     --op call|list|get|streams   call (default), tools/list, GET of the URL, or open one idle
//                           stream per lane, say so, hold them until stdin ends, and say how many
//                           were lost meanwhile
//     --bytes N             size of the text
//     --pid NAME=PID        reports CPU and memory of a process, repeatable
//
// Prints one line of JSON. Exit 0 if every answer was right, 1 otherwise, 2 for bad usage.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/bench/lanes.h"
#include "tests/bench/stats.h"

namespace metamcp::load {
namespace {

using Clock = fixtures::EventLoop::Clock;
using Seconds = std::chrono::duration<double>;

struct Options {
  std::vector<std::string> urls;
  std::string key;
  std::vector<std::string> command;
  bool modern = true;
  bool declares = false;
  size_t connections = 1;
  double seconds = 2;
  double warmup = 0.5;
  size_t calls = 0;
  double rate = 0;
  size_t bytes = 0;
  std::string op = "call";
  std::vector<WorkItem> items;
  std::map<std::string, pid_t> pids;
};

class Runner final : public LaneEvents {
 public:
  Runner(const Options& options, fixtures::EventLoop& loop, Work& work)
      : options_(options), loop_(loop), work_(work), sent_at_(options.connections) {}

  void set_lanes(Lanes* lanes) {
    lanes_ = lanes;
    for (const size_t lane : std::exchange(early_, {})) OnFree(lane);
  }

  void OnFree(size_t lane) override {
    if (lanes_ == nullptr) return early_.push_back(lane);
    ++ready_;
    if (options_.op == "streams") {
      if (ready_ == options_.connections) Report();
      return;
    }
    if (ready_ == options_.connections && phase_ == Phase::kOpening) Begin();
    free_.push_back(lane);
    if (phase_ == Phase::kOpening) return;
    Pump();
  }

  void OnFirstByte(size_t lane) override {
    if (phase_ == Phase::kMeasuring) first_bytes_.Add(Clock::now() - sent_at_[lane]);
  }

  void OnAnswer(size_t lane, std::string problem) override {
    if (!problem.empty()) Fail(problem);
    if (phase_ != Phase::kMeasuring) return;
    latencies_.Add(Clock::now() - sent_at_[lane]);
    if (options_.calls > 0 && latencies_.count() >= options_.calls) Report();
  }

  void OnLost(size_t, std::string why) override {
    Fail("lost: " + why);
    if (++lost_ + (options_.op == "streams" ? ready_ : 0) >= options_.connections) Report();
  }

  size_t errors() const { return errors_; }

 private:
  enum class Phase { kOpening, kWarming, kMeasuring, kDone };

  void Begin() {
    phase_ = Phase::kWarming;
    if (options_.rate > 0) loop_.After(Clock::duration::zero(), [this] { Arrive(Clock::now()); });
    if (options_.calls > 0) return Measure();
    loop_.After(std::chrono::duration_cast<Clock::duration>(Seconds(options_.warmup)),
                [this] { Measure(); });
  }

  void Measure() {
    phase_ = Phase::kMeasuring;
    begun_ = Clock::now();
    for (const auto& [name, pid] : options_.pids) before_[name] = ReadProcess(pid);
    if (options_.calls > 0) return;
    loop_.After(std::chrono::duration_cast<Clock::duration>(Seconds(options_.seconds)),
                [this] { Report(); });
  }

  // Open loop: a request is due now, the next one 1/rate later.
  void Arrive(Clock::time_point due) {
    if (phase_ == Phase::kDone) return;
    const auto step = std::chrono::duration_cast<Clock::duration>(Seconds(1.0 / options_.rate));
    const auto now = Clock::now();
    for (; due <= now; due += step) due_.push_back(due);
    Pump();
    loop_.At(due, [this, due] { Arrive(due); });
  }

  void Pump() {
    while (!free_.empty() && phase_ != Phase::kDone) {
      Clock::time_point since = Clock::now();
      if (options_.rate > 0) {
        if (due_.empty()) return;
        since = due_.front();
        due_.pop_front();
      }
      const size_t lane = free_.front();
      free_.pop_front();
      sent_at_[lane] = since;
      lanes_->Send(lane, work_.Next());
    }
  }

  void Fail(const std::string& problem) {
    if (phase_ == Phase::kDone) return;
    ++errors_;
    if (errors_ <= 5) std::cerr << "metamcp-load: " << problem << std::endl;
  }

  void Report() {
    if (phase_ == Phase::kDone) return;
    const double elapsed = Seconds(Clock::now() - begun_).count();
    phase_ = Phase::kDone;
    const auto count = static_cast<double>(latencies_.count());
    nlohmann::json out;
    out["errors"] = errors_;
    if (options_.op == "streams") {
      out["open"] = ready_ - lost_;
    } else {
      out["calls"] = latencies_.count();
      out["seconds"] = elapsed;
      out["calls_per_s"] = elapsed > 0 ? count / elapsed : 0.0;
      out["mean_us"] = latencies_.Mean();
      out["p50_us"] = latencies_.Percentile(0.50);
      out["p95_us"] = latencies_.Percentile(0.95);
      out["p99_us"] = latencies_.Percentile(0.99);
      out["max_us"] = latencies_.Percentile(1.0);
      out["late"] = due_.size();
      out["first_byte_p95_us"] = first_bytes_.Percentile(0.95);
      out["first_byte_p99_us"] = first_bytes_.Percentile(0.99);
    }
    for (const auto& [name, pid] : options_.pids) {
      const ProcessUse after = ReadProcess(pid);
      const double cpu_us = static_cast<double>(after.cpu_ns - before_[name].cpu_ns) / 1000.0;
      out["pids"][name] = {{"rss_kib", after.rss_kib},
                           {"fds", after.fds},
                           {"threads", after.threads},
                           {"cpu_us_per_call", count > 0 ? cpu_us / count : 0.0},
                           {"cpu_share", elapsed > 0 ? cpu_us / 1e6 / elapsed : 0.0}};
    }
    std::cout << out.dump() << std::endl;
    if (options_.op != "streams") return loop_.Stop();
    loop_.Add(STDIN_FILENO, EPOLLIN, [this](uint32_t) {
      std::cout << nlohmann::json({{"lost", lost_}}).dump() << std::endl;
      loop_.Stop();
    });
  }

  const Options& options_;
  fixtures::EventLoop& loop_;
  Work& work_;
  Lanes* lanes_ = nullptr;
  std::vector<size_t> early_;
  std::vector<Clock::time_point> sent_at_;
  std::deque<size_t> free_;
  std::deque<Clock::time_point> due_;
  Phase phase_ = Phase::kOpening;
  size_t ready_ = 0, lost_ = 0, errors_ = 0;
  Clock::time_point begun_;
  Latencies latencies_;
  Latencies first_bytes_;
  std::map<std::string, ProcessUse> before_;
};

int Usage(const std::string& why) {
  std::cerr << "metamcp-load: " << why << "; the head of tests/bench/load.cc tells the options\n";
  return 2;
}

bool ParseOptions(int argc, char** argv, Options* options, std::string* problem) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto next = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (flag == "--url") {
      options->urls.push_back(next());
    } else if (flag == "--key") {
      options->key = next();
    } else if (flag == "--stdio") {
      while (i + 1 < argc) options->command.emplace_back(argv[++i]);
    } else if (flag == "--era") {
      options->modern = next() != "legacy";
    } else if (flag == "--declares") {
      options->declares = true;
    } else if (flag == "--connections") {
      options->connections = std::stoul(next());
    } else if (flag == "--seconds") {
      options->seconds = std::stod(next());
    } else if (flag == "--warmup") {
      options->warmup = std::stod(next());
    } else if (flag == "--calls") {
      options->calls = std::stoul(next());
    } else if (flag == "--rate") {
      options->rate = std::stod(next());
    } else if (flag == "--bytes") {
      options->bytes = std::stoul(next());
    } else if (flag == "--op") {
      options->op = next();
    } else if (flag == "--tool") {
      options->items.push_back(Work::ForTool(next()));
    } else if (flag == "--mix") {
      auto items = Work::FromFile(next());
      if (!items.ok()) {
        *problem = std::string(items.status().message());
        return false;
      }
      options->items = *std::move(items);
    } else if (flag == "--pid") {
      const std::string pair = next();
      const size_t equals = pair.find('=');
      options->pids[pair.substr(0, equals)] = std::stoi(pair.substr(equals + 1));
    } else {
      *problem = "unknown option " + flag;
      return false;
    }
  }
  return true;
}

std::vector<WorkItem> ItemsOf(const Options& options) {
  WorkItem item;
  item.method = options.op == "streams" ? "subscriptions/listen" : "tools/list";
  if (options.op == "streams") item.params = R"("notifications":{"toolsListChanged":true})";
  if (options.op == "list") item.expect = "\"tools\":[";
  if (options.op != "call") return {item};
  return options.items.empty() ? std::vector<WorkItem>{Work::ForTool("echo")} : options.items;
}

int Run(int argc, char** argv) {
  Options options;
  std::string problem;
  if (!ParseOptions(argc, argv, &options, &problem)) return Usage(problem);
  ::prctl(PR_SET_TIMERSLACK, 1);  // an open loop must not be late by itself
  ::signal(SIGPIPE, SIG_IGN);
  fixtures::EventLoop loop;
  Work work(options.modern, options.bytes, ItemsOf(options), options.declares);
  Runner runner(options, loop, work);
  std::unique_ptr<Lanes> lanes;
  if (!options.command.empty()) {
    lanes = StartStdio(loop, runner, work, options.command, options.connections);
  } else {
    std::vector<HttpTarget> targets;
    for (const std::string& url : options.urls) {
      targets.emplace_back().key = options.key;
      if (!ParseTarget(url, &targets.back())) return Usage("--url must be http://127.0.0.1:PORT/…");
    }
    if (targets.empty()) return Usage("--url or --stdio is missing");
    const HttpUse use = options.op == "get"       ? HttpUse::kGet
                        : options.op == "streams" ? HttpUse::kStreams
                                                  : HttpUse::kCalls;
    lanes = ConnectHttp(loop, runner, work, std::move(targets), use, options.connections);
  }
  runner.set_lanes(lanes.get());
  loop.Run();
  return runner.errors() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace metamcp::load

int main(int argc, char** argv) { return metamcp::load::Run(argc, argv); }
