#include "common/rpc/wire.h"

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "metamcp/common/v1/common.pb.h"

namespace metamcp::rpc {

absl::Status Encode(const google::protobuf::Message& message, grpc::ByteBuffer& out) {
  out.Clear();  // the writer wants an empty buffer
  bool own = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &out,
                                                                                 &own);
  if (!status.ok()) return absl::InternalError(status.error_message());
  return absl::OkStatus();
}

absl::Status Decode(grpc::ByteBuffer& in, google::protobuf::Message& message) {
  const grpc::Status status =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&in, &message);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        StrCat("not a ", message.GetTypeName(), ": ", status.error_message()));
  }
  return absl::OkStatus();
}

std::string EncodeCallMeta(const CallContext& ctx) {
  metamcp::common::v1::CallMeta meta;
  if (ctx.principal) {
    auto& p = *meta.mutable_principal();
    p.set_tenant(ctx.principal->tenant);
    p.set_subject(ctx.principal->subject);
    p.set_kind(ctx.principal->kind);
    p.mutable_roles()->Assign(ctx.principal->roles.begin(), ctx.principal->roles.end());
    p.mutable_teams()->Assign(ctx.principal->teams.begin(), ctx.principal->teams.end());
    p.mutable_scopes()->Assign(ctx.principal->scopes.begin(), ctx.principal->scopes.end());
    p.set_method(ctx.principal->method);
    p.set_client(ctx.principal->client);
    p.mutable_actors()->Assign(ctx.principal->actors.begin(), ctx.principal->actors.end());
    p.set_display_name(ctx.principal->display_name);
    p.set_issuer(ctx.principal->issuer);
    p.set_expires_us(ctx.principal->expires_us);
  }
  meta.set_request_id(ctx.request_id);
  meta.set_traceparent(ctx.trace.traceparent);
  meta.set_tracestate(ctx.trace.tracestate);
  meta.set_baggage(ctx.trace.baggage);
  meta.mutable_hops()->Assign(ctx.hops.begin(), ctx.hops.end());
  return meta.SerializeAsString();
}

absl::Status DecodeCallMeta(const std::string& text, CallContext& ctx) {
  metamcp::common::v1::CallMeta meta;
  if (!meta.ParseFromString(text)) {
    return absl::InvalidArgumentError(StrCat(kCallMetaKey, " is not a CallMeta message"));
  }
  if (meta.has_principal()) {
    auto who = std::make_shared<Principal>();
    const auto& p = meta.principal();
    who->tenant = p.tenant();
    who->subject = p.subject();
    who->kind = p.kind();
    who->roles.assign(p.roles().begin(), p.roles().end());
    who->teams.assign(p.teams().begin(), p.teams().end());
    who->scopes.assign(p.scopes().begin(), p.scopes().end());
    who->method = p.method();
    who->client = p.client();
    who->actors.assign(p.actors().begin(), p.actors().end());
    who->display_name = p.display_name();
    who->issuer = p.issuer();
    who->expires_us = p.expires_us();
    ctx.principal = std::move(who);
  }
  ctx.request_id = meta.request_id();
  ctx.trace.traceparent = meta.traceparent();
  ctx.trace.tracestate = meta.tracestate();
  ctx.trace.baggage = meta.baggage();
  ctx.hops.assign(meta.hops().begin(), meta.hops().end());
  return absl::OkStatus();
}

grpc::Status ToGrpc(const absl::Status& status, std::string& error_info) {
  error_info.clear();
  if (status.ok()) return grpc::Status::OK;
  if (const auto info = GetErrorInfo(status)) {
    metamcp::common::v1::ErrorInfo pb;
    pb.set_reason(info->reason);
    pb.set_domain(info->domain);
    for (const auto& [key, value] : info->metadata) (*pb.mutable_metadata())[key] = value;
    error_info = pb.SerializeAsString();
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& error_info) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  metamcp::common::v1::ErrorInfo pb;
  if (error_info.empty() || !pb.ParseFromString(error_info)) return out;
  ErrorInfo info;
  info.reason = pb.reason();
  info.domain = pb.domain();
  for (const auto& [key, value] : pb.metadata()) info.metadata[key] = value;
  return WithErrorInfo(std::move(out), info);
}

}  // namespace metamcp::rpc
