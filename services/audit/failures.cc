#include "services/audit/failures.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "common/base/error_registry.h"
#include "common/base/strings.h"
#include "common/json/scan.h"

namespace metamcp::audit {
namespace {

constexpr size_t kGroupsMax = 200;

struct Group {
  v1::Failure failure;
  std::set<std::string> subjects;
};

std::string ReasonOf(const RecordRow& row) {
  const auto record = json::ScanObject(row.record);
  if (!record.ok()) return row.outcome;
  std::string reason = record->String("reason").value_or("");
  if (!reason.empty()) return reason;
  const std::string_view code = record->Raw("code");
  if (row.outcome == "error" && !code.empty()) return StrCat("code ", code);
  return row.outcome;
}

// A name that the client chose for itself.
std::string ClientOf(const std::string& personal) {
  const auto fields = json::ScanObject(personal);
  return fields.ok() ? fields->String("client").value_or("").substr(0, 100) : std::string();
}

int64_t CountOf(const RecordRow& row) {
  const auto record = json::ScanObject(row.record);
  const auto count = record.ok() ? json::RawInt64(record->Raw("count")) : std::nullopt;
  return std::max<int64_t>(1, count.value_or(1));
}

void Take(const RecordRow& row, Group& group) {
  v1::Failure& failure = group.failure;
  const int64_t count = row.action == "auth.refused" ? CountOf(row) : 1;
  failure.set_count(failure.count() + count);
  if (failure.last_us() == 0 || row.time_us > failure.last_us()) failure.set_last_us(row.time_us);
  if (failure.first_us() == 0 || row.time_us < failure.first_us()) {
    failure.set_first_us(row.time_us);
  }
  if (failure.trace().empty()) failure.set_trace(row.trace);
  group.subjects.insert(row.subject);
}

}  // namespace

v1::ListFailuresResponse GroupFailures(const v1::ListFailuresRequest& request,
                                       const std::vector<RecordRow>& rows,
                                       const std::vector<std::string>& personals) {
  using Key = std::tuple<std::string, std::string, std::string, std::string, std::string>;
  std::map<Key, Group> groups;
  for (size_t i = 0; i < rows.size(); ++i) {
    const RecordRow& row = rows[i];
    std::string reason = ReasonOf(row);
    if (!request.reason().empty() && reason != request.reason()) continue;
    std::string item = request.by_item() ? row.item : std::string();
    std::string client = request.by_client() ? ClientOf(personals[i]) : std::string();
    Group& group = groups[{reason, row.outcome, row.upstream, item, client}];
    if (group.failure.count() == 0) {
      group.failure.set_reason(reason);
      group.failure.set_outcome(row.outcome);
      group.failure.set_upstream(row.upstream);
      group.failure.set_item(std::move(item));
      group.failure.set_client(std::move(client));
      if (const ErrorEntry* known = FindError(reason)) {
        group.failure.set_hint(std::string(known->hint));
      }
    }
    Take(row, group);
  }
  std::vector<v1::Failure> found;
  for (auto& [key, group] : groups) {
    group.failure.set_subjects(static_cast<int64_t>(group.subjects.size()));
    found.push_back(std::move(group.failure));
  }
  std::stable_sort(found.begin(), found.end(), [](const v1::Failure& a, const v1::Failure& b) {
    return std::make_tuple(-a.count(), -a.last_us()) < std::make_tuple(-b.count(), -b.last_us());
  });
  if (found.size() > kGroupsMax) found.resize(kGroupsMax);
  v1::ListFailuresResponse response;
  for (v1::Failure& one : found) *response.add_failures() = std::move(one);
  response.set_records(static_cast<int64_t>(rows.size()));
  response.set_cut(static_cast<int64_t>(rows.size()) == kFailuresMax);
  return response;
}

}  // namespace metamcp::audit
