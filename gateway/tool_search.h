#pragma once

#include <string>

#include "gateway/routing/builtin_tools.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"

namespace metamcp::gateway {

// search_tools and describe_tool over the catalog, suggest_workflow and the slots of workflows by
// the ai service. Each sees what the virtual server exposes, and no more. What it refers to must
// outlive it.
class ToolSearch final : public BuiltinTools {
 public:
  // `ai` may be null.
  ToolSearch(catalog::v1::CatalogService& catalog, ai::v1::AiService* ai)
      : catalog_(catalog), ai_(ai) {}

  Awaitable<absl::StatusOr<std::string>> Answer(const CallContext& ctx, const ServerView& view,
                                                BuiltinCall call) override;

 private:
  Awaitable<absl::StatusOr<std::string>> Search(const CallContext& ctx, const ServerView& view,
                                                std::string arguments);
  Awaitable<absl::StatusOr<std::string>> Describe(const CallContext& ctx, const ServerView& view,
                                                  std::string arguments);
  // tool_fill.cc
  Awaitable<absl::StatusOr<std::string>> Fill(const CallContext& ctx, std::string arguments);
  Awaitable<absl::StatusOr<std::string>> Suggest(const CallContext& ctx, const ServerView& view,
                                                 std::string arguments);

  catalog::v1::CatalogService& catalog_;
  ai::v1::AiService* ai_;
};

}  // namespace metamcp::gateway
