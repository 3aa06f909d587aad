#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/interrupt.h"
#include "common/db/value.h"

// The database facade: synchronous, one portable SQL for SQLite and PostgreSQL. Call it only on
// database threads (DbExecutor) or at start-up. Errors of every call, beside those named there:
//   ALREADY_EXISTS     a unique key is taken
//   ABORTED            serialization failure, deadlock or busy, still so after the retries
//   UNAVAILABLE        reason DATABASE_UNAVAILABLE: no connection, or it was lost before the commit
//   DEADLINE_EXCEEDED  the deadline passed or the statement timed out; nothing was written
//   UNKNOWN            reason COMMIT_IN_DOUBT: the connection was lost during the commit
//   INVALID_ARGUMENT   a value that no driver can store: text with NUL or invalid UTF-8, NaN
//   INTERNAL           everything else; the driver's text is in the log, not in the status
// Parameters are never logged.
namespace metamcp::db {

enum class Backend { kSqlite, kPostgres };

// What SQL of both back-ends has in common, and stores keep to: parameters are `:name`; ids are
// made by us; time is BIGINT microseconds UTC; JSON is TEXT; truth is 0 or 1; no LIKE, no now(), no
// implicit row ids.
//
// Isolation: SQLite runs one writer at a time. PostgreSQL runs READ COMMITTED unless
// TransactOptions asks for more, so a read-modify-write starts with AdvisoryLock or is one
// conditional UPDATE (... WHERE etag = :old) whose affected rows are checked.
struct ClaimSpec {
  std::string table;
  std::string where;     // SQL, e.g. "state = :state AND due_us <= :now"
  Params params;         // of `where`
  std::string order_by;  // SQL, e.g. "due_us, id"; empty: any order
  int64_t limit = 1;
};

// An open transaction. Thread: the one that Transact or Read called the function on. Any failed
// statement dooms it: PostgreSQL refuses further statements, and so do we on SQLite.
class Transaction {
 public:
  virtual ~Transaction() = default;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Runs one statement and returns its rows. `sql` and `params` must name the same parameters
  // (else INTERNAL: a defect of the caller).
  absl::StatusOr<Rows> Query(std::string_view sql, const Params& params = {});

  // As Query, for exactly one row. Errors: NOT_FOUND none; INTERNAL several.
  absl::StatusOr<Row> QueryOne(std::string_view sql, const Params& params = {});

  // Runs one statement and returns the number of rows that it inserted, changed or deleted.
  absl::StatusOr<int64_t> Execute(std::string_view sql, const Params& params = {});

  // Inserts the row {key, values}, or sets `values` in the row that has `key`, which must be a
  // primary or unique key of `table`. Without values an existing row is left as it is.
  absl::Status Upsert(std::string_view table, const Params& key, const Params& values);

  // Returns whole rows, locked until the transaction ends, that no other transaction has claimed:
  // FOR UPDATE SKIP LOCKED on PostgreSQL; on SQLite the writer is alone anyway.
  absl::StatusOr<Rows> Claim(const ClaimSpec& spec);

  // Waits for and holds the lock `name` until the transaction ends. On SQLite a writing transaction
  // already excludes all others.
  absl::Status AdvisoryLock(std::string_view name);

  // Tells the listeners of `channel` when the transaction commits. `payload` is text of at most
  // 7999 bytes. Equal notifications of one transaction may arrive once.
  absl::Status Notify(std::string_view channel, std::string_view payload);

  // Runs several statements without parameters, separated by ';': for schema changes.
  absl::Status Script(std::string_view sql);

  Backend backend() const { return backend_; }
  bool read_only() const { return read_only_; }

 protected:
  struct Outcome {
    Rows rows;
    int64_t affected = 0;
  };
  Transaction(Backend backend, bool read_only) : backend_(backend), read_only_(read_only) {}

 private:
  friend class Database;
  // Driver hooks. Commit and Rollback end the transaction; destruction without either rolls back.
  virtual absl::StatusOr<Outcome> Run(std::string_view sql, const Params& params) = 0;
  virtual absl::Status DoScript(std::string_view sql) = 0;
  virtual absl::Status DoLock(std::string_view name) = 0;
  virtual absl::Status DoNotify(std::string_view channel, std::string_view payload) = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  absl::StatusOr<Outcome> RunChecked(std::string_view sql, const Params& params);
  absl::Status CheckWritable(std::string_view verb) const;

  const Backend backend_;
  const bool read_only_;
  absl::Status doomed_;  // the first failure, once there is one
};

enum class Isolation { kReadCommitted, kSerializable };

struct TransactOptions {
  using Clock = std::chrono::steady_clock;

  // Statements are aborted at the deadline; a commit that has begun is not.
  Clock::time_point deadline = Clock::time_point::max();
  Isolation isolation = Isolation::kReadCommitted;
  // Runs of the function beyond the first, after a serialization failure, deadlock or busy, with
  // jittered waits of about 10, 40 and 160 ms. Other errors are returned at once.
  int retries = 3;
  // May be null; outlives the call.
  Interrupt* interrupt = nullptr;
};

// One notification; `resync` says that the connection is new and that notifications may have been
// missed (channel and payload are then empty): read again whatever the channel stands for.
struct Notification {
  std::string channel;
  std::string payload;
  bool resync = false;
};

// Destruction stops the delivery and waits for a callback that runs.
class Listener {
 public:
  virtual ~Listener() = default;
};

// A database and its connections. Thread: any number of database threads.
//
//   auto name = db.Transact({}, [&](Transaction& tx) -> absl::StatusOr<std::string> {
//     METAMCP_ASSIGN_OR_RETURN(auto row, tx.QueryOne("SELECT name FROM t WHERE id = :id",
//                                                    {{"id", id}}));
//     return row.Get<std::string>("name");
//   });
class Database {
 public:
  virtual ~Database() = default;

  // Runs `fn` in a writing transaction and commits it if `fn` returns OK, else rolls back and
  // returns its error. `fn` takes Transaction& and returns Status or StatusOr<T>; it may run
  // several times, so it must set, not add to, what it captures. Do not nest: on SQLite the inner
  // transaction would wait for the outer one.
  template <typename Fn>
  auto Transact(const TransactOptions& options, Fn&& fn) {
    return Typed(options, kWrites, fn);
  }

  // As Transact, but reading: every statement and verb that writes or locks fails with INTERNAL (a
  // defect of the caller), and all statements see one snapshot.
  template <typename Fn>
  auto Read(const TransactOptions& options, Fn&& fn) {
    return Typed(options, kReads, fn);
  }
  template <typename Fn>
  auto Read(Fn&& fn) {
    const TransactOptions options;
    return Typed(options, kReads, fn);
  }

  // Calls `callback` for every notification on `channels` that is committed from now on, and with
  // resync after each lost and restored connection. On PostgreSQL from a thread of the listener;
  // on SQLite (notifications of this Database only) from the committing thread, after the commit.
  // The callback must be quick and must not use the database. The listener may not outlive the
  // database.
  using Callback = std::function<void(const Notification&)>;
  virtual absl::StatusOr<std::unique_ptr<Listener>> Listen(std::vector<std::string> channels,
                                                           Callback callback) = 0;

  virtual Backend backend() const = 0;

  // How many transactions can run at once: 1 on SQLite, the pool size on PostgreSQL.
  virtual int connections() const = 0;

 protected:
  enum Mode { kReads, kWrites };
  // Opens a transaction. Implementations do not retry.
  virtual absl::StatusOr<std::unique_ptr<Transaction>> Begin(const TransactOptions& options,
                                                             Mode mode) = 0;
  // For a Database that wraps another one.
  static absl::StatusOr<std::unique_ptr<Transaction>> BeginOn(Database& other,
                                                              const TransactOptions& options,
                                                              Mode mode) {
    return other.Begin(options, mode);
  }

 private:
  using Function = std::function<absl::Status(Transaction&)>;
  absl::Status RunInTransaction(const TransactOptions& options, Mode mode, const Function& fn);
  absl::Status RunOnce(const TransactOptions& options, Mode mode, const Function& fn);

  template <typename Fn>
  std::invoke_result_t<Fn&, Transaction&> Typed(const TransactOptions& options, Mode mode, Fn& fn) {
    using Result = std::invoke_result_t<Fn&, Transaction&>;
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return RunInTransaction(options, mode, std::ref(fn));
    } else {
      Result result = absl::UnknownError("not run");
      const absl::Status status =
          RunInTransaction(options, mode, [&result, &fn](Transaction& tx) -> absl::Status {
            result = fn(tx);
            return result.status();
          });
      if (!status.ok()) return status;
      return result;
    }
  }
};

// Returns whether `name` can be a table, column or channel: [a-z_][a-z0-9_]*, at most 63 bytes.
bool IsSqlName(std::string_view name);

}  // namespace metamcp::db
