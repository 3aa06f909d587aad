// What ParseEnvelope accepts, another parser must read alike: same method, same id, same name.
// Otherwise a check could see one tool and the upstream another.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/json/dom.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/meta.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using metamcp::json::FindMember;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto outcome = metamcp::jsonrpc::ParseEnvelope(text);
  if (!outcome.ok()) return 0;
  const auto& envelope = *outcome.envelope;
  // A number beyond every double is valid JSON that the other parser refuses as a whole.
  const auto dom = nlohmann::json::parse(text, nullptr, false);
  if (dom.is_discarded()) return 0;
  METAMCP_CHECK(dom.is_object());
  const auto* method = FindMember(dom, "method");
  METAMCP_CHECK((method != nullptr) == !envelope.method.empty());
  if (method != nullptr) METAMCP_CHECK(method->get<std::string>() == envelope.method);
  const auto* id = FindMember(dom, "id");
  if (envelope.id.present()) {
    METAMCP_CHECK(id != nullptr);
    if (id->is_string()) METAMCP_CHECK(id->get<std::string>() == envelope.id.AsText());
    if (const auto number = envelope.id.AsInt()) METAMCP_CHECK(*id == *number);
  }
  const auto* params = FindMember(dom, "params");
  const auto* name = params != nullptr ? FindMember(*params, "name") : nullptr;
  if (method != nullptr && name != nullptr && name->is_string()) {
    METAMCP_CHECK(envelope.params.String("name") == name->get<std::string>());
  }
  (void)metamcp::mcp::ParseModernMeta(envelope.meta);
  (void)metamcp::mcp::ParseLegacyMeta(envelope.meta);
  return 0;
}
