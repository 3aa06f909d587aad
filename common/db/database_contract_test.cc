// What both drivers promise alike.
#include <atomic>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/testing.h"

namespace metamcp::db {
namespace {

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

class DatabaseContractTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const bool sqlite = db_->backend() == Backend::kSqlite;
    const std::string blob = sqlite ? "BLOB" : "BYTEA";
    const std::string real = sqlite ? "REAL" : "DOUBLE PRECISION";
    const absl::Status made = db_->Transact({}, [&](Transaction& tx) {
      return tx.Script(StrCat("CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT, d ", real,
                              ", s TEXT, b ", blob, ");"));
    });
    ASSERT_TRUE(made.ok()) << made;
  }

  absl::Status Insert(const std::string& id, Value n = {}, Value s = {}) {
    return db_->Transact({}, [&](Transaction& tx) {
      return tx
          .Execute("INSERT INTO t (id, n, s) VALUES (:id, :n, :s)",
                   {{"id", id}, {"n", n}, {"s", s}})
          .status();
    });
  }
  int64_t Count() {
    auto row =
        db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT count(*) AS c FROM t"); });
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() ? row->Get<int64_t>("c").value_or(-1) : -1;
  }
  absl::StatusOr<Row> Find(const std::string& id) {
    return db_->Read([&](Transaction& tx) {
      return tx.QueryOne("SELECT * FROM t WHERE id = :id", {{"id", id}});
    });
  }
};

TEST_P(DatabaseContractTest, ReturnsEveryTypeAsItWasStored) {
  RecordProperty("req", "M-DATA-LOC.1 W-6.1.4 P1-DB-1");
  const std::string text = "grüße 漢字 \xF0\x9F\x98\x80 '\"\\;\n";
  const Blob blob(std::string("\0\x01\xFF\\x00'\0", 9));
  for (const int64_t n : {std::numeric_limits<int64_t>::min(), int64_t{-1}, int64_t{0},
                          std::numeric_limits<int64_t>::max()}) {
    const absl::Status status = db_->Transact({}, [&](Transaction& tx) {
      return tx.Upsert("t", {{"id", "a"}}, {{"n", n}, {"d", 0.1}, {"s", text}, {"b", blob}});
    });
    ASSERT_TRUE(status.ok()) << status;
    const auto row = Find("a");
    ASSERT_TRUE(row.ok()) << row.status();
    EXPECT_EQ(row->Get<int64_t>("n").value(), n);
    EXPECT_EQ(row->Get<double>("d").value(), 0.1);
    EXPECT_EQ(row->Get<std::string>("s").value(), text);
    EXPECT_EQ(row->Get<Blob>("b").value(), blob);
  }
}

TEST_P(DatabaseContractTest, KeepsNullApartFromEmpty) {
  ASSERT_TRUE(db_->Transact({},
                            [](Transaction& tx) {
                              return tx.Upsert(
                                  "t", {{"id", ""}},
                                  {{"n", std::optional<int64_t>()}, {"s", ""}, {"b", Blob()}});
                            })
                  .ok());
  const auto row = Find("");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->Get<std::optional<int64_t>>("n").value(), std::nullopt);
  EXPECT_EQ(row->Get<std::optional<double>>("d").value(), std::nullopt);
  EXPECT_EQ(row->Get<std::optional<std::string>>("s").value(), "");
  EXPECT_EQ(row->Get<Blob>("b").value(), Blob());
  EXPECT_EQ(Reason(row->Get<int64_t>("n").status()), "INTERNAL");
}

TEST_P(DatabaseContractTest, StoresTenMegabytesOfText) {
  std::string big(10 * 1024 * 1024, 'x');
  big[5'000'000] = '\n';
  ASSERT_TRUE(Insert("big", 1, big).ok());
  const auto row = Find("big");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_TRUE(row->Get<std::string>("s").value() == big);
}

TEST_P(DatabaseContractTest, TakesSqlInValuesAsText) {
  for (const std::string evil : {"'; DROP TABLE t; --", "x' OR '1'='1", ":id", "$1", "\\'", "?1"}) {
    ASSERT_TRUE(Insert(evil, 1, evil).ok()) << evil;
    EXPECT_EQ(Find(evil)->Get<std::string>("s").value(), evil);
  }
  EXPECT_EQ(Count(), 6);
  EXPECT_TRUE(absl::IsNotFound(Find("' OR ''='").status()));
}

TEST_P(DatabaseContractTest, RefusesNamesThatAreNotIdentifiers) {
  const auto upsert = [&](std::string_view table, std::string_view column) {
    return db_->Transact({}, [&](Transaction& tx) {
      return tx.Upsert(table, {{"id", "a"}}, {{column, 1}});
    });
  };
  EXPECT_EQ(Reason(upsert("t; DROP TABLE t", "n")), "INTERNAL");
  EXPECT_EQ(Reason(upsert("t", "n = 1, s")), "INTERNAL");
  EXPECT_TRUE(upsert("t", "n").ok());
}

TEST_P(DatabaseContractTest, RefusesValuesThatNotEveryDriverCanStore) {
  EXPECT_TRUE(absl::IsInvalidArgument(Insert("a", 1, std::string("x\0y", 3))));
  EXPECT_TRUE(absl::IsInvalidArgument(Insert("a", 1, "\xC3\x28")));
  EXPECT_TRUE(absl::IsInvalidArgument(Insert("a", 1, "\xED\xA0\x80")));
  const absl::Status nan = db_->Transact({}, [](Transaction& tx) {
    return tx.Upsert("t", {{"id", "a"}}, {{"d", std::numeric_limits<double>::quiet_NaN()}});
  });
  EXPECT_TRUE(absl::IsInvalidArgument(nan));
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseContractTest, ReportsWrongParameterNames) {
  const auto query = [&](std::string_view sql, const Params& params) {
    return db_->Read([&](Transaction& tx) { return tx.Query(sql, params).status(); });
  };
  const std::string sql = "SELECT * FROM t WHERE id = :id OR s = :id";
  EXPECT_TRUE(query(sql, {{"id", "a"}}).ok());
  EXPECT_EQ(Reason(query(sql, {})), "INTERNAL");
  EXPECT_EQ(Reason(query(sql, {{"id", "a"}, {"other", 1}})), "INTERNAL");
  EXPECT_EQ(Reason(query(sql, {{"id", "a"}, {"id", "b"}})), "INTERNAL");
  EXPECT_EQ(Reason(query("SELECT * FROM t; SELECT 1", {})), "INTERNAL");
}

TEST_P(DatabaseContractTest, ReportsAnotherTypeThanTheReaderWants) {
  ASSERT_TRUE(Insert("a", 5, "text").ok());
  const auto row = Find("a");
  ASSERT_TRUE(row.ok());
  EXPECT_EQ(row->Get<double>("n").value(), 5.0);
  EXPECT_EQ(Reason(row->Get<int64_t>("s").status()), "INTERNAL");
  EXPECT_EQ(Reason(row->Get<bool>("n").status()), "INTERNAL");
  EXPECT_EQ(Reason(row->Get<Blob>("s").status()), "INTERNAL");
  EXPECT_EQ(Reason(row->Get<std::string>("missing").status()), "INTERNAL");
}

TEST_P(DatabaseContractTest, RollsBackWhenTheFunctionFails) {
  const absl::Status status = db_->Transact({}, [](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(tx.Upsert("t", {{"id", "a"}}, {}));
    return absl::DataLossError("changed my mind");
  });
  EXPECT_EQ(status, absl::DataLossError("changed my mind"));
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseContractTest, AFailedStatementDoomsTheTransaction) {
  ASSERT_TRUE(Insert("a").ok());
  const absl::Status status = db_->Transact({}, [](Transaction& tx) {
    EXPECT_TRUE(tx.Upsert("t", {{"id", "b"}}, {}).ok());
    EXPECT_TRUE(absl::IsAlreadyExists(
        tx.Execute("INSERT INTO t (id) VALUES (:id)", {{"id", "a"}}).status()));
    EXPECT_FALSE(tx.Query("SELECT 1").ok());
    return absl::OkStatus();
  });
  EXPECT_EQ(Reason(status), "ALREADY_EXISTS");
  EXPECT_EQ(Count(), 1);
}

TEST_P(DatabaseContractTest, LetsTheFunctionRewordATakenKey) {
  ASSERT_TRUE(Insert("a").ok());
  const absl::Status status = db_->Transact({}, [](Transaction& tx) -> absl::Status {
    if (!tx.Execute("INSERT INTO t (id) VALUES (:id)", {{"id", "a"}}).ok()) {
      return absl::AlreadyExistsError("there is an \"a\" already");
    }
    return absl::OkStatus();
  });
  EXPECT_EQ(status.message(), "there is an \"a\" already");
}

TEST_P(DatabaseContractTest, ReportsBadSqlWithoutTheDriversText) {
  const absl::Status status =
      db_->Read([](Transaction& tx) { return tx.Query("SELECT nonsense FROM t").status(); });
  EXPECT_EQ(Reason(status), "INTERNAL");
  EXPECT_EQ(status.message().find("nonsense"), absl::string_view::npos) << status;
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseContractTest, UpsertInsertsThenUpdatesThenKeeps) {
  const auto upsert = [&](const Params& values) {
    return db_->Transact({}, [&](Transaction& tx) {
      return tx.Upsert("t", {{"id", "a"}}, values);
    });
  };
  ASSERT_TRUE(upsert({{"n", 1}, {"s", "one"}}).ok());
  ASSERT_TRUE(upsert({{"n", 2}}).ok());
  ASSERT_TRUE(upsert({}).ok());
  EXPECT_EQ(Find("a")->Get<int64_t>("n").value(), 2);
  EXPECT_EQ(Find("a")->Get<std::string>("s").value(), "one");
  EXPECT_EQ(Count(), 1);
}

TEST_P(DatabaseContractTest, CountsAffectedRows) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Insert(id, 1).ok());
  std::vector<int64_t> affected;
  const auto run = [&](std::string_view sql) {
    auto n = db_->Transact({}, [&](Transaction& tx) { return tx.Execute(sql); });
    affected.push_back(n.value_or(-1));
  };
  run("UPDATE t SET n = 2 WHERE id <> 'a'");
  run("UPDATE t SET n = 2 WHERE id = 'none'");
  run("DELETE FROM t");
  EXPECT_EQ(affected, (std::vector<int64_t>{2, 0, 3}));
}

TEST_P(DatabaseContractTest, QueryOneWantsExactlyOneRow) {
  ASSERT_TRUE(Insert("a").ok());
  ASSERT_TRUE(Insert("b").ok());
  EXPECT_EQ(Reason(Find("none").status()), "NOT_FOUND");
  const auto two = db_->Read([](Transaction& tx) { return tx.QueryOne("SELECT * FROM t"); });
  EXPECT_EQ(Reason(two.status()), "INTERNAL");
}

TEST_P(DatabaseContractTest, ReadRefusesToWrite) {
  const auto read = [&](auto fn) { return Reason(db_->Read(fn)); };
  EXPECT_EQ(read([](Transaction& tx) { return tx.Execute("DELETE FROM t").status(); }), "INTERNAL");
  EXPECT_EQ(read([](Transaction& tx) {
              return tx.Query("INSERT INTO t (id) VALUES ('a') RETURNING id").status();
            }),
            "INTERNAL");
  EXPECT_EQ(read([](Transaction& tx) { return tx.AdvisoryLock("x"); }), "INTERNAL");
  EXPECT_EQ(read([](Transaction& tx) { return tx.Notify("x", ""); }), "INTERNAL");
  EXPECT_EQ(Count(), 0);
}

TEST_P(DatabaseContractTest, KeepsMoreStatementsThanItPrepares) {
  for (int i = 0; i < 600; ++i) {
    const auto row = db_->Read(
        [&](Transaction& tx) { return tx.QueryOne(StrCat("SELECT ", i % 300, " AS n")); });
    ASSERT_TRUE(row.ok()) << row.status();
    ASSERT_EQ(row->Get<int64_t>("n").value(), i % 300);
  }
}

TEST_P(DatabaseContractTest, RetriesAConflictThreeTimes) {
  const auto runs_until = [&](int good) {
    int runs = 0;
    const absl::Status status = db_->Transact({}, [&](Transaction& tx) -> absl::Status {
      METAMCP_RETURN_IF_ERROR(tx.Upsert("t", {{"id", StrCat("run", runs)}}, {}));
      if (++runs < good) return MakeError("DATABASE_CONFLICT", "database", "again");
      return absl::OkStatus();
    });
    return std::pair(runs, status.code());
  };
  EXPECT_EQ(runs_until(3), std::pair(3, absl::StatusCode::kOk));
  EXPECT_EQ(Count(), 1);
  EXPECT_EQ(runs_until(100), std::pair(4, absl::StatusCode::kAborted));
  EXPECT_EQ(Count(), 1);
}

TEST_P(DatabaseContractTest, ALockedReadModifyWriteLosesNoUpdate) {
  ASSERT_TRUE(Insert("counter", 0).ok());
  const auto add = [&] {
    for (int i = 0; i < 25; ++i) {
      const absl::Status status = db_->Transact({}, [](Transaction& tx) -> absl::Status {
        METAMCP_RETURN_IF_ERROR(tx.AdvisoryLock("counter"));
        METAMCP_ASSIGN_OR_RETURN(const Row row, tx.QueryOne("SELECT n FROM t"));
        METAMCP_ASSIGN_OR_RETURN(const int64_t n, row.Get<int64_t>("n"));
        return tx.Execute("UPDATE t SET n = :n", {{"n", n + 1}}).status();
      });
      EXPECT_TRUE(status.ok()) << status;
    }
  };
  std::thread other(add);
  add();
  other.join();
  EXPECT_EQ(Find("counter")->Get<int64_t>("n").value(), 50);
}

TEST_P(DatabaseContractTest, TwoClaimersShareTheWorkWithoutOverlap) {
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Insert(StrCat("job", 100 + i), 0).ok());
  std::mutex mu;
  std::multiset<std::string> claimed;
  const auto claim = [&] {
    for (bool more = true; more;) {
      std::vector<std::string> ids;
      const absl::Status status = db_->Transact({}, [&](Transaction& tx) -> absl::Status {
        ids.clear();
        const ClaimSpec spec = {"t", "n = :state", {{"state", 0}}, "id", 3};
        METAMCP_ASSIGN_OR_RETURN(const Rows rows, tx.Claim(spec));
        for (const Row& row : rows) {
          METAMCP_ASSIGN_OR_RETURN(const auto id, row.Get<std::string>("id"));
          METAMCP_RETURN_IF_ERROR(tx.Upsert("t", {{"id", id}}, {{"n", 1}}));
          ids.push_back(id);
        }
        EXPECT_LE(rows.size(), 3u);
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
      more = !ids.empty();
      std::lock_guard lock(mu);
      claimed.insert(ids.begin(), ids.end());
    }
  };
  std::thread other(claim);
  claim();
  other.join();
  EXPECT_EQ(claimed.size(), 40u);
  EXPECT_EQ(std::set<std::string>(claimed.begin(), claimed.end()).size(), 40u);
}

INSTANTIATE_TEST_SUITE_P(Backends, DatabaseContractTest, AllBackends(), BackendName);

}  // namespace
}  // namespace metamcp::db
