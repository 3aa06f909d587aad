#include "common/db/postgres_connection.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/db/statement.h"
#include "common/telemetry/log.h"

// Each libpqxx deprecates what its predecessor needs: 6.4 inhibit_reactivation (there is no other
// way to stop it from reconnecting), 7.10 exec_prepared (whose successor 6.4 lacks).
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace metamcp::db {
namespace {

// The type numbers of pg_type.dat, fixed since PostgreSQL 7.
enum TypeOid : unsigned {
  kBool = 16,
  kBytea = 17,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kFloat4 = 700,
  kFloat8 = 701,
  kNumeric = 1700,
};

std::string DoubleText(double number) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number).ptr;
  return std::string(buffer, end);
}

std::optional<std::string> Encode(const Value& value) {
  const auto encode = [](const auto& v) -> std::optional<std::string> {
    using T = std::decay_t<decltype(v)>;
    if constexpr (std::is_same_v<T, std::monostate>) {
      return std::nullopt;
    } else if constexpr (std::is_same_v<T, int64_t>) {
      return std::to_string(v);
    } else if constexpr (std::is_same_v<T, double>) {
      return DoubleText(v);
    } else if constexpr (std::is_same_v<T, std::string>) {
      return v;
    } else {
      return "\\x" + HexEncode(v.bytes);
    }
  };
  return std::visit(encode, value.variant());
}

absl::StatusOr<Value> Decode(unsigned type, std::string_view text) {
  int64_t whole = 0;
  double number = 0;
  switch (type) {
    case kBool:
      return Value(text == "t");
    case kNumeric:  // what sum() of integers is
    case kInt2:
    case kInt4:
    case kInt8:
      if (absl::SimpleAtoi(Av(text), &whole)) return Value(whole);
      [[fallthrough]];
    case kFloat4:
    case kFloat8:
      if (absl::SimpleAtod(Av(text), &number)) return Value(number);
      return MakeError("INTERNAL", "database", "a number that cannot be read");
    case kBytea:
      if (text.substr(0, 2) != "\\x" || text.size() % 2 != 0) {
        return MakeError("INTERNAL", "database", "a bytea that is not in hex form");
      }
      return Value(Blob(absl::HexStringToBytes(Av(text.substr(2)))));
    default:
      return Value(text);
  }
}

absl::StatusOr<PostgresConnection::Result> Read(const pqxx::result& in) {
  PostgresConnection::Result out;
  out.affected = static_cast<int64_t>(in.affected_rows());
  const auto count = in.columns();
  std::vector<std::string> names;
  std::vector<unsigned> types;
  for (pqxx::row_size_type i = 0; i < count; ++i) {
    names.emplace_back(in.column_name(i));
    types.push_back(static_cast<unsigned>(in.column_type(i)));
  }
  const auto columns = std::make_shared<const std::vector<std::string>>(std::move(names));
  out.rows.reserve(static_cast<size_t>(in.size()));
  for (const auto& row : in) {
    std::vector<Value> values(static_cast<size_t>(count));
    for (pqxx::row_size_type i = 0; i < count; ++i) {
      const auto field = row[i];
      if (field.is_null()) continue;
      const std::string_view text(field.c_str(), static_cast<size_t>(field.size()));
      const auto at = static_cast<size_t>(i);
      METAMCP_ASSIGN_OR_RETURN(values[at], Decode(types[at], text));
    }
    out.rows.emplace_back(columns, std::move(values));
  }
  return out;
}

pqxx::result Execute(pqxx::transaction_base& tx, const std::string& name,
                     const std::vector<std::optional<std::string>>& values) {
#if PQXX_VERSION_MAJOR >= 7
  pqxx::params params;
  for (const auto& value : values) {
    if (value) {
      params.append(*value);
    } else {
      params.append();
    }
  }
  return tx.exec_prepared(name, params);
#else
  std::vector<const char*> params;
  for (const auto& value : values) params.push_back(value ? value->c_str() : nullptr);
  return tx.exec_prepared(name, pqxx::prepare::make_dynamic_params(params));
#endif
}

// The server's first line; the others (DETAIL, CONTEXT) and errors about data can quote values.
std::string Loggable(const std::string& state, std::string_view what) {
  if (state.substr(0, 2) == "22") return "error about a value";
  return std::string(what.substr(0, what.find('\n')));
}

}  // namespace

std::string CompletePostgresUrl(const std::string& url, std::chrono::milliseconds connect_timeout) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(connect_timeout).count();
  const std::pair<std::string_view, std::string> defaults[] = {
      {"application_name", "meta-mcp"},
      {"client_encoding", "UTF8"},
      {"connect_timeout", std::to_string(seconds)},
      {"keepalives_idle", "15"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", "30000"}};
  std::string out = url;
  for (const auto& [key, value] : defaults) {
    if (url.find(StrCat(key, "=")) != std::string::npos) continue;
    out += StrCat(out.find('?') == std::string::npos ? "?" : "&", key, "=", value);
  }
  return out;
}

std::unique_ptr<pqxx::connection> ConnectOrThrow(const std::string& url) {
  auto connection = std::make_unique<pqxx::connection>(url);
#if PQXX_VERSION_MAJOR >= 7
  connection->set_verbosity(pqxx::error_verbosity::terse);
#else
  connection->inhibit_reactivation(true);
  connection->set_verbosity(pqxx::connection_base::terse);
#endif
  return connection;
}

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const std::string& url, std::chrono::milliseconds statement_timeout) {
  std::unique_ptr<PostgresConnection> out(new PostgresConnection);
  try {
    out->connection_ = ConnectOrThrow(url);
  } catch (const std::exception& e) {
    return out->Lost(e.what());
  }
  out->opened_ = Clock::now();
  METAMCP_RETURN_IF_ERROR(out->Script(StrCat(
      "SET client_min_messages = error; SET bytea_output = hex; SET extra_float_digits = 1;"
      " SET standard_conforming_strings = on; SET idle_in_transaction_session_timeout = 60000;"
      " SET statement_timeout = ",
      statement_timeout.count())));
  return out;
}

absl::StatusOr<const PostgresConnection::Prepared*> PostgresConnection::Prepare(
    std::string_view sql) {
  std::string key(sql);
  if (const auto it = prepared_.find(key); it != prepared_.end()) return &it->second;
  METAMCP_ASSIGN_OR_RETURN(ParsedStatement parsed, ParseStatement(sql, '$'));
  if (prepared_.size() >= kPreparedMax) {
    for (const auto& [text, old] : prepared_) connection_->unprepare(old.name);
    prepared_.clear();
  }
  Prepared prepared;
  prepared.name = StrCat("s", ++last_name_);
  prepared.names = std::move(parsed.names);
  connection_->prepare(prepared.name, parsed.sql);
  return &(prepared_[std::move(key)] = std::move(prepared));
}

absl::StatusOr<PostgresConnection::Result> PostgresConnection::Run(std::string_view sql,
                                                                   const Params& params) {
  try {
    METAMCP_ASSIGN_OR_RETURN(const Prepared* const prepared, Prepare(sql));
    METAMCP_ASSIGN_OR_RETURN(const auto ordered, OrderParams(prepared->names, params));
    std::vector<std::optional<std::string>> values;
    values.reserve(ordered.size());
    for (const Value* value : ordered) values.push_back(Encode(*value));
    pqxx::nontransaction tx(*connection_);
    return Read(Execute(tx, prepared->name, values));
  } catch (...) {
    return Failure(sql);
  }
}

absl::Status PostgresConnection::Script(const std::string& sql) {
  try {
    pqxx::nontransaction tx(*connection_);
    tx.exec(sql);
    return absl::OkStatus();
  } catch (...) {
    return Failure(sql);
  }
}

absl::Status PostgresConnection::Commit() {
  const absl::Status status = Script("COMMIT");
  // An error that the server sent ends the transaction without effect; silence leaves it open.
  if (!absl::IsUnavailable(status)) return status;
  return MakeError("COMMIT_IN_DOUBT", "database",
                   "the connection was lost during the commit; read again what was written");
}

void PostgresConnection::Cancel() {
  try {
    connection_->cancel_query();
  } catch (const std::exception& e) {
    Log(LogLevel::kWarning, "database.cancel_failed", {{"error", e.what()}});
  }
}

absl::Status PostgresConnection::Failure(std::string_view sql) {
  try {
    throw;
  } catch (const pqxx::broken_connection& e) {
    return Lost(e.what());
    // libpqxx 6 gives these no SQL state.
  } catch (const pqxx::serialization_failure& e) {
    return SqlFailure("40001", e.what(), sql);
  } catch (const pqxx::deadlock_detected& e) {
    return SqlFailure("40P01", e.what(), sql);
  } catch (const pqxx::statement_completion_unknown& e) {
    return Lost(e.what());
  } catch (const pqxx::sql_error& e) {
    return SqlFailure(e.sqlstate(), e.what(), sql);
  } catch (const std::exception& e) {
    if (!connection_->is_open()) return Lost(e.what());
    Retire();
    Log(LogLevel::kError, "database.statement_failed",
        {{"error", Loggable("", e.what())}, {"sql", sql}});
    return MakeError("INTERNAL", "database", "a database statement failed; see the log");
  }
}

absl::Status PostgresConnection::Lost(const char* what) {
  Retire();
  const std::string_view text(what);
  Log(LogLevel::kWarning, "database.connection_lost", {{"error", text.substr(0, text.find('\n'))}});
  return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot be reached");
}

// Appendix A of the PostgreSQL manual lists the states.
absl::Status PostgresConnection::SqlFailure(const std::string& state, const char* what,
                                            std::string_view sql) {
  const std::string_view kind = std::string_view(state).substr(0, 2);
  if (!connection_->is_open() || kind == "08" || state.substr(0, 3) == "57P") return Lost(what);
  if (state == "23505") return MakeError("ALREADY_EXISTS", "database", "the key is taken");
  if (state == "57014") {
    return MakeError("DEADLINE_EXCEEDED", "database", "the statement was stopped");
  }
  if (state == "40001" || state == "40P01" || state == "55P03") {
    return MakeError("DATABASE_CONFLICT", "database", "others changed the same data meanwhile");
  }
  if (state == "0A000" && std::string_view(what).find("cached plan") != std::string_view::npos) {
    // The schema changed under a prepared statement: another connection prepares it anew.
    Retire();
    return MakeError("DATABASE_CONFLICT", "database", "the schema changed meanwhile");
  }
  Log(LogLevel::kError, "database.statement_failed",
      {{"code", state}, {"error", Loggable(state, what)}, {"sql", sql}});
  // Out of a resource; or the server became a standby.
  if (kind == "53" || (state == "25006" && !reading_)) {
    Retire();
    return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot take writes now");
  }
  return MakeError("INTERNAL", "database", "a database statement failed; see the log");
}

}  // namespace metamcp::db
