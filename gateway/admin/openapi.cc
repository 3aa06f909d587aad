#include "gateway/admin/openapi.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/strings.h"
#include "gateway/admin/json_codec.h"
#include "gateway/admin/openapi_comments.h"
#include "gateway/protocol/results.h"

namespace metamcp::gateway::admin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

// "metamcp.catalog.v1.Upstream" -> "catalog.v1.Upstream"
std::string SchemaName(const Descriptor* type) {
  constexpr std::string_view kPrefix = "metamcp.";
  std::string name = type->full_name();
  if (name.compare(0, kPrefix.size(), kPrefix) == 0) name.erase(0, kPrefix.size());
  return name;
}

Json Ref(const std::string& name) { return {{"$ref", StrCat("#/components/schemas/", name)}}; }

Json JsonContent(Json schema, std::string_view type = "application/json") {
  return {{std::string(type), {{"schema", std::move(schema)}}}};
}

std::string LowerFirst(std::string name) {
  if (!name.empty()) name[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(name[0])));
  return name;
}

constexpr std::string_view kHookPath = "/api/v1/workflows/hooks/{id}";

Json ProblemSchema() {
  const Json text = {{"type", "string"}};
  Json members = {{"reason", text},
                  {"message", text},
                  {"hint", text},
                  {"source", text},
                  {"class", {{"enum", {"retryable", "reconnect", "user", "fatal"}}}}};
  Json error = {{"type", "object"},
                {"required", {"reason", "message", "hint", "source", "class"}},
                {"properties", std::move(members)}};
  return {{"type", "object"},
          {"required", Json::array({"error"})},
          {"properties", {{"error", std::move(error)}}}};
}

class Writer {
 public:
  std::string Write(const RouteTable& table, std::span<const ExtraRoute> extras) {
    for (const auto& route : table.routes()) {
      paths_[route->path][LowerMethod(route->method)] = Operation(*route);
    }
    for (const ExtraRoute& extra : extras) {
      paths_[std::string(extra.path)][LowerMethod(extra.method)] = ExtraOperation(extra);
    }
    paths_[std::string(kHookPath)]["post"] = HookOperation();
    schemas_["Problem"] = ProblemSchema();
    Json document;
    document["openapi"] = "3.1.0";
    document["info"] = {{"title", "Meta-MCP admin API"}, {"version", std::string(kProgramVersion)}};
    document["servers"] = Json::array({{{"url", "/"}}});
    document["security"] = Json::array({{{"key", Json::array()}}});
    document["paths"] = std::move(paths_);
    document["components"]["securitySchemes"]["key"] = {{"type", "http"}, {"scheme", "bearer"}};
    document["components"]["schemas"] = std::move(schemas_);
    return document.dump();
  }

 private:
  static std::string LowerMethod(std::string_view method) {
    std::string out(method);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
  }

  static Json Responses(Json content) {
    Json out;
    out["200"] = {{"description", "OK"}, {"content", std::move(content)}};
    out["default"] = {{"description", "The request failed."},
                      {"content", JsonContent(Ref("Problem"))}};
    return out;
  }

  Json Operation(const Route& route) {
    Json out;
    out["operationId"] = LowerFirst(std::string(route.info->name));
    out["tags"] = Json::array({route.descriptor->service()->name()});
    Describe(comments_.Of(route.descriptor), out);
    out["x-required-role"] = route.role;
    Json parameters = Parameters(route);
    if (!parameters.empty()) out["parameters"] = std::move(parameters);
    if (!route.body.empty()) {
      const Descriptor* request = route.info->request->GetDescriptor();
      Json schema = route.body == "*"
                        ? Object(request, &route)
                        : Message(request->FindFieldByName(route.body)->message_type());
      out["requestBody"] = {{"required", route.body != "*"},
                            {"content", JsonContent(std::move(schema))}};
    }
    Json schema = Message(route.info->response->GetDescriptor());
    out["responses"] = Responses(
        JsonContent(std::move(schema), route.streaming ? "text/event-stream" : "application/json"));
    return out;
  }

  static Json ExtraOperation(const ExtraRoute& extra) {
    Json out;
    std::string id = LowerMethod(extra.method);
    for (const char c : extra.path) {
      if (std::isalnum(static_cast<unsigned char>(c))) {
        id.push_back(c);
      } else if (id.back() != '_') {
        id.push_back('_');
      }
    }
    out["operationId"] = id;
    out["tags"] = Json::array({"Gateway"});
    out["description"] = std::string(extra.summary);
    out["x-required-role"] = std::string(extra.role);
    if (extra.path.find("{name}") != std::string_view::npos) {
      out["parameters"] = Json::array({{{"name", "name"},
                                        {"in", "path"},
                                        {"required", true},
                                        {"schema", {{"type", "string"}}}}});
    }
    const char* type = extra.content_type == "application/json" ? "object" : "string";
    out["responses"] = Responses(JsonContent({{"type", type}}, extra.content_type));
    return out;
  }

  // The address for signed events, whose answer is 202 and whose key is the signature.
  static Json HookOperation() {
    Json out;
    out["operationId"] = "receiveHook";
    out["tags"] = Json::array({"WorkflowService"});
    out["description"] =
        "Takes a signed event of another system, once (Standard Webhooks): starts the hook's "
        "workflow with the body as its input, and tells those who listen. At most 1 MiB. Errors: "
        "AUTH_INVALID for a wrong signature or a time more than five minutes off; "
        "ARGUMENT_INVALID; "
        "NOT_FOUND.";
    out["x-required-role"] = "none";
    out["security"] = Json::array();
    const Json text = {{"type", "string"}};
    Json parameters =
        Json::array({{{"name", "id"}, {"in", "path"}, {"required", true}, {"schema", text}}});
    for (const char* header : {"webhook-id", "webhook-timestamp", "webhook-signature"}) {
      parameters.push_back(
          {{"name", header}, {"in", "header"}, {"required", true}, {"schema", text}});
    }
    out["parameters"] = std::move(parameters);
    out["requestBody"] = {{"required", true}, {"content", JsonContent(Json::object())}};
    const Json answer = {
        {"type", "object"},
        {"properties",
         {{"run", {{"type", "string"}, {"description", "The run that it started, if any."}}},
          {"repeatedMessage", {{"type", "boolean"}}}}}};
    out["responses"]["202"] = {{"description", "It is taken."}, {"content", JsonContent(answer)}};
    out["responses"]["default"] = {{"description", "The request failed."},
                                   {"content", JsonContent(Ref("Problem"))}};
    return out;
  }

  static void Describe(const std::string& comment, Json& out) {
    if (!comment.empty()) out["description"] = comment;
  }

  static bool IsInPath(const Route& route, const FieldDescriptor* field) {
    return std::count(route.parameters.begin(), route.parameters.end(), field->name()) > 0;
  }

  Json Parameters(const Route& route) {
    Json out = Json::array();
    for (const std::string& path : route.parameters) {
      out.push_back(
          {{"name", path}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
    }
    if (route.body == "*") return out;
    const Descriptor* request = route.info->request->GetDescriptor();
    for (int i = 0; i < request->field_count(); ++i) {
      const FieldDescriptor* field = request->field(i);
      if (field->message_type() != nullptr || IsInPath(route, field)) continue;
      Json parameter = {{"name", field->json_name()}, {"in", "query"}};
      Describe(comments_.Of(field), parameter);
      parameter["schema"] = Field(field);
      out.push_back(std::move(parameter));
    }
    return out;
  }

  // A reference to the schema of `type`, which is made if it is not there.
  Json Message(const Descriptor* type) {
    const std::string name = SchemaName(type);
    if (seen_.insert(name).second) {
      Json schema = Object(type, nullptr);
      schemas_[name] = std::move(schema);
    }
    return Ref(name);
  }

  // `route`: leave out what is in its path.
  Json Object(const Descriptor* type, const Route* route) {
    Json out = {{"type", "object"}};
    Describe(comments_.Of(type), out);
    Json properties = Json::object();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (route != nullptr && IsInPath(*route, field)) continue;
      Json schema = Field(field);
      std::string comment = comments_.Of(field);
      if (IsSensitive(field)) comment += StrCat(comment.empty() ? "" : " ", "Masked in answers.");
      Describe(comment, schema);
      properties[field->json_name()] = std::move(schema);
    }
    out["properties"] = std::move(properties);
    out["additionalProperties"] = false;
    return out;
  }

  Json Field(const FieldDescriptor* field) {
    if (field->is_map()) {
      return {{"type", "object"},
              {"additionalProperties", Single(field->message_type()->map_value())}};
    }
    if (field->is_repeated()) return {{"type", "array"}, {"items", Single(field)}};
    return Single(field);
  }

  Json Single(const FieldDescriptor* field) {
    if (IsRawJson(field)) return Json::object();  // any JSON value
    switch (field->type()) {
      case FieldDescriptor::TYPE_MESSAGE:
      case FieldDescriptor::TYPE_GROUP:
        return Message(field->message_type());
      case FieldDescriptor::TYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::TYPE_FLOAT:
      case FieldDescriptor::TYPE_DOUBLE:
        return {{"type", "number"}};
      case FieldDescriptor::TYPE_ENUM:
        return {{"type", "string"}, {"enum", ShortEnumNames(field->enum_type())}};
      case FieldDescriptor::TYPE_BYTES:
        return {{"type", "string"}, {"contentEncoding", "base64"}};
      case FieldDescriptor::TYPE_STRING:
        return {{"type", "string"}};
      default:
        break;
    }
    const bool is_long = field->cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                         field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
    // A string where the number is above 2^53.
    if (is_long) return {{"type", {"integer", "string"}}, {"format", "int64"}};
    return {{"type", "integer"}, {"format", "int32"}};
  }

  const ProtoComments comments_;
  Json paths_ = Json::object();
  Json schemas_ = Json::object();
  std::set<std::string> seen_;
};

}  // namespace

std::string MakeOpenApi(const RouteTable& table, std::span<const ExtraRoute> extras) {
  return Writer().Write(table, extras);
}

}  // namespace metamcp::gateway::admin
