// What transactions cost, by database and number of connections:
//
//   metamcp-bench-database --url sqlite:FILE|postgresql://… [--pool N] [--writers N] [--seconds S]
//     --read                one SELECT instead of a transaction that writes two rows
//
// Each writer is a thread. Makes two tables of its own. Prints one line of JSON; exit 1 on a
// failure.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/db/database.h"
#include "common/db/open_database.h"
#include "tests/bench/stats.h"

namespace metamcp::load {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string url;
  int pool = 4;
  int writers = 1;
  double seconds = 2;
  bool read = false;
};

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto next = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (flag == "--url") {
      options->url = next();
    } else if (flag == "--pool") {
      options->pool = std::stoi(next());
    } else if (flag == "--writers") {
      options->writers = std::stoi(next());
    } else if (flag == "--seconds") {
      options->seconds = std::stod(next());
    } else if (flag == "--read") {
      options->read = true;
    } else {
      return false;
    }
  }
  return !options->url.empty();
}

absl::Status MakeTables(db::Database& database) {
  return database.Transact(db::TransactOptions(), [](db::Transaction& tx) -> absl::Status {
    for (const char* sql : {"CREATE TABLE IF NOT EXISTS bench_rows (id TEXT NOT NULL PRIMARY KEY, "
                            "body TEXT NOT NULL)",
                            "CREATE TABLE IF NOT EXISTS bench_log (id TEXT NOT NULL PRIMARY KEY, "
                            "body TEXT NOT NULL)"}) {
      const absl::Status made = tx.Execute(sql).status();
      if (!made.ok()) return made;
    }
    return absl::OkStatus();
  });
}

absl::Status Write(db::Database& database, const std::string& id) {
  return database.Transact(db::TransactOptions(), [&id](db::Transaction& tx) -> absl::Status {
    const db::Params params = {{"id", id}, {"body", std::string(500, 'x')}};
    for (const char* sql : {"INSERT INTO bench_rows (id, body) VALUES (:id, :body)",
                            "INSERT INTO bench_log (id, body) VALUES (:id, :body)"}) {
      const absl::Status written = tx.Execute(sql, params).status();
      if (!written.ok()) return written;
    }
    return absl::OkStatus();
  });
}

absl::Status Read(db::Database& database, const std::string& id) {
  return database.Read([&id](db::Transaction& tx) -> absl::Status {
    return tx.Query("SELECT body FROM bench_rows WHERE id = :id", {{"id", id}}).status();
  });
}

// CPU time of this process; the database's own processes are not in it.
double CpuUs() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto us = [](const timeval& t) { return static_cast<double>(t.tv_sec) * 1e6 + t.tv_usec; };
  return us(use.ru_utime) + us(use.ru_stime);
}

int Run(const Options& options) {
  db::OpenOptions open;
  open.pool_size = options.pool;
  auto opened = db::OpenDatabaseBlocking(options.url, open);
  absl::Status status = opened.status();
  if (status.ok()) status = MakeTables(**opened);
  if (!status.ok()) {
    std::cerr << "metamcp-bench-database: " << status.message() << std::endl;
    return 1;
  }
  db::Database& database = **opened;
  std::mutex mutex;
  Latencies latencies;
  absl::Status failed;
  std::atomic<bool> over{false};
  const double cpu = CpuUs();
  const auto begun = Clock::now();
  std::vector<std::thread> threads;
  const std::string run = std::to_string(begun.time_since_epoch().count());
  for (int writer = 0; writer < options.writers; ++writer) {
    threads.emplace_back([&, writer] {
      std::vector<Clock::duration> own;
      absl::Status last;
      for (int i = 0; !over && last.ok(); ++i) {
        const std::string id = run + "-" + std::to_string(writer) + "-" + std::to_string(i);
        const auto from = Clock::now();
        last = options.read ? Read(database, id) : Write(database, id);
        own.push_back(Clock::now() - from);
      }
      const std::lock_guard<std::mutex> lock(mutex);
      for (const auto time : own) latencies.Add(time);
      if (!last.ok()) failed = last;
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  over = true;
  for (std::thread& thread : threads) thread.join();
  const double elapsed = std::chrono::duration<double>(Clock::now() - begun).count();
  if (!failed.ok()) {
    std::cerr << "metamcp-bench-database: " << failed.message() << std::endl;
    return 1;
  }
  const auto count = static_cast<double>(latencies.count());
  std::cout << nlohmann::json({{"per_s", count / elapsed},
                               {"p50_us", latencies.Percentile(0.5)},
                               {"p95_us", latencies.Percentile(0.95)},
                               {"cpu_us", (CpuUs() - cpu) / count}})
                   .dump()
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace metamcp::load

int main(int argc, char** argv) {
  metamcp::load::Options options;
  if (!metamcp::load::Parse(argc, argv, &options)) {
    std::cerr << "metamcp-bench-database: the head of tests/bench/database.cc tells the options\n";
    return 2;
  }
  return metamcp::load::Run(options);
}
