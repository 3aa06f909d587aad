// What DecodeObject takes, EncodeMessage writes as JSON that means the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/json/scan.h"
#include "gateway/admin/json_codec.h"
#include "metamcp/catalog/v1/catalog.pb.h"

namespace {

using metamcp::gateway::admin::DecodeObject;
using metamcp::gateway::admin::EncodeMessage;

template <typename Message>
void Check(std::string_view text) {
  Message message;
  if (!DecodeObject(text, "", message).ok()) return;
  const std::string once = EncodeMessage(message);
  METAMCP_CHECK(metamcp::json::ScanValue(once).ok());
  Message again;
  METAMCP_CHECK(DecodeObject(once, "", again).ok());
  METAMCP_CHECK(EncodeMessage(again) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Check<metamcp::catalog::v1::Upstream>(text);
  Check<metamcp::catalog::v1::VirtualServer>(text);
  Check<metamcp::catalog::v1::Item>(text);
  return 0;
}
