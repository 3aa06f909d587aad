#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/audit/signing_key.h"
#include "services/audit/sql_store.h"

namespace metamcp::audit {

// Writes an export in one format, a part at a time. Pure.
class ExportWriter {
 public:
  virtual ~ExportWriter() = default;
  // Of the part that begins the export. `base_note` is the checkpoint of what retention has
  // removed, or empty.
  virtual std::string Begin(const Head& head, const VerifyKey& key,
                            const std::string& base_note) = 0;
  // `personal`: the opened personal fields as a JSON object, or empty.
  virtual std::string Record(const RecordRow& row, const std::string& personal) = 0;
  // After the last record that it covers.
  virtual std::string Note(const CheckpointRow& row) = 0;
  virtual std::string End(const Head& head) = 0;
};

// "jsonl" (what 'audit verify' reads), "csv", "cef" (ArcSight Common Event Format, for log
// collectors) or "otlp" (export_otlp.h). Errors: ARGUMENT_INVALID.
absl::StatusOr<std::unique_ptr<ExportWriter>> MakeExportWriter(std::string_view format);

}  // namespace metamcp::audit
