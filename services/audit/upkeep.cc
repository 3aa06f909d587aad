#include "services/audit/upkeep.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "common/async/run.h"
#include "common/audit/export_check.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/http_client.h"
#include "common/json/splice.h"
#include "common/telemetry/log.h"
#include "services/audit/partitions.h"

namespace metamcp::audit {
namespace {

constexpr std::chrono::seconds kPatience{20};
// A table of an older release is read once before it becomes a partition.
constexpr std::chrono::hours kTablePatience{4};
constexpr std::chrono::minutes kRetentionEvery{10};
constexpr int64_t kPushedAtOnce = 100;
constexpr int64_t kRemovedAtOnce = 20'000;
constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;

CallContext OwnContext() { return CallContext(nullptr, CallContext::Clock::now() + kPatience); }

std::string NoteLine(const CheckpointRow& row) {
  json::ObjectWriter out;
  out.AddString("tenant", row.tenant).AddInt("size", row.size).AddInt("timeUs", row.time_us);
  out.AddString("note", row.note);
  return std::move(out).Build() + "\n";
}

absl::Status AppendBlocking(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, StrCat("checkpoint file ", path));
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const absl::Status status =
      written ? absl::OkStatus() : absl::ErrnoToStatus(errno, StrCat("checkpoint file ", path));
  ::close(fd);
  return status;
}

}  // namespace

Upkeep::Upkeep(boost::asio::any_io_executor executor, db::DbExecutor& database, SqlStore& store,
               const SigningKey& key, http::HttpClient& http, UpkeepOptions options)
    : database_(database),
      store_(store),
      key_(key),
      http_(http),
      options_(std::move(options)),
      tasks_(executor),
      turn_(executor) {}

int64_t Upkeep::sinks() const {
  return (options_.checkpoint_file.empty() ? 0 : kFileSink) |
         (options_.webhook.empty() ? 0 : kWebhookSink);
}

void Upkeep::Start() { tasks_.Spawn("audit-upkeep", Run()); }

Awaitable<void> Upkeep::Stop() {
  tasks_.CancelAll();
  (void)co_await tasks_.Join(std::chrono::seconds(5));
  (void)co_await Checkpoint();
}

Awaitable<void> Upkeep::Run() {
  auto next_retention = CallContext::Clock::now();
  for (;;) {
    const bool slept = co_await Sleep(options_.checkpoint_every);
    if (!slept) co_return;
    auto making = Checkpoint();
    const absl::Status made = co_await CatchStatus(std::move(making));
    if (made.ok() == warned_) {
      Log(made.ok() ? LogLevel::kInfo : LogLevel::kWarning,
          made.ok() ? "audit.checkpoints_kept" : "audit.checkpoint_failed",
          {{"error", std::string(made.message())}});
      warned_ = !made.ok();
    }
    if (CallContext::Clock::now() < next_retention) continue;
    next_retention = CallContext::Clock::now() + kRetentionEvery;
    auto retaining = Retain(NowMicros());
    const absl::Status retained = co_await CatchStatus(std::move(retaining));
    if (!retained.ok()) {
      Log(LogLevel::kWarning, "audit.retention_failed",
          {{"error", std::string(retained.message())}});
    }
  }
}

Awaitable<absl::Status> Upkeep::Checkpoint() {
  const auto turn = co_await turn_.Lock();
  const CallContext ctx = OwnContext();
  SqlStore* const store = &store_;
  const SigningKey key = key_;
  std::function<absl::Status(db::Database&)> op = [store, key](db::Database& database) {
    METAMCP_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, store->Tenants(database));
    for (const std::string& tenant : tenants) {
      METAMCP_RETURN_IF_ERROR(store->MakeCheckpoint(database, tenant, key).status());
    }
    return absl::OkStatus();
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(running));
  auto pushing = Push();
  co_return co_await std::move(pushing);
}

Awaitable<absl::Status> Upkeep::Push() {
  const int64_t all = sinks();
  if (all == 0) co_return absl::OkStatus();
  for (;;) {
    const CallContext ctx = OwnContext();
    SqlStore* const store = &store_;
    std::function<absl::StatusOr<std::vector<CheckpointRow>>(db::Database&)> op =
        [store, all](db::Database& database) {
          return store->Unpushed(database, all, kPushedAtOnce);
        };
    auto reading = database_.Run<std::vector<CheckpointRow>>(ctx, std::move(op));
    const auto rows = co_await std::move(reading);
    if (!rows.ok()) co_return rows.status();
    if (rows->empty()) co_return absl::OkStatus();
    absl::Status failed;
    if ((all & kFileSink) != 0) {
      auto writing = PushToFile(*rows);
      failed = co_await std::move(writing);
    }
    for (const CheckpointRow& row : *rows) {
      if ((all & kWebhookSink) == 0 || (row.pushed & kWebhookSink) != 0) continue;
      auto sending = PushToWebhook(row);
      const absl::Status sent = co_await std::move(sending);
      if (!sent.ok()) co_return sent;
    }
    if (!failed.ok()) co_return failed;
    if (static_cast<int64_t>(rows->size()) < kPushedAtOnce) co_return absl::OkStatus();
  }
}

Awaitable<absl::Status> Upkeep::PushToFile(std::vector<CheckpointRow> rows) {
  const CallContext ctx = OwnContext();
  SqlStore* const store = &store_;
  std::function<absl::Status(db::Database&)> op = [store, path = options_.checkpoint_file,
                                                   rows = std::move(rows)](db::Database& database) {
    std::string lines;
    for (const CheckpointRow& row : rows) {
      if ((row.pushed & kFileSink) == 0) lines += NoteLine(row);
    }
    if (!lines.empty()) METAMCP_RETURN_IF_ERROR(AppendBlocking(path, lines));
    for (const CheckpointRow& row : rows) {
      if ((row.pushed & kFileSink) != 0) continue;
      METAMCP_RETURN_IF_ERROR(store->MarkPushed(database, row, kFileSink));
    }
    return absl::OkStatus();
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::Status> Upkeep::PushToWebhook(CheckpointRow row) {
  const CallContext ctx = OwnContext();
  http::HttpClientRequest request("POST", options_.webhook);
  request.headers.Set("Content-Type", "application/json");
  request.body = NoteLine(row);
  request.addresses =
      options_.webhook_private ? http::AddressRule::kAny : http::AddressRule::kPublic;
  request.domain = "audit";
  auto sending = http_.Send(ctx, std::move(request));
  const auto response = co_await std::move(sending);
  if (!response.ok()) co_return response.status();
  const int status = (*response)->status();
  if (status < 200 || status > 299) {
    co_return absl::UnavailableError(StrCat("the webhook answered HTTP ", status));
  }
  SqlStore* const store = &store_;
  std::function<absl::Status(db::Database&)> op = [store, row](db::Database& database) {
    return store->MarkPushed(database, row, kWebhookSink);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::Status> Upkeep::Retain(int64_t now_us) {
  auto keeping = KeepTables(now_us);
  const absl::Status kept = co_await std::move(keeping);
  if (options_.retention_days > 0) {
    const int64_t before_us = now_us - options_.retention_days * kDayUs;
    auto listing = Tenants();
    const auto tenants = co_await std::move(listing);
    if (!tenants.ok()) co_return tenants.status();
    for (const std::string& tenant : *tenants) {
      auto retaining = RetainTenant(tenant, now_us, before_us);
      METAMCP_CO_RETURN_IF_ERROR(co_await std::move(retaining));
    }
    auto dropping = DropTables(before_us);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(dropping));
  }
  co_return kept;
}

Awaitable<absl::StatusOr<std::vector<std::string>>> Upkeep::Tenants() {
  const CallContext ctx = OwnContext();
  SqlStore* const store = &store_;
  using Names = std::vector<std::string>;
  std::function<absl::StatusOr<Names>(db::Database&)> op =
      [store](db::Database& database) -> absl::StatusOr<Names> {
    for (int64_t sealed = 1; sealed > 0;) {
      METAMCP_ASSIGN_OR_RETURN(sealed, store->Reseal(database));
    }
    return store->Tenants(database);
  };
  auto running = database_.Run<Names>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::Status> Upkeep::KeepTables(int64_t now_us) {
  const CallContext ctx(nullptr, CallContext::Clock::now() + kTablePatience);
  std::function<absl::StatusOr<int64_t>(db::Database&)> op = [now_us](db::Database& database) {
    return KeepPartitions(database, now_us);
  };
  auto running = database_.Run<int64_t>(ctx, std::move(op));
  const auto made = co_await std::move(running);
  if (!made.ok()) {
    Log(LogLevel::kWarning, "audit.partition_failed",
        {{"error", std::string(made.status().message())}});
    co_return made.status();
  }
  if (*made > 0) {
    Log(LogLevel::kInfo, "audit.partitions_changed", {{"made", *made}, {"removed", 0}});
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Upkeep::RetainTenant(std::string tenant, int64_t now_us,
                                             int64_t before_us) {
  SqlStore* const store = &store_;
  int64_t last = 0;
  // A step at a time: who appends waits for none longer.
  for (int64_t step = 1; step > 0;) {
    const CallContext ctx = OwnContext();
    std::function<absl::StatusOr<int64_t>(db::Database&)> op = [store, tenant,
                                                                before_us](db::Database& database) {
      return store->Retain(database, tenant, before_us, kRemovedAtOnce);
    };
    auto running = database_.Run<int64_t>(ctx, std::move(op));
    const auto removed = co_await std::move(running);
    if (!removed.ok()) co_return removed.status();
    step = *removed;
    if (step > 0) last = step;
  }
  if (last == 0) co_return absl::OkStatus();
  const CallContext ctx = OwnContext();
  std::function<absl::Status(db::Database&)> op = [store, tenant, now_us,
                                                   last](db::Database& database) {
    v1::Event event;
    event.set_id(NewUuidV7());
    event.set_time_us(now_us);
    event.mutable_principal()->set_subject("meta-mcp");
    event.mutable_principal()->set_kind("service");
    event.mutable_principal()->set_method("internal");
    event.set_action("audit.retention");
    event.set_outcome("ok");
    event.set_count(last);
    return store->Append(database, tenant, {&event}).status();
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::Status> Upkeep::DropTables(int64_t before_us) {
  int64_t tables = 0;
  for (bool more = true; more;) {
    const CallContext ctx = OwnContext();
    std::function<absl::StatusOr<Removed>(db::Database&)> op = [before_us](db::Database& database) {
      return DropPartitions(database, before_us, kRemovedAtOnce);
    };
    auto running = database_.Run<Removed>(ctx, std::move(op));
    const auto removed = co_await std::move(running);
    if (!removed.ok()) {
      Log(LogLevel::kWarning, "audit.partition_failed",
          {{"error", std::string(removed.status().message())}});
      co_return removed.status();
    }
    tables += removed->tables;
    more = removed->more;
  }
  if (tables > 0) {
    Log(LogLevel::kInfo, "audit.partitions_changed", {{"made", 0}, {"removed", tables}});
  }
  co_return absl::OkStatus();
}

std::vector<std::pair<std::string, std::string>> Upkeep::ReadFileBlocking(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> out;
  std::ifstream file(path, std::ios::binary);
  if (path.empty() || !file) return out;
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto notes = ReadCheckpointLines(text);
  if (!notes.ok()) {
    out.emplace_back("", path);
    return out;
  }
  for (const std::string& note : *notes) out.emplace_back(note, path);
  return out;
}

}  // namespace metamcp::audit
