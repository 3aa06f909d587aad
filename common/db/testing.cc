#include "common/db/testing.h"

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::db {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void RunOnPostgres(const std::string& sql) {
  OpenOptions options;
  options.pool_size = 1;
  auto database = OpenDatabaseBlocking(Environment("METAMCP_TEST_POSTGRES_URL"), options);
  ASSERT_TRUE(database.ok()) << database.status();
  const auto status = (*database)->Transact({}, [&](Transaction& tx) { return tx.Script(sql); });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace

std::string BackendName(const testing::TestParamInfo<TestBackend>& info) {
  switch (info.param) {
    case TestBackend::kSqliteFile:
      return "SqliteFile";
    case TestBackend::kSqliteMemory:
      return "SqliteMemory";
    case TestBackend::kPostgres:
      return "Postgres";
  }
  return "";
}

bool ScratchDatabase::PostgresRequired() {
  return Environment("CI") == "true" && Environment("METAMCP_REQUIRE_POSTGRES") == "1";
}

ScratchDatabase::ScratchDatabase(TestBackend backend) {
  const std::string unique = HexEncode(RandomBytes(8));
  if (backend == TestBackend::kSqliteMemory) {
    url_ = "sqlite::memory:";
  } else if (backend == TestBackend::kSqliteFile) {
    folder_ = StrCat(testing::TempDir(), "metamcp-db-", unique);
    METAMCP_CHECK(std::filesystem::create_directory(folder_));
    url_ = StrCat("sqlite:", folder_, "/test.db");
  } else if (const std::string base = Environment("METAMCP_TEST_POSTGRES_URL"); !base.empty()) {
    schema_ = StrCat("test_", unique);
    RunOnPostgres(StrCat("CREATE SCHEMA ", schema_));
    url_ = StrCat(base, base.find('?') == std::string::npos ? "?" : "&", "options=-csearch_path%3D",
                  schema_);
  }
}

ScratchDatabase::~ScratchDatabase() {
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
  if (!schema_.empty()) RunOnPostgres(StrCat("DROP SCHEMA ", schema_, " CASCADE"));
}

void DatabaseTest::SetUp() {
  scratch_ = std::make_unique<ScratchDatabase>(GetParam());
  if (scratch_->url().empty()) {
    if (ScratchDatabase::PostgresRequired()) FAIL() << "METAMCP_TEST_POSTGRES_URL is not set";
    GTEST_SKIP() << "no METAMCP_TEST_POSTGRES_URL; run under scripts/with_postgres";
  }
  db_ = Open();
  ASSERT_NE(db_, nullptr);
}

std::unique_ptr<Database> DatabaseTest::Open(const OpenOptions& options) const {
  auto database = OpenDatabaseBlocking(scratch_->url(), options);
  EXPECT_TRUE(database.ok()) << database.status();
  return database.ok() ? *std::move(database) : nullptr;
}

}  // namespace metamcp::db
