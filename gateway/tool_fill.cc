// Slots of workflows that a model fills.
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/tool_search.h"

namespace metamcp::gateway {

Awaitable<absl::StatusOr<std::string>> ToolSearch::Fill(const CallContext& ctx,
                                                        std::string arguments) {
  if (ai_ == nullptr) {
    co_return MakeError("AI_NO_PROVIDER", "gateway",
                        "this gateway runs without the ai service, which asks models");
  }
  const auto given = json::ScanObject(arguments);
  if (!given.ok()) co_return given.status();
  ai::v1::FillRequest request;
  request.set_prompt(given->String("prompt").value_or(""));
  request.set_input(std::string(given->Raw("input")));
  request.set_schema(std::string(given->Raw("schema")));
  auto filling = ai_->Fill(ctx, std::move(request));
  const auto filled = co_await std::move(filling);
  if (!filled.ok()) co_return filled.status();
  const std::string& value = filled->value();
  const auto text = json::JsonUnquote(value);
  const bool object = json::ScanObject(value).ok();
  co_return TextResult(text.ok() ? *text : value, object ? std::string_view(value) : "", false);
}

}  // namespace metamcp::gateway
