#include "common/telemetry/log_export.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace metamcp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What a collector has, which does what it is told.
struct Collector {
  std::mutex mu;
  std::condition_variable changed;
  std::vector<LogRecord> got;
  bool refuses = false;
  bool hangs = false;
  int calls = 0;

  void Until(const std::function<bool()>& wanted) {
    std::unique_lock lock(mu);
    ASSERT_TRUE(changed.wait_for(lock, seconds(10), wanted));
  }
};

class Sender final : public LogExporter {
 public:
  explicit Sender(Collector& collector) : collector_(collector) {}
  bool Export(std::vector<LogRecord> records, std::string* error) override {
    std::unique_lock lock(collector_.mu);
    ++collector_.calls;
    collector_.changed.notify_all();
    collector_.changed.wait(lock, [this] { return !collector_.hangs; });
    if (collector_.refuses) {
      *error = "refused";
      return false;
    }
    for (LogRecord& record : records) collector_.got.push_back(std::move(record));
    collector_.changed.notify_all();
    return true;
  }

 private:
  Collector& collector_;
};

class LogExportTest : public ::testing::Test {
 protected:
  LogExportTest() {
    SetLogWriter([this](std::string_view line) { written_.emplace_back(line); });
  }
  ~LogExportTest() override {
    StopLogExport();
    SetLogWriter(nullptr);
  }
  void Start(LogExportOptions options = {}) {
    options.delay = milliseconds(1);
    StartLogExport(std::make_unique<Sender>(collector_), options);
  }

  Collector collector_;
  std::vector<std::string> written_;  // under Log's own lock
};

TEST_F(LogExportTest, LinesGoWithTheirFieldsAndTrace) {
  RecordProperty("req", "P1-Obs-1");
  Start();
  const std::string trace(32, 'a');
  Log(LogLevel::kWarning, "thing.broke",
      {{"error", "why \xff"}, {"count", 3}, {"kept", true}, {"trace", trace}});
  collector_.Until([this] { return collector_.got.size() == 1; });
  const LogRecord& got = collector_.got[0];
  EXPECT_EQ(got.event, "thing.broke");
  EXPECT_EQ(got.level, LogLevel::kWarning);
  EXPECT_EQ(got.trace, trace);
  EXPECT_GT(got.time_us, 0);
  ASSERT_EQ(got.fields.size(), 3u);
  EXPECT_EQ(std::get<std::string>(got.fields[0].second), "why \xEF\xBF\xBD") << "valid UTF-8 only";
  EXPECT_EQ(std::get<int64_t>(got.fields[1].second), 3);
  EXPECT_TRUE(std::get<bool>(got.fields[2].second));
  EXPECT_EQ(written_.size(), 1u) << "and to standard error";
}

TEST_F(LogExportTest, ValuesAreCutAsInTheLine) {
  Start();
  Log(LogLevel::kInfo, "thing.long", {{"text", std::string(10'000, 'x')}});
  collector_.Until([this] { return collector_.got.size() == 1; });
  EXPECT_LT(std::get<std::string>(collector_.got[0].fields[0].second).size(), 2100u);
}

TEST_F(LogExportTest, ABurstAtACollectorThatHangsIsDroppedAndCounted) {
  RecordProperty("req", "P1-Obs-1");
  collector_.hangs = true;
  LogExportOptions options;
  options.bytes_max = 64 << 10;
  Start(options);
  Log(LogLevel::kInfo, "thing.first");
  collector_.Until([this] { return collector_.calls == 1; });
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 20'000; ++i) Log(LogLevel::kInfo, "thing.burst", {{"text", "a line"}});
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(5)) << "nobody waits for it";
  const LogExportCounts counts = LogExportsSoFar();
  EXPECT_GT(counts.dropped, 19'000u);
  EXPECT_EQ(counts.exported, 0u);
  {
    const std::lock_guard lock(collector_.mu);
    collector_.hangs = false;
  }
  collector_.changed.notify_all();
  collector_.Until([this] { return collector_.got.size() > 50; });
  StopLogExport();
  const LogExportCounts after = LogExportsSoFar();
  EXPECT_EQ(after.exported + after.dropped, 20'001u) << "each is one or the other";
}

TEST_F(LogExportTest, ACollectorThatRefusesIsSaidOnceAndAgainWhenItIsBack) {
  collector_.refuses = true;
  Start();
  Log(LogLevel::kInfo, "thing.lost");
  // The line of the failure itself is exported, too, and refused, without another line.
  collector_.Until([this] { return collector_.calls >= 2; });
  {
    const std::lock_guard lock(collector_.mu);
    collector_.refuses = false;
  }
  Log(LogLevel::kInfo, "thing.arrives");
  collector_.Until([this] { return !collector_.got.empty(); });
  StopLogExport();
  const auto times = [this](const char* event) {
    return std::count_if(written_.begin(), written_.end(), [event](const std::string& line) {
      return line.find(event) != std::string::npos;
    });
  };
  EXPECT_EQ(times("logs.not_exported"), 1);
  EXPECT_EQ(times("logs.exported_again"), 1);
  EXPECT_EQ(LogExportsSoFar().failed, 2u);
}

TEST_F(LogExportTest, AStopSendsWhatIsLeftAndWaitsOnceForACollectorThatFails) {
  LogExportOptions options;
  options.batch_max = 10;
  options.delay = milliseconds(10'000);
  StartLogExport(std::make_unique<Sender>(collector_), options);
  for (int i = 0; i < 5; ++i) Log(LogLevel::kInfo, "thing.last");
  StopLogExport();
  EXPECT_EQ(collector_.got.size(), 5u);
  collector_.refuses = true;
  StartLogExport(std::make_unique<Sender>(collector_), options);
  collector_.calls = 0;
  for (int i = 0; i < 9; ++i) Log(LogLevel::kInfo, "thing.last");
  StopLogExport();
  EXPECT_EQ(collector_.calls, 1);
  Log(LogLevel::kInfo, "thing.after");
  EXPECT_EQ(collector_.calls, 1);
}

}  // namespace
}  // namespace metamcp
