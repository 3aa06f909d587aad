#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/workflow/definition/template.h"

namespace metamcp::workflow {

// The tool by which a model fills a typed slot ({prompt, input, schema}); what the flat form's `ai`
// stands for. No server offers it: the ai service does it.
inline constexpr std::string_view kFillTool = "meta-mcp.fill";

// What a definition may be at most.
struct Limits {
  Limits() = default;
  size_t document_bytes_max = 256u << 10;
  int depth_max = 32;
  int tasks_max = 500;
  int64_t rounds_max = 10'000;  // of one loop
  int64_t steps_per_run_max = 100'000;
  int64_t run_bytes_max = 1024ll << 20;  // of all results that a run keeps
  int runs_deep_max = 8;                 // a run that a run started, and so on
};

// One thing that is wrong with a document; `path` is a JSON pointer.
struct Problem {
  std::string path;
  std::string message;
};

enum class TaskKind {
  kTool,
  kHttp,
  kApproval,
  kDo,
  kFor,
  kFork,
  kSwitch,
  kTry,
  kRaise,
  kSet,
  kWait,
  kListen,
  kEmit,
  kRun,
};
std::string_view TaskKindName(TaskKind kind);

// Milliseconds, or an expression for them in ISO 8601 or as an object.
struct DurationSpec {
  int64_t ms = 0;
  std::optional<Template> expression;
};

struct SwitchCase {
  std::string name;
  std::optional<Template> when;  // none: the default
  std::string then;
};

struct RetryPolicy {
  std::optional<Template> when;
  std::optional<Template> except_when;
  DurationSpec delay;
  enum class Backoff { kConstant, kLinear, kExponential } backoff = Backoff::kConstant;
  int64_t count_max = 0;  // attempts in all; 0: no limit by count
  std::optional<DurationSpec> duration_max;
  std::optional<DurationSpec> attempt_max;  // of one attempt
  int64_t jitter_from_ms = 0;
  int64_t jitter_to_ms = 0;
};

// Members that an error must have; those not named may be anything.
struct ErrorFilter {
  std::optional<std::string> type, title, detail, instance;
  std::optional<int64_t> status;
};

struct HttpSpec {
  std::string method;
  Template uri;
  Template headers;
  Template query;
  std::optional<Template> body;
  std::string output;  // content, response or raw
  bool redirect = false;
  std::optional<Template> basic;   // {username, password}
  std::optional<Template> bearer;  // {token}
};

struct EventFilter {
  // Attribute -> value, or an expression over the event that must be true.
  std::vector<std::pair<std::string, Template>> with;
};

// One task of a definition. `path` is its place as a JSON pointer that ends with its name
// (/do/0/fetch), which is also how errors name it.
struct Task {
  TaskKind kind = TaskKind::kDo;
  std::string name;
  std::string path;
  std::optional<Template> condition;
  std::optional<Template> input_from;
  std::optional<Template> output_as;
  std::optional<Template> export_as;
  std::string then;  // empty: continue
  std::optional<DurationSpec> timeout;
  // Of our profile, in metadata.
  std::string on_error;            // stop, rollback or empty
  std::optional<bool> repeatable;  // may be run again when its effect is unknown
  std::vector<Task> compensate;

  std::vector<Task> tasks;  // of do, for and try; the branches of fork
  std::string tool;
  std::string pin;
  Template value;  // tool arguments, set, raise, emit, run's input, approval
  std::optional<HttpSpec> http;
  std::string each, at;  // for
  Template in;
  std::optional<Template> while_true;
  bool compete = false;
  std::vector<SwitchCase> cases;
  ErrorFilter filter;  // try
  std::string error_as;
  std::optional<Template> catch_when, catch_except_when;
  std::optional<RetryPolicy> retry;
  std::vector<Task> handler;
  std::string catch_then;
  DurationSpec wait;
  std::vector<EventFilter> events;  // listen
  bool listen_all = false;
  bool listen_envelope = false;  // takes whole events, not their data
  // Listens until the list of what it has taken fits this, or these events have come.
  std::optional<Template> until;
  std::vector<EventFilter> until_events;
  bool until_all = false;
  std::string child_namespace, child_name, child_version;
  bool child_await = true;
};

// When a workflow starts by itself.
struct ScheduleSpec {
  std::string kind;  // every, cron, after or on
  int64_t ms = 0;    // of every: from start to start; of after: from the end to the next start
  std::string cron;
  std::vector<EventFilter> events;  // of on: any of them
  // Times that passed while no process ran: one run for all of them, none, or one for each.
  std::string missed = "once";  // once, skip or all
  std::string input;            // of its runs, JSON; empty: {}
};

struct Definition {
  std::string name_space;
  std::string name;
  std::string version;
  std::string title;
  std::string summary;
  std::string document;      // canonical JSON
  std::string digest;        // SHA-256 of it
  std::string input_schema;  // JSON Schema, may be empty
  std::optional<Template> input_from;
  std::optional<Template> output_as;
  std::optional<DurationSpec> timeout;
  std::optional<ScheduleSpec> schedule;
  std::vector<Task> tasks;
  // By the path without rounds and visits.
  std::map<std::string, const Task*, std::less<>> by_path;
  std::vector<std::string> tools;
};

// Reads JSON or YAML, the flat form (it has `steps`) or an Open Workflow document. Every problem
// found is added to `problems`; null then.
std::unique_ptr<Definition> ReadDefinition(std::string_view source, const Limits& limits,
                                           std::vector<Problem>* problems);

// The expressions of a definition with the places where they stand, for a compile check.
struct PlacedExpression {
  std::string path;
  const Template* expression;
};
std::vector<PlacedExpression> ExpressionsOf(const Definition& definition);

// Milliseconds of an ISO 8601 duration ("PT30S") or of {days, hours, …} as JSON. Errors:
// INVALID_ARGUMENT.
absl::StatusOr<int64_t> DurationMs(std::string_view json_text);

}  // namespace metamcp::workflow
