#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/config/json_tree.h"
#include "common/config/load.h"

// Any bytes give an answer; what parses without an error reads back the same from its own output.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  metamcp::config::LoadOptions options;
  options.resolve = false;  // no file is read for a fuzzer's ${file:...}
  metamcp::config::CheckConfig(text, "fuzz", options);
  options.resolve = true;
  const auto tree = metamcp::config::ParseJsonc(text, "fuzz");
  if (text.find("${file:") == std::string_view::npos) {
    metamcp::config::CheckConfig(text, "fuzz", options);
  }
  if (!tree.errors.empty()) return 0;
  const std::string json = metamcp::config::ToJson(tree.root);
  const auto again = metamcp::config::ParseJsonc(json, "fuzz");
  if (!again.errors.empty() || metamcp::config::ToJson(again.root) != json) std::abort();
  return 0;
}
