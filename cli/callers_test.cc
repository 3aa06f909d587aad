// Every method of every service between processes names who may call it: without an entry in the
// table it would be for everybody with a certificate.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "cli/service_side.h"
#include "common/base/strings.h"
#include "metamcp/access/v1/access_service.metamcp.h"
#include "metamcp/access/v1/approval_service.metamcp.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"
#include "metamcp/catalog/v1/pin_service.metamcp.h"
#include "metamcp/catalog/v1/quota_service.metamcp.h"
#include "metamcp/catalog/v1/taint_service.metamcp.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"
#include "metamcp/gateway/v1/edge_peer_service.metamcp.h"
#include "metamcp/provider/v1/provider_service.metamcp.h"
#include "metamcp/telemetry/v1/telemetry_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"

namespace metamcp::cli {
namespace {

TEST(CallersTest, EveryMethodNamesItsCallers) {
  RecordProperty("req", "M-NFR-004.3");
  const rpc::Callers callers = CallersOfServices();
  const rpc::ServiceInfo* services[] = {
      &access::v1::AccessService::Info(),     &catalog::v1::PinService::Info(),
      &catalog::v1::QuotaService::Info(),     &catalog::v1::TaintService::Info(),
      &access::v1::ApprovalService::Info(),   &ai::v1::AiService::Info(),
      &audit::v1::AuditService::Info(),       &catalog::v1::CatalogService::Info(),
      &catalog::v1::DirectoryService::Info(), &connector::v1::ConnectorService::Info(),
      &gateway::v1::CallsService::Info(),     &gateway::v1::EdgePeerService::Info(),
      &provider::v1::ProviderService::Info(), &telemetry::v1::TelemetryService::Info(),
      &workflow::v1::WorkflowService::Info()};
  std::set<std::string, std::less<>> known;
  for (const rpc::ServiceInfo* service : services) {
    known.emplace(service->name());
    for (const rpc::MethodInfo& method : service->methods()) {
      known.emplace(method.path);
      auto who = callers.find(method.path);
      if (who == callers.end()) who = callers.find(service->name());
      ASSERT_NE(who, callers.end()) << method.path << " names nobody who may call it";
      EXPECT_FALSE(who->second.empty()) << method.path;
    }
  }
  for (const auto& [name, who] : callers) {
    EXPECT_EQ(known.count(name), 1u) << name << " is no service and no method";
  }
  // What runs tools and models and keeps approvals is asked by gateways only: the checks are
  // theirs. A workflow service passes on what a person answered to a step.
  using Roles = std::set<std::string>;
  EXPECT_EQ(callers.at("metamcp.provider.v1.ProviderService"), Roles{"gateway"});
  EXPECT_EQ(callers.at("metamcp.access.v1.ApprovalService"), Roles{"gateway"});
  EXPECT_EQ(callers.at("metamcp.ai.v1.AiService"), Roles{"gateway"});
  EXPECT_EQ(callers.count("/metamcp.ai.v1.AiService/Fill"), 0u);
}

}  // namespace
}  // namespace metamcp::cli
