#include "common/cache/database_cache.h"

#include <algorithm>
#include <functional>

#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/db/migrations.h"
#include "migrations/cache.h"

namespace metamcp::cache {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience(250);
// One statement looks over the whole table, so not with every value.
constexpr std::chrono::seconds kTidyEvery(10);
constexpr size_t kTidyBytes = 4u << 20;
constexpr int64_t kOverhead = 128;  // of a row
constexpr std::string_view kWhere = " WHERE area = :area AND item = :item";

CallContext Soon() {
  CallContext context;
  context.deadline = CallContext::Clock::now() + kPatience;
  return context;
}

// A value is worth nothing at another place.
std::string ContextOf(const Key& key) { return StrCat("cache\n", key.group, "\n", key.item); }

db::Params Place(const Key& key) { return {{"area", key.group}, {"item", key.item}}; }

absl::StatusOr<int64_t> Total(db::Transaction& tx) {
  METAMCP_ASSIGN_OR_RETURN(
      const db::Rows rows,
      tx.Query("SELECT COALESCE(SUM(bytes), 0) AS total FROM cache_entries", {}));
  return rows[0].Get<int64_t>("total");
}

// Removes what has expired, then what expires next, until the rest fits. What remains, in bytes.
absl::StatusOr<int64_t> Tidy(db::Transaction& tx, int64_t bytes_max) {
  constexpr std::string_view kDelete = "DELETE FROM cache_entries WHERE expires_us <= :until";
  METAMCP_RETURN_IF_ERROR(tx.Execute(kDelete, {{"until", NowMicros()}}).status());
  METAMCP_ASSIGN_OR_RETURN(int64_t total, Total(tx));
  while (total > bytes_max) {
    METAMCP_ASSIGN_OR_RETURN(
        const db::Rows next,
        tx.Query("SELECT expires_us, bytes FROM cache_entries ORDER BY expires_us LIMIT 1000", {}));
    int64_t freed = 0, until = 0;
    for (size_t i = 0; i < next.size() && total - freed > bytes_max; ++i) {
      METAMCP_ASSIGN_OR_RETURN(until, next[i].Get<int64_t>("expires_us"));
      METAMCP_ASSIGN_OR_RETURN(const int64_t bytes, next[i].Get<int64_t>("bytes"));
      freed += bytes;
    }
    METAMCP_RETURN_IF_ERROR(tx.Execute(kDelete, {{"until", until}}).status());
    METAMCP_ASSIGN_OR_RETURN(total, Total(tx));
  }
  return total;
}

class DatabaseCache final : public Cache {
 public:
  DatabaseCache(db::DbExecutor& executor, const KeyRing& keys, Limits limits)
      : executor_(executor), keys_(keys), limits_(limits) {}

  Awaitable<std::optional<Hit>> Get(Key key) override {
    using Found = std::optional<Hit>;
    const CallContext context = Soon();
    const std::string sealed_for = ContextOf(key);
    std::function<absl::StatusOr<Found>(db::Database&)> op = [key = std::move(key)](
                                                                 db::Database& database) {
      return database.Read([&key](db::Transaction& tx) -> absl::StatusOr<Found> {
        const std::string sql = "SELECT value, expires_us FROM cache_entries" + std::string(kWhere);
        METAMCP_ASSIGN_OR_RETURN(const db::Rows rows, tx.Query(sql, Place(key)));
        if (rows.empty()) return Found();
        METAMCP_ASSIGN_OR_RETURN(const int64_t expires, rows[0].Get<int64_t>("expires_us"));
        METAMCP_ASSIGN_OR_RETURN(db::Blob value, rows[0].Get<db::Blob>("value"));
        const milliseconds left((expires - NowMicros()) / 1000);
        if (left <= milliseconds(0)) return Found();
        return Found(Hit{std::move(value.bytes), left});
      });
    };
    auto found = co_await executor_.Run<Found>(context, std::move(op));
    if (!found.ok() || !*found) co_return std::nullopt;
    auto opened = keys_.Open(SealPurpose::kVault, (*found)->value, sealed_for);
    if (!opened) co_return std::nullopt;  // of a key that is gone
    co_return Hit{*std::move(opened), (*found)->left};
  }

  Awaitable<void> Put(Key key, std::string value, milliseconds ttl) override {
    const auto size =
        static_cast<int64_t>(key.group.size() + key.item.size() + value.size()) + kOverhead;
    if (ttl <= milliseconds(0) || value.size() > limits_.value_bytes_max ||
        static_cast<size_t>(size) > limits_.bytes_max) {
      auto dropping = DropOne(std::move(key));
      co_await std::move(dropping);
      co_return;
    }
    unseen_ += static_cast<size_t>(size);
    const auto now = std::chrono::steady_clock::now();
    const bool tidy = now >= tidy_at_ || unseen_ >= std::min(kTidyBytes, limits_.bytes_max);
    if (tidy) {
      tidy_at_ = now + kTidyEvery;
      unseen_ = 0;
    }
    const auto bytes_max = static_cast<int64_t>(limits_.bytes_max);
    const int64_t expires = NowMicros() + std::chrono::microseconds(ttl).count();
    const CallContext context = Soon();
    std::string sealed = keys_.Seal(SealPurpose::kVault, value, ContextOf(key));
    std::function<absl::StatusOr<int64_t>(db::Database&)> op =
        [key = std::move(key), value = std::move(sealed), size, expires, tidy,
         bytes_max](db::Database& database) {
          const db::TransactOptions options;
          return database.Transact(options, [&](db::Transaction& tx) -> absl::StatusOr<int64_t> {
            METAMCP_RETURN_IF_ERROR(
                tx.Upsert("cache_entries", Place(key),
                          {{"value", db::Blob(value)}, {"bytes", size}, {"expires_us", expires}}));
            return tidy ? Tidy(tx, bytes_max) : absl::StatusOr<int64_t>(-1);
          });
        };
    const auto left = co_await executor_.Run<int64_t>(context, std::move(op));
    if (left.ok() && *left >= 0) bytes_ = static_cast<size_t>(*left);
  }

  Awaitable<void> Drop(std::string group) override {
    auto erasing = Erase(" WHERE area = :area", {{"area", std::move(group)}});
    co_await std::move(erasing);
  }

  size_t bytes() const override { return bytes_; }

 private:
  Awaitable<void> DropOne(Key key) {
    auto erasing = Erase(kWhere, Place(key));
    co_await std::move(erasing);
  }

  Awaitable<void> Erase(std::string_view where, db::Params params) {
    // What must not be given again is removed though it takes longer.
    CallContext context;
    context.deadline = CallContext::Clock::now() + std::chrono::seconds(15);
    std::function<absl::Status(db::Database&)> op =
        [sql = "DELETE FROM cache_entries" + std::string(where),
         params = std::move(params)](db::Database& database) {
          const db::TransactOptions options;
          return database.Transact(
              options, [&](db::Transaction& tx) { return tx.Execute(sql, params).status(); });
        };
    (void)co_await executor_.RunStatus(context, std::move(op));
  }

  db::DbExecutor& executor_;
  const KeyRing& keys_;
  const Limits limits_;
  std::chrono::steady_clock::time_point tidy_at_;
  size_t unseen_ = 0;  // bytes put since the last look over the table
  size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Cache> MakeDatabaseCache(db::DbExecutor& executor, const KeyRing& keys,
                                         Limits limits) {
  return std::make_unique<DatabaseCache>(executor, keys, limits);
}

absl::Status MigrateBlocking(db::Database& database) {
  return db::MigrateBlocking(database, "cache", Migrations()).status();
}

}  // namespace metamcp::cache
