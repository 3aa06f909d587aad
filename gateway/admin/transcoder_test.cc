#include "gateway/admin/transcoder.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include "gateway/admin/admin_test_support.h"
#include "gateway/admin/extra_routes.h"
#include "metamcp/common/v1/options.pb.h"

namespace metamcp::gateway::admin {
namespace {

using ::testing::HasSubstr;

// The path of a route with "x" for every parameter.
std::string Filled(std::string path) {
  for (size_t open; (open = path.find('{')) != std::string::npos;) {
    path.replace(open, path.find('}') - open + 1, "x");
  }
  return path;
}

struct Operation {
  std::string method, path, role, body;
};

std::vector<Operation> AllOperations(AdminServer& server) {
  auto table = RouteTable::Create({&server.catalog, &server.connector, &server.calls});
  std::vector<Operation> all;
  for (const auto& route : (*table)->routes()) {
    all.push_back(
        {route->method, Filled(route->path), route->role, route->body.empty() ? "" : "{}"});
  }
  for (const ExtraRoute& extra : ExtraRoutes()) {
    if (extra.id == Extra::kEvents) continue;  // does not end; has its own test
    all.push_back(
        {std::string(extra.method), Filled(std::string(extra.path)), std::string(extra.role), ""});
  }
  return all;
}

TEST(TranscoderTest, EveryOperationAsksForItsRole) {
  RecordProperty("req", "P1-Virt-2");
  AdminServer server;
  const std::vector<std::string> roles = {"none", "viewer", "developer", "operator", "admin"};
  const auto operations = AllOperations(server);
  ASSERT_GE(operations.size(), 25u);
  for (const Operation& operation : operations) {
    const auto needed = std::find(roles.begin() + 1, roles.end(), operation.role);
    ASSERT_NE(needed, roles.end()) << operation.path << " declares no role";
    for (auto role = roles.begin(); role != roles.end(); ++role) {
      const auto response = server.Send(operation.method, operation.path, operation.body, *role);
      const bool allowed = role >= needed;
      EXPECT_EQ(response.status != 403, allowed)
          << operation.method << " " << operation.path << " as " << *role;
      EXPECT_EQ(ErrorReason(response) == "PERMISSION_DENIED", !allowed);
    }
  }
}

TEST(TranscoderTest, EveryMethodIsReachedByItsRoute) {
  RecordProperty("req", "A-P1.4 A-P1.5 A-P1.6 M-COMP-Core.2");
  AdminServer server;
  const std::vector<FakeService*> services = {&server.catalog, &server.connector, &server.calls};
  auto table = RouteTable::Create({&server.catalog, &server.connector, &server.calls});
  ASSERT_TRUE(table.ok()) << table.status();
  for (const auto& route : (*table)->routes()) {
    auto* service = dynamic_cast<FakeService*>(route->service);
    const auto response =
        server.Send(route->method, Filled(route->path), route->body.empty() ? "" : "{}");
    EXPECT_EQ(response.status, 200) << route->path << response.body;
    EXPECT_EQ(service->last_method, route->info->name) << route->path;
    EXPECT_EQ(service->last_subject, "tester");
    for (const std::string& parameter : route->parameters) {
      const auto* field = service->last_request->GetDescriptor()->FindFieldByName(parameter);
      EXPECT_EQ(service->last_request->GetReflection()->GetString(*service->last_request, field),
                "x");
    }
  }
}

TEST(TranscoderTest, CreatesUpdatesEnablesAndDeletesServers) {
  RecordProperty("req", "P1-Tool-1");
  AdminServer server;
  EXPECT_EQ(server
                .Send("POST", "/api/v1/servers?requestId=r1",
                      R"({"meta":{"name":"gh"},"spec":{"type":"stdio","command":"npx",
                        "args":["-y","x"],"env":{"A":"b"},"tool_timeouts_ms":{"t":5}}})")
                .status,
            200);
  const auto created = server.catalog.Last<catalog::v1::CreateUpstreamRequest>();
  EXPECT_EQ(created.request_id(), "r1");
  EXPECT_EQ(created.upstream().meta().name(), "gh");
  EXPECT_EQ(created.upstream().spec().args(1), "x");
  EXPECT_EQ(created.upstream().spec().tool_timeouts_ms().at("t"), 5);
  EXPECT_EQ(server.Send("PUT", "/api/v1/servers/gh", R"({"spec":{"url":"https://x"}})").status,
            200);
  EXPECT_EQ(server.catalog.Last<catalog::v1::UpdateUpstreamRequest>().name(), "gh");
  EXPECT_EQ(server.Send("POST", "/api/v1/servers/gh/enabled", R"({"enabled":true})").status, 200);
  EXPECT_TRUE(server.catalog.Last<catalog::v1::SetUpstreamEnabledRequest>().enabled());
  EXPECT_EQ(server.Send("DELETE", "/api/v1/servers/gh?etag=e1").status, 200);
  EXPECT_EQ(server.catalog.Last<catalog::v1::DeleteUpstreamRequest>().etag(), "e1");
}

TEST(TranscoderTest, ActivatesAndDeactivatesVirtualServers) {
  RecordProperty("req", "P1-Virt-2");
  AdminServer server;
  EXPECT_EQ(
      server.Send("POST", "/api/v1/virtual-servers/dev/enabled", R"({"enabled":false})").status,
      200);
  const auto request = server.catalog.Last<catalog::v1::SetVirtualServerEnabledRequest>();
  EXPECT_EQ(request.name(), "dev");
  EXPECT_FALSE(request.enabled());
}

TEST(TranscoderTest, QueriesTakeEnumsListsAndEscapes) {
  AdminServer server;
  server.Send("GET",
              "/api/v1/items:search?query=a+b%26c&kind=tool&annotations=readOnlyHint&"
              "annotations=%21destructiveHint&limit=5");
  const auto request = server.catalog.Last<catalog::v1::SearchItemsRequest>();
  EXPECT_EQ(request.query(), "a b&c");
  EXPECT_EQ(request.kind(), catalog::v1::ITEM_KIND_TOOL);
  EXPECT_EQ(request.annotations_size(), 2);
  EXPECT_EQ(request.annotations(1), "!destructiveHint");
  EXPECT_EQ(request.limit(), 5);
}

TEST(TranscoderTest, ArgumentsAndResultsOfCallsAreJson) {
  AdminServer server;
  v1::CallResponse answer;
  answer.set_result(R"({"content":[{"type":"text","text":"1.50"}],"n":1.0e2})");
  server.calls.When("Call", answer);
  const auto response = server.Send("POST", "/api/v1/call",
                                    R"({"target":"t","arguments":{"big":12345678901234567890}})");
  EXPECT_EQ(server.calls.Last<v1::CallRequest>().arguments(), R"({"big":12345678901234567890})");
  EXPECT_THAT(response.body,
              HasSubstr(R"("result":{"content":[{"type":"text","text":"1.50"}],"n":1.0e2})"));
}

struct BadRequest {
  std::string method, target, body, type, reason, message;
  int status;
};

TEST(TranscoderTest, RefusesWhatIsWrongAndSaysWhat) {
  AdminServer server;
  const std::string json = "application/json";
  const BadRequest cases[] = {
      {"GET", "/api/v1/nothing", "", "", "NOT_FOUND", "/api/v1/nothing", 404},
      {"GET", "/api/v1/servers/", "", "", "NOT_FOUND", "", 404},
      {"GET", "/api/v1/servers//enabled", "", "", "NOT_FOUND", "", 404},
      {"PATCH", "/api/v1/servers", "", "", "METHOD_NOT_ALLOWED", "GET, POST", 405},
      {"DELETE", "/api/v1/version", "", "", "METHOD_NOT_ALLOWED", "GET", 405},
      {"POST", "/api/v1/servers", "{", json, "PARSE_ERROR", "", 400},
      {"POST", "/api/v1/servers", "[]", json, "ARGUMENT_INVALID", "object", 400},
      {"POST", "/api/v1/servers", "{}{}", json, "PARSE_ERROR", "", 400},
      {"POST", "/api/v1/servers", "{\"a\xff\":1}", json, "PARSE_ERROR", "", 400},
      {"POST", "/api/v1/servers", "", "", "UNSUPPORTED_MEDIA_TYPE", "application/json", 415},
      {"POST", "/api/v1/servers", "{}", "text/plain", "UNSUPPORTED_MEDIA_TYPE", "", 415},
      {"POST", "/api/v1/servers", "{}", "", "UNSUPPORTED_MEDIA_TYPE", "", 415},
      {"POST", "/api/v1/servers", R"({"spec":{"comand":"x"}})", json, "ARGUMENT_INVALID",
       "spec.comand; did you mean command?", 400},
      {"POST", "/api/v1/servers", R"({"spec":{"args":"x"}})", json, "ARGUMENT_INVALID",
       "spec.args must be an array", 400},
      {"POST", "/api/v1/servers", R"({"spec":{"args":["a",2]}})", json, "ARGUMENT_INVALID",
       "spec.args[1] must be a string", 400},
      {"POST", "/api/v1/servers", R"({"enabled":1})", json, "ARGUMENT_INVALID",
       "enabled must be true or false", 400},
      {"POST", "/api/v1/servers", R"({"enabled":true,"enabled":true})", json, "ARGUMENT_INVALID",
       "", 400},
      {"POST", "/api/v1/servers", R"({"spec":{"timeoutMs":1,"timeout_ms":2}})", json,
       "ARGUMENT_INVALID", "spec.timeoutMs is given twice", 400},
      {"POST", "/api/v1/servers", R"({"spec":{"priority":3000000000}})", json, "ARGUMENT_INVALID",
       "out of range", 400},
      {"POST", "/api/v1/servers", R"({"spec":{"priority":1.5}})", json, "ARGUMENT_INVALID",
       "must be an integer", 400},
      {"POST", "/api/v1/servers?upstream=x", "{}", json, "ARGUMENT_INVALID", "body", 400},
      {"PUT", "/api/v1/servers/a?name=b", "{}", json, "ARGUMENT_INVALID", "path", 400},
      {"POST", "/api/v1/servers/a/enabled?enabled=true", "{}", json, "ARGUMENT_INVALID", "body",
       400},
      {"POST", "/api/v1/servers/a/enabled", R"({"name":"b"})", json, "ARGUMENT_INVALID", "differs",
       400},
      {"GET", "/api/v1/servers", "{}", json, "ARGUMENT_INVALID", "no body", 400},
      {"GET", "/api/v1/servers?pagesize=3", "", "", "ARGUMENT_INVALID", "did you mean pageSize",
       400},
      {"GET", "/api/v1/servers?pageSize=x", "", "", "ARGUMENT_INVALID", "integer", 400},
      {"GET", "/api/v1/servers?pageSize=1&pageSize=2", "", "", "ARGUMENT_INVALID", "twice", 400},
      {"GET", "/api/v1/servers?pageToken=%ff", "", "", "ARGUMENT_INVALID", "escape", 400},
      {"GET", "/api/v1/servers?pageToken=%4", "", "", "ARGUMENT_INVALID", "escape", 400},
      {"GET", "/api/v1/items?kind=toool", "", "", "ARGUMENT_INVALID", "tool, resource", 400},
      {"GET", "/api/v1/servers/%ff", "", "", "ARGUMENT_INVALID", "UTF-8", 400},
      {"GET", "/api/v1/version?x=1", "", "", "ARGUMENT_INVALID", "no query", 400},
  };
  for (const BadRequest& bad : cases) {
    const auto response = server.Send(bad.method, bad.target, bad.body, "admin", bad.type);
    EXPECT_EQ(response.status, bad.status) << bad.target << " " << bad.body << response.body;
    EXPECT_EQ(ErrorReason(response), bad.reason) << bad.target << " " << bad.body;
    EXPECT_THAT(ErrorMessage(response), HasSubstr(bad.message)) << bad.target << " " << bad.body;
  }
  EXPECT_EQ(server.catalog.calls, 0);
}

TEST(TranscoderTest, PathTricksReachNoOtherOperation) {
  AdminServer server;
  // An escaped slash or dot segment is refused by the server; others are part of the name.
  for (const std::string target : {"/api/v1/servers/a%2Fenabled", "/api/v1/servers/..%2f..",
                                   "/api/v1/servers/%2e%2e/items", "/api/v1/servers/a%00b"}) {
    EXPECT_EQ(server.Send("GET", target).status, 400) << target;
  }
  EXPECT_EQ(server.catalog.calls, 0);
  EXPECT_EQ(server.Send("GET", "/api/v1/servers/a%3Fb%20%7Bname%7D").status, 200);
  EXPECT_EQ(server.catalog.Last<catalog::v1::GetUpstreamRequest>().name(), "a?b {name}");
  EXPECT_EQ(server.Send("GET", "/api/v1/servers/enabled").status, 200);
  EXPECT_EQ(server.catalog.Last<catalog::v1::GetUpstreamRequest>().name(), "enabled");
}

TEST(TranscoderTest, AllowNamesTheMethods) {
  AdminServer server;
  const auto response = server.Send("PATCH", "/api/v1/servers/x");
  EXPECT_THAT(response.head, HasSubstr("Allow: DELETE, GET, PUT"));
}

TEST(TranscoderTest, HugeAndDeepBodiesAreRefused) {
  AdminServer server;
  EXPECT_EQ(server.Send("POST", "/api/v1/servers", std::string(100'001, ' ')).status, 413);
  const std::string deep = StrCat("{\"target\":\"t\",\"arguments\":", std::string(40'000, '['),
                                  std::string(40'000, ']'), "}");
  EXPECT_EQ(ErrorReason(server.Send("POST", "/api/v1/call", deep)), "PARSE_ERROR");
  EXPECT_EQ(server.calls.calls, 0);
}

TEST(TranscoderTest, FailuresKeepTheirReason) {
  AdminServer server;
  server.catalog.Fail("GetUpstream", MakeError("NOT_FOUND", "catalog", "no server \"x\""));
  auto response = server.Send("GET", "/api/v1/servers/x");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(ErrorMessage(response), "no server \"x\"");
  const auto error = nlohmann::json::parse(response.body)["error"];
  EXPECT_EQ(error["source"], "catalog");
  EXPECT_EQ(error["class"], "user");
  EXPECT_FALSE(error["hint"].get<std::string>().empty());

  server.catalog.Fail("GetUpstream", absl::InternalError("secret of the database"));
  response = server.Send("GET", "/api/v1/servers/x");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("secret"), std::string::npos);

  server.calls.Fail("Call", MakeError("TOOL_NOT_FOUND", "gateway", "no tool"));
  EXPECT_EQ(server.Send("POST", "/api/v1/call", "{}").status, 404);
  server.calls.Fail("Call", MakeError("UPSTREAM_ERROR", "upstream:a", "it said no"));
  EXPECT_EQ(server.Send("POST", "/api/v1/call", "{}").status, 502);
  server.calls.Fail("Call", MakeError("INVALID_PARAMS", "gateway", "no"));
  EXPECT_EQ(server.Send("POST", "/api/v1/call", "{}").status, 400);
}

// A service with one streaming operation, described at run time.
class StreamSchema {
 public:
  StreamSchema() : pool_(google::protobuf::DescriptorPool::generated_pool()) {
    google::protobuf::FileDescriptorProto file;
    file.set_name("stream_test.proto");
    file.set_package("test");
    auto* message = file.add_message_type();
    message->set_name("Tick");
    auto* field = message->add_field();
    field->set_name("id");
    field->set_number(1);
    field->set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
    field->set_type(google::protobuf::FieldDescriptorProto::TYPE_STRING);
    auto* service = file.add_service();
    service->set_name("Ticker");
    auto* method = service->add_method();
    method->set_name("Watch");
    method->set_input_type(".test.Tick");
    method->set_output_type(".test.Tick");
    method->set_server_streaming(true);
    auto* rule = method->mutable_options()->MutableExtension(common::v1::http);
    rule->set_method("GET");
    rule->set_path("/api/v1/ticks/{id}");
    rule->set_role("viewer");
    const auto* tick = pool_.BuildFile(file)->message_type(0);
    const auto* prototype = factory_.GetPrototype(tick);
    info = std::make_unique<rpc::ServiceInfo>(
        "test.Ticker",
        std::vector<rpc::MethodInfo>{{"Watch", "/test.Ticker/Watch", true, prototype, prototype}});
  }
  std::shared_ptr<google::protobuf::Message> Tick(const std::string& id) const {
    std::shared_ptr<google::protobuf::Message> tick(info->methods()[0].request->New());
    tick->GetReflection()->SetString(tick.get(), tick->GetDescriptor()->field(0), id);
    return tick;
  }
  std::unique_ptr<rpc::ServiceInfo> info;

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
};

TEST(TranscoderTest, StreamsBecomeEvents) {
  const StreamSchema schema;
  FakeService ticker(*schema.info);
  AdminServer server({&ticker});
  ticker.Stream({schema.Tick("a"), schema.Tick("b\nc")}, absl::OkStatus());
  auto response = server.Send("GET", "/api/v1/ticks/1", "", "viewer");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("text/event-stream"));
  EXPECT_EQ(response.body, "data: {\"id\":\"a\"}\n\ndata: {\"id\":\"b\\nc\"}\n\n");

  ticker.Stream({schema.Tick("a")}, MakeError("SHUTTING_DOWN", "gateway", "bye"));
  response = server.Send("GET", "/api/v1/ticks/1");
  EXPECT_THAT(response.body, HasSubstr("event: error\ndata: {\"error\":"));

  ticker.Stream({}, MakeError("SHUTTING_DOWN", "gateway", "bye"));
  response = server.Send("GET", "/api/v1/ticks/1");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(ErrorReason(response), "SHUTTING_DOWN");
  EXPECT_EQ(server.Send("GET", "/api/v1/ticks/1", "", "none").status, 403);
}

}  // namespace
}  // namespace metamcp::gateway::admin
