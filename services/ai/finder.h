#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "services/ai/plan/tool.h"

namespace metamcp::ai {

// Among which tools is looked.
struct ToolScope {
  std::string virtual_server;    // empty: "default"
  std::set<std::string> hidden;  // qualified names that are not for the caller
};

// Finds tools in the catalog: only those that the scope has. `catalog` must outlive it; a scope
// must outlive the call. Thread: the io thread.
class ToolFinder {
 public:
  explicit ToolFinder(metamcp::catalog::v1::CatalogService& catalog) : catalog_(catalog) {}

  // At most `limit` (100) tools that have words of `text`, with their scores relative to the best.
  Awaitable<absl::StatusOr<std::vector<Tool>>> Find(const CallContext& ctx, const ToolScope& scope,
                                                    std::string text, int limit);
  // Names of servers that are not connected now.
  Awaitable<absl::StatusOr<std::set<std::string>>> Down(const CallContext& ctx);
  // The tool of exactly that exposed or qualified name; none where there is no such tool.
  Awaitable<absl::StatusOr<std::vector<Tool>>> Named(const CallContext& ctx, const ToolScope& scope,
                                                     std::string name);

 private:
  Awaitable<absl::StatusOr<std::vector<Tool>>> Search(const CallContext& ctx,
                                                      const ToolScope& scope, std::string text,
                                                      size_t limit);
  // The same tools as workflows call them: at the virtual server "default", which may have other
  // arguments.
  Awaitable<absl::StatusOr<std::vector<Tool>>> Callable(const CallContext& ctx, std::string text,
                                                        std::vector<Tool> tools);

  metamcp::catalog::v1::CatalogService& catalog_;
};

}  // namespace metamcp::ai
