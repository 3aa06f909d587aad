#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace metamcp::json {

// JSON Schema 2020-12 and draft-07, compiled once and then used from any thread. Schemas and
// instances are hostile input: nothing is fetched, and every loop has a budget.
struct SchemaOptions {
  // Texts that $ref may reach besides the schema itself, by absolute URI. Nothing else is loaded.
  std::map<std::string, std::string> documents;
  std::size_t nodes_max = 20'000;          // subschemas of one schema
  std::size_t eval_depth_max = 256;        // nested evaluations: instance depth times references
  std::size_t eval_steps_max = 1'000'000;  // subschema evaluations of one Validate
};

class Schema {
 public:
  virtual ~Schema() = default;

  // Checks an instance. Errors: INVALID_PARAMS with metadata "pointer" (JSON pointer into the
  // instance) and a message that says what is wrong; also when a budget is spent, so that what was
  // not fully checked never counts as valid. `format` is an annotation and checks nothing.
  virtual absl::Status Validate(const nlohmann::json& instance) const = 0;
  // The same on a text. Errors: also PARSE_ERROR.
  absl::Status ValidateText(std::string_view instance) const;
  // A text would silently become a JSON string.
  absl::Status Validate(std::string_view instance) const = delete;
};

// Errors: PARSE_ERROR; INVALID_PARAMS for a malformed schema, an unknown dialect, a reference that
// cannot be resolved locally, a pattern that no engine accepts, or too many subschemas.
absl::StatusOr<std::shared_ptr<const Schema>> CompileSchema(std::string_view schema,
                                                            const SchemaOptions& options = {});

}  // namespace metamcp::json
