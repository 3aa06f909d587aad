#include "services/ai/finder.h"

#include <algorithm>

namespace metamcp::ai {
namespace {

namespace pb = metamcp::catalog::v1;

// A tool that is found by its very name has a score above all that words can give.
constexpr double kExact = 999;

std::vector<Tool> ToTools(const pb::SearchItemsResponse& response) {
  std::vector<Tool> out;
  double best = 0;
  for (const pb::ItemSummary& item : response.items()) {
    if (item.score() < kExact) best = std::max(best, item.score());
  }
  for (const pb::ItemSummary& item : response.items()) {
    auto tool = MakeTool(item.qualified_name(), item.definition());
    if (!tool.ok()) continue;
    tool->found = best > 0 ? std::min(1.0, item.score() / best) : 1.0;
    out.push_back(*std::move(tool));
  }
  return out;
}

}  // namespace

Awaitable<absl::StatusOr<std::vector<Tool>>> ToolFinder::Find(const CallContext& ctx,
                                                              std::string text, int limit) {
  pb::SearchItemsRequest request;
  request.set_query(std::move(text));
  request.set_kind(pb::ITEM_KIND_TOOL);
  request.set_limit(limit);
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto response = co_await std::move(searching);
  if (!response.ok()) co_return response.status();
  co_return ToTools(*response);
}

Awaitable<absl::StatusOr<std::set<std::string>>> ToolFinder::Down(const CallContext& ctx) {
  std::set<std::string> out;
  std::string token;
  do {
    pb::ListUpstreamsRequest request;
    request.set_page_size(1000);
    request.set_page_token(token);
    auto listing = catalog_.ListUpstreams(ctx, std::move(request));
    const auto response = co_await std::move(listing);
    if (!response.ok()) co_return response.status();
    for (const pb::Upstream& upstream : response->upstreams()) {
      const bool up = upstream.enabled() && upstream.status().reachable();
      if (!up) out.insert(upstream.meta().name());
    }
    token = response->next_page_token();
  } while (!token.empty());
  co_return out;
}

Awaitable<absl::StatusOr<std::vector<Tool>>> ToolFinder::Named(const CallContext& ctx,
                                                               std::string name) {
  pb::SearchItemsRequest request;
  request.set_query(std::move(name));
  request.set_kind(pb::ITEM_KIND_TOOL);
  request.set_limit(1);
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto response = co_await std::move(searching);
  if (!response.ok()) co_return response.status();
  if (response->items_size() == 0 || response->items(0).score() < kExact) {
    co_return std::vector<Tool>();
  }
  co_return ToTools(*response);
}

}  // namespace metamcp::ai
