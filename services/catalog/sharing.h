#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include "common/async/call_context.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/catalog/model.h"

// What a caller sees of the catalog: teams and visibility (common/auth/roles.h). Calls from inside,
// without a principal, see everything. Pure.
namespace metamcp::catalog {

bool MaySee(const CallContext& ctx, const common::v1::ObjectMeta& meta);
// Of an upstream by name or id; what is not there is not seen.
bool MaySeeUpstream(const CallContext& ctx, const Model& model, std::string_view name);
// Of a virtual server by name; empty means "default". One that is not stored, as "default" may be,
// is everybody's.
bool MaySeeServer(const CallContext& ctx, const Model& model, std::string_view name);

// NOT_FOUND in the words of an object that does not exist.
absl::Status NoServer(std::string_view name);
absl::Status NoVirtualServer(std::string_view name);

// Leaves out what the caller may not see.
void Filter(const CallContext& ctx, const Model& model,
            google::protobuf::RepeatedPtrField<pb::ItemSummary>* items);
void Filter(const CallContext& ctx, const Model& model, pb::GetVirtualServerResponse* response);

}  // namespace metamcp::catalog
