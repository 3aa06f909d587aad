#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/db/database.h"
#include "common/db/open_database.h"

// For the tests of stores: one suite over every back-end.
//
//   class CatalogStoreTest : public db::DatabaseTest {};
//   INSTANTIATE_TEST_SUITE_P(Backends, CatalogStoreTest, db::AllBackends(), db::BackendName);
namespace metamcp::db {

enum class TestBackend { kSqliteFile, kSqliteMemory, kPostgres };

inline auto AllBackends() {
  return testing::Values(TestBackend::kSqliteFile, TestBackend::kSqliteMemory,
                         TestBackend::kPostgres);
}
std::string BackendName(const testing::TestParamInfo<TestBackend>& info);

// Gives each test an empty database: a file in a new folder, memory, or a new schema in the
// PostgreSQL that METAMCP_TEST_POSTGRES_URL names (scripts/with_postgres). Without that variable
// the PostgreSQL tests are skipped, or fail if CI=true and METAMCP_REQUIRE_POSTGRES=1.
class ScratchDatabase {
 public:
  explicit ScratchDatabase(TestBackend backend);
  ScratchDatabase(const ScratchDatabase&) = delete;
  ScratchDatabase& operator=(const ScratchDatabase&) = delete;
  ~ScratchDatabase();

  // Empty if the back-end is not there.
  const std::string& url() const { return url_; }
  // The folder of a SQLite file.
  const std::string& folder() const { return folder_; }
  // Whether a missing PostgreSQL is a failure.
  static bool PostgresRequired();

 private:
  std::string url_;
  std::string folder_;
  std::string schema_;
};

class DatabaseTest : public testing::TestWithParam<TestBackend> {
 protected:
  void SetUp() override;

  // Another one on the same data (not for kSqliteMemory).
  std::unique_ptr<Database> Open(const OpenOptions& options = {}) const;

  std::unique_ptr<ScratchDatabase> scratch_;
  std::unique_ptr<Database> db_;
};

}  // namespace metamcp::db
