#include "gateway/auth/access_edge.h"

#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

namespace pb = access::v1;

constexpr size_t kSecretBytes = 24;  // 192 bits
constexpr size_t kPrefixBytes = 10;

// Makes a secret; `request` says what proves it, whatever it said before.
template <typename Request>
std::string AddSecret(const KeyRing& keys, Request& request) {
  std::string secret = StrCat("mmk_", Base64UrlEncode(RandomBytes(kSecretBytes)));
  request.set_prefix(secret.substr(0, kPrefixBytes));
  request.mutable_mac()->set_kid(keys.Kids().front());
  request.mutable_mac()->set_mac(keys.Mac(SealPurpose::kToken, secret, request.mac().kid()));
  request.mutable_mac()->clear_until_us();
  return secret;
}

}  // namespace

Awaitable<absl::StatusOr<pb::CreateKeyResponse>> AccessEdge::CreateKey(
    const CallContext& ctx, pb::CreateKeyRequest request) {
  std::string secret = AddSecret(keys_, request);
  auto creating = service_.CreateKey(ctx, std::move(request));
  auto made = co_await std::move(creating);
  if (made.ok()) made->set_secret(std::move(secret));
  co_return made;
}

Awaitable<absl::StatusOr<pb::RotateKeyResponse>> AccessEdge::RotateKey(
    const CallContext& ctx, pb::RotateKeyRequest request) {
  std::string secret = AddSecret(keys_, request);
  auto rotating = service_.RotateKey(ctx, std::move(request));
  auto made = co_await std::move(rotating);
  if (made.ok()) made->set_secret(std::move(secret));
  co_return made;
}

Awaitable<absl::StatusOr<pb::ListKeysResponse>> AccessEdge::ListKeys(const CallContext& ctx,
                                                                     pb::ListKeysRequest request) {
  return service_.ListKeys(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::RevokeKeyResponse>> AccessEdge::RevokeKey(
    const CallContext& ctx, pb::RevokeKeyRequest request) {
  return service_.RevokeKey(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::ListUsersResponse>> AccessEdge::ListUsers(
    const CallContext& ctx, pb::ListUsersRequest request) {
  return service_.ListUsers(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::SetUserResponse>> AccessEdge::SetUser(const CallContext& ctx,
                                                                   pb::SetUserRequest request) {
  return service_.SetUser(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::ListTeamsResponse>> AccessEdge::ListTeams(
    const CallContext& ctx, pb::ListTeamsRequest request) {
  return service_.ListTeams(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::CreateTeamResponse>> AccessEdge::CreateTeam(
    const CallContext& ctx, pb::CreateTeamRequest request) {
  return service_.CreateTeam(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::DeleteTeamResponse>> AccessEdge::DeleteTeam(
    const CallContext& ctx, pb::DeleteTeamRequest request) {
  return service_.DeleteTeam(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::SetMemberResponse>> AccessEdge::SetMember(
    const CallContext& ctx, pb::SetMemberRequest request) {
  return service_.SetMember(ctx, std::move(request));
}
Awaitable<absl::StatusOr<pb::ReportUseResponse>> AccessEdge::ReportUse(
    const CallContext& ctx, pb::ReportUseRequest request) {
  return service_.ReportUse(ctx, std::move(request));
}
Awaitable<absl::Status> AccessEdge::WatchAccess(const CallContext& ctx,
                                                pb::WatchAccessRequest request,
                                                Sink<pb::WatchAccessResponse>& sink) {
  return service_.WatchAccess(ctx, std::move(request), sink);
}

}  // namespace metamcp::gateway
