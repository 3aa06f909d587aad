// What both drivers promise when something stops, waits or listens.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/testing.h"

namespace metamcp::db {
namespace {

using Clock = TransactOptions::Clock;

// Runs until it is stopped.
constexpr std::string_view kEndless =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM c)"
    " SELECT count(*) AS n FROM c";

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

// Collects notifications; Wait returns false when `n` do not come in a minute.
class Inbox {
 public:
  void Add(const Notification& notification) {
    std::lock_guard lock(mu_);
    got_.push_back(notification);
    came_.notify_all();
  }
  bool Wait(size_t n) {
    std::unique_lock lock(mu_);
    return came_.wait_for(lock, std::chrono::minutes(1), [&] { return got_.size() >= n; });
  }
  std::vector<std::string> Payloads() {
    std::lock_guard lock(mu_);
    std::vector<std::string> out;
    for (const auto& n : got_)
      out.push_back(n.resync ? "resync" : StrCat(n.channel, ":", n.payload));
    return out;
  }

 private:
  std::mutex mu_;
  std::condition_variable came_;
  std::vector<Notification> got_;
};

class DatabaseFaultTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const absl::Status made = db_->Transact({}, [](Transaction& tx) {
      return tx.Script("CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT)");
    });
    ASSERT_TRUE(made.ok()) << made;
  }
  int64_t Count() {
    auto row =
        db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT count(*) AS c FROM t"); });
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() ? row->Get<int64_t>("c").value_or(-1) : -1;
  }
  absl::Status WriteThenRunEndlessly(const TransactOptions& options) {
    return db_->Transact(options, [](Transaction& tx) -> absl::Status {
      METAMCP_RETURN_IF_ERROR(tx.Upsert("t", {{"id", "a"}}, {}));
      return tx.Query(kEndless).status();
    });
  }
};

TEST_P(DatabaseFaultTest, StopsAtTheDeadlineAndWritesNothing) {
  TransactOptions options;
  options.deadline = Clock::now() + std::chrono::milliseconds(50);
  EXPECT_EQ(Reason(WriteThenRunEndlessly(options)), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseFaultTest, StopsBetweenShortStatementsToo) {
  TransactOptions options;
  options.deadline = Clock::now() + std::chrono::milliseconds(50);
  const absl::Status status = db_->Transact(options, [](Transaction& tx) -> absl::Status {
    for (;;) METAMCP_RETURN_IF_ERROR(tx.Query("SELECT 1").status());
  });
  EXPECT_EQ(Reason(status), "DEADLINE_EXCEEDED");
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseFaultTest, DoesNotBeginAfterTheDeadline) {
  TransactOptions options;
  options.deadline = Clock::now() - std::chrono::seconds(1);
  bool ran = false;
  const absl::Status status = db_->Transact(options, [&](Transaction&) {
    ran = true;
    return absl::OkStatus();
  });
  EXPECT_EQ(Reason(status), "DEADLINE_EXCEEDED");
  EXPECT_FALSE(ran);
}

TEST_P(DatabaseFaultTest, AnInterruptStopsTheStatementInFlight) {
  Interrupt interrupt;
  TransactOptions options;
  options.interrupt = &interrupt;
  std::mutex mu;
  std::condition_variable started;
  bool running = false;
  std::thread other([&] {
    std::unique_lock lock(mu);
    started.wait(lock, [&] { return running; });
    interrupt.Fire(absl::CancelledError("enough"));
  });
  const absl::Status status = db_->Transact(options, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.Upsert("t", {{"id", "a"}}, {}));
    {
      std::lock_guard lock(mu);
      running = true;
    }
    started.notify_all();
    return tx.Query(kEndless).status();
  });
  other.join();
  EXPECT_EQ(status, absl::CancelledError("enough"));
  EXPECT_EQ(Count(), 0);
  bool ran = false;
  EXPECT_EQ(db_->Transact(options,
                          [&](Transaction&) {
                            ran = true;
                            return absl::OkStatus();
                          }),
            absl::CancelledError("enough"));
  EXPECT_FALSE(ran);
}

TEST_P(DatabaseFaultTest, AnInterruptAfterTheLastStatementStopsTheCommit) {
  Interrupt interrupt;
  TransactOptions options;
  options.interrupt = &interrupt;
  const absl::Status status = db_->Transact(options, [&](Transaction& tx) {
    const absl::Status upserted = tx.Upsert("t", {{"id", "a"}}, {});
    interrupt.Fire(absl::CancelledError("enough"));
    return upserted;
  });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(Count(), 0);
}

TEST(InterruptTest, DoesNotCallAfterDisarm) {
  Interrupt interrupt;
  int calls = 0;
  EXPECT_TRUE(interrupt.Arm([&] { ++calls; }).ok());
  EXPECT_TRUE(interrupt.Disarm().ok());
  interrupt.Fire(absl::CancelledError("one"));
  interrupt.Fire(absl::InternalError("two"));
  EXPECT_EQ(interrupt.Arm([&] { ++calls; }), absl::CancelledError("one"));
  EXPECT_EQ(calls, 0);
}

TEST_P(DatabaseFaultTest, NotifiesWhenTheTransactionCommits) {
  Inbox inbox;
  auto listener = db_->Listen({"one", "two"}, [&](const Notification& n) { inbox.Add(n); });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto notify = [&](std::string_view channel, std::string_view payload, bool commit) {
    return db_->Transact({}, [&](Transaction& tx) -> absl::Status {
      METAMCP_RETURN_IF_ERROR(tx.Notify(channel, payload));
      return commit ? absl::OkStatus() : absl::AbortedError("no");
    });
  };
  EXPECT_TRUE(notify("one", "a 'quoted' \xC3\xA9", true).ok());
  EXPECT_FALSE(notify("one", "rolled back", false).ok());
  EXPECT_TRUE(notify("three", "nobody listens", true).ok());
  EXPECT_FALSE(notify("one", std::string(8000, 'x'), true).ok());
  EXPECT_FALSE(notify("one; DROP TABLE t", "", true).ok());
  EXPECT_TRUE(notify("two", "b", true).ok());
  ASSERT_TRUE(inbox.Wait(2));
  EXPECT_EQ(inbox.Payloads(), (std::vector<std::string>{"one:a 'quoted' \xC3\xA9", "two:b"}));
  *listener = nullptr;
  EXPECT_TRUE(notify("two", "late", true).ok());
  EXPECT_EQ(inbox.Payloads().size(), 2u);
}

TEST_P(DatabaseFaultTest, DataIsThereAfterARestart) {
  RecordProperty("req", "W-5.2.4 A20");
  if (GetParam() == TestBackend::kSqliteMemory) GTEST_SKIP() << "memory does not outlive its owner";
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Upsert("t", {{"id", "a"}}, {});
                            })
                  .ok());
  db_ = Open();
  ASSERT_NE(db_, nullptr);
  EXPECT_EQ(Count(), 1);
}

TEST_P(DatabaseFaultTest, TwoProcessesWaitForEachOther) {
  if (GetParam() == TestBackend::kSqliteMemory) GTEST_SKIP() << "memory cannot be shared";
  const auto second = Open();
  ASSERT_NE(second, nullptr);
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Upsert("t", {{"id", "a"}}, {{"n", 0}});
                            })
                  .ok());
  const auto add = [](Database& database) {
    for (int i = 0; i < 20; ++i) {
      const absl::Status status = database.Transact(
          {}, [](Transaction& tx) { return tx.Execute("UPDATE t SET n = n + 1").status(); });
      EXPECT_TRUE(status.ok()) << status;
    }
  };
  std::thread other(add, std::ref(*second));
  add(*db_);
  other.join();
  const auto row = db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT n FROM t"); });
  EXPECT_EQ(row->Get<int64_t>("n").value(), 40);
}

INSTANTIATE_TEST_SUITE_P(Backends, DatabaseFaultTest, AllBackends(), BackendName);

}  // namespace
}  // namespace metamcp::db
