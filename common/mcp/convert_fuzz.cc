// Transforms of any text end in valid JSON or an error; modern to legacy leaves no modern member.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/mcp/convert.h"
#include "common/mcp/validate.h"

namespace {

void CheckText(const absl::StatusOr<std::string>& text) {
  if (!text.ok() || text->empty()) return;
  // Wrapping may add levels to a text that was at the limit already.
  metamcp::json::ScanLimits limits;
  limits.depth_max = 140;
  METAMCP_CHECK(metamcp::json::ScanValue(*text, limits).ok());
}

void CheckAnswer(const absl::StatusOr<metamcp::mcp::CanonicalAnswer>& answer) {
  if (answer.ok()) CheckText(answer->json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace metamcp::mcp;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* method : {"tools/call", "tools/list", "prompts/get", "resources/read"}) {
    for (const Revision to : kRevisions) {
      CheckText(ConvertResult(method, text, Revision::k20260728, to));
      CheckText(ConvertResult(method, text, Revision::k20251125, to));
      CheckAnswer(CanonicalResult(to, method, std::string(text)));
      (void)ValidateParams(to, method, text);
    }
  }
  for (const Revision r : kRevisions) {
    CheckText(ItemToRevision(ItemKind::kTool, text, r));
    CheckText(ClientCapabilitiesToLegacy(text, r));
    CheckText(ClientCapabilitiesToModern(text, r));
    CheckText(InputParamsToLegacy("elicitation/create", text, r, "e"));
    CheckText(InputParamsToLegacy("sampling/createMessage", text, r, "e"));
    CheckText(NotificationToRevision("notifications/progress", text, r));
  }
  CheckText(WrapOutputSchema(text));
  CheckText(ItemToModern(ItemKind::kTool, text));
  CheckText(InputParamsToModern("elicitation/create", text));
  return 0;
}
