#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/async/call_context.h"
#include "common/async/sink.h"
#include "gateway/routing/snapshot.h"

namespace metamcp::gateway {

// The tools of the gateway itself, which a virtual server may list: search_tools, describe_tool and
// call_tool, by which a client reaches thousands of tools, and suggest_workflow.
std::vector<EntryPtr> BuiltinEntries(bool search, bool suggest);

// What steps of workflows call to have a model fill a slot. No list names it, and only runs find
// it; rules, limits and the record know it by this name.
inline constexpr std::string_view kFillTool = "meta-mcp.fill";
EntryPtr FillEntry();

// A call of one of them.
struct BuiltinCall {
  std::string name;
  std::string arguments = "{}";  // raw object
};
// Nothing where the params of a tools/call name another tool, or are malformed.
std::optional<BuiltinCall> ReadBuiltinCall(const ServerView& view, std::string_view params);

// Answers those that are about the catalog.
class BuiltinTools {
 public:
  virtual ~BuiltinTools() = default;
  // Returns a result of tools/call in the shape of 2026-07-28. Errors: as the services that it
  // asks.
  virtual Awaitable<absl::StatusOr<std::string>> Answer(const CallContext& ctx,
                                                        const ServerView& view,
                                                        BuiltinCall call) = 0;
};

// A result that says `text`; `structured` is a raw object, or empty.
std::string TextResult(std::string_view text, std::string_view structured, bool is_error);

// A result of tools/call with at most `characters_max` characters of content: texts are cut, other
// content that does not fit is left out, structured content too, and a last text says what was cut.
// The same text where it fits.
std::string CutResult(std::string result, size_t characters_max);

// Whether a tool's definition has an output schema, with which results without structured content
// would not agree.
bool HasOutputSchema(const ServerView& view, std::string_view params);

}  // namespace metamcp::gateway
