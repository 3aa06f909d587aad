#include "services/audit/audit_service.h"

#include <map>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/audit/convert.h"
#include "services/audit/failures.h"
#include "services/audit/log_check.h"
#include "services/audit/upkeep.h"

namespace metamcp::audit {
namespace {

constexpr int kEventsMax = 2000;
constexpr int64_t kPageMax = 1000;
constexpr int64_t kDayUs = int64_t{24} * 3600 * 1'000'000;
constexpr std::chrono::milliseconds kPoll{500};  // for what other processes append

}  // namespace

AuditService::AuditService(boost::asio::any_io_executor executor, db::DbExecutor& database,
                           SqlStore& store, const SigningKey& key, std::string checkpoint_file)
    : database_(database),
      store_(store),
      key_(key),
      checkpoint_file_(std::move(checkpoint_file)),
      appended_(std::move(executor)) {}

Awaitable<absl::StatusOr<v1::AppendResponse>> AuditService::Append(const CallContext& ctx,
                                                                   v1::AppendRequest request) {
  if (request.events_size() > kEventsMax) {
    co_return MakeError("ARGUMENT_INVALID", "audit", StrCat("at most ", kEventsMax, " events"));
  }
  auto events = std::make_shared<v1::AppendRequest>(std::move(request));
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<int64_t>(db::Database&)> op =
      [store, events](db::Database& database) -> absl::StatusOr<int64_t> {
    std::map<std::string, std::vector<const v1::Event*>> by_tenant;
    for (const v1::Event& event : events->events()) {
      if (event.id().empty()) return MakeError("ARGUMENT_INVALID", "audit", "an event without id");
      const std::string& tenant = event.principal().tenant();
      by_tenant[tenant.empty() ? "default" : CleanText(tenant, 256)].push_back(&event);
    }
    int64_t stored = 0;
    for (const auto& [tenant, list] : by_tenant) {
      METAMCP_ASSIGN_OR_RETURN(const int64_t count, store->Append(database, tenant, list));
      stored += count;
    }
    return stored;
  };
  auto running = database_.Run<int64_t>(ctx, std::move(op));
  const auto stored = co_await std::move(running);
  if (!stored.ok()) co_return stored.status();
  if (*stored > 0) appended_.Notify();
  v1::AppendResponse response;
  response.set_stored(*stored);
  co_return response;
}

Awaitable<absl::StatusOr<AuditService::Found>> AuditService::Find(const CallContext& ctx,
                                                                  RecordFilter filter) {
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<Found>(db::Database&)> op =
      [store, tenant = ctx.tenant(),
       filter = std::move(filter)](db::Database& database) -> absl::StatusOr<Found> {
    METAMCP_ASSIGN_OR_RETURN(std::vector<RecordRow> rows, store->Query(database, tenant, filter));
    METAMCP_ASSIGN_OR_RETURN(std::vector<std::string> personals,
                             store->OpenPersonals(database, tenant, rows));
    Found out;
    for (size_t i = 0; i < rows.size(); ++i) {
      out.emplace_back(std::move(rows[i]), std::move(personals[i]));
    }
    return out;
  };
  auto running = database_.Run<Found>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<v1::QueryRecordsResponse>> AuditService::QueryRecords(
    const CallContext& ctx, v1::QueryRecordsRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(RecordFilter filter, ToFilter(request));
  const int64_t limit = filter.limit;
  auto finding = Find(ctx, std::move(filter));
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  v1::QueryRecordsResponse response;
  for (const auto& [row, personal] : *found) ToProto(row, personal, *response.add_records());
  if (static_cast<int64_t>(found->size()) == limit && found->back().first.seq > 1) {
    response.set_next_page_token(StrCat(found->back().first.seq));
  }
  co_return response;
}

Awaitable<absl::Status> AuditService::TailRecords(const CallContext& ctx,
                                                  v1::TailRecordsRequest request,
                                                  Sink<v1::TailRecordsResponse>& sink) {
  SqlStore* const store = &store_;
  const std::string tenant = ctx.tenant();
  int64_t after = request.after_seq();
  bool known = after > 0;
  for (;;) {
    const CallContext step = ctx.Capped(std::chrono::seconds(30));
    const bool skip = !known;
    std::function<absl::StatusOr<Found>(db::Database&)> op =
        [store, tenant, after, skip](db::Database& database) -> absl::StatusOr<Found> {
      Found out;
      if (skip) {
        METAMCP_ASSIGN_OR_RETURN(const std::optional<Head> head, store->GetHead(database, tenant));
        RecordRow end;
        end.seq = head ? head->seq : 0;
        out.emplace_back(std::move(end), "");
        return out;
      }
      METAMCP_ASSIGN_OR_RETURN(std::vector<RecordRow> rows,
                               store->Read(database, tenant, after + 1, 500));
      METAMCP_ASSIGN_OR_RETURN(std::vector<std::string> personals,
                               store->OpenPersonals(database, tenant, rows));
      for (size_t i = 0; i < rows.size(); ++i) {
        out.emplace_back(std::move(rows[i]), std::move(personals[i]));
      }
      return out;
    };
    auto running = database_.Run<Found>(step, std::move(op));
    const auto found = co_await std::move(running);
    if (!found.ok()) co_return found.status();
    for (const auto& [row, personal] : *found) {
      after = row.seq;
      if (skip) continue;
      v1::TailRecordsResponse response;
      ToProto(row, personal, *response.mutable_record());
      auto writing = sink.Write(std::move(response));
      METAMCP_CO_RETURN_IF_ERROR(co_await std::move(writing));
    }
    known = true;
    if (!skip && !found->empty()) continue;
    auto waiting = appended_.Wait();
    auto bounded = RunUntil(CallContext::Clock::now() + kPoll, WaitStatus(std::move(waiting)));
    const absl::Status waited = co_await std::move(bounded);
    if (absl::IsCancelled(waited)) co_return waited;
  }
}

Awaitable<absl::StatusOr<v1::ExportRecordsResponse>> AuditService::ExportRecords(
    const CallContext& ctx, v1::ExportRecordsRequest request) {
  auto made = MakeExportWriter(request.format());
  if (!made.ok()) co_return made.status();
  std::shared_ptr<ExportWriter> writer = *std::move(made);
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<v1::ExportRecordsResponse>(db::Database&)> op =
      [store, writer, request, tenant = ctx.tenant(), key = key_](db::Database& database) {
        return ExportPart(*store, database, tenant, key.verify_key(), request, *writer);
      };
  auto running = database_.Run<v1::ExportRecordsResponse>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<v1::VerifyChainResponse>> AuditService::VerifyChain(
    const CallContext& ctx, v1::VerifyChainRequest) {
  using Notes = std::vector<std::pair<std::string, std::string>>;
  std::function<absl::StatusOr<Notes>(db::Database&)> read =
      [path = checkpoint_file_](db::Database&) -> absl::StatusOr<Notes> {
    return Upkeep::ReadFileBlocking(path);
  };
  auto reading = database_.Run<Notes>(ctx, std::move(read));
  auto notes = co_await std::move(reading);
  if (!notes.ok()) co_return notes.status();
  auto check =
      std::make_shared<LogCheck>(store_, ctx.tenant(), key_.verify_key(), *std::move(notes));
  while (!check->done()) {
    std::function<absl::Status(db::Database&)> op = [check](db::Database& database) {
      return check->Step(database);
    };
    auto running = database_.RunStatus(ctx, std::move(op));
    const absl::Status status = co_await std::move(running);
    if (!status.ok()) co_return status;
  }
  v1::VerifyChainResponse response;
  response.set_valid(!check->fault());
  if (check->fault()) {
    response.set_bad_seq(check->fault()->seq);
    response.set_problem(check->fault()->what);
  }
  response.set_first_seq(check->first());
  response.set_records(check->records());
  response.set_checkpoints(check->checkpoints());
  response.set_unproved(check->unproved());
  response.set_outside(check->outside());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListCheckpointsResponse>> AuditService::ListCheckpoints(
    const CallContext& ctx, v1::ListCheckpointsRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t before, ReadPageToken(request.page_token()));
  const int64_t limit = PageSize(request.page_size(), 100, kPageMax);
  SqlStore* const store = &store_;
  using Rows = std::vector<CheckpointRow>;
  std::function<absl::StatusOr<Rows>(db::Database&)> op = [store, tenant = ctx.tenant(), before,
                                                           limit](db::Database& database) {
    return store->NewestCheckpoints(database, tenant, before == 0 ? INT64_MAX : before, limit);
  };
  auto running = database_.Run<Rows>(ctx, std::move(op));
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return rows.status();
  v1::ListCheckpointsResponse response;
  for (const CheckpointRow& row : *rows) ToProto(row, *response.add_checkpoints());
  if (static_cast<int64_t>(rows->size()) == limit) {
    response.set_next_page_token(StrCat(rows->back().size));
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetKeyResponse>> AuditService::GetKey(const CallContext& ctx,
                                                                   v1::GetKeyRequest) {
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<std::optional<Head>>(db::Database&)> op =
      [store, tenant = ctx.tenant()](db::Database& database) {
        return store->GetHead(database, tenant);
      };
  auto running = database_.Run<std::optional<Head>>(ctx, std::move(op));
  const auto head = co_await std::move(running);
  if (!head.ok()) co_return head.status();
  v1::GetKeyResponse response;
  response.set_pem(key_.verify_key().Pem());
  if (*head) response.set_origin((*head)->origin());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListFailuresResponse>> AuditService::ListFailures(
    const CallContext& ctx, v1::ListFailuresRequest request) {
  RecordFilter filter;
  filter.failures = true;
  filter.limit = kFailuresMax;
  filter.upstream = request.upstream();
  filter.item = request.item();
  filter.since_us = request.since_us() > 0 ? request.since_us() : NowMicros() - kDayUs;
  filter.until_us = request.until_us();
  SqlStore* const store = &store_;
  // Grouped there too: it takes longer than the io thread has.
  std::function<absl::StatusOr<v1::ListFailuresResponse>(db::Database&)> op =
      [store, tenant = ctx.tenant(), filter = std::move(filter), request = std::move(request)](
          db::Database& database) -> absl::StatusOr<v1::ListFailuresResponse> {
    METAMCP_ASSIGN_OR_RETURN(const std::vector<RecordRow> rows,
                             store->Query(database, tenant, filter));
    std::vector<std::string> personals(rows.size());
    if (request.by_client()) {
      METAMCP_ASSIGN_OR_RETURN(personals, store->OpenPersonals(database, tenant, rows));
    }
    return GroupFailures(request, rows, personals);
  };
  auto running = database_.Run<v1::ListFailuresResponse>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<v1::ReadUsageResponse>> AuditService::ReadUsage(
    const CallContext& ctx, v1::ReadUsageRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(UsageQuery query, ToUsageQuery(request));
  SqlStore* const store = &store_;
  using Rows = std::vector<UsageRow>;
  std::function<absl::StatusOr<Rows>(db::Database&)> op =
      [store, tenant = ctx.tenant(), query = std::move(query)](db::Database& database) {
        return store->Usage(database, tenant, query);
      };
  auto running = database_.Run<Rows>(ctx, std::move(op));
  const auto rows = co_await std::move(running);
  if (!rows.ok()) co_return rows.status();
  v1::ReadUsageResponse response;
  for (const UsageRow& row : *rows) ToProto(row, *response.add_usage());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ExportSubjectResponse>> AuditService::ExportSubject(
    const CallContext& ctx, v1::ExportSubjectRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(const int64_t before, ReadPageToken(request.page_token()));
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<std::string>(db::Database&)> op =
      [store, tenant = ctx.tenant(), subject = request.subject()](db::Database& database) {
        return store->Pseudonym(database, tenant, subject);
      };
  auto running = database_.Run<std::string>(ctx, std::move(op));
  auto pseudonym = co_await std::move(running);
  if (!pseudonym.ok()) co_return pseudonym.status();
  RecordFilter filter;
  filter.subject = request.subject();
  filter.before_seq = before;
  filter.limit = PageSize(request.page_size(), 500, kPageMax);
  const int64_t limit = filter.limit;
  auto finding = Find(ctx, std::move(filter));
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  v1::ExportSubjectResponse response;
  response.set_pseudonym(*std::move(pseudonym));
  for (const auto& [row, personal] : *found) ToProto(row, personal, *response.add_records());
  if (static_cast<int64_t>(found->size()) == limit) {
    response.set_next_page_token(StrCat(found->back().first.seq));
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::EraseSubjectResponse>> AuditService::EraseSubject(
    const CallContext& ctx, v1::EraseSubjectRequest request) {
  if (request.subject().empty()) {
    co_return MakeError("ARGUMENT_INVALID", "audit", "say whose key is to be destroyed");
  }
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<std::string>(db::Database&)> op =
      [store, tenant = ctx.tenant(), subject = request.subject()](db::Database& database) {
        return store->Erase(database, tenant, subject);
      };
  auto running = database_.Run<std::string>(ctx, std::move(op));
  auto pseudonym = co_await std::move(running);
  if (!pseudonym.ok()) co_return pseudonym.status();
  // The tombstone: whose key was destroyed, by the name that is left.
  v1::AppendRequest tombstone;
  v1::Event& event = *tombstone.add_events();
  event.set_id(NewUuidV7());
  event.set_time_us(NowMicros());
  if (ctx.principal) ToProto(*ctx.principal, *event.mutable_principal());
  event.mutable_principal()->set_tenant(ctx.tenant());
  event.set_action("audit.erase");
  event.set_item(*pseudonym);
  event.set_outcome("ok");
  event.set_decision("allow");
  event.set_rule("role:admin");
  auto appending = Append(ctx, std::move(tombstone));
  const auto appended = co_await std::move(appending);
  if (!appended.ok()) co_return appended.status();
  v1::EraseSubjectResponse response;
  response.set_pseudonym(*std::move(pseudonym));
  co_return response;
}

Awaitable<absl::StatusOr<v1::CreateHoldResponse>> AuditService::CreateHold(
    const CallContext& ctx, v1::CreateHoldRequest request) {
  HoldRow hold;
  hold.id = NewUuidV7();
  hold.reason = request.reason();
  hold.created_by = ctx.principal ? ctx.principal->subject : "";
  hold.created_us = NowMicros();
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<HoldRow>(db::Database&)> op =
      [store, hold, tenant = ctx.tenant(),
       subject = request.subject()](db::Database& database) -> absl::StatusOr<HoldRow> {
    HoldRow row = hold;
    if (!subject.empty()) {
      METAMCP_ASSIGN_OR_RETURN(row.subject, store->Pseudonym(database, tenant, subject));
    }
    METAMCP_RETURN_IF_ERROR(store->PutHold(database, tenant, row));
    return row;
  };
  auto running = database_.Run<HoldRow>(ctx, std::move(op));
  const auto row = co_await std::move(running);
  if (!row.ok()) co_return row.status();
  v1::CreateHoldResponse response;
  ToProto(*row, request.subject(), *response.mutable_hold());
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListHoldsResponse>> AuditService::ListHolds(const CallContext& ctx,
                                                                         v1::ListHoldsRequest) {
  SqlStore* const store = &store_;
  std::function<absl::StatusOr<v1::ListHoldsResponse>(db::Database&)> op =
      [store,
       tenant = ctx.tenant()](db::Database& database) -> absl::StatusOr<v1::ListHoldsResponse> {
    METAMCP_ASSIGN_OR_RETURN(const std::vector<HoldRow> holds, store->Holds(database, tenant));
    v1::ListHoldsResponse response;
    for (const HoldRow& hold : holds) {
      METAMCP_ASSIGN_OR_RETURN(const std::string name,
                               store->NameOf(database, tenant, hold.subject));
      ToProto(hold, name, *response.add_holds());
    }
    return response;
  };
  auto running = database_.Run<v1::ListHoldsResponse>(ctx, std::move(op));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<v1::DeleteHoldResponse>> AuditService::DeleteHold(
    const CallContext& ctx, v1::DeleteHoldRequest request) {
  SqlStore* const store = &store_;
  std::function<absl::Status(db::Database&)> op = [store, tenant = ctx.tenant(),
                                                   id = request.id()](db::Database& database) {
    return store->DeleteHold(database, tenant, id);
  };
  auto running = database_.RunStatus(ctx, std::move(op));
  const absl::Status deleted = co_await std::move(running);
  if (!deleted.ok()) co_return deleted;
  co_return v1::DeleteHoldResponse();
}

}  // namespace metamcp::audit
