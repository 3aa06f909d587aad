#include "common/db/postgres_database.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/db/postgres_connection.h"
#include "common/db/postgres_listener.h"
#include "common/db/statement.h"

namespace metamcp::db {
namespace {

using Clock = TransactOptions::Clock;
using std::chrono::milliseconds;

absl::Status TooLate() {
  return MakeError("DEADLINE_EXCEEDED", "database", "the deadline passed before the statement");
}

// The connections: at most `size`, handed out newest first so that the others can grow old.
class Pool {
 public:
  Pool(std::string url, const OpenOptions& options) : url_(std::move(url)), options_(options) {}

  // A connection, and whether it was used before. Waits while all are taken.
  absl::StatusOr<std::unique_ptr<PostgresConnection>> Take(Clock::time_point deadline,
                                                           bool* reused) {
    {
      std::unique_lock lock(mu_);
      const auto free = [this] { return taken_ < options_.pool_size; };
      if (deadline == Clock::time_point::max()) {
        freed_.wait(lock, free);
      } else if (!freed_.wait_until(lock, deadline, free)) {
        return TooLate();
      }
      ++taken_;
      while (!idle_.empty()) {
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        if (IsOld(*connection)) continue;
        *reused = true;
        return connection;
      }
    }
    *reused = false;
    auto connection = PostgresConnection::Open(url_, options_.statement_timeout);
    if (!connection.ok()) GiveBack(nullptr);
    return connection;
  }

  void GiveBack(std::unique_ptr<PostgresConnection> connection) {
    {
      std::lock_guard lock(mu_);
      --taken_;
      if (connection != nullptr && connection->usable()) idle_.push_back(std::move(connection));
    }
    freed_.notify_one();
  }

 private:
  bool IsOld(const PostgresConnection& connection) const {
    return options_.recycle_after.count() > 0 &&
           Clock::now() - connection.opened() >= options_.recycle_after;
  }

  const std::string url_;
  const OpenOptions options_;
  std::mutex mu_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<PostgresConnection>> idle_;  // guarded by mu_
  int taken_ = 0;                                          // guarded by mu_
};

class PostgresTransaction : public Transaction {
 public:
  PostgresTransaction(Pool& pool, std::unique_ptr<PostgresConnection> connection,
                      const TransactOptions& options, milliseconds statement_timeout,
                      bool read_only)
      : Transaction(Backend::kPostgres, read_only),
        pool_(pool),
        connection_(std::move(connection)),
        deadline_(options.deadline),
        isolation_(options.isolation),
        interrupt_(options.interrupt),
        timeout_(statement_timeout) {}
  ~PostgresTransaction() override { Rollback(); }

  absl::Status Start() {
    connection_->SetReading(read_only());
    if (interrupt_ != nullptr) {
      METAMCP_RETURN_IF_ERROR(interrupt_->Arm([c = connection_.get()] { c->Cancel(); }));
    }
    std::string sql = "BEGIN ISOLATION LEVEL ";
    if (isolation_ == Isolation::kSerializable) {
      sql += "SERIALIZABLE";
    } else {
      sql += read_only() ? "REPEATABLE READ" : "READ COMMITTED";
    }
    sql += read_only() ? " READ ONLY" : " READ WRITE";
    METAMCP_ASSIGN_OR_RETURN(const std::string limit, TimeLimit());
    if (!limit.empty()) sql += "; " + limit;
    return Explain(connection_->Script(sql));
  }

 private:
  absl::StatusOr<Outcome> Run(std::string_view sql, const Params& params) override {
    METAMCP_RETURN_IF_ERROR(Ready());
    auto result = connection_->Run(sql, params);
    if (!result.ok()) return Explain(result.status());
    Outcome outcome;
    outcome.rows = std::move(result->rows);
    outcome.affected = result->affected;
    return outcome;
  }
  absl::Status DoScript(std::string_view sql) override {
    METAMCP_RETURN_IF_ERROR(Ready());
    return Explain(connection_->Script(std::string(sql)));
  }
  absl::Status DoLock(std::string_view name) override {
    // A 64-bit key from the name; two names that collide only wait for each other needlessly.
    const std::string digest = Sha256(name);
    uint64_t key = 0;
    for (int i = 0; i < 8; ++i) key = key << 8 | static_cast<unsigned char>(digest[i]);
    const Params params = {{"key", static_cast<int64_t>(key)}};
    return Run("SELECT pg_advisory_xact_lock(:key)", params).status();
  }
  absl::Status DoNotify(std::string_view channel, std::string_view payload) override {
    const Params params = {{"channel", channel}, {"payload", payload}};
    return Run("SELECT pg_notify(:channel, :payload)", params).status();
  }

  absl::Status Commit() override {
    absl::Status status = Disarm();
    if (status.ok()) status = read_only() ? connection_->Script("COMMIT") : connection_->Commit();
    open_ = open_ && !status.ok();
    End();
    return status;
  }
  void Rollback() override {
    Disarm().IgnoreError();
    End();
  }

  absl::Status Disarm() { return interrupt_ == nullptr ? absl::OkStatus() : interrupt_->Disarm(); }

  void End() {
    if (connection_ == nullptr) return;
    // A cancel request that was sent may still be on its way.
    if (interrupt_ != nullptr && !interrupt_->status().ok()) connection_->Retire();
    if (open_ && connection_->usable() && !connection_->Script("ROLLBACK").ok()) {
      connection_->Retire();
    }
    pool_.GiveBack(std::move(connection_));
  }

  // Before each statement: may it still run, and for how long?
  absl::Status Ready() {
    if (interrupt_ != nullptr) METAMCP_RETURN_IF_ERROR(interrupt_->status());
    METAMCP_ASSIGN_OR_RETURN(const std::string limit, TimeLimit());
    return limit.empty() ? absl::OkStatus() : Explain(connection_->Script(limit));
  }

  // The statement that lowers the server's limit to the time left. Empty while the limit in force
  // is less than twice that: so a transaction of many statements pays for few of them.
  absl::StatusOr<std::string> TimeLimit() {
    if (deadline_ == Clock::time_point::max()) return std::string();
    const auto now = Clock::now();
    if (now >= deadline_) return TooLate();
    const auto left = std::chrono::ceil<milliseconds>(deadline_ - now);
    if (left >= timeout_ || (limited_ && left * 2 > timeout_)) return std::string();
    timeout_ = left;
    limited_ = true;
    return StrCat("SET LOCAL statement_timeout = ", left.count());
  }

  absl::Status Explain(absl::Status status) const {
    if (status.ok() || interrupt_ == nullptr) return status;
    const absl::Status why = interrupt_->status();
    return why.ok() ? status : why;
  }

  Pool& pool_;
  std::unique_ptr<PostgresConnection> connection_;
  const Clock::time_point deadline_;
  const Isolation isolation_;
  Interrupt* const interrupt_;
  milliseconds timeout_;  // in force on the server
  bool limited_ = false;  // timeout_ is this transaction's own
  bool open_ = true;
};

class PostgresDatabase : public Database {
 public:
  PostgresDatabase(std::string url, const OpenOptions& options)
      : url_(std::move(url)), options_(options), pool_(url_, options) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(std::vector<std::string> channels,
                                                   Callback callback) override {
    for (const std::string& channel : channels) {
      if (!IsSqlName(channel)) return MakeError("INTERNAL", "database", "bad channel name");
    }
    return ListenOnPostgres(url_, std::move(channels), std::move(callback));
  }
  Backend backend() const override { return Backend::kPostgres; }
  int connections() const override { return options_.pool_size; }

 protected:
  absl::StatusOr<std::unique_ptr<Transaction>> Begin(const TransactOptions& options,
                                                     Mode mode) override {
    // A connection that sat idle may have been lost meanwhile (a restarted server): nothing was
    // begun on it, so the next one is tried, until a new one fails.
    if (options.interrupt != nullptr) METAMCP_RETURN_IF_ERROR(options.interrupt->status());
    for (;;) {
      bool reused = false;
      METAMCP_ASSIGN_OR_RETURN(auto connection, pool_.Take(options.deadline, &reused));
      auto transaction = std::make_unique<PostgresTransaction>(
          pool_, std::move(connection), options, options_.statement_timeout, mode == kReads);
      const absl::Status status = transaction->Start();
      if (status.ok()) return transaction;
      if (!reused || !absl::IsUnavailable(status)) return status;
    }
  }

 private:
  const std::string url_;
  const OpenOptions options_;
  Pool pool_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenPostgresBlocking(const std::string& url,
                                                               const OpenOptions& options) {
  if (options.pool_size < 1 || options.pool_size > 200) {
    return MakeError("CONFIG_INVALID", "database", "the pool size must be 1 to 200");
  }
  if (options.connect_timeout < milliseconds(1) || options.statement_timeout < milliseconds(1)) {
    return MakeError("CONFIG_INVALID", "database", "time limits must be positive");
  }
  auto database = std::make_unique<PostgresDatabase>(
      CompletePostgresUrl(url, options.connect_timeout), options);
  METAMCP_RETURN_IF_ERROR(
      static_cast<Database&>(*database).Read([](Transaction&) { return absl::OkStatus(); }));
  return database;
}

}  // namespace metamcp::db
