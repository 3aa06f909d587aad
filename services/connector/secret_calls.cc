// The calls of connector.v1 about the vault.
#include "services/connector/connector_service.h"

namespace metamcp::connector {

Awaitable<absl::StatusOr<admin_pb::SetSecretResponse>> ConnectorServiceImpl::SetSecret(
    const CallContext&, admin_pb::SetSecretRequest request) {
  auto setting =
      secrets_.Set(request.name(), std::move(*request.mutable_value()), request.must_exist());
  const absl::Status status = co_await std::move(setting);
  if (!status.ok()) co_return status;
  co_return admin_pb::SetSecretResponse();
}

Awaitable<absl::StatusOr<admin_pb::ListSecretsResponse>> ConnectorServiceImpl::ListSecrets(
    const CallContext&, admin_pb::ListSecretsRequest) {
  auto listing = secrets_.List();
  auto listed = co_await std::move(listing);
  if (!listed.ok()) co_return listed.status();
  admin_pb::ListSecretsResponse response;
  for (Secrets::Listed& one : *listed) {
    admin_pb::SecretInfo* out = response.add_secrets();
    out->set_name(one.name);
    out->set_readable(one.readable);
    out->mutable_used_by()->Assign(one.used_by.begin(), one.used_by.end());
  }
  co_return response;
}

Awaitable<absl::StatusOr<admin_pb::RemoveSecretResponse>> ConnectorServiceImpl::RemoveSecret(
    const CallContext&, admin_pb::RemoveSecretRequest request) {
  auto removing = secrets_.Remove(request.name());
  const absl::Status status = co_await std::move(removing);
  if (!status.ok()) co_return status;
  co_return admin_pb::RemoveSecretResponse();
}

}  // namespace metamcp::connector
