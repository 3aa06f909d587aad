#include "common/db/database.h"

#include <algorithm>
#include <random>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::db {
namespace {

absl::Status Defect(std::string_view message) { return MakeError("INTERNAL", "database", message); }

bool IsConflict(const absl::Status& status) {
  if (!absl::IsAborted(status)) return false;
  const auto info = GetErrorInfo(status);
  return info && info->reason == "DATABASE_CONFLICT";
}

// What the driver said wins over what the function made of it, except that the function may reword
// an error, and replace one that is about its data.
absl::Status Cause(const absl::Status& returned, const absl::Status& doomed) {
  if (doomed.ok()) return returned;
  if (returned.ok() || IsConflict(doomed)) return doomed;
  const bool about_data = absl::IsAlreadyExists(doomed) || absl::IsInvalidArgument(doomed);
  return about_data || returned.code() == doomed.code() ? returned : doomed;
}

// 10, 40, 160 ms, each times 0.5 to 1.5.
std::chrono::microseconds BackOff(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int64_t base_us = int64_t{10'000} << (2 * std::min(attempt, 3));
  return std::chrono::microseconds(
      std::uniform_int_distribution<int64_t>(base_us / 2, base_us * 3 / 2)(random));
}

absl::Status CheckNames(const Params& params) {
  for (const Param& param : params) {
    if (!IsSqlName(param.name)) return Defect(StrCat("bad column name \"", param.name, "\""));
  }
  return absl::OkStatus();
}

std::string Join(const Params& params, std::string_view before, std::string_view separator) {
  std::string out;
  for (const Param& param : params) {
    if (!out.empty()) out += separator;
    out += before;
    out += param.name;
  }
  return out;
}

}  // namespace

bool IsSqlName(std::string_view name) {
  if (name.empty() || name.size() > 63 || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

absl::Status Transaction::CheckWritable(std::string_view verb) const {
  if (!doomed_.ok()) return doomed_;
  if (read_only_) return Defect(StrCat(verb, " in a reading transaction"));
  return absl::OkStatus();
}

absl::StatusOr<Transaction::Outcome> Transaction::RunChecked(std::string_view sql,
                                                             const Params& params) {
  if (!doomed_.ok()) return doomed_;
  auto outcome = Run(sql, params);
  if (!outcome.ok()) doomed_ = outcome.status();
  return outcome;
}

absl::StatusOr<Rows> Transaction::Query(std::string_view sql, const Params& params) {
  METAMCP_ASSIGN_OR_RETURN(Outcome outcome, RunChecked(sql, params));
  return std::move(outcome.rows);
}

absl::StatusOr<Row> Transaction::QueryOne(std::string_view sql, const Params& params) {
  METAMCP_ASSIGN_OR_RETURN(Rows rows, Query(sql, params));
  if (rows.empty()) return MakeError("NOT_FOUND", "database", "no such row");
  if (rows.size() > 1) return Defect("several rows where one was expected");
  return std::move(rows.front());
}

absl::StatusOr<int64_t> Transaction::Execute(std::string_view sql, const Params& params) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("Execute"));
  METAMCP_ASSIGN_OR_RETURN(const Outcome outcome, RunChecked(sql, params));
  return outcome.affected;
}

absl::Status Transaction::Script(std::string_view sql) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("Script"));
  return doomed_ = DoScript(sql);
}

absl::Status Transaction::Upsert(std::string_view table, const Params& key, const Params& values) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("Upsert"));
  if (!IsSqlName(table)) return Defect(StrCat("bad table name \"", table, "\""));
  if (key.empty()) return Defect("Upsert without a key");
  METAMCP_RETURN_IF_ERROR(CheckNames(key));
  METAMCP_RETURN_IF_ERROR(CheckNames(values));
  Params all = key;
  all.insert(all.end(), values.begin(), values.end());
  std::string sql = StrCat("INSERT INTO ", table, " (", Join(all, "", ", "), ") VALUES (",
                           Join(all, ":", ", "), ") ON CONFLICT (", Join(key, "", ", "), ") DO ");
  if (values.empty()) {
    sql += "NOTHING";
  } else {
    sql += "UPDATE SET ";
    for (size_t i = 0; i < values.size(); ++i) {
      sql += StrCat(i == 0 ? "" : ", ", values[i].name, " = excluded.", values[i].name);
    }
  }
  return RunChecked(sql, all).status();
}

absl::StatusOr<Rows> Transaction::Claim(const ClaimSpec& spec) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("Claim"));
  if (!IsSqlName(spec.table)) return Defect(StrCat("bad table name \"", spec.table, "\""));
  if (spec.limit < 1) return Defect("Claim needs a positive limit");
  std::string sql = StrCat("SELECT * FROM ", spec.table);
  if (!spec.where.empty()) sql += StrCat(" WHERE (", spec.where, ")");
  if (!spec.order_by.empty()) sql += StrCat(" ORDER BY ", spec.order_by);
  sql += StrCat(" LIMIT ", spec.limit);
  if (backend_ == Backend::kPostgres) sql += " FOR UPDATE SKIP LOCKED";
  return Query(sql, spec.params);
}

absl::Status Transaction::AdvisoryLock(std::string_view name) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("AdvisoryLock"));
  return doomed_ = DoLock(name);
}

absl::Status Transaction::Notify(std::string_view channel, std::string_view payload) {
  METAMCP_RETURN_IF_ERROR(CheckWritable("Notify"));
  if (!IsSqlName(channel)) return Defect(StrCat("bad channel name \"", channel, "\""));
  // PostgreSQL's limit is "less than 8000 bytes"; larger matters belong in a table.
  if (payload.size() > 7999) return Defect("a notification of more than 7999 bytes");
  return doomed_ = DoNotify(channel, payload);
}

absl::Status Database::RunOnce(const TransactOptions& options, Mode mode, const Function& fn) {
  METAMCP_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> tx, Begin(options, mode));
  const absl::Status returned = fn(*tx);
  const absl::Status status = Cause(returned, tx->doomed_);
  if (!status.ok()) {
    tx->Rollback();
    return status;
  }
  return tx->Commit();
}

absl::Status Database::RunInTransaction(const TransactOptions& options, Mode mode,
                                        const Function& fn) {
  for (int attempt = 0;; ++attempt) {
    const absl::Status status = RunOnce(options, mode, fn);
    if (!IsConflict(status) || attempt >= options.retries) return status;
    const auto pause = BackOff(attempt);
    if (TransactOptions::Clock::now() + pause >= options.deadline) return status;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace metamcp::db
