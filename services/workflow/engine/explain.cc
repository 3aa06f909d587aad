#include "services/workflow/engine/explain.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/workflow/engine/paths.h"

namespace metamcp::workflow {
namespace {

constexpr size_t kShownMax = 160;

using Latest = std::map<std::string, const StepRow*>;

std::string Member(const std::string& json, std::string_view key) {
  const auto object = json::ScanObject(json);
  return object.ok() ? object->String(key).value_or("") : "";
}

std::string Shown(const std::string& value) {
  if (IsReference(value)) return StrCat(SizeOf(value), " bytes");
  if (value.size() <= kShownMax) return value;
  size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return StrCat(value.substr(0, end), "… (", value.size(), " bytes)");
}

std::string Quoted(std::string_view name) { return StrCat("\"", name, "\""); }

// A template as it was written, more or less: without what compiling adds.
std::string Source(const Template& body) {
  std::string text = body.text;
  if (text.starts_with("_one(") && text.ends_with("\n)")) text = text.substr(5, text.size() - 7);
  return text;
}

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// The task that encloses a place; null at the top.
const Task* Enclosing(const Definition& definition, const std::string& place) {
  for (std::string at = ParentOf(place); !at.empty(); at = ParentOf(at)) {
    if (const auto it = definition.by_path.find(at); it != definition.by_path.end()) {
      return it->second;
    }
  }
  return nullptr;
}

// "[7]" of the loop that encloses the path most closely, as the eighth round.
std::optional<std::string> RoundOf(const std::string& path, const std::string& loop) {
  const size_t name = path.rfind(StrCat("/", EscapePart(loop), "["));
  if (name == std::string::npos) return std::nullopt;
  const size_t begin = path.find('[', name) + 1;
  const int64_t round = std::strtoll(path.c_str() + begin, nullptr, 10);
  return StrCat("round ", round + 1, " of ", Quoted(loop));
}

std::optional<int64_t> TryAttemptOf(const std::string& path) {
  const size_t at = path.rfind("/try#");
  if (at == std::string::npos) return std::nullopt;
  return std::strtoll(path.c_str() + at + 5, nullptr, 10);
}

// The neighbour before it in its list, and the other branches of its fork.
std::string Place(const Definition& definition, const std::string& place, const Task* parent) {
  const std::vector<std::string> parts = absl::StrSplit(place, '/');
  if (parts.size() < 3) return "";
  const std::string list = parts[parts.size() - 3];
  const int64_t index = std::strtoll(parts[parts.size() - 2].c_str(), nullptr, 10);
  if (list == "branches" && parent != nullptr) {
    std::vector<std::string> others;
    for (size_t i = 0; i < parent->tasks.size() && others.size() < 5; ++i) {
      if (static_cast<int64_t>(i) != index) others.push_back(Quoted(parent->tasks[i].name));
    }
    if (parent->tasks.size() > 6) others.push_back("others");
    return StrCat("it runs at the same time as ", absl::StrJoin(others, ", "));
  }
  if (index == 0) return "";
  for (const auto& [path, task] : definition.by_path) {
    if (ParentOf(path) == StrCat(place.substr(0, place.size() - parts.back().size() - 1 -
                                                     parts[parts.size() - 2].size() - 1),
                                 "/", index - 1)) {
      return StrCat("it comes after ", Quoted(task->name));
    }
  }
  return "";
}

std::string Why(const Definition& definition, const StepRow& row, const Task* task) {
  const std::string place = PlaceOf(row.path);
  const Task* parent = Enclosing(definition, place);
  std::vector<std::string> reasons;
  const bool skipped = row.state == "skipped";
  if (task != nullptr && task->condition) {
    reasons.push_back(
        StrCat("its condition ", Source(*task->condition), skipped ? " does not hold" : " holds"));
  }
  if (place.find("/metadata/compensate/") != std::string::npos && parent != nullptr) {
    reasons.push_back(StrCat("it undoes ", Quoted(parent->name)));
  } else if (place.find("/catch/do/") != std::string::npos && parent != nullptr) {
    reasons.push_back(StrCat("it handles an error of ", Quoted(parent->name)));
  } else if (!skipped) {
    if (std::string where = Place(definition, place, parent); !where.empty()) {
      reasons.push_back(std::move(where));
    }
  }
  if (parent != nullptr && parent->kind == TaskKind::kFor) {
    if (const auto round = RoundOf(row.path, parent->name)) reasons.push_back("it is " + *round);
  }
  if (const auto attempt = TryAttemptOf(row.path)) {
    reasons.push_back(StrCat("it is attempt ", *attempt, " of a retry"));
  }
  if (reasons.empty()) reasons.push_back("it is the first step");
  return absl::StrJoin(reasons, "; ");
}

// Names after `$context.steps.` or `$context.`.
void AddUses(const Template& body, std::set<std::string>* out) {
  constexpr std::string_view kContext = "$context.";
  constexpr std::string_view kSteps = "steps.";
  const std::string& text = body.text;
  for (size_t at = text.find(kContext); at != std::string::npos; at = text.find(kContext, at)) {
    at += kContext.size();
    if (text.compare(at, kSteps.size(), kSteps) == 0) at += kSteps.size();
    size_t end = at;
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) {
      ++end;
    }
    if (end > at) out->insert(text.substr(at, end - at));
  }
}

std::vector<std::string> UsesOf(const Task& task) {
  std::set<std::string> out;
  AddUses(task.value, &out);
  AddUses(task.in, &out);
  if (task.condition) AddUses(*task.condition, &out);
  if (task.input_from) AddUses(*task.input_from, &out);
  if (task.http) {
    AddUses(task.http->uri, &out);
    AddUses(task.http->query, &out);
    if (task.http->body) AddUses(*task.http->body, &out);
  }
  out.erase("steps");
  return {out.begin(), out.end()};
}

std::string Milliseconds(const StepRow& row) {
  return StrCat((row.ended_us - row.started_us) / 1000, " ms");
}

std::string OutcomeOf(const StepRow& row) {
  const bool dry = row.detail == R"({"dryRun":"simulated"})";
  if (row.state == "done" || row.state == "effect") {
    if (dry) return StrCat("not called: a dry run takes ", Shown(row.output));
    return StrCat(Milliseconds(row), ", gave ", Shown(row.output));
  }
  if (row.state == "failed" || row.state == "retried" || row.state == "unknown") {
    const std::string title = Member(row.error, "title");
    const std::string detail = Member(row.error, "detail");
    return StrCat(title.empty() ? row.state : title, detail.empty() ? "" : ": ", detail);
  }
  if (row.state == "waiting") return StrCat("waits: ", Shown(row.detail));
  return "";
}

// Why nothing is on record for a place.
std::string NotReached(const Definition& definition, const RunRow& run, const std::string& place,
                       const Latest& rows) {
  if (place.find("/metadata/compensate/") != std::string::npos) return "there was nothing to undo";
  if (place.find("/catch/do/") != std::string::npos) return "there was no error to handle";
  for (const Task* at = Enclosing(definition, place); at != nullptr;
       at = Enclosing(definition, at->path)) {
    const bool known = std::any_of(rows.begin(), rows.end(), [&](const auto& one) {
      return PlaceOf(one.first) == at->path && one.second->state == "skipped";
    });
    if (known) return StrCat(Quoted(at->name), ", of which it is a part, was skipped");
  }
  if (run.state == run_state::kCompleted) return "the flow went another way";
  if (!IsFinal(run.state)) return "the run has not come there";
  return StrCat("the run was ", run.state, " before");
}

// The newest attempt of each path.
Latest LatestOf(const std::vector<StepRow>& rows) {
  Latest out;
  for (const StepRow& row : rows) {
    if (IsMark(row.path) || row.state == "mark" || row.state == "superseded") continue;
    const StepRow*& known = out[row.path];
    if (known == nullptr || known->attempt < row.attempt) known = &row;
  }
  return out;
}

std::vector<const StepRow*> InOrder(const Latest& latest) {
  std::vector<const StepRow*> out;
  for (const auto& [path, row] : latest) out.push_back(row);
  std::sort(out.begin(), out.end(), [](const StepRow* a, const StepRow* b) {
    return std::make_pair(a->started_us, a->ord) < std::make_pair(b->started_us, b->ord);
  });
  return out;
}

// Steps that people wrote: what calls, waits or decides, not what only encloses.
bool IsLeaf(const StepRow& row) {
  return row.kind != "do" && row.kind != "for" && row.kind != "fork" && row.kind != "try";
}

}  // namespace

std::vector<StepExplanation> ExplainSteps(const Definition& definition, const RunRow& run,
                                          const std::vector<StepRow>& rows) {
  const Latest latest = LatestOf(rows);
  std::vector<StepExplanation> out;
  std::set<std::string> places;
  for (const StepRow* row : InOrder(latest)) {
    const std::string place = PlaceOf(row->path);
    places.insert(place);
    const auto found = definition.by_path.find(place);
    const Task* task = found == definition.by_path.end() ? nullptr : found->second;
    StepExplanation one;
    one.path = row->path;
    one.name = row->name;
    one.state = row->state == "effect" ? "done" : row->state;
    one.why = Why(definition, *row, task);
    if (!IsReference(row->arguments)) one.arguments = row->arguments;
    if (task != nullptr) one.uses = UsesOf(*task);
    one.outcome = OutcomeOf(*row);
    one.attempts = row->attempt;
    out.push_back(std::move(one));
  }
  for (const auto& [place, task] : definition.by_path) {
    if (places.count(place) > 0) continue;
    // What encloses something that ran is under way.
    const auto below = places.lower_bound(place + "/");
    if (below != places.end() && below->starts_with(place + "/")) continue;
    StepExplanation one;
    one.path = place;
    one.name = task->name;
    one.state = "not-reached";
    one.why = NotReached(definition, run, place, latest);
    one.uses = UsesOf(*task);
    out.push_back(std::move(one));
  }
  return out;
}

std::string ExplainRun(const RunRow& run, const std::vector<StepRow>& rows) {
  std::map<std::string, int> states;
  for (const auto& [path, row] : LatestOf(rows)) {
    if (IsLeaf(*row)) ++states[row->state == "effect" ? "done" : row->state];
  }
  std::vector<std::string> counts;
  for (const auto& [state, count] : states) counts.push_back(StrCat(count, " ", state));
  std::string text =
      StrCat(run.name, " ", run.version, run.mode.empty() ? "" : " (dry run)", " is ", run.state);
  if (run.ended_us > 0) text += StrCat(" after ", (run.ended_us - run.created_us) / 1000, " ms");
  if (!counts.empty()) text += StrCat("; steps: ", absl::StrJoin(counts, ", "));
  if (const std::string title = Member(run.error, "title"); !title.empty()) {
    const std::string detail = Member(run.error, "detail");
    text += StrCat("; ", title, detail.empty() ? "" : ": ", detail);
    if (const std::string at = Member(run.error, "instance"); !at.empty()) {
      text += StrCat(" (", at, ")");
    }
  }
  return text;
}

std::string ResultJson(const RunRow& run, const std::vector<StepRow>& rows) {
  json::ObjectWriter out;
  out.AddString("run", run.id);
  out.AddString("workflow", run.name);
  out.AddString("version", run.version);
  out.AddString("state", run.state);
  out.AddString("summary", ExplainRun(run, rows));
  const auto value = [](json::ObjectWriter* into, const char* key, const std::string& text) {
    if (IsReference(text)) {
      into->Add(key, StrCat("{\"bytes\":", SizeOf(text),
                            ",\"ref\":", json::JsonQuote(text.substr(1, text.find(':') - 1)), "}"));
    } else if (!text.empty()) {
      into->Add(key, text);
    }
  };
  value(&out, "output", run.output);
  value(&out, "error", run.error);
  std::vector<std::string> steps;
  for (const StepRow* row : InOrder(LatestOf(rows))) {
    if (!IsLeaf(*row)) continue;
    json::ObjectWriter step;
    step.AddString("name", row->name);
    step.AddString("path", row->path);
    step.AddString("state", row->state == "effect" ? "done" : row->state);
    if (!row->tool.empty()) step.AddString("tool", row->tool);
    if (row->ended_us > 0) step.AddInt("ms", (row->ended_us - row->started_us) / 1000);
    if (row->attempt > 1) step.AddInt("attempts", row->attempt);
    value(&step, "arguments", row->arguments);
    value(&step, "result", row->output);
    value(&step, "error", row->error);
    steps.push_back(std::move(step).Build());
  }
  out.Add("steps", json::JoinArray(steps));
  return std::move(out).Build();
}

std::string ResultText(const RunRow& run, const std::vector<StepRow>& rows, bool markdown) {
  const auto cell = [&](std::string text) {
    for (char& c : text) c = c == '\n' || c == '\r' ? ' ' : c;
    std::string out;
    for (const char c : text) out += markdown && c == '|' ? "\\|" : std::string(1, c);
    return out;
  };
  std::string out = StrCat(markdown ? "# " : "", run.name, " ", run.version, ": ", run.state,
                           "\n\n", cell(ExplainRun(run, rows)), "\n\n");
  if (markdown) out += "| step | tool | state | ms | result |\n|---|---|---|---:|---|\n";
  for (const StepRow* row : InOrder(LatestOf(rows))) {
    if (!IsLeaf(*row)) continue;
    const std::string state = row->state == "effect" ? "done" : row->state;
    const std::string ms =
        row->ended_us > 0 ? StrCat((row->ended_us - row->started_us) / 1000) : std::string();
    const bool went_well = state == "done";
    const std::string shown = went_well ? Shown(row->output) : OutcomeOf(*row);
    if (markdown) {
      out += StrCat("| ", cell(row->name), " | ", cell(row->tool), " | ", state, " | ", ms, " | ",
                    cell(shown), " |\n");
    } else {
      out += StrCat("- ", row->name, row->tool.empty() ? "" : StrCat(" (", row->tool, ")"), ": ",
                    state, ms.empty() ? "" : StrCat(", ", ms, " ms"), shown.empty() ? "" : ": ",
                    cell(shown), "\n");
    }
  }
  if (!run.output.empty()) {
    out += markdown ? StrCat("\n## Result\n\n```json\n",
                             IsReference(run.output) ? Shown(run.output) : run.output, "\n```\n")
                    : StrCat("\nResult: ", IsReference(run.output) ? Shown(run.output) : run.output,
                             "\n");
  }
  return out;
}

}  // namespace metamcp::workflow
