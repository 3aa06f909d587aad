#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/convert_internal.h"
#include "common/mcp/meta.h"

namespace metamcp::mcp {
namespace {

using json::ObjectView;
using json::Splicer;

// Copies the members that both flavours have; the durations change their names.
absl::StatusOr<std::string> CopyTask(const ObjectView& task, std::string_view ttl_from,
                                     std::string_view ttl_to, std::string_view poll_from,
                                     std::string_view poll_to) {
  for (const std::string_view key : {"taskId", "status"}) {
    if (task.String(key)) continue;
    return MakeError("UPSTREAM_PROTOCOL", "upstream", StrCat("a task without ", key));
  }
  json::ObjectWriter out;
  for (const std::string_view key : {"taskId", "status", "statusMessage", "createdAt"}) {
    if (task.Has(key)) out.Add(key, task.Raw(key));
  }
  const std::string_view updated = task.Raw("lastUpdatedAt");
  out.Add("lastUpdatedAt", updated.empty() ? task.Raw("createdAt") : updated);
  out.Add(ttl_to, task.Has(ttl_from) ? task.Raw(ttl_from) : "null");
  if (task.Has(poll_from)) out.Add(poll_to, task.Raw(poll_from));
  return std::move(out).Build();
}

}  // namespace

absl::StatusOr<std::string> TaskToModern(std::string_view task) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(task));
  if (!view.Has("createdAt")) {
    return MakeError("UPSTREAM_PROTOCOL", "upstream", "a task without createdAt");
  }
  return CopyTask(view, "ttl", "ttlMs", "pollInterval", "pollIntervalMs");
}

absl::StatusOr<std::string> TaskToLegacy(std::string_view task) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(task));
  if (!view.Has("createdAt")) {
    return MakeError("UPSTREAM_PROTOCOL", "upstream", "a task without createdAt");
  }
  METAMCP_ASSIGN_OR_RETURN(std::string out,
                           CopyTask(view, "ttlMs", "ttl", "pollIntervalMs", "pollInterval"));
  // A tool that failed is a failed task there, a completed one here.
  const auto result = json::ScanObject(view.Raw("result"));
  if (view.String("status") != "completed" || !result.ok() || result->Raw("isError") != "true") {
    return out;
  }
  METAMCP_ASSIGN_OR_RETURN(const ObjectView legacy, json::ScanObject(out));
  Splicer splicer(legacy);
  splicer.SetString("status", "failed");
  return splicer.Build();
}

bool ClientHasTasks(std::string_view capabilities) {
  if (capabilities.find(kTasksExtension) == std::string_view::npos) return false;
  const auto view = json::ScanObject(capabilities);
  if (!view.ok()) return false;
  const auto extensions = json::ScanObject(view->Raw("extensions"));
  return extensions.ok() && extensions->Has(kTasksExtension);
}

absl::StatusOr<std::string> WithTasks(std::string_view capabilities) {
  const std::string_view path[] = {"extensions", kTasksExtension};
  return json::SetAtPath(capabilities.empty() ? "{}" : capabilities, path, "{}");
}

}  // namespace metamcp::mcp
