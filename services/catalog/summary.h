#pragma once

#include <string_view>

#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/catalog/model.h"

namespace metamcp::catalog {

// How one view shows one candidate. `upstream` is the candidate's.
pb::ItemSummary Summarize(const View& view, const Model::UpstreamSlot& upstream,
                          const Candidate& candidate);

// The same of an item of an upstream that the view does not have.
pb::ItemSummary SummarizeOutside(const View& view, const Model::UpstreamSlot& upstream,
                                 const ItemEntry& item);

// Of an upstream of the view that never reported anything; `name` is what was asked for.
pb::ItemSummary SummarizeDown(const Model::UpstreamSlot& upstream, std::string_view name);

// What is known of an upstream that offers nothing: its state, its own words, what to do.
std::string DownDetail(const Model::UpstreamSlot& upstream);

}  // namespace metamcp::catalog
