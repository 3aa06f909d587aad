#include "services/catalog/directory/directory_service.h"

#include <memory>
#include <utility>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "services/catalog/directory/directory_store.h"

namespace metamcp::catalog {
namespace {

constexpr int kIdsMax = 10000;
constexpr int kMarksMax = 1000;
constexpr size_t kTextMax = 256;

absl::Status Invalid(std::string_view why) {
  return MakeError("ARGUMENT_INVALID", "catalog", std::string(why));
}

bool IsText(const std::string& text) { return !text.empty() && text.size() <= kTextMax; }

bool IsMember(const v1::Member& member) {
  if (!IsText(member.instance()) || !IsText(member.address())) return false;
  if (member.roles_size() > 8) return false;
  for (const std::string& role : member.roles()) {
    if (!IsText(role) || role.find(' ') != std::string::npos) return false;
  }
  return true;
}

}  // namespace

DirectoryService::DirectoryService(db::DbExecutor& database, std::function<int64_t()> now_us)
    : database_(database), now_us_(now_us ? std::move(now_us) : [] { return NowMicros(); }) {}

Awaitable<absl::StatusOr<v1::AnnounceResponse>> DirectoryService::Announce(
    const CallContext& ctx, v1::AnnounceRequest request) {
  if (!IsMember(request.member())) {
    co_return Invalid("member needs instance and address");
  }
  std::function<absl::StatusOr<v1::AnnounceResponse>(db::Database&)> op =
      [request = std::move(request),
       now = now_us_()](db::Database& database) -> absl::StatusOr<v1::AnnounceResponse> {
    DirectoryStore store(database);
    v1::AnnounceResponse response;
    response.set_lease_ms(kLease.count());
    if (request.leaving()) {
      const absl::Status left = store.Leave(request.member().instance());
      if (!left.ok()) return left;
      return response;
    }
    auto members = store.Announce(request.member(), now, std::chrono::microseconds(kLease).count());
    if (!members.ok()) return members.status();
    for (v1::Member& member : *members) *response.add_members() = std::move(member);
    return response;
  };
  co_return co_await database_.Run<v1::AnnounceResponse>(ctx, std::move(op));
}

Awaitable<absl::StatusOr<v1::TakeUpstreamsResponse>> DirectoryService::TakeUpstreams(
    const CallContext& ctx, v1::TakeUpstreamsRequest request) {
  const int ids = request.take_ids_size() + request.release_ids_size() + request.ask_ids_size();
  if (!IsText(request.instance()) || ids > kIdsMax) {
    co_return Invalid("instance must be set, and at most 10000 ids");
  }
  std::function<absl::StatusOr<v1::TakeUpstreamsResponse>(db::Database&)> op =
      [request = std::move(request),
       now = now_us_()](db::Database& database) -> absl::StatusOr<v1::TakeUpstreamsResponse> {
    auto leases = DirectoryStore(database).Take(request, now);
    if (!leases.ok()) return leases.status();
    v1::TakeUpstreamsResponse response;
    for (v1::UpstreamLease& lease : *leases) *response.add_leases() = std::move(lease);
    return response;
  };
  co_return co_await database_.Run<v1::TakeUpstreamsResponse>(ctx, std::move(op));
}

Awaitable<absl::StatusOr<v1::MarkSessionsResponse>> DirectoryService::MarkSessions(
    const CallContext& ctx, v1::MarkSessionsRequest request) {
  if (request.marks_size() > kMarksMax) co_return Invalid("at most 1000 marks");
  for (const v1::SessionMark& mark : request.marks()) {
    if (!IsText(mark.handle()) || mark.log_level().size() > kTextMax) {
      co_return Invalid("a mark needs a handle");
    }
  }
  std::function<absl::StatusOr<v1::MarkSessionsResponse>(db::Database&)> op =
      [request = std::move(request),
       now = now_us_()](db::Database& database) -> absl::StatusOr<v1::MarkSessionsResponse> {
    const std::vector<v1::SessionMark> marks(request.marks().begin(), request.marks().end());
    const absl::Status stored = DirectoryStore(database).Mark(marks, now);
    if (!stored.ok()) return stored;
    return v1::MarkSessionsResponse();
  };
  co_return co_await database_.Run<v1::MarkSessionsResponse>(ctx, std::move(op));
}

Awaitable<absl::StatusOr<v1::ListSessionMarksResponse>> DirectoryService::ListSessionMarks(
    const CallContext& ctx, v1::ListSessionMarksRequest request) {
  std::function<absl::StatusOr<v1::ListSessionMarksResponse>(db::Database&)> op =
      [after = request.after(), now = now_us_()](db::Database& database) {
        return DirectoryStore(database).ListMarks(after, now);
      };
  co_return co_await database_.Run<v1::ListSessionMarksResponse>(ctx, std::move(op));
}

}  // namespace metamcp::catalog
