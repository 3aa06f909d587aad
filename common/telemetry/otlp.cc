#include "common/telemetry/otlp.h"

#include <dlfcn.h>
#include <unistd.h>

#include "common/base/error.h"
#include "common/base/own_path.h"
#include "common/base/strings.h"

namespace metamcp::trace {
absl::StatusOr<std::unique_ptr<Exporter>> LoadOtlpExporter(const OtlpOptions& options) {
  const std::string path = FileBeside("meta-mcp-otlp.so");
  if (::access(path.c_str(), R_OK) != 0) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("telemetry.traces.endpoint is set, but ", path,
                            " is not there: this build was made without opentelemetry-cpp"));
  }
  // Never closed: the spans' code may run until the end.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : ::dlsym(library, kOtlpFactory);
  if (symbol == nullptr) {
    const char* why = ::dlerror();
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("cannot load ", path, ": ", why == nullptr ? "no factory" : why));
  }
  std::string error;
  Exporter* exporter = reinterpret_cast<OtlpFactory>(symbol)(options, &error);
  if (exporter == nullptr) {
    return MakeError("CONFIG_INVALID", "gateway", StrCat("telemetry.traces.endpoint: ", error));
  }
  return std::unique_ptr<Exporter>(exporter);
}

}  // namespace metamcp::trace
