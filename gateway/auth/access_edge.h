#pragma once

#include "common/base/key_ring.h"
#include "metamcp/access/v1/access_service.metamcp.h"

namespace metamcp::gateway {

// AccessService as the gateway shows it: the same, but secrets of keys are made here, told to who
// asked for the key, and proved to the service by their MAC under the ring. Thread: the io thread.
class AccessEdge final : public access::v1::AccessService {
 public:
  // Both must outlive this.
  AccessEdge(access::v1::AccessService& service, const KeyRing& keys)
      : service_(service), keys_(keys) {}

  Awaitable<absl::StatusOr<access::v1::CreateKeyResponse>> CreateKey(
      const CallContext& ctx, access::v1::CreateKeyRequest request) override;
  Awaitable<absl::StatusOr<access::v1::RotateKeyResponse>> RotateKey(
      const CallContext& ctx, access::v1::RotateKeyRequest request) override;

  Awaitable<absl::StatusOr<access::v1::ListKeysResponse>> ListKeys(
      const CallContext& ctx, access::v1::ListKeysRequest request) override;
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
  Awaitable<absl::StatusOr<access::v1::ReportUseResponse>> ReportUse(
      const CallContext& ctx, access::v1::ReportUseRequest request) override;
  Awaitable<absl::Status> WatchAccess(const CallContext& ctx,
                                      access::v1::WatchAccessRequest request,
                                      Sink<access::v1::WatchAccessResponse>& sink) override;

 private:
  access::v1::AccessService& service_;
  const KeyRing& keys_;
};

}  // namespace metamcp::gateway
