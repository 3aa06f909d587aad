// When a workflow starts by itself.
#include <algorithm>

#include "common/base/strings.h"
#include "common/json/dom.h"
#include "services/workflow/definition/cron.h"
#include "services/workflow/definition/reader.h"

namespace metamcp::workflow {

void Reader::Schedule(const Json& document, Definition* out) {
  const Json* schedule = Object(document, "schedule", "");
  if (schedule == nullptr) return;
  const std::string path = "/schedule";
  Only(*schedule, {"every", "cron", "after", "on"}, path);
  if (schedule->size() != 1) return Note(path, "needs one of every, cron, after or on");
  ScheduleSpec spec;
  spec.kind = schedule->begin().key();
  const Json& value = schedule->begin().value();
  const std::string at = Join(path, spec.kind);
  if (spec.kind == "cron") {
    spec.cron = Text(*schedule, "cron", path);
    const auto cron = Cron::Parse(spec.cron);
    if (!cron.ok()) return Note(at, Sv(cron.status().message()));
    if (cron->Next(0) == 0) return Note(at, "names no time that ever comes");
  } else if (spec.kind == "on") {
    const Json* one = value.is_object() ? Object(*schedule, "on", path) : nullptr;
    if (one == nullptr || one->size() != 1) return Note(at, "needs `one` or `any`");
    const std::string how = one->begin().key();
    const Json& what = one->begin().value();
    if (how == "one") {
      spec.events.push_back(Filter(what, Join(at, how)));
    } else if (how == "any" && what.is_array() && !what.empty()) {
      for (const Json& filter : what) spec.events.push_back(Filter(filter, Join(at, how)));
    } else {
      return Note(Join(at, how), "is not supported; `one`, or `any` with a list of filters, is");
    }
  } else {
    const DurationSpec duration = Duration(value, at);
    if (duration.expression) return Note(at, "must be a constant duration");
    spec.ms = duration.ms;
    if (spec.ms < 1000) return Note(at, "must be a second at least");
  }
  // Our profile: what to do about times that passed while nothing ran, and what runs are given.
  if (const Json* metadata = Object(document, "metadata", "")) {
    if (const Json* profile = Object(*metadata, "schedule", "/metadata")) {
      Only(*profile, {"missed", "input"}, "/metadata/schedule");
      if (profile->contains("missed")) spec.missed = Text(*profile, "missed", "/metadata/schedule");
      if (profile->contains("input")) spec.input = json::DumpJson((*profile)["input"]);
    }
  }
  if (spec.missed != "once" && spec.missed != "skip" && spec.missed != "all") {
    return Note("/metadata/schedule/missed", "must be once, skip or all");
  }
  out->schedule = std::move(spec);
}

}  // namespace metamcp::workflow
