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
};

// Brings the schema of `component` up to date: applies what is missing in order, forward only, all
// in one transaction under an advisory lock, so that several starters may call it at once. Applied
// steps are recorded in schema_migrations(component, number, name, checksum, applied_us). Returns
// how many were applied. Blocks.
// Errors: FAILED_PRECONDITION when an applied step has another text now, or when the database holds
// a step that this program does not know (it is newer); INVALID_ARGUMENT for a list with gaps.
absl::StatusOr<int> MigrateBlocking(Database& database, std::string_view component,
                                    std::span<const Migration> migrations);

}  // namespace metamcp::db
