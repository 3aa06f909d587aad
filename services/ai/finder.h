#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/ai/plan/tool.h"

namespace metamcp::ai {

// Finds tools in the catalog: only those that the virtual server "default" exposes, which is what
// workflows may call. `catalog` must outlive it. Thread: the io thread.
class ToolFinder {
 public:
  explicit ToolFinder(metamcp::catalog::v1::CatalogService& catalog) : catalog_(catalog) {}

  // At most `limit` (100) tools that have words of `text`, with their scores relative to the best.
  Awaitable<absl::StatusOr<std::vector<Tool>>> Find(const CallContext& ctx, std::string text,
                                                    int limit);
  // Names of servers that are not connected now.
  Awaitable<absl::StatusOr<std::set<std::string>>> Down(const CallContext& ctx);
  // The tool of exactly that exposed or qualified name; none where there is no such tool.
  Awaitable<absl::StatusOr<std::vector<Tool>>> Named(const CallContext& ctx, std::string name);

 private:
  metamcp::catalog::v1::CatalogService& catalog_;
};

}  // namespace metamcp::ai
