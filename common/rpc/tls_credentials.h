#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include "common/rpc/tls.h"

// What gRPC makes of a Tls. Internal to common/rpc.
namespace metamcp::rpc {

// Takes servers with a certificate of the authority that names every one of `roles`.
std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Tls::Current& current,
                                                            std::vector<std::string> roles);

// Takes clients with a certificate of the authority; asks `tls` at each handshake.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(std::shared_ptr<const Tls> tls);

// The roles of the peer's certificate.
std::vector<std::string> PeerRoles(const grpc::AuthContext& peer);

}  // namespace metamcp::rpc
