#include "services/connector/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/http/http_client.h"
#include "services/connector/test_util.h"

namespace metamcp::connector {
namespace {

using ::testing::HasSubstr;
namespace catalog_pb = ::metamcp::catalog::v1;
namespace admin_pb = ::metamcp::connector::v1;

// A catalog that serves two methods and refuses the rest.
class FakeCatalog final : public catalog_pb::CatalogService {
 public:
  explicit FakeCatalog(boost::asio::io_context& io)
      : changed_(io.get_executor(), boost::asio::steady_timer::time_point::max()) {}

  void Push(catalog_pb::WatchUpstreamsResponse change) {
    changes_.push_back(std::move(change));
    changed_.cancel();
  }
  Awaitable<absl::Status> WatchUpstreams(const CallContext&, catalog_pb::WatchUpstreamsRequest,
                                         Sink<catalog_pb::WatchUpstreamsResponse>& sink) override {
    ++watches;
    catalog_pb::WatchUpstreamsResponse all;
    all.set_begin(true);
    all.set_end(true);
    for (const auto& upstream : desired) *all.add_upstreams() = upstream;
    auto first = sink.Write(std::move(all));
    absl::Status status = co_await std::move(first);
    while (status.ok() && !broken) {
      if (changes_.empty()) {
        co_await changed_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        const auto state = co_await boost::asio::this_coro::cancellation_state;
        if (state.cancelled() != boost::asio::cancellation_type::none) {
          co_return absl::CancelledError("");
        }
        continue;
      }
      catalog_pb::WatchUpstreamsResponse change = std::move(changes_.front());
      changes_.erase(changes_.begin());
      auto writing = sink.Write(std::move(change));
      status = co_await std::move(writing);
    }
    broken = false;
    co_return absl::UnavailableError("the stream broke");
  }
  void Break() {
    broken = true;
    changed_.cancel();
  }
  Awaitable<absl::StatusOr<catalog_pb::ReportResponse>> Report(
      const CallContext&, catalog_pb::ReportRequest request) override {
    if (failing_reports > 0) {
      --failing_reports;
      co_return absl::UnavailableError("not now");
    }
    if (gone == request.upstream_id()) co_return absl::NotFoundError("gone");
    reports.push_back(request);
    co_return catalog_pb::ReportResponse();
  }
  // The newest state reported of an upstream, and whether its tools were.
  std::string State(const std::string& id) const {
    std::string state;
    for (const auto& report : reports) {
      if (report.upstream_id() == id) state = report.status().state();
    }
    return state;
  }
  int Lists(const std::string& id) const {
    int lists = 0;
    for (const auto& report : reports) {
      if (report.upstream_id() == id) lists += report.lists_size();
    }
    return lists;
  }

#define METAMCP_REFUSE(method)                                    \
  Awaitable<absl::StatusOr<catalog_pb::method##Response>> method( \
      const CallContext&, catalog_pb::method##Request) override { \
    co_return absl::UnimplementedError(#method);                  \
  }
  METAMCP_REFUSE(ListUpstreams)
  METAMCP_REFUSE(GetUpstream)
  METAMCP_REFUSE(CreateUpstream)
  METAMCP_REFUSE(UpdateUpstream)
  METAMCP_REFUSE(DeleteUpstream)
  METAMCP_REFUSE(SetUpstreamEnabled)
  METAMCP_REFUSE(ListVirtualServers)
  METAMCP_REFUSE(GetVirtualServer)
  METAMCP_REFUSE(CreateVirtualServer)
  METAMCP_REFUSE(UpdateVirtualServer)
  METAMCP_REFUSE(DeleteVirtualServer)
  METAMCP_REFUSE(SetVirtualServerEnabled)
  METAMCP_REFUSE(ListItems)
  METAMCP_REFUSE(SearchItems)
  METAMCP_REFUSE(ExplainItem)
  METAMCP_REFUSE(ApplyConfig)
  METAMCP_REFUSE(RegisterProvider)
#undef METAMCP_REFUSE
  Awaitable<absl::Status> WatchCatalog(const CallContext&, catalog_pb::WatchCatalogRequest,
                                       Sink<catalog_pb::WatchCatalogResponse>&) override {
    co_return absl::UnimplementedError("WatchCatalog");
  }

  std::vector<catalog_pb::Upstream> desired;
  std::vector<catalog_pb::ReportRequest> reports;
  int watches = 0;
  int failing_reports = 0;
  bool broken = false;
  std::string gone;

 private:
  std::vector<catalog_pb::WatchUpstreamsResponse> changes_;
  boost::asio::steady_timer changed_;
};

class AppTest : public ::testing::Test {
 protected:
  AppTest() {
    options_.environment = config::ProcessEnvironment();
    options_.connector.stop_grace_ms = 500;
    options_.connector.backoff.min_ms = 10;
    options_.connector.backoff.max_ms = 100;
  }
  ~AppTest() override {
    if (app_ != nullptr) AwaitVoid(io_, app_->Stop());
  }
  static catalog_pb::Upstream Stdio(const std::string& name, std::vector<std::string> args = {}) {
    catalog_pb::Upstream out;
    out.mutable_meta()->set_id("id-" + name);
    out.mutable_meta()->set_name(name);
    out.set_enabled(true);
    out.mutable_spec()->set_type("stdio");
    out.mutable_spec()->set_command(METAMCP_STDIO_FIXTURE);
    for (const std::string& arg : args) out.mutable_spec()->add_args(arg);
    return out;
  }
  void Start() {
    app_ = std::make_unique<App>(io_.get_executor(), catalog_, *http_, keys_, options_);
    app_->Start();
  }
  bool Until(const std::function<bool()>& condition) { return RunUntilTrue(io_, condition); }
  bool UntilState(const std::string& name, const std::string& state) {
    return Until([&] { return catalog_.State("id-" + name) == state; });
  }
  admin_pb::Connection Connection(const std::string& name) {
    const auto all =
        Await(io_, app_->connector().ListConnections(ctx_, admin_pb::ListConnectionsRequest()));
    for (const auto& connection : all->connections()) {
      if (connection.name() == name) return connection;
    }
    return admin_pb::Connection();
  }

  boost::asio::io_context io_{1};
  FakeCatalog catalog_{io_};
  std::unique_ptr<http::HttpClient> http_ =
      http::NewHttpClient(io_.get_executor(), http::HttpClientOptions());
  KeyRing keys_ = KeyRing::Ephemeral();
  AppOptions options_;
  CallContext ctx_;
  std::unique_ptr<App> app_;
};

TEST_F(AppTest, ConnectsToEverythingAtOnceWhileSomeHangOrRefuse) {
  RecordProperty("req", "M-AC-5.2.1 M-AC-5.2.3 M-FR-002.5 M02-AC-F.1 M02-TR-1.1");
  for (int i = 0; i < 6; ++i) catalog_.desired.push_back(Stdio("good-" + std::to_string(i)));
  catalog_.desired.push_back(Stdio("mute", {"--mute"}));
  catalog_.desired.push_back(Stdio("deaf", {"--deaf"}));
  auto missing = Stdio("missing");
  missing.mutable_spec()->set_command("no-such-command-here");
  catalog_.desired.push_back(missing);
  auto unset = Stdio("unset");
  unset.mutable_spec()->add_args("${METAMCP_NO_SUCH_VARIABLE}");
  catalog_.desired.push_back(unset);
  auto off = Stdio("off");
  off.set_enabled(false);
  catalog_.desired.push_back(off);
  Start();
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(UntilState("good-" + std::to_string(i), "ready"));
  ASSERT_TRUE(Until([&] { return catalog_.Lists("id-good-5") == 4; }));
  EXPECT_EQ(catalog_.State("id-mute"), "initializing");
  EXPECT_EQ(catalog_.State("id-unset"), "configured");
  EXPECT_EQ(catalog_.State("id-off"), "stopped");
  EXPECT_THAT(Connection("missing").status().detail(), HasSubstr("no-such-command-here"));
  EXPECT_THAT(Connection("unset").status().detail(), HasSubstr("METAMCP_NO_SUCH_VARIABLE"));
  EXPECT_GT(Connection("good-0").status().pid(), 1);
}

TEST_F(AppTest, FollowsTheCatalogsWishes) {
  RecordProperty("req", "M02-US-001.3 M02-TR-1.3");
  catalog_.desired.push_back(Stdio("one"));
  Start();
  ASSERT_TRUE(UntilState("one", "ready"));
  const int pid = Connection("one").status().pid();
  catalog_pb::WatchUpstreamsResponse change;
  *change.add_upstreams() = Stdio("two");
  change.set_end(true);
  catalog_.Push(change);
  ASSERT_TRUE(UntilState("two", "ready"));
  // A label changes nothing of the connection; disabling ends the process.
  auto labelled = Stdio("one");
  labelled.mutable_spec()->set_priority(7);
  *change.mutable_upstreams(0) = labelled;
  catalog_.Push(change);
  auto disabled = Stdio("two");
  disabled.set_enabled(false);
  *change.mutable_upstreams(0) = disabled;
  catalog_.Push(change);
  ASSERT_TRUE(UntilState("two", "stopped"));
  EXPECT_EQ(Connection("one").status().pid(), pid);
  change.clear_upstreams();
  change.add_removed_upstream_ids("id-one");
  catalog_.Push(change);
  ASSERT_TRUE(Until([&] { return ::kill(pid, 0) != 0; }));
  ASSERT_TRUE(Until([&] { return Connection("one").name().empty(); }));
}

TEST_F(AppTest, ALostCatalogStreamIsTakenUpAgainAndReportsAreRepeated) {
  catalog_.desired.push_back(Stdio("one"));
  catalog_.failing_reports = 2;
  Start();
  ASSERT_TRUE(UntilState("one", "ready"));
  const int pid = Connection("one").status().pid();
  catalog_.Break();
  ASSERT_TRUE(Until([&] { return catalog_.watches == 2; }));
  EXPECT_EQ(Connection("one").status().pid(), pid);
  EXPECT_EQ(catalog_.State("id-one"), "ready");
}

TEST_F(AppTest, AnUpstreamThatTheCatalogForgotIsStopped) {
  catalog_.desired.push_back(Stdio("one"));
  catalog_.gone = "id-one";
  Start();
  ASSERT_TRUE(Until([&] { return Connection("one").name().empty(); }));
}

TEST_F(AppTest, RestartGivesANewProcessAndLogsAreKept) {
  RecordProperty("req", "M02-US-001.3 M02-US-001.4");
  catalog_.desired.push_back(Stdio("one", {"--stderr", "hello from the server"}));
  Start();
  ASSERT_TRUE(UntilState("one", "ready"));
  const int pid = Connection("one").status().pid();
  admin_pb::RestartUpstreamRequest restart;
  restart.set_name("one");
  ASSERT_TRUE(Await(io_, app_->connector().RestartUpstream(ctx_, restart)).ok());
  ASSERT_TRUE(Until([&] {
    const auto now = Connection("one").status();
    return now.state() == "ready" && now.pid() != pid;
  }));
  EXPECT_TRUE(GoneSoon(pid));
  admin_pb::GetLogsRequest logs;
  logs.set_name("one");
  const auto lines = Await(io_, app_->connector().GetLogs(ctx_, logs));
  int said = 0;
  for (const auto& line : lines->lines()) {
    said += line.source() == "stderr" && line.text() == "hello from the server";
  }
  EXPECT_EQ(said, 2);
  restart.set_name("ine");
  const auto unknown = Await(io_, app_->connector().RestartUpstream(ctx_, restart));
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("did you mean 'one'"));
}

TEST_F(AppTest, DiagnosisNamesTheStepThatFailed) {
  catalog_.desired.push_back(Stdio("one"));
  Start();
  ASSERT_TRUE(UntilState("one", "ready"));
  admin_pb::DiagnoseUpstreamRequest request;
  request.set_name("one");
  auto good = Await(io_, app_->connector().DiagnoseUpstream(ctx_, request));
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good->ok()) << good->ShortDebugString();
  request.mutable_spec()->set_type("stdio");
  request.mutable_spec()->set_command("no-such-command-here");
  auto bad = Await(io_, app_->connector().DiagnoseUpstream(ctx_, request));
  EXPECT_FALSE(bad->ok());
  EXPECT_EQ(bad->steps(0).step(), "resolve");
  EXPECT_EQ(bad->steps(0).outcome(), "failed");
  EXPECT_FALSE(bad->steps(0).mend().empty());
  request.mutable_spec()->set_command("/bin/true");
  bad = Await(io_, app_->connector().DiagnoseUpstream(ctx_, request));
  EXPECT_FALSE(bad->ok());
  EXPECT_EQ(bad->steps(2).step(), "handshake");
  EXPECT_EQ(bad->steps(2).outcome(), "failed");
  request.mutable_spec()->set_type("http");
  request.mutable_spec()->set_url("http://127.0.0.1:1/mcp");
  bad = Await(io_, app_->connector().DiagnoseUpstream(ctx_, request));
  EXPECT_EQ(bad->steps(1).step(), "connect");
  EXPECT_EQ(bad->steps(1).outcome(), "failed");
}

TEST_F(AppTest, CallsForUnknownUpstreamsAreRefused) {
  Start();
  class Nothing final : public Sink<metamcp::provider::v1::CallResponse> {
   public:
    Awaitable<absl::Status> Write(metamcp::provider::v1::CallResponse) override {
      co_return absl::OkStatus();
    }
  } sink;
  metamcp::provider::v1::CallRequest request;
  request.set_method("tools/call");
  request.set_upstream_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(Await(io_, app_->provider().Call(ctx_, request, sink))));
}

TEST_F(AppTest, StartAndStopLeaveNothingBehind) {
  RecordProperty("req", "M-RISK-1 M-RISK-1.m");
  for (int i = 0; i < 3; ++i) catalog_.desired.push_back(Stdio("s" + std::to_string(i)));
  size_t before = 0;
  for (int i = 0; i < 20; ++i) {
    catalog_.reports.clear();
    Start();
    ASSERT_TRUE(UntilState("s0", "ready"));
    const int pid = Connection("s0").status().pid();
    AwaitVoid(io_, app_->Stop());
    app_.reset();
    EXPECT_TRUE(GoneSoon(pid));
    if (i == 0) before = OpenDescriptors();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace metamcp::connector
