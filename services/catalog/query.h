#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/catalog/model.h"

// The questions that can be asked of a model. Pure; they bring views up to date but change nothing
// else. An empty virtual server means "default". Errors of all: NOT_FOUND for an unknown virtual
// server or upstream; INVALID_ARGUMENT for sizes and tokens.
namespace metamcp::catalog {

absl::StatusOr<pb::ListItemsResponse> ListItems(Model& model, const pb::ListItemsRequest& request);

absl::StatusOr<pb::SearchItemsResponse> SearchItems(Model& model,
                                                    const pb::SearchItemsRequest& request);

// Errors: NOT_FOUND with the nearest names.
absl::StatusOr<pb::ExplainItemResponse> ExplainItem(Model& model,
                                                    const pb::ExplainItemRequest& request);

absl::StatusOr<pb::GetVirtualServerResponse> DescribeServer(Model& model, const std::string& name);

absl::StatusOr<pb::ListUpstreamsResponse> ListUpstreams(const Model& model,
                                                        const pb::ListUpstreamsRequest& request);
absl::StatusOr<pb::ListVirtualServersResponse> ListServers(
    const Model& model, const pb::ListVirtualServersRequest& request);

}  // namespace metamcp::catalog
