#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/db/libpq.h"
#include "common/db/open_database.h"

namespace metamcp::db {

// Adds to a URI what it does not say itself: time limits that notice a dead peer, and a name.
std::string CompletePostgresUrl(const std::string& url, std::chrono::milliseconds connect_timeout);

// One PostgreSQL session with its prepared statements. Only postgres_*.cc include this. Thread: one
// at a time, except Cancel.
class PostgresConnection {
 public:
  using Clock = std::chrono::steady_clock;
  struct Result {
    Rows rows;
    int64_t affected = 0;
  };

  // `url` is a completed one.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(
      const std::string& url, std::chrono::milliseconds statement_timeout);
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // One statement, prepared on first use.
  absl::StatusOr<Result> Run(std::string_view sql, const Params& params);
  // Any number of statements, no parameters, no rows.
  absl::Status Script(const std::string& sql);
  // Errors beside the usual ones: UNKNOWN reason COMMIT_IN_DOUBT.
  absl::Status Commit();

  // Asks the server to abort the statement in flight. The request may arrive late and hit the next
  // one, so the connection is not usable afterwards. Thread: any; the connection must live.
  void Cancel();

  // False once the session was lost or must not be used again.
  bool usable() const { return usable_; }
  void Retire() { usable_ = false; }
  // Says what the transaction that begins is for: a refused write means something else then.
  void SetReading(bool reading) { reading_ = reading; }
  Clock::time_point opened() const { return opened_; }

 private:
  struct Prepared {
    std::string name;
    std::vector<std::string> names;
  };

  explicit PostgresConnection(const Libpq& pq)
      : pq_(pq), connection_(nullptr, Libpq::Free{&pq}), cancel_(nullptr, Libpq::Free{&pq}) {}
  absl::StatusOr<const Prepared*> Prepare(std::string_view sql);
  // The result, if it is not an error.
  absl::StatusOr<Libpq::Result> Check(PGresult* result, std::string_view sql);
  absl::Status SqlFailure(const std::string& state, const char* what, std::string_view sql);
  absl::Status Lost(std::string_view what);

  const Libpq& pq_;
  Libpq::Connection connection_;
  Libpq::Cancel cancel_;
  Clock::time_point opened_;
  std::unordered_map<std::string, Prepared> prepared_;
  int64_t last_name_ = 0;
  bool usable_ = true;
  bool reading_ = false;
};

}  // namespace metamcp::db
