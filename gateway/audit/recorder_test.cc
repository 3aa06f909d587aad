#include "gateway/audit/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <set>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "gateway/audit/admin_audit.h"
#include "gateway/audit/call_audit.h"
#include "gateway/audit/sandbox_audit.h"
#include "gateway/audit/shape.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {
namespace {

using audit::v1::AppendRequest;
using audit::v1::AppendResponse;
using audit::v1::Event;
using ::testing::HasSubstr;
using ::testing::Not;

// Stores in memory; can be away, or lose its answers.
class FakeAudit final : public audit::v1::AuditService {
 public:
  Awaitable<absl::StatusOr<AppendResponse>> Append(const CallContext&,
                                                   AppendRequest request) override {
    ++calls;
    if (down) co_return absl::UnavailableError("away");
    for (const Event& event : request.events()) {
      if (event.action() == "poison") co_return absl::InvalidArgumentError("not this one");
    }
    for (const Event& event : request.events()) {
      if (ids.insert(event.id()).second) stored.push_back(event);
    }
    if (lose_answers > 0) {
      --lose_answers;
      co_return absl::UnavailableError("the answer was lost");
    }
    co_return AppendResponse();
  }

#define UNUSED_METHOD(name)                                                                      \
  Awaitable<absl::StatusOr<audit::v1::name##Response>> name(const CallContext&,                  \
                                                            audit::v1::name##Request) override { \
    co_return absl::UnimplementedError("not here");                                              \
  }
  UNUSED_METHOD(QueryRecords)
  UNUSED_METHOD(ExportRecords)
  UNUSED_METHOD(VerifyChain)
  UNUSED_METHOD(ListCheckpoints)
  UNUSED_METHOD(GetKey)
  UNUSED_METHOD(ListFailures)
  UNUSED_METHOD(ReadUsage)
  UNUSED_METHOD(ExportSubject)
  UNUSED_METHOD(EraseSubject)
  UNUSED_METHOD(CreateHold)
  UNUSED_METHOD(ListHolds)
  UNUSED_METHOD(DeleteHold)
#undef UNUSED_METHOD
  Awaitable<absl::Status> TailRecords(const CallContext&, audit::v1::TailRecordsRequest,
                                      Sink<audit::v1::TailRecordsResponse>&) override {
    co_return absl::UnimplementedError("not here");
  }

  std::vector<Event> stored;
  std::set<std::string> ids;
  bool down = false;
  int lose_answers = 0;
  int calls = 0;
};

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    options_.spool.folder =
        std::filesystem::temp_directory_path() / StrCat("recorder-", NewUuidV7());
    options_.patience = std::chrono::milliseconds(200);
  }
  ~RecorderTest() override {
    if (recorder_) Stop(std::chrono::seconds(0));
    recorder_.reset();
    std::filesystem::remove_all(options_.spool.folder);
  }

  void Open(bool strict) {
    options_.strict = strict;
    auto made = AuditRecorder::CreateBlocking(io_.get_executor(), service_, options_);
    ASSERT_TRUE(made.ok()) << made.status();
    recorder_ = *std::move(made);
    recorder_->Start();
  }
  static Event MakeEvent(const std::string& action) {
    Event event;
    event.set_action(action);
    return event;
  }
  template <typename T>
  T Run(Awaitable<T> op) {
    std::optional<T> out;
    boost::asio::co_spawn(io_, std::move(op), [&out](std::exception_ptr e, T result) {
      if (!e) out = std::move(result);
    });
    while (!out) {
      io_.restart();
      io_.run_one();
    }
    return *std::move(out);
  }
  static Awaitable<bool> StopTask(AuditRecorder* recorder, std::chrono::seconds grace) {
    auto stopping = recorder->Stop(grace);
    co_await std::move(stopping);
    co_return true;
  }
  void Stop(std::chrono::seconds grace) { Run(StopTask(recorder_.get(), grace)); }
  absl::Status Record(const std::string& action) {
    return Run(recorder_->Record(MakeEvent(action)));
  }
  static Awaitable<bool> UntilStored(FakeAudit* service, size_t count) {
    while (service->stored.size() < count) {
      const bool slept = co_await Sleep(std::chrono::milliseconds(5));
      if (!slept) co_return false;
    }
    co_return true;
  }

  boost::asio::io_context io_{1};
  FakeAudit service_;
  AuditRecorder::Options options_;
  std::unique_ptr<AuditRecorder> recorder_;
};

TEST_F(RecorderTest, StrictReturnsWhenItIsStored) {
  RecordProperty("req", "M-FR-007.5");
  Open(true);
  ASSERT_TRUE(Record("a").ok());
  ASSERT_EQ(service_.stored.size(), 1u);
  EXPECT_NE(service_.stored[0].id(), "");
  EXPECT_GT(service_.stored[0].time_us(), 0);
  EXPECT_EQ(service_.stored[0].principal().tenant(), "default");
}

TEST_F(RecorderTest, StrictRefusesWhileTheServiceIsAwayAndLosesNothing) {
  RecordProperty("req", "M-FR-007.5");
  Open(true);
  service_.down = true;
  const absl::Status failed = Record("a");
  EXPECT_EQ(GetErrorInfo(failed)->reason, "AUDIT_UNAVAILABLE");
  EXPECT_EQ(GetErrorInfo(recorder_->Ready())->reason, "AUDIT_UNAVAILABLE");
  service_.down = false;
  EXPECT_TRUE(Run(UntilStored(&service_, 1)));
  EXPECT_TRUE(Record("b").ok());
  EXPECT_TRUE(recorder_->Ready().ok());
  EXPECT_EQ(service_.stored.size(), 2u);
}

TEST_F(RecorderTest, ALostAnswerStoresNothingTwice) {
  RecordProperty("req", "M-FR-007.5");
  for (const bool strict : {true, false}) {
    service_.stored.clear();
    Open(strict);
    service_.lose_answers = 2;
    EXPECT_TRUE(Record("a").ok());
    EXPECT_TRUE(Run(UntilStored(&service_, 1)));
    Stop(std::chrono::seconds(5));
    EXPECT_EQ(service_.stored.size(), 1u);
    recorder_.reset();
  }
}

TEST_F(RecorderTest, BufferedGoesOnWithoutTheService) {
  RecordProperty("req", "M-FR-007.5");
  Open(false);
  service_.down = true;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Record(StrCat("a", i)).ok());
  EXPECT_TRUE(recorder_->Ready().ok());
  Stop(std::chrono::seconds(0));
  recorder_.reset();
  EXPECT_EQ(service_.stored.size(), 0u);
  // The next start ships them, in their order.
  service_.down = false;
  Open(false);
  EXPECT_TRUE(Run(UntilStored(&service_, 20)));
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(service_.stored[static_cast<size_t>(i)].action(), StrCat("a", i));
}

TEST_F(RecorderTest, AnEventThatIsRefusedHoldsNobodyUp) {
  Open(false);
  recorder_->Note(MakeEvent("a"));
  recorder_->Note(MakeEvent("poison"));
  recorder_->Note(MakeEvent("b"));
  EXPECT_TRUE(Run(UntilStored(&service_, 2)));
  EXPECT_EQ(service_.stored[1].action(), "b");
}

TEST_F(RecorderTest, AFullSpoolStoresDirectlyOrRefuses) {
  RecordProperty("req", "M-FR-007.5");
  options_.spool.bytes_max = 10;
  Open(false);
  EXPECT_TRUE(Record("a").ok());
  EXPECT_EQ(service_.stored.size(), 1u);
  service_.down = true;
  const absl::Status failed = Record("b");
  EXPECT_EQ(GetErrorInfo(failed)->reason, "AUDIT_UNAVAILABLE");
  EXPECT_EQ(GetErrorInfo(recorder_->Ready())->reason, "AUDIT_UNAVAILABLE");
}

TEST_F(RecorderTest, StopShipsWhatIsThere) {
  Open(false);
  for (int i = 0; i < 50; ++i) recorder_->Note(MakeEvent("a"));
  Stop(std::chrono::seconds(5));
  EXPECT_EQ(service_.stored.size(), 50u);
}

class CallAuditTest : public RecorderTest {
 protected:
  Event Audit(const CallSpec& spec, const absl::StatusOr<CallOutcome>& outcome,
              CallAudit::Options options = CallAudit::Options()) {
    Open(true);
    CallAudit audit(*recorder_, std::move(options));
    auto who = std::make_shared<Principal>();
    who->subject = "bob";
    who->method = "key:bob";
    CallContext ctx(who, CallContext::Clock::now() + std::chrono::seconds(5));
    ctx.trace.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    EXPECT_TRUE(Run(audit.OnFinished(ctx, spec, outcome, std::chrono::milliseconds(3))).ok());
    return service_.stored.back();
  }
  static CallSpec Spec(const std::string& params) {
    CallSpec spec;
    auto entry = std::make_shared<ExposedEntry>();
    entry->kind = catalog::v1::ITEM_KIND_TOOL;
    entry->name = "git__log";
    entry->qualified_name = "git.log";
    entry->definition = "{}";
    entry->routes.emplace_back();
    ServerView::Parts parts;
    parts.entries.push_back(std::move(entry));
    spec.view = std::make_shared<ServerView>(std::move(parts));
    spec.method = "tools/call";
    spec.params = params;
    return spec;
  }
  static CallOutcome Fine() {
    CallOutcome outcome;
    outcome.upstream = "git";
    outcome.result = "{\"content\":[{\"type\":\"text\",\"text\":\"planted-result-7f3a\"}]}";
    return outcome;
  }
};

TEST_F(CallAuditTest, KeepsShapesAndNoContent) {
  RecordProperty("req", "M-FR-007.5");
  const Event event = Audit(
      Spec("{\"name\":\"git__log\",\"arguments\":{\"token\":\"planted-secret-19c2\",\"n\":[1]}}"),
      Fine());
  EXPECT_EQ(event.item(), "git__log");
  EXPECT_EQ(event.outcome(), "ok");
  EXPECT_EQ(event.upstream(), "git");
  EXPECT_EQ(event.provider(), "connector");
  EXPECT_EQ(event.decision(), "allow");
  EXPECT_EQ(event.duration_us(), 3000);
  EXPECT_EQ(event.trace(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(event.arguments().shape(), "{\"token\":\"string\",\"n\":[\"number\"]}");
  EXPECT_EQ(event.arguments().digest().size(), 32u);
  EXPECT_THAT(event.SerializeAsString(), Not(HasSubstr("planted")));
}

TEST_F(CallAuditTest, PayloadsAreKeptOfChosenServersOnly) {
  RecordProperty("req", "P3-SOC-4");
  CallAudit::Options options;
  options.payload_servers = {"git"};
  options.payload_bytes_max = 20;
  const Event event =
      Audit(Spec("{\"name\":\"git__log\",\"arguments\":{\"a\":\"planted-secret-19c2\"}}"), Fine(),
            std::move(options));
  EXPECT_EQ(event.arguments().payload(), "{\"a\":\"planted-secret");
  EXPECT_EQ(event.result().size(), 20u);
}

TEST_F(CallAuditTest, AnUnknownNameIsTheClientsOwnWords) {
  const Event event = Audit(Spec("{\"name\":\"planted-name\"}"),
                            MakeError("TOOL_NOT_FOUND", "gateway", "no such tool"));
  EXPECT_EQ(event.item(), "");
  EXPECT_EQ(event.target(), "planted-name");
  EXPECT_EQ(event.outcome(), "denied");
  EXPECT_EQ(event.decision(), "deny");
}

TEST_F(RecorderTest, WhatAClientWritesIsNoWayOutOfTheAudit) {
  Open(false);
  http::HttpRequest request;
  request.method = "POST";
  request.path = "/api/v1/servers/\xFF\xFE";
  recorder_->Note(MakeAdminEvent(request, "/api/v1/servers/{name}", Principal()));
  EXPECT_TRUE(Run(UntilStored(&service_, 1)));
  EXPECT_EQ(service_.stored[0].target(), "/api/v1/servers/??");
}

TEST(Shape, IsBounded) {
  EXPECT_EQ(ShapeOf("{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}}"),
            "{\"a\":{\"b\":{\"c\":{\"d\":\"object\"}}}}");
  EXPECT_EQ(ShapeOf("[]"), "[]");
  EXPECT_EQ(ShapeOf("nothing"), "\"invalid\"");
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += StrCat(i ? "," : "", "\"k", i, "\":", i);
  EXPECT_THAT(ShapeOf(many + "}"), HasSubstr("more"));
}

TEST_F(RecorderTest, AStartInASandboxThatIsNotEnforcedIsRecordedOnceByAllGateways) {
  Open(false);
  SandboxAudit here(*recorder_);
  SandboxAudit there(*recorder_);
  catalog::v1::WatchCatalogResponse message;
  auto& upstream = *message.add_upstreams();
  upstream.mutable_meta()->set_id("u1");
  upstream.mutable_meta()->set_name("files");
  auto& status = *upstream.mutable_status();
  status.set_sandbox("strict (bubblewrap)");
  status.set_pid(7);
  here.OnCatalog(message);
  status.set_sandbox("unsafe: strict is not enforced: no user namespaces");
  for (int i = 0; i < 3; ++i) here.OnCatalog(message);
  there.OnCatalog(message);
  status.set_pid(8);
  here.OnCatalog(message);
  ASSERT_TRUE(Run(UntilStored(&service_, 2)));
  Stop(std::chrono::seconds(5));
  ASSERT_EQ(service_.stored.size(), 2u);
  EXPECT_EQ(service_.stored[0].action(), "sandbox.unsafe");
  EXPECT_EQ(service_.stored[0].upstream(), "files");
  EXPECT_THAT(service_.stored[0].target(), HasSubstr("no user namespaces"));
}

TEST_F(RecorderTest, ManyRefusalsBecomeFewRecords) {
  RecordProperty("req", "M-FR-007.5");
  Open(true);
  RefusalAudit refusals(*recorder_);
  const auth::Credentials shown;
  for (int i = 0; i < 1000; ++i) {
    refusals.OnRefused(shown, MakeError("AUTH_INVALID", "gateway", "no"));
  }
  EXPECT_TRUE(Run(UntilStored(&service_, 20)));
  EXPECT_LT(service_.stored.size(), 100u);
  EXPECT_EQ(service_.stored[0].action(), "auth.refused");
  EXPECT_EQ(service_.stored[0].reason(), "AUTH_INVALID");
}

}  // namespace
}  // namespace metamcp::gateway
