#include "common/telemetry/otlp.h"

#include <dlfcn.h>
#include <unistd.h>

#include "common/base/error.h"
#include "common/base/own_path.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::trace {
namespace {

// What meta-mcp-otlp.so exports as `name`.
absl::StatusOr<void*> FindFactory(const OtlpOptions& options, const char* name) {
  const std::string path = FileBeside("meta-mcp-otlp.so");
  if (::access(path.c_str(), R_OK) != 0) {
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat(options.setting, " is set, but ", path,
                            " is not there: this build was made without opentelemetry-cpp"));
  }
  // Never closed: its code may run until the end.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : ::dlsym(library, name);
  if (symbol == nullptr) {
    const char* why = ::dlerror();
    return MakeError("CONFIG_INVALID", "gateway",
                     StrCat("cannot load ", path, ": ", why == nullptr ? "no factory" : why));
  }
  return symbol;
}

template <typename Made, typename Factory>
absl::StatusOr<std::unique_ptr<Made>> Make(const OtlpOptions& options, const char* name) {
  METAMCP_ASSIGN_OR_RETURN(void* const symbol, FindFactory(options, name));
  std::string error;
  Made* made = reinterpret_cast<Factory>(symbol)(options, &error);
  if (made == nullptr) {
    return MakeError("CONFIG_INVALID", "gateway", StrCat(options.setting, ": ", error));
  }
  return std::unique_ptr<Made>(made);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Exporter>> LoadOtlpExporter(const OtlpOptions& options) {
  return Make<Exporter, OtlpFactory>(options, kOtlpFactory);
}

absl::StatusOr<std::unique_ptr<LogExporter>> LoadOtlpLogExporter(const OtlpOptions& options) {
  return Make<LogExporter, OtlpLogFactory>(options, kOtlpLogFactory);
}

}  // namespace metamcp::trace
