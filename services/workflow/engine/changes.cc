#include "services/workflow/engine/changes.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "services/workflow/engine/paths.h"

namespace metamcp::workflow {
namespace {

// Whether the two are in different branches of one fork.
bool InOtherBranch(const std::string& one, const std::string& other) {
  const std::vector<std::string> a = absl::StrSplit(one, '/');
  const std::vector<std::string> b = absl::StrSplit(other, '/');
  const size_t shared = std::min(a.size(), b.size());
  for (size_t i = 0; i < shared; ++i) {
    if (a[i] != b[i]) return i > 0 && a[i - 1] == "branches";
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> FindStep(const std::vector<StepRow>& rows, const std::string& step) {
  std::set<std::string> places;
  std::string last;
  for (const StepRow& row : rows) {
    if (IsMark(row.path)) continue;
    if (row.path == step) return step;
    if (row.name != step) continue;
    places.insert(PlaceOf(row.path));
    last = row.path;
  }
  if (places.empty()) {
    return MakeError("NOT_FOUND", "workflow", StrCat("the run has no step \"", step, "\""));
  }
  if (places.size() > 1) {
    return MakeError("ARGUMENT_INVALID", "workflow",
                     StrCat("several steps are called \"", step, "\"; name the path: ",
                            *places.begin(), ", ", *std::next(places.begin())));
  }
  return last;
}

absl::StatusOr<std::vector<StepKey>> RowsFrom(const std::vector<StepRow>& rows,
                                              const std::string& path) {
  int64_t first = INT64_MAX;
  for (const StepRow& row : rows) {
    if (IsBelow(row.path, path)) first = std::min(first, row.ord);
  }
  if (first == INT64_MAX) {
    return MakeError("NOT_FOUND", "workflow", StrCat("the run has no step ", path));
  }
  std::vector<StepKey> out;
  for (const StepRow& row : rows) {
    const bool own = IsBelow(row.path, path);
    const bool encloses = IsBelow(path, row.path);
    const bool later = row.ord > first && !InOtherBranch(row.path, path);
    if (own || encloses || later) out.push_back({row.path, row.attempt});
  }
  return out;
}

absl::Status CheckFits(const Definition& next, const std::vector<StepRow>& rows) {
  for (const StepRow& row : rows) {
    if (IsMark(row.path) || row.state == "superseded" || row.state == "retried") continue;
    const auto task = next.by_path.find(PlaceOf(row.path));
    const bool fits = task != next.by_path.end() && task->second->name == row.name &&
                      TaskKindName(task->second->kind) == row.kind;
    if (fits) continue;
    return MakeError("RUN_STATE", "workflow",
                     StrCat("version ", next.version, " has no ", row.kind, " at ",
                            PlaceOf(row.path), ", which the run has been through"));
  }
  return absl::OkStatus();
}

std::string AsToolResult(std::string_view value) {
  const auto object = json::ScanObject(value);
  if (object.ok() &&
      (!object->Raw("content").empty() || !object->Raw("structuredContent").empty())) {
    return std::string(value);
  }
  return StrCat(R"({"content":[],"structuredContent":)", value, "}");
}

}  // namespace metamcp::workflow
