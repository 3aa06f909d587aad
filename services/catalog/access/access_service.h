#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <string>

#include "common/db/executor.h"
#include "metamcp/access/v1/access_service.metamcp.h"

namespace metamcp::catalog {

// Who may come in (proto/metamcp/access/v1/access_service.proto), straight from the database, so
// that replicas need not know each other. Secrets never come here: gateways make them and send what
// proves them. Thread: the executor's one thread.
class AccessService final : public access::v1::AccessService {
 public:
  struct Options {
    Options() {}
    std::string tenant = "default";
    int64_t key_max_age_days = 365;                                   // 0: keys need not end
    std::chrono::milliseconds poll = std::chrono::milliseconds(500);  // for changes of others
    std::function<int64_t()> now_us;                                  // empty: NowMicros
  };
  // `database` must outlive this.
  AccessService(boost::asio::any_io_executor executor, db::DbExecutor& database, Options options);

  Awaitable<absl::StatusOr<access::v1::CreateKeyResponse>> CreateKey(
      const CallContext& ctx, access::v1::CreateKeyRequest request) override;
  Awaitable<absl::StatusOr<access::v1::ListKeysResponse>> ListKeys(
      const CallContext& ctx, access::v1::ListKeysRequest request) override;
  Awaitable<absl::StatusOr<access::v1::RotateKeyResponse>> RotateKey(
      const CallContext& ctx, access::v1::RotateKeyRequest request) override;
  Awaitable<absl::StatusOr<access::v1::RevokeKeyResponse>> RevokeKey(
      const CallContext& ctx, access::v1::RevokeKeyRequest request) override;
  Awaitable<absl::StatusOr<access::v1::ListUsersResponse>> ListUsers(
      const CallContext& ctx, access::v1::ListUsersRequest request) override;
  Awaitable<absl::StatusOr<access::v1::SetUserResponse>> SetUser(
      const CallContext& ctx, access::v1::SetUserRequest request) override;
  Awaitable<absl::StatusOr<access::v1::ListTeamsResponse>> ListTeams(
      const CallContext& ctx, access::v1::ListTeamsRequest request) override;
  Awaitable<absl::StatusOr<access::v1::CreateTeamResponse>> CreateTeam(
      const CallContext& ctx, access::v1::CreateTeamRequest request) override;
  Awaitable<absl::StatusOr<access::v1::DeleteTeamResponse>> DeleteTeam(
      const CallContext& ctx, access::v1::DeleteTeamRequest request) override;
  Awaitable<absl::StatusOr<access::v1::SetMemberResponse>> SetMember(
      const CallContext& ctx, access::v1::SetMemberRequest request) override;
  Awaitable<absl::Status> WatchAccess(const CallContext& ctx,
                                      access::v1::WatchAccessRequest request,
                                      Sink<access::v1::WatchAccessResponse>& sink) override;
  Awaitable<absl::StatusOr<access::v1::ReportUseResponse>> ReportUse(
      const CallContext& ctx, access::v1::ReportUseRequest request) override;

 private:
  int64_t Now() const;
  // Watchers look at once.
  void Changed();
  absl::Status CheckNewKey(const access::v1::CreateKeyRequest& request, int64_t now_us) const;

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  const Options options_;
  std::list<boost::asio::steady_timer*> watchers_;
  size_t changes_ = 0;
};

}  // namespace metamcp::catalog
