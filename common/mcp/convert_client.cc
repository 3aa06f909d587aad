#include <vector>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/convert_internal.h"
#include "common/mcp/meta.h"

namespace metamcp::mcp {
namespace {

using json::Member;
using json::ObjectView;
using json::Splicer;

absl::Status Inexpressible(std::string_view what, Revision to) {
  return MakeError("CAPABILITY_MISSING", "mcp",
                   StrCat("A client of revision ", RevisionName(to), " has no ", what));
}

// The two task flavours are not compatible, so neither crosses the border.
absl::Status DropTasks(const ObjectView& capabilities, Splicer* splicer) {
  splicer->Remove("tasks");
  const Member* extensions = capabilities.Find("extensions");
  if (extensions == nullptr || !extensions->value.is_object()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView map, json::ScanObject(extensions->value.raw));
  if (!map.Has(kTasksExtension)) return absl::OkStatus();
  Splicer inner(map);
  inner.Remove(kTasksExtension);
  if (map.members().size() == 1) {
    splicer->Remove("extensions");
  } else {
    splicer->Set("extensions", inner.Build());
  }
  return absl::OkStatus();
}

// One property of an elicitation form for 2025-06-18.
absl::StatusOr<std::string> PropertyTo20250618(std::string_view raw) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(raw));
  const std::string type = view.String("type").value_or("");
  if (type == "array") return Inexpressible("multi-select fields", Revision::k20250618);
  Splicer splicer(view);
  if (type != "boolean") splicer.Remove("default");
  if (const Member* choices = view.Find("oneOf")) {
    METAMCP_ASSIGN_OR_RETURN(const auto options, json::ScanArray(choices->value.raw));
    std::vector<std::string> values;
    std::vector<std::string> names;
    for (const json::Value& option : options) {
      METAMCP_ASSIGN_OR_RETURN(const ObjectView o, json::ScanObject(option.raw));
      const Member* value = o.Find("const");
      if (value == nullptr) return Inexpressible("choices without const", Revision::k20250618);
      values.emplace_back(value->value.raw);
      names.emplace_back(o.Has("title") ? o.Raw("title") : value->value.raw);
    }
    splicer.Remove("oneOf");
    splicer.Set("enum", json::JoinArray(values));
    splicer.Set("enumNames", json::JoinArray(names));
  }
  return splicer.Build();
}

absl::StatusOr<std::string> FormTo20250618(const ObjectView& params) {
  Splicer out(params);
  out.Remove("mode");
  const Member* schema = params.Find("requestedSchema");
  if (schema == nullptr) return out.Build();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView root, json::ScanObject(schema->value.raw));
  const Member* properties = root.Find("properties");
  if (properties == nullptr) return out.Build();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView map, json::ScanObject(properties->value.raw));
  Splicer fields(map);
  for (const Member& m : map.members()) {
    METAMCP_ASSIGN_OR_RETURN(const std::string field, PropertyTo20250618(m.value.raw));
    if (field != m.value.raw) fields.Set(m.key, field);
  }
  Splicer form(root);
  form.Remove("$schema");
  if (fields.changed()) form.Set("properties", fields.Build());
  if (form.changed()) out.Set("requestedSchema", form.Build());
  return out.Build();
}

absl::StatusOr<std::string> ElicitationTo(const ObjectView& params, Revision to,
                                          std::string_view elicitation_id) {
  if (!HasElicitation(to)) return Inexpressible("elicitation", to);
  if (params.String("mode") == "url") {
    if (!HasUrlElicitation(to)) return Inexpressible("url elicitation", to);
    Splicer splicer(params);
    if (HasElicitationId(to)) splicer.SetString("elicitationId", elicitation_id);
    return splicer.Build();
  }
  if (!HasRichElicitationSchema(to)) return FormTo20250618(params);
  return std::string(params.text());
}

absl::StatusOr<std::string> MessageTo(std::string_view raw, std::size_t index, Revision to) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView message, json::ScanObject(raw));
  const Member* content = message.Find("content");
  if (content == nullptr) return std::string(raw);
  if (content->value.is_array()) return Inexpressible("sampling messages of several blocks", to);
  METAMCP_ASSIGN_OR_RETURN(const ObjectView block, json::ScanObject(content->value.raw));
  const std::string type = block.String("type").value_or("");
  if (type == "tool_use" || type == "tool_result") return Inexpressible("sampling tools", to);
  // Sampling has no embedded resources, so audio has no form in 2024-11-05.
  if (type == "audio" && !HasAudio(to)) return Inexpressible("audio", to);
  METAMCP_ASSIGN_OR_RETURN(const std::string mapped,
                           ContentToRevision(content->value.raw, to, index));
  Splicer splicer(message);
  if (mapped != content->value.raw) splicer.Set("content", mapped);
  return splicer.Build();
}

absl::StatusOr<std::string> SamplingTo(const ObjectView& params, Revision to) {
  if (HasSamplingTools(to)) return std::string(params.text());
  if (params.Has("tools") || params.Has("toolChoice")) return Inexpressible("sampling tools", to);
  const Member* messages = params.Find("messages");
  if (messages == nullptr) return std::string(params.text());
  METAMCP_ASSIGN_OR_RETURN(
      const std::string mapped,
      MapArray(messages->value.raw, [to](std::string_view raw, std::size_t index) {
        return MessageTo(raw, index, to);
      }));
  Splicer splicer(params);
  splicer.Set("messages", mapped);
  return splicer.Build();
}

absl::StatusOr<ObjectView> Nested(const ObjectView& object, std::string_view key) {
  const Member* m = object.Find(key);
  if (m == nullptr || !m->value.is_object()) return ObjectView();
  return json::ScanObject(m->value.raw);
}

}  // namespace

absl::StatusOr<std::string> ServerCapabilitiesToModern(std::string_view legacy) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(legacy));
  Splicer splicer(view);
  METAMCP_RETURN_IF_ERROR(DropTasks(view, &splicer));
  return splicer.Build();
}

absl::StatusOr<std::string> ServerCapabilitiesToLegacy(std::string_view modern, Revision to) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(modern));
  Splicer splicer(view);
  METAMCP_RETURN_IF_ERROR(DropTasks(view, &splicer));
  if (!HasCompletionsCapability(to)) splicer.Remove("completions");
  return splicer.Build();
}

absl::StatusOr<ClientFeatures> ParseClientFeatures(std::string_view capabilities, Revision from) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(capabilities));
  ClientFeatures out;
  const auto has = [&view](std::string_view key) {
    const Member* m = view.Find(key);
    return m != nullptr && m->value.is_object();
  };
  out.roots = has("roots");
  out.sampling = has("sampling");
  if (out.sampling && HasSamplingTools(from)) {
    METAMCP_ASSIGN_OR_RETURN(const ObjectView sampling, Nested(view, "sampling"));
    out.sampling_tools = sampling.Has("tools");
    out.sampling_context = sampling.Has("context");
  }
  if (has("elicitation") && HasElicitation(from)) {
    METAMCP_ASSIGN_OR_RETURN(const ObjectView elicitation, Nested(view, "elicitation"));
    out.elicitation_url = HasUrlElicitation(from) && elicitation.Has("url");
    // {} means form, in every revision.
    out.elicitation_form = !out.elicitation_url || elicitation.Has("form");
  }
  return out;
}

absl::StatusOr<std::string> ClientCapabilitiesToModern(std::string_view legacy, Revision from) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(legacy));
  METAMCP_ASSIGN_OR_RETURN(const ClientFeatures features, ParseClientFeatures(legacy, from));
  Splicer splicer(view);
  METAMCP_RETURN_IF_ERROR(DropTasks(view, &splicer));
  if (features.roots) splicer.Set("roots", "{}");
  if (features.sampling && !HasSamplingTools(from)) splicer.Set("sampling", "{}");
  if (!HasElicitation(from)) splicer.Remove("elicitation");
  METAMCP_ASSIGN_OR_RETURN(const ObjectView elicitation, Nested(view, "elicitation"));
  const bool implied = !elicitation.Has("form") || !HasUrlElicitation(from);
  if (features.elicitation_form && implied) splicer.Set("elicitation", R"({"form":{}})");
  return splicer.Build();
}

absl::StatusOr<std::string> ClientCapabilitiesToLegacy(std::string_view modern, Revision to) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(modern));
  METAMCP_ASSIGN_OR_RETURN(const ClientFeatures features,
                           ParseClientFeatures(modern, kLatestModern));
  Splicer splicer(view);
  METAMCP_RETURN_IF_ERROR(DropTasks(view, &splicer));
  if (features.roots) splicer.Set("roots", "{}");
  if (features.sampling && !HasSamplingTools(to)) splicer.Set("sampling", "{}");
  const bool any_form = features.elicitation_form && HasElicitation(to);
  if (!any_form && !HasUrlElicitation(to)) {
    splicer.Remove("elicitation");
  } else if (!HasUrlElicitation(to)) {
    splicer.Set("elicitation", "{}");
  }
  return splicer.Build();
}

absl::StatusOr<std::string> InputParamsToModern(std::string_view method, std::string_view params) {
  if (params.empty()) return std::string();
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(params));
  Splicer splicer(view);
  splicer.Remove("task");
  if (method == "elicitation/create") splicer.Remove("elicitationId");
  // The token belongs to the back leg's request, which the client never sees.
  DropMetaKeys(view, {kMetaRelatedTask, kMetaProgressToken}, &splicer);
  return splicer.Build();
}

absl::StatusOr<std::string> InputParamsToLegacy(std::string_view method, std::string_view params,
                                                Revision to, std::string_view elicitation_id) {
  if (params.empty()) {
    if (method == "roots/list") return std::string();
    return MakeError("INVALID_REQUEST", "mcp", StrCat(method, " needs params"));
  }
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(params));
  if (method == "elicitation/create") return ElicitationTo(view, to, elicitation_id);
  if (method == "sampling/createMessage") return SamplingTo(view, to);
  return std::string(params);
}

absl::StatusOr<std::string> InputResultToModern(std::string_view method, std::string_view result) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(result));
  Splicer splicer(view);
  DropMetaKeys(view, {kMetaRelatedTask}, &splicer);
  // Content only goes with accepted forms (MCP 2026-07-28, client/elicitation).
  if (method == "elicitation/create" && view.String("action") != "accept") {
    splicer.Remove("content");
  }
  return splicer.Build();
}

absl::StatusOr<std::string> InputResultToLegacy(std::string_view method, std::string_view result,
                                                Revision to) {
  METAMCP_ASSIGN_OR_RETURN(const ObjectView view, json::ScanObject(result));
  Splicer splicer(view);
  splicer.Remove("resultType");
  if (method == "elicitation/create" && view.String("action") != "accept") {
    splicer.Remove("content");
  }
  const Member* content = view.Find("content");
  if (method == "sampling/createMessage" && !HasSamplingTools(to) && content != nullptr &&
      content->value.is_array()) {
    METAMCP_ASSIGN_OR_RETURN(const auto blocks, json::ScanArray(content->value.raw));
    // Before 2025-11-25 an answer is one block; several cannot be told in one.
    if (blocks.size() != 1) return Inexpressible("sampling results of several blocks", to);
    splicer.Set("content", blocks[0].raw);
  }
  return splicer.Build();
}

}  // namespace metamcp::mcp
