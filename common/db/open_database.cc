#include "common/db/open_database.h"

#include <string>

#include "common/base/error.h"
#include "common/db/postgres_database.h"
#include "common/db/sqlite_database.h"

namespace metamcp::db {

absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseBlocking(std::string_view url,
                                                               const OpenOptions& options) {
  const auto begins = [url](std::string_view prefix) {
    return url.substr(0, prefix.size()) == prefix;
  };
  if (begins("sqlite:")) {
    const std::string path(url.substr(7));
    // SQLite would take these as a URI or as a temporary database.
    if (!path.empty() && path[0] != '?' && path.substr(0, 2) != "//" &&
        path.find('\0') == std::string::npos && (path[0] != ':' || path == ":memory:")) {
      return OpenSqliteBlocking(path, options);
    }
  } else if (begins("postgresql://") || begins("postgres://")) {
    return OpenPostgresBlocking(std::string(url), options);
  }
  // The URL itself is not repeated: it may hold a password.
  return MakeError("CONFIG_INVALID", "database",
                   "the database URL must be sqlite:/path/to/file, sqlite::memory: or "
                   "postgresql://user@host/name");
}

}  // namespace metamcp::db
