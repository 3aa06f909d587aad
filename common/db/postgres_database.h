#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/db/open_database.h"

namespace metamcp::db {

// Opens the PostgreSQL database at `url` (libpq's URI form) with a pool of connections, made when
// needed and replaced when lost or old. The first one is made before returning.
// Errors: UNAVAILABLE when the server cannot be reached or refuses; INVALID_ARGUMENT for options
// out of range.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgresBlocking(const std::string& url,
                                                               const OpenOptions& options);

}  // namespace metamcp::db
