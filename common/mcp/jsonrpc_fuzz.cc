// What the writers make, ParseEnvelope reads back; batches split into valid texts.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/mcp/jsonrpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace metamcp::jsonrpc;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto batch = ParseBatch(text); batch.ok()) {
    for (const std::string_view one : *batch) {
      METAMCP_CHECK(metamcp::json::ScanValue(one).ok());
      (void)ParseEnvelope(one);
    }
  }
  const Id id = Id::String(text);
  const std::string error = MakeErrorResponse(id, -32603, text);
  METAMCP_CHECK(ParseEnvelope(error).ok());
  METAMCP_CHECK(ParseEnvelope(error).id == id);
  if (const auto raw = Id::FromRaw(text); raw.ok()) {
    METAMCP_CHECK(Id::FromRaw(raw->raw()).value() == *raw);
  }
  const auto outcome = ParseEnvelope(text);
  if (outcome.ok() && outcome.envelope->is_call()) {
    const auto& e = *outcome.envelope;
    const std::string again = MakeRequest(e.id, e.method, e.raw_params());
    const auto second = ParseEnvelope(again);
    METAMCP_CHECK(second.ok() && second.id == e.id);
    METAMCP_CHECK(second.envelope->method == e.method);
    METAMCP_CHECK(second.envelope->raw_params() == e.raw_params());
  }
  return 0;
}
