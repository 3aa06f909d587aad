#pragma once

#include <memory>

#include "services/audit/export_format.h"

namespace metamcp::audit {

// Log records of OpenTelemetry: each line is an ExportLogsServiceRequest in OTLP's JSON, as a
// collector takes it at /v1/logs and reads it from a file.
std::unique_ptr<ExportWriter> NewOtlpWriter();

}  // namespace metamcp::audit
