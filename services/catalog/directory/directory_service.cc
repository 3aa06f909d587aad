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

bool DirectoryService::Sure(int64_t now_us) const {
  return open_since_us_ > 0 && now_us - open_since_us_ >= std::chrono::microseconds(kLease).count();
}

v1::AnnounceResponse DirectoryService::Known() const {
  v1::AnnounceResponse response;
  response.set_lease_ms(kLease.count());
  for (const v1::Member& member : members_) *response.add_members() = member;
  return response;
}

Awaitable<absl::StatusOr<v1::AnnounceResponse>> DirectoryService::Announce(
    const CallContext& ctx, v1::AnnounceRequest request) {
  if (!IsMember(request.member())) {
    co_return Invalid("member needs instance and address");
  }
  const int64_t lease_us = std::chrono::microseconds(kLease).count();
  const int64_t now = now_us_();
  const bool leaving = request.leaving();
  std::function<absl::StatusOr<std::vector<v1::Member>>(db::Database&)> op =
      [request = std::move(request), now,
       lease_us](db::Database& database) -> absl::StatusOr<std::vector<v1::Member>> {
    DirectoryStore store(database);
    if (!request.leaving()) return store.Announce(request.member(), now, lease_us);
    const absl::Status left = store.Leave(request.member());
    if (!left.ok()) return left;
    return std::vector<v1::Member>();
  };
  auto storing = database_.Run<std::vector<v1::Member>>(ctx, std::move(op));
  auto members = co_await std::move(storing);
  if (!members.ok()) {
    if (!absl::IsCancelled(members.status())) open_since_us_ = 0;
    if (leaving || members_.empty() || !absl::IsUnavailable(members.status())) {
      co_return members.status();
    }
    v1::AnnounceResponse stale = Known();
    stale.set_stale(true);
    co_return stale;
  }
  if (leaving) co_return v1::AnnounceResponse();
  if (open_since_us_ == 0 || now - heard_us_ >= lease_us) open_since_us_ = now;
  heard_us_ = now;
  members_ = *std::move(members);
  co_return Known();
}

Awaitable<absl::StatusOr<v1::TakeUpstreamsResponse>> DirectoryService::TakeUpstreams(
    const CallContext& ctx, v1::TakeUpstreamsRequest request) {
  const int ids = request.take_ids_size() + request.release_ids_size() + request.ask_ids_size();
  if (!IsText(request.instance()) || ids > kIdsMax) {
    co_return Invalid("instance must be set, and at most 10000 ids");
  }
  const int64_t now = now_us_();
  std::function<absl::StatusOr<v1::TakeUpstreamsResponse>(db::Database&)> op =
      [request = std::move(request), now,
       sure = Sure(now)](db::Database& database) -> absl::StatusOr<v1::TakeUpstreamsResponse> {
    auto leases = DirectoryStore(database).Take(request, now, sure);
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
