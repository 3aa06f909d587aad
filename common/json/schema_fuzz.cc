// Hostile schemas and instances end in an answer within the budgets. The input is
// {"schema": ..., "instance": ...}.
#include <cstdint>
#include <string_view>

#include "common/json/scan.h"
#include "common/json/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace metamcp::json;
  const auto view = ScanObject(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!view.ok() || !view->Has("schema")) return 0;
  SchemaOptions options;
  options.nodes_max = 1000;
  options.eval_steps_max = 10'000;
  const auto schema = CompileSchema(view->Raw("schema"), options);
  if (schema.ok() && view->Has("instance")) {
    (void)(*schema)->ValidateText(view->Raw("instance"));
  }
  return 0;
}
