#include "common/db/sqlite_database.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/db/testing.h"

namespace metamcp::db {
namespace {

unsigned ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

class SqliteDatabaseTest : public testing::Test {
 protected:
  std::string Path() const { return StrCat(scratch_.folder(), "/test.db"); }
  std::unique_ptr<Database> Open(const OpenOptions& options = {}) {
    auto database = OpenSqliteBlocking(Path(), options);
    EXPECT_TRUE(database.ok()) << database.status();
    return database.ok() ? *std::move(database) : nullptr;
  }
  static absl::StatusOr<Value> Pragma(Database& database, std::string_view name) {
    return database.Transact({}, [&](Transaction& tx) -> absl::StatusOr<Value> {
      METAMCP_ASSIGN_OR_RETURN(const Row row, tx.QueryOne(StrCat("PRAGMA ", name)));
      return row[0];
    });
  }
  static absl::Status MakeTable(Database& database) {
    return database.Transact({}, [](Transaction& tx) {
      return tx.Script("CREATE TABLE t (id TEXT PRIMARY KEY) STRICT");
    });
  }

  ScratchDatabase scratch_{TestBackend::kSqliteFile};
};

TEST_F(SqliteDatabaseTest, NobodyElseMayReadTheFiles) {
  RecordProperty("req", "M-DATA-LOC.2");
  const auto database = Open();
  ASSERT_TRUE(MakeTable(*database).ok());
  EXPECT_EQ(ModeOf(Path()), 0600u);
  EXPECT_EQ(ModeOf(Path() + "-wal"), 0600u);
  EXPECT_EQ(ModeOf(Path() + "-shm"), 0600u);
}

TEST_F(SqliteDatabaseTest, SetsItsPragmas) {
  const auto full = Open();
  EXPECT_EQ(*Pragma(*full, "journal_mode"), Value("wal"));
  EXPECT_EQ(*Pragma(*full, "foreign_keys"), Value(1));
  EXPECT_EQ(*Pragma(*full, "synchronous"), Value(2));
  OpenOptions fast;
  fast.sqlite_full_sync = false;
  EXPECT_EQ(*Pragma(*Open(fast), "synchronous"), Value(1));
}

TEST_F(SqliteDatabaseTest, ReportsABusyFileAsAConflict) {
  const auto holder = Open();
  ASSERT_TRUE(MakeTable(*holder).ok());
  OpenOptions impatient;
  impatient.sqlite_busy_timeout = std::chrono::milliseconds(0);
  const auto other = Open(impatient);
  TransactOptions once;
  once.retries = 0;
  const absl::Status status = holder->Transact({}, [&](Transaction&) {
    const auto nothing = [](Transaction&) { return absl::OkStatus(); };
    EXPECT_EQ(Reason(other->Transact(once, nothing)), "DATABASE_CONFLICT");
    EXPECT_TRUE(other->Read(nothing).ok());
    TransactOptions late = once;
    late.deadline = TransactOptions::Clock::now() - std::chrono::seconds(1);
    EXPECT_EQ(Reason(other->Transact(late, nothing)), "DEADLINE_EXCEEDED");
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(SqliteDatabaseTest, EnforcesForeignKeys) {
  const auto database = Open();
  const absl::Status status = database->Transact({}, [](Transaction& tx) -> absl::Status {
    METAMCP_RETURN_IF_ERROR(
        tx.Script("CREATE TABLE p (id TEXT PRIMARY KEY);"
                  "CREATE TABLE c (p TEXT REFERENCES p (id));"));
    return tx.Execute("INSERT INTO c (p) VALUES (:p)", {{"p", "missing"}}).status();
  });
  EXPECT_EQ(Reason(status), "INTERNAL");
}

TEST_F(SqliteDatabaseTest, RefusesAFileThatIsSomethingElse) {
  std::ofstream(Path()) << std::string(8192, 'x');
  const auto database = OpenSqliteBlocking(Path(), {});
  EXPECT_EQ(Reason(database.status()), "DATABASE_UNAVAILABLE");
  EXPECT_NE(database.status().message().find("not a database"), absl::string_view::npos)
      << database.status();
}

TEST_F(SqliteDatabaseTest, SaysThatTheFolderIsMissing) {
  const auto database = OpenSqliteBlocking(StrCat(scratch_.folder(), "/none/test.db"), {});
  EXPECT_EQ(Reason(database.status()), "DATABASE_UNAVAILABLE");
  EXPECT_NE(database.status().message().find("No such file"), absl::string_view::npos);
}

TEST(OpenDatabaseTest, RefusesOtherUrlsWithoutRepeatingThem) {
  for (const char* url :
       {"", "sqlite", "sqlite:", "sqlite://x", "sqlite:?mode=memory",
        "sqlite::other:", "mysql://u:hunter2@h/d", "host=h password=hunter2", "/var/lib/x.db"}) {
    const auto database = OpenDatabaseBlocking(url);
    EXPECT_EQ(Reason(database.status()), "CONFIG_INVALID") << url;
    EXPECT_EQ(database.status().message().find("hunter2"), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace metamcp::db
