// Decoding inverts encoding; an encoded value never breaks a header line.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/json/utf8.h"
#include "common/mcp/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace metamcp::mcp;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string encoded = EncodeHeaderValue(text);
  METAMCP_CHECK(encoded.find_first_of("\r\n") == std::string::npos);
  const auto decoded = DecodeHeaderValue(encoded);
  if (metamcp::json::IsValidUtf8(text)) METAMCP_CHECK(decoded.ok() && *decoded == text);
  (void)DecodeHeaderValue(text);
  if (const auto params = ExtractParamHeaders(text); params.ok()) {
    for (const auto& p : *params) {
      METAMCP_CHECK(!p.path.empty() && !p.name.empty());
      (void)ParamValue(p, text);
    }
  }
  return 0;
}
