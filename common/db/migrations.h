#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::db {

// One step of a component's schema. The texts come from NNNN.sqlite.sql and NNNN.postgres.sql, made
// into C++ by the CMake function metamcp_migrations.
struct Migration {
  int number;  // 1, 2, 3, ... without gaps
  std::string_view name;
  std::string_view sqlite_sql;  // any number of statements, separated by ';'
  std::string_view postgres_sql;
  // The last step that a program must know to work with this one: an expanding step names an
  // earlier one, a contracting step names the one that programs have used since. 0: itself.
  int needs = 0;
};

// Brings the schema of `component` up to date: applies what is missing in order, forward only, all
// in one transaction under an advisory lock, so that several starters may call it at once. Applied
// steps are recorded in schema_migrations(component, number, name, checksum, applied_us). Returns
// how many were applied. Blocks.
// A database that a newer program has brought further is taken where every later step says that it
// needs no more than this program knows (`needs`, recorded in schema_needs), so that the replicas
// of two releases can run side by side and the newer one can be taken back. Errors:
// FAILED_PRECONDITION when an applied step has another text now, or when the database needs a step
// that this program does not know; INVALID_ARGUMENT for a list with gaps.
absl::StatusOr<int> MigrateBlocking(Database& database, std::string_view component,
                                    std::span<const Migration> migrations);

}  // namespace metamcp::db
