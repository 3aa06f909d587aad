#include "common/db/sqlite_database.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <utility>

#include "common/base/error.h"
#include "common/db/sqlite_connection.h"
#include "common/db/statement.h"

namespace metamcp::db {
namespace {

// Who listens to which channels in this process.
class Listeners {
 public:
  using Id = int64_t;

  Id Add(std::vector<std::string> channels, Database::Callback callback) {
    std::lock_guard lock(mu_);
    entries_.push_back({++last_, std::move(channels), std::move(callback)});
    return last_;
  }
  void Remove(Id id) {
    std::lock_guard lock(mu_);  // waits for a delivery that runs
    entries_.remove_if([id](const Entry& e) { return e.id == id; });
  }
  void Deliver(const std::vector<Notification>& notifications) {
    std::lock_guard lock(mu_);
    for (const Notification& n : notifications) {
      for (const Entry& e : entries_) {
        const auto& c = e.channels;
        if (std::find(c.begin(), c.end(), n.channel) != c.end()) e.callback(n);
      }
    }
  }

 private:
  struct Entry {
    Id id;
    std::vector<std::string> channels;
    Database::Callback callback;
  };
  std::mutex mu_;
  std::list<Entry> entries_;  // guarded by mu_
  Id last_ = 0;               // guarded by mu_
};

// Lets one transaction at a time use the connection.
class Gate {
 public:
  // False when the deadline passed first.
  bool Enter(TransactOptions::Clock::time_point deadline) {
    std::unique_lock lock(mu_);
    const auto free = [this] { return !taken_; };
    if (deadline == TransactOptions::Clock::time_point::max()) {
      left_.wait(lock, free);
    } else if (!left_.wait_until(lock, deadline, free)) {
      return false;
    }
    taken_ = true;
    return true;
  }
  void Leave() {
    std::lock_guard lock(mu_);
    taken_ = false;
    left_.notify_one();
  }

 private:
  std::mutex mu_;
  std::condition_variable left_;
  bool taken_ = false;  // guarded by mu_
};

class LocalListener : public Listener {
 public:
  LocalListener(std::shared_ptr<Listeners> listeners, Listeners::Id id)
      : listeners_(std::move(listeners)), id_(id) {}
  ~LocalListener() override { listeners_->Remove(id_); }

 private:
  const std::shared_ptr<Listeners> listeners_;
  const Listeners::Id id_;
};

class SqliteTransaction : public Transaction {
 public:
  // `gate` has been entered and is left at the end.
  SqliteTransaction(SqliteConnection& connection, Gate& gate, Listeners& listeners,
                    Interrupt* interrupt, bool read_only)
      : Transaction(Backend::kSqlite, read_only),
        connection_(connection),
        gate_(gate),
        listeners_(listeners),
        interrupt_(interrupt) {}
  ~SqliteTransaction() override { Rollback(); }

  absl::Status Start(TransactOptions::Clock::time_point deadline) {
    connection_.SetLimit(deadline);
    if (interrupt_ != nullptr) {
      METAMCP_RETURN_IF_ERROR(interrupt_->Arm([this] { connection_.Abort(); }));
    }
    return Explain(connection_.Script(read_only() ? "BEGIN" : "BEGIN IMMEDIATE"));
  }

 private:
  absl::StatusOr<Outcome> Run(std::string_view sql, const Params& params) override {
    auto result = connection_.Run(sql, params, read_only());
    if (!result.ok()) return Explain(result.status());
    Outcome outcome;
    outcome.rows = std::move(result->rows);
    outcome.affected = result->affected;
    return outcome;
  }
  absl::Status DoScript(std::string_view sql) override {
    return Explain(connection_.Script(std::string(sql)));
  }
  absl::Status DoLock(std::string_view) override { return absl::OkStatus(); }
  absl::Status DoNotify(std::string_view channel, std::string_view payload) override {
    if (!IsStorableText(payload)) {
      return MakeError("INVALID_PARAMS", "database", "the payload must be UTF-8 text without NUL");
    }
    Notification n;
    n.channel = std::string(channel);
    n.payload = std::string(payload);
    notifications_.push_back(std::move(n));
    return absl::OkStatus();
  }

  absl::Status Commit() override {
    const absl::Status interrupted = Disarm();
    absl::Status status = interrupted;
    if (status.ok()) {
      connection_.SetLimit(TransactOptions::Clock::time_point::max());
      status = connection_.Script("COMMIT");
    }
    End();
    if (status.ok() && !notifications_.empty()) listeners_.Deliver(notifications_);
    return status;
  }
  void Rollback() override {
    Disarm().IgnoreError();
    End();
  }

  absl::Status Disarm() { return interrupt_ == nullptr ? absl::OkStatus() : interrupt_->Disarm(); }

  // Rolls back what is still open and gives the connection to the next.
  void End() {
    if (std::exchange(ended_, true)) return;
    connection_.SetLimit(TransactOptions::Clock::time_point::max());
    if (connection_.in_transaction()) connection_.Script("ROLLBACK").IgnoreError();
    gate_.Leave();
  }

  absl::Status Explain(absl::Status status) const {
    if (status.ok() || interrupt_ == nullptr) return status;
    const absl::Status why = interrupt_->status();
    return why.ok() ? status : why;
  }

  SqliteConnection& connection_;
  Gate& gate_;
  Listeners& listeners_;
  Interrupt* const interrupt_;
  std::vector<Notification> notifications_;
  bool ended_ = false;
};

class SqliteDatabase : public Database {
 public:
  explicit SqliteDatabase(std::unique_ptr<SqliteConnection> connection)
      : connection_(std::move(connection)) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(std::vector<std::string> channels,
                                                   Callback callback) override {
    for (const std::string& channel : channels) {
      if (!IsSqlName(channel)) return MakeError("INTERNAL", "database", "bad channel name");
    }
    const auto id = listeners_->Add(std::move(channels), std::move(callback));
    return std::make_unique<LocalListener>(listeners_, id);
  }
  Backend backend() const override { return Backend::kSqlite; }
  int connections() const override { return 1; }

 protected:
  absl::StatusOr<std::unique_ptr<Transaction>> Begin(const TransactOptions& options,
                                                     Mode mode) override {
    if (!gate_.Enter(options.deadline)) {
      return MakeError("DEADLINE_EXCEEDED", "database", "waited too long for the connection");
    }
    auto transaction = std::make_unique<SqliteTransaction>(*connection_, gate_, *listeners_,
                                                           options.interrupt, mode == kReads);
    METAMCP_RETURN_IF_ERROR(transaction->Start(options.deadline));
    return transaction;
  }

 private:
  const std::unique_ptr<SqliteConnection> connection_;  // used by who is in gate_
  Gate gate_;
  const std::shared_ptr<Listeners> listeners_ = std::make_shared<Listeners>();
};

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenSqliteBlocking(const std::string& path,
                                                             const OpenOptions& options) {
  METAMCP_ASSIGN_OR_RETURN(auto connection, SqliteConnection::Open(path, options.sqlite_full_sync,
                                                                   options.sqlite_busy_timeout));
  return std::make_unique<SqliteDatabase>(std::move(connection));
}

}  // namespace metamcp::db
