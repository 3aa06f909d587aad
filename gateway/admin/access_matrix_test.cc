// Every operation of the REST API, for every role and none. An operation that names no permission
// does not build a table; one whose role is not what the list says fails here.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "common/auth/roles.h"
#include "gateway/admin/admin_test_support.h"
#include "gateway/admin/extra_routes.h"
#include "gateway/admin/route_table.h"
#include "metamcp/access/v1/access_service.metamcp.h"
#include "metamcp/access/v1/approval_service.metamcp.h"
#include "metamcp/access/v1/policy_service.metamcp.h"
#include "metamcp/access/v1/replay_service.metamcp.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"
#include "metamcp/catalog/v1/pin_service.metamcp.h"
#include "metamcp/gateway/v1/limits_service.metamcp.h"
#include "metamcp/telemetry/v1/telemetry_service.metamcp.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"

namespace metamcp::gateway::admin {
namespace {

struct Operation {
  std::string method, path;
  auth::Permission permission{};
};

class AccessMatrixTest : public ::testing::Test {
 protected:
  AccessMatrixTest()
      : server_({&workflow_, &audit_, &ai_, &approvals_, &policy_, &telemetry_, &access_, &pins_,
                 &limits_, &replay_}) {
    const std::vector<rpc::Service*> services = {
        &server_.catalog, &server_.connector, &server_.calls, &workflow_, &audit_, &ai_,
        &approvals_,      &policy_,           &telemetry_,    &access_,   &pins_,  &limits_,
        &replay_};
    auto table = RouteTable::Create(services);
    EXPECT_TRUE(table.ok()) << table.status();
    for (const auto& route : (*table)->routes()) {
      operations_.push_back({route->method, route->path, route->permission});
    }
    for (const ExtraRoute& route : ExtraRoutes()) {
      const auto permission = auth::PermissionOf(route.role);
      EXPECT_TRUE(permission.has_value()) << route.path << " names no permission";
      if (!permission) continue;
      operations_.push_back({std::string(route.method), std::string(route.path), *permission});
    }
  }
  // A path that fits the template.
  static std::string Filled(const std::string& path) {
    std::string out;
    for (size_t i = 0; i < path.size(); ++i) {
      if (path[i] != '{') {
        out.push_back(path[i]);
        continue;
      }
      out += "1";
      i = path.find('}', i);
    }
    return out;
  }

  FakeService workflow_{workflow::v1::WorkflowService::Info()};
  FakeService audit_{audit::v1::AuditService::Info()};
  FakeService ai_{ai::v1::AiService::Info()};
  FakeService approvals_{access::v1::ApprovalService::Info()};
  FakeService policy_{access::v1::PolicyService::Info()};
  FakeService replay_{access::v1::ReplayService::Info()};
  FakeService telemetry_{telemetry::v1::TelemetryService::Info()};
  FakeService access_{access::v1::AccessService::Info()};
  FakeService pins_{catalog::v1::PinService::Info()};
  FakeService limits_{v1::LimitsService::Info()};
  AdminServer server_;
  std::vector<Operation> operations_;
};

TEST_F(AccessMatrixTest, EveryOperationForEveryRoleAndNone) {
  RecordProperty("req", "M-NFR-004.3");
  std::vector<std::string> roles(auth::Roles().begin(), auth::Roles().end());
  roles.emplace_back("none");
  roles.emplace_back("root");
  ASSERT_GT(operations_.size(), 80u);
  for (const Operation& operation : operations_) {
    // It ends with the client; what it needs is checked like the rest.
    const bool endless = operation.path == "/api/v1/events";
    for (const std::string& role : roles) {
      const bool may = role != "none" && auth::Allows(std::string_view(role), operation.permission);
      if (may && endless) continue;
      const auto answer = server_.Send(operation.method, Filled(operation.path), "", role);
      const bool refused = answer.status == 403 && ErrorReason(answer) == "PERMISSION_DENIED";
      EXPECT_EQ(refused, !may) << operation.method << " " << operation.path << " as " << role
                               << ": " << answer.status << " " << answer.body.substr(0, 200);
    }
  }
}

// docs/security.md lists them, and this test is why the list is true.
TEST_F(AccessMatrixTest, TheSecurityDocumentNamesThePermissionOfEveryOperation) {
  // Tests run at the root of the sources.
  std::ifstream file("docs/security.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::string missing;
  for (const Operation& operation : operations_) {
    const std::string line = StrCat("| `", operation.method, " ", operation.path, "` | ",
                                    auth::PermissionName(operation.permission), " |");
    if (text.find(line) == std::string::npos) missing += line + "\n";
  }
  EXPECT_EQ(missing, "") << "add these lines to the table in docs/security.md";
}

}  // namespace
}  // namespace metamcp::gateway::admin
