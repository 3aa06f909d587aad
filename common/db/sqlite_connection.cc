#include "common/db/sqlite_connection.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::db {
namespace {

absl::Status Unavailable(std::string_view message) {
  return MakeError("DATABASE_UNAVAILABLE", "database", message);
}

// Makes the file with mode 0600 before SQLite would make it with the process's umask.
absl::Status MakePrivateFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Unavailable(StrCat("cannot open \"", path, "\": ", std::strerror(errno)));
  struct stat info {};
  const bool open_to_others = fstat(fd, &info) == 0 && (info.st_mode & 077) != 0;
  close(fd);
  if (open_to_others) {
    Log(LogLevel::kWarning, "database.readable_by_others", {{"path", path}});
  }
  return absl::OkStatus();
}

Value Column(sqlite3_stmt* statement, int i) {
  const auto bytes = [&](const void* data) {
    return std::string(static_cast<const char*>(data),
                       static_cast<size_t>(sqlite3_column_bytes(statement, i)));
  };
  switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
      return Value(sqlite3_column_int64(statement, i));
    case SQLITE_FLOAT:
      return Value(sqlite3_column_double(statement, i));
    case SQLITE_TEXT:
      return Value(bytes(sqlite3_column_text(statement, i)));
    case SQLITE_BLOB: {
      const void* data = sqlite3_column_blob(statement, i);  // null when empty
      return Value(data == nullptr ? Blob() : Blob(bytes(data)));
    }
    default:
      return Value();
  }
}

// The driver's text can quote values in errors about data; only errors that cannot are logged.
void LogFailure(sqlite3* handle, int code, std::string_view sql) {
  const bool quotes_values = (code & 0xFF) == SQLITE_MISMATCH;
  Log(LogLevel::kError, "database.statement_failed",
      {{"code", code},
       {"error", quotes_values ? sqlite3_errstr(code) : sqlite3_errmsg(handle)},
       {"sql", sql}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(
    const std::string& path, bool full_sync, std::chrono::milliseconds busy_timeout) {
  if (path != ":memory:") METAMCP_RETURN_IF_ERROR(MakePrivateFile(path));
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(handle));
  if (code != SQLITE_OK) {
    return Unavailable(StrCat("cannot open \"", path, "\": ", sqlite3_errstr(code)));
  }
  connection->busy_timeout_ = busy_timeout;
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_handler(handle, &SqliteConnection::OnBusy, connection.get());
  const absl::Status configured = connection->Configure(full_sync);
  if (!configured.ok()) {
    return Unavailable(StrCat("cannot use \"", path, "\": ", sqlite3_errmsg(handle)));
  }
  sqlite3_progress_handler(handle, 1000, &SqliteConnection::OnProgress, connection.get());
  return connection;
}

absl::Status SqliteConnection::Configure(bool full_sync) {
  // A misspelt identifier in double quotes is an error, as in PostgreSQL, not a string.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // Two processes that switch a new file to WAL at once do not wait for each other through the busy
  // handler; the loser tries again.
  absl::Status status = Script("PRAGMA journal_mode=WAL");
  for (int i = 0; i < 50 && absl::IsAborted(status); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    status = Script("PRAGMA journal_mode=WAL");
  }
  METAMCP_RETURN_IF_ERROR(status);
  METAMCP_RETURN_IF_ERROR(Script("PRAGMA foreign_keys=ON"));
  return Script(full_sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

SqliteConnection::~SqliteConnection() {
  for (auto& [sql, prepared] : prepared_) sqlite3_finalize(prepared.statement);
  sqlite3_close_v2(handle_);
}

void SqliteConnection::SetLimit(Clock::time_point deadline) {
  deadline_ = deadline;
  aborted_ = false;
}

void SqliteConnection::Abort() {
  aborted_ = true;
  sqlite3_interrupt(handle_);
}

bool SqliteConnection::Stopped() const { return aborted_ || Clock::now() >= deadline_; }

int SqliteConnection::OnProgress(void* self) {
  return static_cast<SqliteConnection*>(self)->Stopped() ? 1 : 0;
}

int SqliteConnection::OnBusy(void* self, int calls) {
  auto* connection = static_cast<SqliteConnection*>(self);
  if (calls == 0) connection->busy_since_ = Clock::now();
  if (connection->Stopped()) return 0;
  if (Clock::now() - connection->busy_since_ >= connection->busy_timeout_) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(calls < 10 ? 1 : 5));
  return 1;
}

absl::StatusOr<SqliteConnection::Prepared*> SqliteConnection::Prepare(std::string_view sql) {
  std::string key(sql);
  if (const auto it = prepared_.find(key); it != prepared_.end()) return &it->second;
  METAMCP_ASSIGN_OR_RETURN(ParsedStatement parsed, ParseStatement(sql, '?'));
  if (prepared_.size() >= kPreparedMax) {
    for (auto& [text, old] : prepared_) sqlite3_finalize(old.statement);
    prepared_.clear();
  }
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, parsed.sql.data(), static_cast<int>(parsed.sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Failure(code, sql);
  if (statement == nullptr) return MakeError("INTERNAL", "database", "empty SQL");
  Prepared& prepared = prepared_[std::move(key)];
  prepared.statement = statement;
  prepared.names = std::move(parsed.names);
  return &prepared;
}

absl::Status SqliteConnection::Bind(sqlite3_stmt* statement,
                                    const std::vector<const Value*>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int at = static_cast<int>(i) + 1;
    // The values outlive the execution, hence SQLITE_STATIC.
    const auto bind = [&](const auto& v) -> int {
      using T = std::decay_t<decltype(v)>;
      if constexpr (std::is_same_v<T, std::monostate>) {
        return sqlite3_bind_null(statement, at);
      } else if constexpr (std::is_same_v<T, int64_t>) {
        return sqlite3_bind_int64(statement, at, v);
      } else if constexpr (std::is_same_v<T, double>) {
        return sqlite3_bind_double(statement, at, v);
      } else if constexpr (std::is_same_v<T, std::string>) {
        return sqlite3_bind_text64(statement, at, v.data(), v.size(), SQLITE_STATIC, SQLITE_UTF8);
      } else {
        return sqlite3_bind_blob64(statement, at, v.bytes.data(), v.bytes.size(), SQLITE_STATIC);
      }
    };
    const int code = std::visit(bind, values[i]->variant());
    if (code != SQLITE_OK) return Failure(code, sqlite3_sql(statement));
  }
  return absl::OkStatus();
}

absl::StatusOr<SqliteConnection::Result> SqliteConnection::Run(std::string_view sql,
                                                               const Params& params,
                                                               bool read_only) {
  if (Stopped()) return Failure(SQLITE_INTERRUPT, sql);
  METAMCP_ASSIGN_OR_RETURN(Prepared* const prepared, Prepare(sql));
  if (read_only && sqlite3_stmt_readonly(prepared->statement) == 0) {
    return MakeError("INTERNAL", "database", "a writing statement in a reading transaction");
  }
  METAMCP_ASSIGN_OR_RETURN(const auto values, OrderParams(prepared->names, params));
  const absl::Status bound = Bind(prepared->statement, values);
  absl::StatusOr<Result> result = bound.ok() ? Step(*prepared) : absl::StatusOr<Result>(bound);
  sqlite3_reset(prepared->statement);
  sqlite3_clear_bindings(prepared->statement);
  return result;
}

absl::StatusOr<SqliteConnection::Result> SqliteConnection::Step(const Prepared& prepared) {
  sqlite3_stmt* const statement = prepared.statement;
  const int64_t changes_before = sqlite3_total_changes64(handle_);
  Result result;
  Row::Columns columns;
  for (;;) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) break;
    if (code != SQLITE_ROW) return Failure(code, sqlite3_sql(statement));
    const int count = sqlite3_column_count(statement);
    if (columns == nullptr) {  // after the first step: it may have recompiled for a new schema
      std::vector<std::string> names;
      for (int i = 0; i < count; ++i) names.emplace_back(sqlite3_column_name(statement, i));
      columns = std::make_shared<const std::vector<std::string>>(std::move(names));
    }
    std::vector<Value> values;
    values.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) values.push_back(Column(statement, i));
    result.rows.emplace_back(columns, std::move(values));
  }
  // sqlite3_changes keeps the number of the last writing statement; the total tells whether this
  // one was.
  if (sqlite3_total_changes64(handle_) != changes_before) {
    result.affected = sqlite3_changes64(handle_);
  }
  return result;
}

absl::Status SqliteConnection::Script(const std::string& sql) {
  if (Stopped()) return Failure(SQLITE_INTERRUPT, sql);
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code, sql);
}

absl::Status SqliteConnection::Failure(int code, std::string_view sql) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return MakeError("ALREADY_EXISTS", "database", "the key is taken");
    default:
      break;
  }
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      if (!Stopped()) return MakeError("DATABASE_CONFLICT", "database", "the database is busy");
      [[fallthrough]];
    case SQLITE_INTERRUPT:
      // When it was not the deadline, the owner of the Interrupt replaces this by its own status.
      return MakeError("DEADLINE_EXCEEDED", "database", "the statement was stopped");
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      LogFailure(handle_, code, sql);
      return Unavailable(StrCat("the database file cannot be used: ", sqlite3_errstr(code)));
    default:
      LogFailure(handle_, code, sql);
      return MakeError("INTERNAL", "database", "a database statement failed; see the log");
  }
}

}  // namespace metamcp::db
