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

absl::StatusOr<PostgresConnection::Result> Read(const Libpq& pq, const PGresult* in) {
  PostgresConnection::Result out;
  // "" for what changes nothing.
  if (!absl::SimpleAtoi(pq.cmd_tuples(const_cast<PGresult*>(in)), &out.affected)) out.affected = 0;
  const int count = pq.nfields(in);
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.emplace_back(pq.fname(in, i));
  const auto columns = std::make_shared<const std::vector<std::string>>(std::move(names));
  const int rows = pq.ntuples(in);
  out.rows.reserve(static_cast<size_t>(rows));
  for (int row = 0; row < rows; ++row) {
    std::vector<Value> values(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      if (pq.getisnull(in, row, i) != 0) continue;
      const std::string_view text(pq.getvalue(in, row, i),
                                  static_cast<size_t>(pq.getlength(in, row, i)));
      METAMCP_ASSIGN_OR_RETURN(values[static_cast<size_t>(i)], Decode(pq.ftype(in, i), text));
    }
    out.rows.emplace_back(columns, std::move(values));
  }
  return out;
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

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const std::string& url, std::chrono::milliseconds statement_timeout) {
  METAMCP_ASSIGN_OR_RETURN(const Libpq* const pq, LoadLibpq());
  std::unique_ptr<PostgresConnection> out(new PostgresConnection(*pq));
  auto connection = pq->Connect(url);
  if (!connection.ok()) return out->Lost(Sv(connection.status().message()));
  out->connection_ = *std::move(connection);
  out->cancel_.reset(pq->get_cancel(out->connection_.get()));
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
    METAMCP_RETURN_IF_ERROR(Script("DEALLOCATE ALL"));
    prepared_.clear();
  }
  Prepared prepared;
  prepared.name = StrCat("s", ++last_name_);
  prepared.names = std::move(parsed.names);
  const auto made = Check(
      pq_.prepare(connection_.get(), prepared.name.c_str(), parsed.sql.c_str(), 0, nullptr), sql);
  if (!made.ok()) return made.status();
  return &(prepared_[std::move(key)] = std::move(prepared));
}

absl::StatusOr<PostgresConnection::Result> PostgresConnection::Run(std::string_view sql,
                                                                   const Params& params) {
  METAMCP_ASSIGN_OR_RETURN(const Prepared* const prepared, Prepare(sql));
  METAMCP_ASSIGN_OR_RETURN(const auto ordered, OrderParams(prepared->names, params));
  std::vector<std::optional<std::string>> values;
  values.reserve(ordered.size());
  for (const Value* value : ordered) values.push_back(Encode(*value));
  std::vector<const char*> texts;
  texts.reserve(values.size());
  for (const auto& value : values) texts.push_back(value ? value->c_str() : nullptr);
  METAMCP_ASSIGN_OR_RETURN(
      const Libpq::Result result,
      Check(pq_.exec_prepared(connection_.get(), prepared->name.c_str(),
                              static_cast<int>(texts.size()), texts.data(), nullptr, nullptr, 0),
            sql));
  return Read(pq_, result.get());
}

absl::Status PostgresConnection::Script(const std::string& sql) {
  return Check(pq_.exec(connection_.get(), sql.c_str()), sql).status();
}

absl::Status PostgresConnection::Commit() {
  const absl::Status status = Script("COMMIT");
  // An error that the server sent ends the transaction without effect; silence leaves it open.
  if (!absl::IsUnavailable(status)) return status;
  return MakeError("COMMIT_IN_DOUBT", "database",
                   "the connection was lost during the commit; read again what was written");
}

void PostgresConnection::Cancel() {
  char why[256] = "no memory";
  if (cancel_ != nullptr && pq_.cancel(cancel_.get(), why, sizeof(why)) != 0) return;
  Log(LogLevel::kWarning, "database.cancel_failed", {{"error", std::string_view(why)}});
}

absl::StatusOr<Libpq::Result> PostgresConnection::Check(PGresult* given, std::string_view sql) {
  Libpq::Result result(given, Libpq::Free{&pq_});
  if (result == nullptr) return Lost(pq_.error_message(connection_.get()));
  switch (pq_.result_status(result.get())) {
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
      return result;
    default:
      break;
  }
  const char* what = pq_.result_error_message(result.get());
  if (pq_.status(connection_.get()) != CONNECTION_OK) return Lost(what);
  const char* state = pq_.result_error_field(result.get(), PG_DIAG_SQLSTATE);
  if (state != nullptr) return SqlFailure(state, what, sql);
  // libpq itself could not do it.
  Retire();
  Log(LogLevel::kError, "database.statement_failed", {{"error", Loggable("", what)}, {"sql", sql}});
  return MakeError("INTERNAL", "database", "a database statement failed; see the log");
}

absl::Status PostgresConnection::Lost(std::string_view what) {
  Retire();
  Log(LogLevel::kWarning, "database.connection_lost", {{"error", what.substr(0, what.find('\n'))}});
  return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot be reached");
}

// Appendix A of the PostgreSQL manual lists the states.
absl::Status PostgresConnection::SqlFailure(const std::string& state, const char* what,
                                            std::string_view sql) {
  const std::string_view kind = std::string_view(state).substr(0, 2);
  if (kind == "08" || state.substr(0, 3) == "57P") return Lost(what);
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
  // Out of a resource; or the server became a standby, where no writing transaction begins.
  const bool standby = state == "0A000" && sql.starts_with("BEGIN");
  if (kind == "53" || standby || (state == "25006" && !reading_)) {
    Retire();
    return MakeError("DATABASE_UNAVAILABLE", "database", "the database cannot take writes now");
  }
  return MakeError("INTERNAL", "database", "a database statement failed; see the log");
}

}  // namespace metamcp::db
