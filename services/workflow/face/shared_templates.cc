// Templates: the same for everybody.
#include "common/base/error.h"
#include "common/base/strings.h"
#include "services/workflow/face/shared_service.h"
#include "services/workflow/face/templates.h"

namespace metamcp::workflow {
namespace {

v1::Template ToProto(const TemplateSpec& spec, bool whole) {
  v1::Template out;
  out.set_name(spec.name);
  out.set_title(spec.title);
  out.set_description(spec.description);
  for (const TemplateParameterSpec& parameter : spec.parameters) {
    v1::TemplateParameter& one = *out.add_parameters();
    one.set_name(parameter.name);
    one.set_description(parameter.description);
    one.set_schema(parameter.schema);
    one.set_default_value(parameter.default_value);
    one.set_slot(parameter.slot);
  }
  if (whole) out.set_body(spec.body);
  return out;
}

absl::Status NoSuch(const std::string& name) {
  return MakeError("NOT_FOUND", "workflow", StrCat("no template \"", name, "\""));
}

}  // namespace

Awaitable<absl::StatusOr<v1::ListTemplatesResponse>> SharedWorkflowService::ListTemplates(
    const CallContext&, v1::ListTemplatesRequest) {
  v1::ListTemplatesResponse response;
  for (const TemplateSpec& spec : BuiltinTemplates()) {
    *response.add_templates() = ToProto(spec, false);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetTemplateResponse>> SharedWorkflowService::GetTemplate(
    const CallContext&, v1::GetTemplateRequest request) {
  const TemplateSpec* spec = FindTemplate(request.name());
  if (spec == nullptr) co_return NoSuch(request.name());
  v1::GetTemplateResponse response;
  *response.mutable_template_() = ToProto(*spec, true);
  co_return response;
}

Awaitable<absl::StatusOr<v1::FillTemplateResponse>> SharedWorkflowService::FillTemplate(
    const CallContext&, v1::FillTemplateRequest request) {
  const TemplateSpec* spec = FindTemplate(request.name());
  if (spec == nullptr) co_return NoSuch(request.name());
  auto filled = workflow::FillTemplate(*spec, request.values());
  if (!filled.ok()) co_return filled.status();
  v1::FillTemplateResponse response;
  response.set_source(*std::move(filled));
  co_return response;
}

}  // namespace metamcp::workflow
