#include "common/db/postgres_database.h"

#include <atomic>
#include <barrier>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/testing.h"
#include "common/telemetry/log.h"

namespace metamcp::db {
namespace {

using Clock = TransactOptions::Clock;

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

absl::StatusOr<int64_t> BackendPid(Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(const Row row, tx.QueryOne("SELECT pg_backend_pid() AS pid"));
  return row.Get<int64_t>("pid");
}

absl::Status Nothing(Transaction&) { return absl::OkStatus(); }

class PostgresDatabaseTest : public DatabaseTest {
 protected:
  // Ends a session from outside and waits until it is gone.
  void Terminate(int64_t pid) {
    OpenOptions one;
    one.pool_size = 1;
    const auto other = Open(one);
    ASSERT_NE(other, nullptr);
    const auto done = other->Transact({}, [&](Transaction& tx) {
      return tx.QueryOne("SELECT pg_terminate_backend(:pid, 30000) AS gone", {{"pid", pid}});
    });
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(done->Get<bool>("gone").value());
  }
};

TEST_P(PostgresDatabaseTest, ALostConnectionIsUnavailableAndReplaced) {
  RecordProperty("req", "P1-DB-3");
  const absl::Status status = db_->Transact({}, [&](Transaction& tx) -> absl::Status {
    METAMCP_ASSIGN_OR_RETURN(const int64_t pid, BackendPid(tx));
    Terminate(pid);
    return tx.Query("SELECT 1").status();
  });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(Reason(status), "DATABASE_UNAVAILABLE");
  EXPECT_TRUE(db_->Transact({}, Nothing).ok());
}

TEST_P(PostgresDatabaseTest, AConnectionLostWhileIdleIsNotNoticed) {
  const auto pid = db_->Transact({}, BackendPid);
  ASSERT_TRUE(pid.ok()) << pid.status();
  Terminate(*pid);
  const auto next = db_->Transact({}, BackendPid);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_NE(*next, *pid);
}

TEST_P(PostgresDatabaseTest, AConnectionLostDuringTheCommitLeavesItInDoubt) {
  const absl::Status made = db_->Transact({}, [](Transaction& tx) {
    return tx.Script(
        "CREATE TABLE t (id TEXT);"
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()");
  });
  ASSERT_TRUE(made.ok()) << made;
  int runs = 0;
  const absl::Status status = db_->Transact({}, [&](Transaction& tx) {
    ++runs;
    return tx.Execute("INSERT INTO t (id) VALUES ('a')").status();
  });
  EXPECT_TRUE(absl::IsUnknown(status)) << status;
  EXPECT_EQ(Reason(status), "COMMIT_IN_DOUBT");
  EXPECT_EQ(runs, 1);
}

TEST_P(PostgresDatabaseTest, AStatementHasATimeLimitOfItsOwn) {
  OpenOptions options;
  options.statement_timeout = std::chrono::milliseconds(50);
  const auto database = Open(options);
  const absl::Status status = database->Transact(
      {}, [](Transaction& tx) { return tx.Query("SELECT pg_sleep(600)").status(); });
  EXPECT_EQ(Reason(status), "DEADLINE_EXCEEDED") << status;
}

TEST_P(PostgresDatabaseTest, WaitsForAFreeConnectionUntilTheDeadline) {
  OpenOptions one;
  one.pool_size = 1;
  const auto database = Open(one);
  EXPECT_EQ(database->connections(), 1);
  const absl::Status status = database->Transact({}, [&](Transaction&) {
    TransactOptions soon;
    soon.deadline = Clock::now() + std::chrono::milliseconds(20);
    EXPECT_EQ(Reason(database->Transact(soon, Nothing)), "DEADLINE_EXCEEDED");
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(database->Transact({}, Nothing).ok());
}

TEST_P(PostgresDatabaseTest, ReusesConnectionsUntilTheyAreOld) {
  OpenOptions options;
  const auto database = Open(options);
  EXPECT_EQ(database->Transact({}, BackendPid).value(), database->Transact({}, BackendPid).value());
  options.recycle_after = std::chrono::milliseconds(1);
  const auto hasty = Open(options);
  std::set<int64_t> pids;
  for (int i = 0; i < 3; ++i) {
    const auto pid = hasty->Transact({}, [](Transaction& tx) -> absl::StatusOr<int64_t> {
      METAMCP_RETURN_IF_ERROR(tx.Query("SELECT pg_sleep(0.002)").status());
      return BackendPid(tx);
    });
    pids.insert(pid.value());
  }
  EXPECT_EQ(pids.size(), 3u);
}

TEST_P(PostgresDatabaseTest, RepeatsATransactionThatCouldNotBeSerialized) {
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Script(
                                  "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (0)");
                            })
                  .ok());
  TransactOptions strict;
  strict.isolation = Isolation::kSerializable;
  int runs = 0;
  const absl::Status status = db_->Transact(strict, [&](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.Query("SELECT n FROM t").status());
    if (++runs == 1) {
      EXPECT_TRUE(db_->Transact({},
                                [](Transaction& other) {
                                  return other.Execute("UPDATE t SET n = 10").status();
                                })
                      .ok());
    }
    return tx.Execute("UPDATE t SET n = n + 1").status();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(runs, 2);
  const auto row = db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT n FROM t"); });
  EXPECT_EQ(row->Get<int64_t>("n").value(), 11);
}

TEST_P(PostgresDatabaseTest, RepeatsATransactionThatWasPartOfADeadlock) {
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Script(
                                  "CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT);"
                                  "INSERT INTO t VALUES ('a', 0), ('b', 0)");
                            })
                  .ok());
  std::barrier both_hold_one(2);
  std::atomic<int> runs = 0;
  const auto add = [&](const std::string& first, const std::string& second) {
    bool again = false;
    const absl::Status status = db_->Transact({}, [&](Transaction& tx) -> absl::Status {
      ++runs;
      const std::string sql = "UPDATE t SET n = n + 1 WHERE id = :id";
      METAMCP_RETURN_IF_ERROR(tx.Execute(sql, {{"id", first}}).status());
      if (!std::exchange(again, true)) both_hold_one.arrive_and_wait();
      return tx.Execute(sql, {{"id", second}}).status();
    });
    EXPECT_TRUE(status.ok()) << status;
  };
  std::thread other(add, "a", "b");
  add("b", "a");
  other.join();
  EXPECT_EQ(runs, 3);
  const auto row = db_->Read(
      [](Transaction& tx) { return tx.QueryOne("SELECT min(n) AS low, max(n) AS high FROM t"); });
  EXPECT_EQ(row->Get<int64_t>("low").value(), 2);
  EXPECT_EQ(row->Get<int64_t>("high").value(), 2);
}

TEST_P(PostgresDatabaseTest, ClaimSkipsWhatAnotherHolds) {
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Script(
                                  "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (1), (2)");
                            })
                  .ok());
  const ClaimSpec spec = {"t", "", {}, "n", 1};
  const auto claim = [&](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
    if (rows.size() != 1) return absl::NotFoundError("none");
    return rows[0].Get<int64_t>("n");
  };
  const absl::Status status = db_->Transact({}, [&](Transaction& tx) {
    EXPECT_EQ(claim(tx).value(), 1);
    EXPECT_EQ(db_->Transact({}, claim).value(), 2);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(PostgresDatabaseTest, SurvivesASchemaChangeUnderAPreparedStatement) {
  const auto script = [&](std::string_view sql) {
    return db_->Transact({}, [&](Transaction& tx) { return tx.Script(sql); });
  };
  ASSERT_TRUE(script("CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (1)").ok());
  const auto read = [&] {
    return db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT * FROM t"); });
  };
  ASSERT_TRUE(read().ok());
  ASSERT_TRUE(script("ALTER TABLE t ADD COLUMN m BIGINT").ok());
  const auto row = read();
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->size(), 2u);
}

TEST_P(PostgresDatabaseTest, AListenerReconnectsAndSaysSo) {
  std::mutex mu;
  std::condition_variable came;
  std::vector<Notification> got;
  const auto wait_for = [&](size_t n) {
    std::unique_lock lock(mu);
    return came.wait_for(lock, std::chrono::minutes(1), [&] { return got.size() >= n; });
  };
  const auto listener = db_->Listen({"reconnect"}, [&](const Notification& n) {
    std::lock_guard lock(mu);
    got.push_back(n);
    came.notify_all();
  });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto pid = db_->Read([](Transaction& tx) -> absl::StatusOr<int64_t> {
    METAMCP_ASSIGN_OR_RETURN(const Row row, tx.QueryOne("SELECT pid FROM pg_stat_activity"
                                                        " WHERE query LIKE 'LISTEN%reconnect%'"));
    return row.Get<int64_t>("pid");
  });
  ASSERT_TRUE(pid.ok()) << pid.status();
  Terminate(*pid);
  ASSERT_TRUE(wait_for(1));
  ASSERT_TRUE(
      db_->Transact({}, [](Transaction& tx) { return tx.Notify("reconnect", "hello"); }).ok());
  ASSERT_TRUE(wait_for(2));
  std::lock_guard lock(mu);
  EXPECT_TRUE(got[0].resync);
  EXPECT_EQ(got[1].payload, "hello");
}

TEST_P(PostgresDatabaseTest, LogsNeitherParametersNorThePassword) {
  std::mutex mu;
  std::string text;
  SetLogWriter([&](std::string_view line) {
    std::lock_guard lock(mu);
    text += line;
  });
  const absl::Status status = db_->Transact({}, [](Transaction& tx) {
    return tx.Query("SELECT CAST(:v AS BIGINT)", {{"v", "planted-secret"}}).status();
  });
  const std::string bad_url = "postgresql://nobody:planted-password@127.0.0.1:1/none";
  const auto unreachable = OpenDatabaseBlocking(bad_url);
  SetLogWriter(nullptr);
  EXPECT_EQ(Reason(status), "INTERNAL");
  EXPECT_EQ(Reason(unreachable.status()), "DATABASE_UNAVAILABLE");
  EXPECT_NE(text.find("22P02"), std::string::npos) << text;
  text += StrCat(status.message(), unreachable.status().message());
  EXPECT_EQ(text.find("planted"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Backends, PostgresDatabaseTest, testing::Values(TestBackend::kPostgres),
                         BackendName);

}  // namespace
}  // namespace metamcp::db
