#include "gateway/admin/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "gateway/admin/admin_test_support.h"
#include "metamcp/access/v1/access_service.metamcp.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/catalog/v1/pin_service.metamcp.h"
#include "metamcp/gateway/v1/limits_service.metamcp.h"
#include "metamcp/telemetry/v1/telemetry_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"

namespace metamcp::gateway::admin {
namespace {

using nlohmann::json;

struct Services {
  FakeService catalog{catalog::v1::CatalogService::Info()};
  FakeService connector{connector::v1::ConnectorService::Info()};
  FakeService calls{v1::CallsService::Info()};
  FakeService workflow{workflow::v1::WorkflowService::Info()};
  FakeService audit{audit::v1::AuditService::Info()};
  FakeService telemetry{telemetry::v1::TelemetryService::Info()};
  FakeService ai{ai::v1::AiService::Info()};
  FakeService pins{catalog::v1::PinService::Info()};
  FakeService limits{v1::LimitsService::Info()};
  FakeService access{access::v1::AccessService::Info()};
  std::unique_ptr<RouteTable> table = *RouteTable::Create(
      {&catalog, &connector, &calls, &workflow, &audit, &ai, &telemetry, &pins, &limits, &access});
};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Calls `check` on every object below `node`.
void Walk(const json& node, const std::function<void(const json&)>& check) {
  if (node.is_object()) check(node);
  if (node.is_structured()) {
    for (const json& child : node) Walk(child, check);
  }
}

TEST(OpenApiTest, HoldsEveryOperation) {
  RecordProperty("req", "W-3.3.3");
  const Services services;
  const json document = json::parse(MakeOpenApi(*services.table, ExtraRoutes()));
  EXPECT_EQ(document["openapi"], "3.1.0");
  EXPECT_FALSE(document["info"]["title"].get<std::string>().empty());
  std::set<std::string> ids;
  size_t operations = 0;
  for (const auto& path : document["paths"]) {
    for (const auto& operation : path) {
      ++operations;
      EXPECT_TRUE(ids.insert(operation["operationId"]).second) << operation["operationId"];
      const json& answers = operation["responses"];
      EXPECT_TRUE(answers.contains("200") || answers.contains("202")) << operation["operationId"];
      EXPECT_TRUE(operation["responses"].contains("default"));
    }
  }
  // And the address for signed events.
  EXPECT_EQ(operations, services.table->routes().size() + ExtraRoutes().size() + 1);
  const json& hook = document["paths"]["/api/v1/workflows/hooks/{id}"]["post"];
  EXPECT_EQ(hook["security"], json::array());
  EXPECT_EQ(hook["parameters"].size(), 4u);
  for (const auto& route : services.table->routes()) {
    const json& operation = document["paths"][route->path][Lower(route->method)];
    ASSERT_TRUE(operation.is_object()) << route->path;
    EXPECT_EQ(operation["x-required-role"], route->role);
    EXPECT_EQ(operation.contains("requestBody"), !route->body.empty()) << route->path;
    std::set<std::string> in_path;
    for (const auto& parameter : operation.value("parameters", json::array())) {
      if (parameter["in"] == "path") in_path.insert(parameter["name"]);
    }
    EXPECT_EQ(in_path, std::set<std::string>(route->parameters.begin(), route->parameters.end()));
  }
  for (const ExtraRoute& extra : ExtraRoutes()) {
    EXPECT_TRUE(
        document["paths"][std::string(extra.path)].contains(Lower(std::string(extra.method))));
  }
}

TEST(OpenApiTest, EveryReferenceLeadsToASchema) {
  const Services services;
  const json document = json::parse(MakeOpenApi(*services.table, ExtraRoutes()));
  std::set<std::string> used;
  Walk(document, [&](const json& node) {
    if (!node.contains("$ref") || !node["$ref"].is_string()) return;
    const std::string ref = node["$ref"];
    const std::string prefix = "#/components/schemas/";
    ASSERT_EQ(ref.substr(0, prefix.size()), prefix);
    used.insert(ref.substr(prefix.size()));
    EXPECT_TRUE(document["components"]["schemas"].contains(ref.substr(prefix.size()))) << ref;
  });
  EXPECT_EQ(used.size(), document["components"]["schemas"].size());
}

TEST(OpenApiTest, CommentsEnumsAndSecretsAreThere) {
  const Services services;
  const json document = json::parse(MakeOpenApi(*services.table, ExtraRoutes()));
  const json& spec = document["components"]["schemas"]["catalog.v1.UpstreamSpec"];
  EXPECT_THAT(spec["description"].get<std::string>(), ::testing::HasSubstr("How one upstream"));
  EXPECT_EQ(spec["properties"]["type"]["description"], "stdio, http, sse or ws.");
  EXPECT_EQ(spec["properties"]["env"]["description"], "Masked in answers.");
  EXPECT_THAT(document["paths"]["/api/v1/servers"]["get"]["description"].get<std::string>(),
              ::testing::HasSubstr("ordered by name"));
  const json& kind =
      document["components"]["schemas"]["catalog.v1.ItemSummary"]["properties"]["kind"];
  EXPECT_EQ(kind["enum"], json({"unspecified", "tool", "resource", "template", "prompt"}));
}

TEST(OpenApiTest, IsServed) {
  AdminServer server;
  const auto response = server.Send("GET", "/openapi.json", "", "viewer");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["openapi"], "3.1.0");
}

// The part of docs/api.md between the marks lists what the table holds.
TEST(OpenApiTest, TheDocumentationListsTheRoutes) {
  const Services services;
  std::string list = "\n| request | role | does |\n|---|---|---|\n";
  const json document = json::parse(MakeOpenApi(*services.table, ExtraRoutes()));
  const auto add = [&](const std::string& method, const std::string& path) {
    const json& operation = document["paths"][path][Lower(method)];
    std::string text = operation.value("description", operation.value("operationId", ""));
    list += StrCat("| `", method, " ", path, "` | ",
                   operation["x-required-role"].get<std::string>(), " | ", text, " |\n");
  };
  for (const auto& route : services.table->routes()) add(route->method, route->path);
  for (const ExtraRoute& extra : ExtraRoutes()) {
    add(std::string(extra.method), std::string(extra.path));
  }
  add("POST", "/api/v1/workflows/hooks/{id}");
  const std::string begin = "<!-- routes: begin (made by gateway_admin_test) -->\n";
  const std::string end = "\n<!-- routes: end -->";
  std::ifstream file("docs/api.md");
  std::stringstream held;
  held << file.rdbuf();
  std::string text = held.str();
  const size_t from = text.find(begin);
  const size_t to = text.find(end);
  ASSERT_NE(from, std::string::npos) << "run from the root of the tree";
  ASSERT_NE(to, std::string::npos);
  const size_t start = from + begin.size();
  if (std::getenv("METAMCP_UPDATE_GOLDEN") != nullptr) {
    text.replace(start, to - start, list);
    std::ofstream("docs/api.md") << text;
    return;
  }
  EXPECT_EQ(text.substr(start, to - start), list) << "run this test with METAMCP_UPDATE_GOLDEN=1";
}

}  // namespace
}  // namespace metamcp::gateway::admin
