#include "services/workflow/convert.h"

#include <set>

#include "services/workflow/engine/paths.h"

namespace metamcp::workflow {

v1::Workflow ToProto(const DefinitionRow& row) {
  v1::Workflow out;
  out.set_namespace_(row.name_space);
  out.set_name(row.name);
  out.set_version(row.version);
  out.set_title(row.title);
  out.set_summary(row.summary);
  out.set_document(row.document);
  out.set_source(row.source);
  out.set_digest(row.digest);
  out.set_created_us(row.created_us);
  out.set_created_by(row.created_by);
  return out;
}

DefinitionRow ToRow(const Definition& definition, std::string source) {
  DefinitionRow row;
  row.name_space = definition.name_space;
  row.name = definition.name;
  row.version = definition.version;
  row.title = definition.title;
  row.summary = definition.summary;
  row.document = definition.document;
  row.digest = definition.digest;
  row.source = std::move(source);
  return row;
}

std::string ReferenceName(const std::string& value) {
  if (!IsReference(value)) return "";
  return value.substr(1, value.find(':') - 1);
}

v1::Run ToProto(const RunRow& row) {
  v1::Run out;
  out.set_id(row.id);
  out.set_namespace_(row.name_space);
  out.set_workflow(row.name);
  out.set_version(row.version);
  out.set_state(row.state);
  if (IsReference(row.input)) {
    out.set_input_ref(ReferenceName(row.input));
  } else {
    out.set_input(row.input);
  }
  if (IsReference(row.output)) {
    out.set_output_ref(ReferenceName(row.output));
  } else {
    out.set_output(row.output);
  }
  out.set_output_bytes(SizeOf(row.output));
  if (!IsReference(row.error)) out.set_error(row.error);
  out.set_parent_run(row.parent_run);
  out.set_created_us(row.created_us);
  out.set_ended_us(row.ended_us);
  out.set_dry_run(row.mode);
  out.set_origin(row.origin);
  return out;
}

void AddPending(const std::vector<StepRow>& steps, v1::Run* run) {
  for (const StepRow& row : steps) {
    const bool asks = WantsApproval(row) || row.kind == "decision";
    if (row.state != "waiting" || !asks) continue;
    v1::Pending& pending = *run->add_pending();
    pending.set_path(row.path.substr(0, row.path.rfind('#')));
    pending.set_kind(row.kind);
    pending.set_detail(row.detail);
    pending.set_since_us(row.started_us);
    pending.set_expires_us(row.due_us);
  }
}

void AddSteps(const std::vector<StepRow>& steps, v1::Run* run) {
  std::set<std::string> asked;  // steps that wait until a person allows their call
  for (const StepRow& row : steps) {
    if (row.kind == "consent" && row.state == "waiting") {
      asked.insert(row.path.substr(0, row.path.rfind('#')));
    }
  }
  for (const StepRow& row : steps) {
    if (IsMark(row.path)) continue;
    v1::Step& step = *run->add_steps();
    step.set_path(row.path);
    step.set_name(row.name);
    step.set_kind(row.kind);
    step.set_attempt(static_cast<int32_t>(row.attempt));
    const bool waits = row.state == "retried" && asked.count(row.path) > 0;
    step.set_state(row.state == "effect" ? "done" : waits ? "waiting" : row.state);
    step.set_tool(row.tool);
    step.set_idempotency_key(row.key);
    if (IsReference(row.output)) {
      step.set_output_ref(ReferenceName(row.output));
    } else {
      step.set_output(row.output);
    }
    step.set_output_bytes(SizeOf(row.output));
    if (IsReference(row.arguments)) {
      step.set_arguments_ref(ReferenceName(row.arguments));
    } else {
      step.set_arguments(row.arguments);
    }
    step.set_error(row.error);
    step.set_started_us(row.started_us);
    step.set_ended_us(row.ended_us);
    if (row.detail == R"({"dryRun":"simulated"})") step.set_dry_run("simulated");
    if (row.detail == R"({"dryRun":"called"})") step.set_dry_run("called");
  }
}

v1::RunEvent ToProto(const EventRow& row) {
  v1::RunEvent out;
  out.set_seq(row.seq);
  out.set_time_us(row.time_us);
  out.set_type(row.type);
  out.set_path(row.path);
  if (IsReference(row.data)) {
    out.set_data_ref(ReferenceName(row.data));
  } else {
    out.set_data(row.data);
  }
  return out;
}

}  // namespace metamcp::workflow
