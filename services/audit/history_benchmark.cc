// What reading a large log takes: fills a database with records of the last year until it has the
// size that is asked for, then measures queries by their quantiles.
//
//   audit_history --database URL --bytes 1e9 [--queries 200] [--json FILE]
//
// A database that has the size already is only read, so that it can be made once.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/open_database.h"
#include "services/audit/partitions.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPeople = 500;
constexpr int kTools = 200;
constexpr int kServers = 20;
constexpr int kBatch = 1000;
constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;
constexpr int64_t kYearUs = 364 * kDayUs;
constexpr const char* kTenant = "default";

struct Options {
  std::string database;
  double bytes = 1e9;
  int queries = 200;
  std::string json;
};

[[noreturn]] void Die(const std::string& why) {
  std::cerr << "audit_history: " << why << std::endl;
  std::exit(1);
}
template <typename T>
T Value(absl::StatusOr<T> value) {
  if (!value.ok()) Die(std::string(value.status().message()));
  return *std::move(value);
}
void Check(const absl::Status& status) {
  if (!status.ok()) Die(std::string(status.message()));
}

Options Read(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--database") {
      options.database = value;
    } else if (name == "--bytes") {
      options.bytes = std::strtod(value.c_str(), nullptr);
    } else if (name == "--queries") {
      options.queries = std::atoi(value.c_str());
    } else if (name == "--json") {
      options.json = value;
    } else {
      Die(StrCat("unknown option ", name));
    }
  }
  if (options.database.empty()) Die("--database URL is needed");
  return options;
}

class History {
 public:
  explicit History(Options options)
      : options_(std::move(options)),
        database_(Value(db::OpenDatabaseBlocking(options_.database))),
        key_(SigningKey::Generate()) {
    Check(SqlStore::MigrateBlocking(*database_));
  }

  nlohmann::json Run() {
    Fill();
    nlohmann::json out;
    const auto head = Value(store_.GetHead(*database_, kTenant));
    out["records"] = head ? head->seq : 0;
    out["bytes"] = Bytes();
    if (filled_ > 0) out["appendedPerSecond"] = static_cast<int64_t>(filled_ / fill_seconds_);
    records_ = head ? head->seq : 0;
    for (const auto& [name, query] : Queries()) out["queries"][name] = Measure(query);
    return out;
  }

 private:
  using Query = std::function<size_t()>;

  double Bytes() {
    const bool sqlite = database_->backend() == db::Backend::kSqlite;
    const char* sql =
        sqlite ? "SELECT (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM "
                 "pragma_page_size()) AS bytes"
               : "SELECT CAST(pg_database_size(current_database()) AS BIGINT) AS bytes";
    return static_cast<double>(
        Value(database_->Read([sql](db::Transaction& tx) -> absl::StatusOr<int64_t> {
          METAMCP_ASSIGN_OR_RETURN(const db::Row row, tx.QueryOne(sql));
          return row.Get<int64_t>("bytes");
        })));
  }

  v1::Event MakeEvent(int64_t time_us) {
    const auto tool = Pick(kTools);
    v1::Event event;
    event.set_id(NewUuidV7());
    event.set_time_us(time_us);
    event.mutable_principal()->set_subject(StrCat("user-", Pick(kPeople)));
    event.mutable_principal()->set_method("key:user");
    event.mutable_principal()->set_client("agent 1.4.2");
    event.set_action("tools/call");
    event.set_item(StrCat("server", tool % kServers, "__tool_", tool));
    event.set_upstream(StrCat("server", tool % kServers));
    event.set_virtual_server("default");
    event.set_provider("connector");
    event.set_outcome(Pick(1000) == 0 ? "denied" : Pick(100) == 0 ? "failed" : "ok");
    event.set_decision("allow");
    event.set_rule("virtual-server:default");
    event.set_duration_us(1500);
    event.set_trace(Trace(made_++));
    event.mutable_arguments()->set_shape("{\"path\":\"string\",\"limit\":\"number\"}");
    event.mutable_arguments()->set_digest(std::string(32, 'd'));
    event.mutable_arguments()->set_size(420);
    event.set_result_size(1024);
    return event;
  }

  // In the order of time, over a year; each week's table is made when its time comes.
  void Fill() {
    const auto head = Value(store_.GetHead(*database_, kTenant));
    if (Bytes() >= options_.bytes) return;
    if (head) Die("this database has a log already, and it is smaller: begin with an empty one");
    const int64_t end = NowMicros();
    // Bytes of one record, from some, tell how far apart the others are.
    const double per_record = 1500;
    const auto step =
        static_cast<int64_t>(static_cast<double>(kYearUs) * per_record / options_.bytes);
    const auto begun = Clock::now();
    int64_t time = end - kYearUs;
    for (int64_t batch = 0; Bytes() < options_.bytes; ++batch) {
      Check(KeepPartitions(*database_, std::min(time, end)).status());
      std::vector<v1::Event> events;
      for (int i = 0; i < kBatch; ++i) events.push_back(MakeEvent(std::min(time += step, end)));
      std::vector<const v1::Event*> list;
      for (const v1::Event& event : events) list.push_back(&event);
      filled_ += static_cast<double>(Value(store_.Append(*database_, kTenant, list)));
      if (batch % 100 == 0) {
        Check(store_.MakeCheckpoint(*database_, kTenant, key_).status());
        std::fprintf(stderr, "\r%.0f MB", Bytes() / 1e6);
      }
    }
    fill_seconds_ = std::chrono::duration<double>(Clock::now() - begun).count();
    std::fprintf(stderr, "\r%.0f records in %.0f s\n", filled_, fill_seconds_);
    if (database_->backend() == db::Backend::kPostgres) Analyze();
  }
  // As autovacuum does after a while.
  void Analyze() {
    const db::TransactOptions options;
    Check(database_->Transact(options, [](db::Transaction& tx) { return tx.Script("ANALYZE"); }));
  }

  std::vector<std::pair<std::string, Query>> Queries() {
    const auto find = [this](std::function<void(RecordFilter&)> set) {
      return [this, set = std::move(set)] {
        RecordFilter filter;
        set(filter);
        return Value(store_.Query(*database_, kTenant, filter)).size();
      };
    };
    std::vector<std::pair<std::string, Query>> out;
    out.emplace_back("newest 100", find([](RecordFilter&) {}));
    out.emplace_back("page anywhere", find([this](RecordFilter& filter) {
                       filter.before_seq = 1 + Pick64(records_);
                     }));
    out.emplace_back("of a person", find([this](RecordFilter& filter) {
                       filter.subject = StrCat("user-", Pick(kPeople));
                     }));
    out.emplace_back("of a tool", find([this](RecordFilter& filter) {
                       const auto tool = Pick(kTools);
                       filter.item = StrCat("server", tool % kServers, "__tool_", tool);
                     }));
    out.emplace_back("of a person and a tool", find([this](RecordFilter& filter) {
                       const auto tool = Pick(kTools);
                       filter.subject = StrCat("user-", Pick(kPeople));
                       filter.item = StrCat("server", tool % kServers, "__tool_", tool);
                     }));
    out.emplace_back("of a server", find([this](RecordFilter& filter) {
                       filter.upstream = StrCat("server", Pick(kServers));
                     }));
    out.emplace_back("denied", find([](RecordFilter& filter) { filter.outcome = "denied"; }));
    out.emplace_back("an action that nothing has",
                     find([](RecordFilter& filter) { filter.action = "audit.erase"; }));
    out.emplace_back("a trace", find([this](RecordFilter& filter) {
                       filter.trace = Trace(static_cast<uint64_t>(Pick64(records_)));
                     }));
    out.emplace_back("an hour of the year", find([this](RecordFilter& filter) {
                       filter.since_us = NowMicros() - kYearUs + Pick64(kYearUs);
                       filter.until_us = filter.since_us + kDayUs / 24;
                     }));
    out.emplace_back("failures of a day, for 'errors'", find([](RecordFilter& filter) {
                       filter.failures = true;
                       filter.limit = 5000;
                       filter.since_us = NowMicros() - kDayUs;
                     }));
    out.emplace_back("1000 records of an export", [this] {
      return Value(store_.Read(*database_, kTenant, 1 + Pick64(records_), 1000)).size();
    });
    out.emplace_back("usage of a week by tool", [this] {
      UsageQuery query;
      query.by = {"item"};
      query.since_us = NowMicros() - 7 * kDayUs;
      return Value(store_.Usage(*database_, kTenant, query)).size();
    });
    return out;
  }

  nlohmann::json Measure(const Query& query) {
    std::vector<double> times;
    size_t rows = 0;
    for (int i = 0; i < options_.queries; ++i) {
      const auto begun = Clock::now();
      rows += query();
      times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begun).count());
      // A query that misses its budget by far says so without doing it 200 times.
      if (i >= 4 && times.back() > 2000) break;
    }
    std::sort(times.begin(), times.end());
    const auto at = [&times](double q) {
      const double rank = q * static_cast<double>(times.size() - 1);
      return static_cast<double>(
                 static_cast<int64_t>(times[static_cast<size_t>(rank + 0.5)] * 100)) /
             100;
    };
    return {
        {"p50Ms", at(0.5)}, {"p95Ms", at(0.95)}, {"maxMs", at(1)}, {"rows", rows / times.size()}};
  }

  static std::string Trace(uint64_t number) {
    char text[40];
    std::snprintf(text, sizeof(text), "%032llx", static_cast<unsigned long long>(number + 1));
    return text;
  }
  int Pick(int below) { return static_cast<int>(random_() % static_cast<uint64_t>(below)); }
  int64_t Pick64(int64_t below) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(std::max<int64_t>(below, 1)));
  }

  const Options options_;
  const std::unique_ptr<db::Database> database_;
  const SigningKey key_;
  const KeyRing ring_ = KeyRing::Ephemeral();
  SqlStore store_{ring_};
  std::mt19937_64 random_{6};
  uint64_t made_ = 0;
  int64_t records_ = 0;
  double filled_ = 0;
  double fill_seconds_ = 0;
};

}  // namespace
}  // namespace metamcp::audit

int main(int argc, char** argv) {
  const metamcp::audit::Options options = metamcp::audit::Read(argc, argv);
  const std::string text = metamcp::audit::History(options).Run().dump(1);
  if (options.json.empty()) {
    std::cout << text << std::endl;
  } else {
    std::ofstream(options.json) << text << "\n";
  }
}
