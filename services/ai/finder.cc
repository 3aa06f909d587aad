#include "services/ai/finder.h"

#include <algorithm>

namespace metamcp::ai {
namespace {

namespace pb = metamcp::catalog::v1;

// A tool that is found by its very name has a score above all that words can give.
constexpr double kExact = 999;
// What the catalog gives at once.
constexpr size_t kFoundMax = 100;

std::vector<Tool> ToTools(const pb::SearchItemsResponse& response, const ToolScope& scope) {
  std::vector<Tool> out;
  double best = 0;
  for (const pb::ItemSummary& item : response.items()) {
    if (item.score() < kExact) best = std::max(best, item.score());
  }
  for (const pb::ItemSummary& item : response.items()) {
    if (scope.hidden.count(item.qualified_name()) > 0) continue;
    auto tool = MakeTool(item.qualified_name(), item.definition());
    if (!tool.ok()) continue;
    tool->exposed = item.name();
    tool->found = best > 0 ? std::min(1.0, item.score() / best) : 1.0;
    out.push_back(*std::move(tool));
  }
  return out;
}

bool IsDefault(const ToolScope& scope) {
  return scope.virtual_server.empty() || scope.virtual_server == "default";
}

}  // namespace

Awaitable<absl::StatusOr<std::vector<Tool>>> ToolFinder::Search(const CallContext& ctx,
                                                                const ToolScope& scope,
                                                                std::string text, size_t limit) {
  pb::SearchItemsRequest request;
  request.set_query(std::move(text));
  request.set_kind(pb::ITEM_KIND_TOOL);
  request.set_virtual_server(scope.virtual_server);
  request.set_limit(static_cast<int>(std::min(kFoundMax, limit)));
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto response = co_await std::move(searching);
  if (!response.ok()) co_return response.status();
  co_return ToTools(*response, scope);
}

Awaitable<absl::StatusOr<std::vector<Tool>>> ToolFinder::Callable(const CallContext& ctx,
                                                                  std::string text,
                                                                  std::vector<Tool> tools) {
  const ToolScope all;
  auto searching = Search(ctx, all, std::move(text), kFoundMax);
  auto found = co_await std::move(searching);
  if (!found.ok()) co_return found.status();
  std::vector<Tool> out;
  for (Tool& tool : tools) {
    auto at = std::find_if(found->begin(), found->end(),
                           [&tool](const Tool& other) { return other.name == tool.name; });
    std::vector<Tool> named;
    if (at == found->end()) {
      auto naming = Named(ctx, all, tool.name);
      auto one = co_await std::move(naming);
      if (!one.ok()) co_return one.status();
      if (one->empty()) continue;
      named = *std::move(one);
      at = named.begin();
    }
    Tool callable = *at;
    callable.exposed = tool.exposed;
    callable.found = tool.found;
    out.push_back(std::move(callable));
  }
  co_return out;
}

Awaitable<absl::StatusOr<std::vector<Tool>>> ToolFinder::Find(const CallContext& ctx,
                                                              const ToolScope& scope,
                                                              std::string text, int limit) {
  // More than asked for: the catalog does not know what is hidden.
  const size_t most = static_cast<size_t>(limit) + scope.hidden.size();
  auto searching = Search(ctx, scope, text, most);
  auto found = co_await std::move(searching);
  if (!found.ok()) co_return found.status();
  if (found->size() > static_cast<size_t>(limit)) {
    found->erase(found->begin() + static_cast<std::ptrdiff_t>(limit), found->end());
  }
  if (IsDefault(scope)) co_return found;
  auto calling = Callable(ctx, std::move(text), *std::move(found));
  co_return co_await std::move(calling);
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
                                                               const ToolScope& scope,
                                                               std::string name) {
  pb::SearchItemsRequest request;
  request.set_query(name);
  request.set_kind(pb::ITEM_KIND_TOOL);
  request.set_virtual_server(scope.virtual_server);
  request.set_limit(1);
  auto searching = catalog_.SearchItems(ctx, std::move(request));
  const auto response = co_await std::move(searching);
  if (!response.ok()) co_return response.status();
  if (response->items_size() == 0 || response->items(0).score() < kExact) {
    co_return std::vector<Tool>();
  }
  std::vector<Tool> found = ToTools(*response, scope);
  if (IsDefault(scope) || found.empty()) co_return found;
  auto calling = Callable(ctx, std::move(name), std::move(found));
  co_return co_await std::move(calling);
}

}  // namespace metamcp::ai
