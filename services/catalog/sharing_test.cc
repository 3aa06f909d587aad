// Tenants, teams and visibility at the catalog's interface. The first test goes over every method:
// one that does not look at the tenant fails.
#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "services/catalog/catalog_service.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CountingSink final : public Sink<rpc::MessagePtr> {
 public:
  Awaitable<absl::Status> Write(rpc::MessagePtr) override {
    ++messages;
    co_return absl::CancelledError("enough");
  }
  int messages = 0;
};

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return status.ok() ? "OK" : info ? info->reason : std::string(status.message());
}

class SharingTest : public ::testing::Test {
 protected:
  SharingTest() : service_(*fixture_.registry) {
    Add("open", "", "public");
    Add("core", "core", "team");
    Add("own", "", "private");
    pb::VirtualServerSpec spec;
    fixture_.AddServer("any", spec);
    pb::VirtualServer server;
    server.mutable_meta()->set_name("ops");
    server.mutable_meta()->set_team("core");
    server.mutable_meta()->set_visibility("team");
    server.set_enabled(true);
    EXPECT_TRUE(Await(fixture_.io, fixture_.registry->CreateServer(server, "", "root")).ok());
    who_ = std::make_shared<Principal>();
    who_->subject = "ada";
    who_->roles = {"developer"};
  }
  void Add(const std::string& name, const std::string& team, const std::string& visibility) {
    pb::Upstream upstream = MakeUpstream(name);
    upstream.mutable_meta()->set_owner("root");
    upstream.mutable_meta()->set_team(team);
    upstream.mutable_meta()->set_visibility(visibility);
    fixture_.Report(fixture_.AddUpstream(upstream), {MakeTool("look")});
  }
  CallContext Context() const {
    return CallContext(who_, CallContext::Clock::now() + std::chrono::seconds(30));
  }
  std::vector<std::string> Servers() {
    const CallContext ctx = Context();
    std::vector<std::string> out;
    const auto found = Await(fixture_.io, service_.ListUpstreams(ctx, pb::ListUpstreamsRequest()));
    if (!found.ok()) return {ReasonOf(found.status())};
    for (const auto& one : found->upstreams()) out.push_back(one.meta().name());
    return out;
  }
  std::vector<std::string> Found(const std::string& server = "") {
    const CallContext ctx = Context();
    pb::SearchItemsRequest request;
    request.set_query("look");
    request.set_virtual_server(server);
    std::vector<std::string> out;
    const auto found = Await(fixture_.io, service_.SearchItems(ctx, request));
    if (!found.ok()) return {ReasonOf(found.status())};
    for (const auto& item : found->items()) out.push_back(item.upstream());
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string Get(const std::string& name) {
    const CallContext ctx = Context();
    pb::GetUpstreamRequest request;
    request.set_name(name);
    return ReasonOf(Await(fixture_.io, service_.GetUpstream(ctx, request)).status());
  }

  Fixture fixture_;
  CatalogService service_;
  std::shared_ptr<Principal> who_;
};

TEST_F(SharingTest, EveryMethodRefusesAnotherTenant) {
  RecordProperty("req", "M-NFR-004.3");
  who_->tenant = "other";
  who_->roles = {"admin"};
  const CallContext ctx = Context();
  const auto& methods = service_.info().methods();
  ASSERT_GT(methods.size(), 15u);
  for (size_t i = 0; i < methods.size(); ++i) {
    rpc::MessagePtr request(methods[i].request->New());
    absl::Status status;
    if (methods[i].streaming) {
      CountingSink sink;
      status = Await(fixture_.io,
                     service_.InvokeStream(static_cast<int>(i), ctx, std::move(request), sink));
      EXPECT_EQ(sink.messages, 0) << methods[i].path;
    } else {
      status =
          Await(fixture_.io, service_.InvokeUnary(static_cast<int>(i), ctx, std::move(request)))
              .status();
    }
    EXPECT_EQ(ReasonOf(status), "PERMISSION_DENIED") << methods[i].path;
  }
}

TEST_F(SharingTest, AForeignTeamSeesNoneOfIt) {
  EXPECT_THAT(Servers(), ElementsAre("open"));
  EXPECT_THAT(Found("any"), ElementsAre("open"));
  EXPECT_EQ(Get("open"), "OK");
  EXPECT_EQ(Get("core"), "NOT_FOUND");
  EXPECT_EQ(Get("own"), "NOT_FOUND");
  EXPECT_EQ(Get("no-such"), "NOT_FOUND");
  EXPECT_THAT(Found("ops"), ElementsAre("NOT_FOUND"));
  const CallContext ctx = Context();
  pb::ExplainItemRequest explain;
  explain.set_name("core.look");
  explain.set_virtual_server("any");
  EXPECT_EQ(ReasonOf(Await(fixture_.io, service_.ExplainItem(ctx, explain)).status()), "NOT_FOUND");
  pb::GetVirtualServerRequest get;
  get.set_name("any");
  const auto described = Await(fixture_.io, service_.GetVirtualServer(ctx, get));
  ASSERT_TRUE(described.ok());
  EXPECT_EQ(described->view().items_size(), 1);
  EXPECT_EQ(described->view().upstream_ids_size(), 1);
  get.set_name("ops");
  EXPECT_EQ(ReasonOf(Await(fixture_.io, service_.GetVirtualServer(ctx, get)).status()),
            "NOT_FOUND");
}

TEST_F(SharingTest, TheTeamTheOwnerAndOperatorsDo) {
  who_->teams = {"core"};
  EXPECT_THAT(Servers(), ElementsAre("core", "open"));
  EXPECT_THAT(Found("ops"), ElementsAre("core", "open"));
  who_->teams.clear();
  who_->subject = "root";
  EXPECT_EQ(Get("own"), "OK");
  who_->subject = "";
  EXPECT_EQ(Get("own"), "NOT_FOUND");
  who_->roles = {"operator"};
  EXPECT_THAT(Servers(), ElementsAre("core", "open", "own"));
  // What comes from inside, without a principal, is not asked.
  who_ = nullptr;
  EXPECT_THAT(Servers(), ElementsAre("core", "open", "own"));
}

TEST_F(SharingTest, GatewaysHearWhoseAVirtualServerIs) {
  pb::GetVirtualServerRequest get;
  get.set_name("ops");
  who_->roles = {"admin"};
  const CallContext ctx = Context();
  const auto described = Await(fixture_.io, service_.GetVirtualServer(ctx, get));
  ASSERT_TRUE(described.ok());
  EXPECT_EQ(described->view().team(), "core");
  EXPECT_EQ(described->view().visibility(), "team");
}

}  // namespace
}  // namespace metamcp::catalog
