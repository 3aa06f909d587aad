#include "services/workflow/face/provider.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>

#include "services/workflow/engine/engine_fixture.h"

namespace metamcp::workflow {
namespace {

namespace pb = metamcp::provider::v1;
using testing::Answer;
using testing::EngineFixture;
using Json = nlohmann::ordered_json;

constexpr char kElicits[] = R"({"elicitation":{"form":{}}})";

// What a provider said, until now.
class Told final : public Sink<pb::CallResponse> {
 public:
  Awaitable<absl::Status> Write(pb::CallResponse event) override {
    if (event.event_case() == pb::CallResponse::kProgress) {
      progress.push_back(Json::parse(event.progress())["message"]);
    }
    if (event.event_case() == pb::CallResponse::kResult) {
      kind = event.result().kind();
      text += event.result().data();
      complete = event.result().last();
    }
    co_return absl::OkStatus();
  }
  Json result() const { return text.empty() ? Json() : Json::parse(text); }

  std::vector<std::string> progress;
  std::string text;
  pb::ResultKind kind = pb::RESULT_KIND_UNSPECIFIED;
  bool complete = false;
};

std::shared_ptr<const Principal> Person(const std::string& subject,
                                        std::vector<std::string> roles = {"operator"}) {
  auto out = std::make_shared<Principal>();
  out->subject = subject;
  out->roles = std::move(roles);
  return out;
}

class ProviderTest : public ::testing::Test {
 protected:
  struct Running {
    Told told;
    std::optional<absl::Status> status;
    boost::asio::cancellation_signal cancel;
    pb::CallRequest request;
    CallContext ctx;
  };

  ProviderTest() {
    EXPECT_TRUE(FaceStore::MigrateBlocking(engine_.database()).ok());
    provider_ = std::make_unique<WorkflowProvider>(engine_.io().get_executor(),
                                                   engine_.db_executor(), engine_.engine());
    engine_.caller().handlers["s.read"] = Answer(R"({"n":1})");
    engine_.caller().repeatable.insert("s.read");
  }
  ~ProviderTest() override {
    bool stopped = false;
    boost::asio::co_spawn(engine_.io(), Stopping(provider_.get(), &stopped), boost::asio::detached);
    engine_.TurnUntil([&] { return stopped; });
  }
  static Awaitable<void> Stopping(WorkflowProvider* provider, bool* stopped) {
    auto stopping = provider->Stop();
    co_await std::move(stopping);
    *stopped = true;
  }
  static Awaitable<void> Calling(WorkflowProvider* provider, Running* running) {
    auto calling = provider->Call(running->ctx, running->request, running->told);
    running->status = co_await std::move(calling);
  }

  void Publish(const std::string& source, const std::string& owner = "anna",
               const std::string& visibility = "public") {
    ObjectRow row;
    row.tenant = row.name_space = "default";
    row.name = engine_.Store(source);
    row.sharing.owner = owner;
    row.sharing.visibility = visibility;
    row.published = true;
    EXPECT_TRUE(FaceStore(engine_.database()).PutObject(row, 1).ok());
  }
  std::unique_ptr<Running> Begin(pb::CallRequest request,
                                 std::shared_ptr<const Principal> who = Person("ben"),
                                 std::chrono::milliseconds time = std::chrono::seconds(60)) {
    auto running = std::make_unique<Running>();
    running->request = std::move(request);
    running->ctx = CallContext(std::move(who), CallContext::Clock::now() + time);
    boost::asio::co_spawn(
        engine_.io(), Calling(provider_.get(), running.get()),
        boost::asio::bind_cancellation_slot(running->cancel.slot(), [](std::exception_ptr) {}));
    return running;
  }
  std::unique_ptr<Running> Call(pb::CallRequest request,
                                std::shared_ptr<const Principal> who = Person("ben"),
                                std::chrono::milliseconds time = std::chrono::seconds(60)) {
    auto running = Begin(std::move(request), std::move(who), time);
    engine_.TurnUntil([&] { return running->status.has_value(); });
    return running;
  }
  static pb::CallRequest Tool(const std::string& name, const std::string& arguments = "{}") {
    pb::CallRequest request;
    request.set_method("tools/call");
    request.set_target(name);
    request.set_params("{\"name\":\"" + name + "\",\"arguments\":" + arguments + "}");
    request.set_client_capabilities("{}");
    request.set_wants_progress(true);
    return request;
  }
  // The only run.
  RunRow OnlyRun() {
    const auto runs = engine_.store().ListRuns("default", "", "", "", 10);
    EXPECT_TRUE(runs.ok() && runs->size() == 1);
    return runs.ok() && !runs->empty() ? runs->front() : RunRow();
  }
  static std::string ReasonOf(const absl::Status& status) {
    return GetErrorInfo(status).value_or(ErrorInfo()).reason;
  }
  // The retry of a call that asked, with one answer to all that it asked.
  static pb::CallRequest Retry(const Running& asked, const Json& answer) {
    const Json result = asked.told.result();
    Json responses = Json::object();
    for (auto it = result["inputRequests"].begin(); it != result["inputRequests"].end(); ++it) {
      responses[it.key()] = answer;
    }
    pb::CallRequest request = asked.request;
    request.set_has_request_state(true);
    request.set_request_state(result["requestState"].get<std::string>());
    request.set_input_responses(responses.dump());
    return request;
  }

  EngineFixture engine_;
  std::unique_ptr<WorkflowProvider> provider_;
};

constexpr char kOne[] = R"({"name":"one","input":{"type":"object","properties":
  {"a":{"type":"string"}},"additionalProperties":false},
  "steps":[{"id":"read","tool":"s.read"}],"output":{"n":"${steps.read.n}"}})";
constexpr char kAsks[] = R"({"name":"asks","steps":[
  {"id":"ok","approval":{"title":"Really?","show":"all of it"}},
  {"id":"read","tool":"s.read","dependsOn":["ok"]}],"output":{"n":"${steps.read.n}"}})";

TEST_F(ProviderTest, ACallIsARunOfItsCaller) {
  RecordProperty("req", "M-FR-006");
  Publish(kOne);
  const auto call = Call(Tool("one"));
  ASSERT_TRUE(call->status->ok()) << *call->status;
  const Json result = call->told.result();
  EXPECT_EQ(result["structuredContent"]["n"], 1);
  EXPECT_EQ(result["resultType"], "complete");
  EXPECT_FALSE(result.contains("isError"));
  const RunRow run = OnlyRun();
  EXPECT_EQ(result["_meta"]["meta-mcp/run"]["id"], run.id);
  EXPECT_EQ(Json::parse(run.principal)["subject"], "ben");
}

TEST_F(ProviderTest, ItTellsOfEveryStep) {
  RecordProperty("req", "M-FR-006.4");
  Publish(kOne);
  const auto call = Call(Tool("one"));
  const auto& told = call->told.progress;
  EXPECT_NE(std::find(told.begin(), told.end(), "read: done"), told.end())
      << ::testing::PrintToString(told);
}

TEST_F(ProviderTest, WhatIsNotAToolOrNotSharedIsRefused) {
  Publish(kOne, "anna", "private");
  EXPECT_EQ(ReasonOf(*Call(Tool("one"))->status), "PERMISSION_DENIED");
  EXPECT_EQ(ReasonOf(*Call(Tool("other"))->status), "TOOL_NOT_FOUND");
  EXPECT_TRUE(Call(Tool("one"), Person("anna"))->status->ok());
}

TEST_F(ProviderTest, WrongArgumentsAreAResult) {
  Publish(kOne);
  const auto call = Call(Tool("one", R"({"b":1})"));
  ASSERT_TRUE(call->status->ok());
  EXPECT_EQ(call->told.result()["isError"], true);
}

TEST_F(ProviderTest, AFailedRunSaysWhereItFailed) {
  RecordProperty("req", "M-NFR-005.3");
  engine_.caller().handlers["s.read"] = testing::Failing("no such file");
  Publish(kOne);
  const auto call = Call(Tool("one"));
  ASSERT_TRUE(call->status->ok());
  const Json result = call->told.result();
  EXPECT_EQ(result["isError"], true);
  EXPECT_NE(result["content"][0]["text"].get<std::string>().find("no such file"),
            std::string::npos);
}

TEST_F(ProviderTest, ACallerThatLeavesTakesItsRunAlong) {
  RecordProperty("req", "M-FR-006.6");
  engine_.caller().delay = std::chrono::seconds(30);
  Publish(kOne);
  const auto call = Begin(Tool("one"));
  engine_.TurnUntil([&] { return engine_.caller().Count("s.read") == 1; });
  call->cancel.emit(boost::asio::cancellation_type::terminal);
  const RunRow run = engine_.WaitForEnd(OnlyRun().id);
  EXPECT_EQ(run.state, run_state::kCancelled);
  EXPECT_EQ(engine_.caller().cancelled, 1);
}

TEST_F(ProviderTest, ACallWhoseTimeIsOverLeavesItsRun) {
  engine_.caller().delay = std::chrono::milliseconds(1500);
  Publish(kOne);
  const auto call = Call(Tool("one"), Person("ben"), std::chrono::milliseconds(2000));
  ASSERT_TRUE(call->status->ok()) << *call->status;
  EXPECT_EQ(call->told.result()["isError"], true);
  EXPECT_EQ(engine_.WaitForEnd(OnlyRun().id).state, run_state::kCompleted);
}

TEST_F(ProviderTest, TheSameKeyIsTheSameRun) {
  Publish(kOne);
  pb::CallRequest request = Tool("one");
  request.set_meta(R"({"meta-mcp/idempotencyKey":"k1"})");
  const auto first = Call(request);
  const auto second = Call(request);
  EXPECT_EQ(first->told.result()["_meta"], second->told.result()["_meta"]);
  EXPECT_EQ(engine_.caller().Count("s.read"), 1u);
}

TEST_F(ProviderTest, ItsCallerIsAskedToApproveOnce) {
  RecordProperty("req", "M-FR-007.2");
  Publish(kAsks);
  pb::CallRequest request = Tool("asks");
  request.set_client_capabilities(kElicits);
  const auto asked = Call(request);
  ASSERT_EQ(asked->told.kind, pb::RESULT_KIND_INPUT_REQUIRED) << *asked->status;
  const Json question = asked->told.result()["inputRequests"].front();
  EXPECT_EQ(question["method"], "elicitation/create");
  EXPECT_NE(question["params"]["message"].get<std::string>().find("all of it"), std::string::npos);
  const Json yes = {{"action", "accept"}, {"content", {{"decision", "approve"}}}};
  const Json no = {{"action", "decline"}};
  const auto done = Call(Retry(*asked, yes));
  ASSERT_TRUE(done->status->ok()) << *done->status;
  EXPECT_EQ(done->told.kind, pb::RESULT_KIND_COMPLETE);
  EXPECT_EQ(done->told.result()["structuredContent"]["n"], 1);
  // A second answer comes too late, whatever it says.
  EXPECT_EQ(Call(Retry(*asked, no))->told.result()["structuredContent"]["n"], 1);
  const auto decisions = engine_.store().Decisions(OnlyRun().id);
  ASSERT_EQ(decisions->size(), 1u);
  EXPECT_EQ(Json::parse(decisions->front().decision)["by"], "ben");
}

TEST_F(ProviderTest, ADenialFailsTheRunAndADismissalLeavesItOpen) {
  RecordProperty("req", "M-FR-007.2");
  Publish(kAsks);
  pb::CallRequest request = Tool("asks");
  request.set_client_capabilities(kElicits);
  const auto asked = Call(request);
  const auto dismissed = Call(Retry(*asked, {{"action", "cancel"}}));
  EXPECT_EQ(dismissed->told.result()["isError"], true);
  EXPECT_EQ(OnlyRun().state, run_state::kWaiting);
  const auto denied = Call(Retry(*asked, {{"action", "decline"}}));
  EXPECT_EQ(denied->told.result()["isError"], true);
  EXPECT_EQ(OnlyRun().state, run_state::kFailed);
  EXPECT_EQ(engine_.caller().Count("s.read"), 0u);
}

TEST_F(ProviderTest, WhoMayNotApproveIsNotAsked) {
  RecordProperty("req", "M-FR-007.2");
  Publish(R"({"name":"asks","steps":[
    {"id":"ok","approval":{"title":"Really?","separate":true}}],"output":{}})");
  pb::CallRequest request = Tool("asks");
  request.set_client_capabilities(kElicits);
  const auto call = Begin(request);
  engine_.TurnUntil([&] {
    return std::find(call->told.progress.begin(), call->told.progress.end(),
                     "ok: waiting for approval") != call->told.progress.end();
  });
  engine_.Turn(std::chrono::milliseconds(700));
  EXPECT_FALSE(call->status.has_value());
  // Another person does it elsewhere.
  const std::string id = OnlyRun().id;
  DecisionRow row;
  row.path = "/do/0/ok#approval";
  row.attempt = 1;
  row.decision = R"({"action":"approve","by":"carl"})";
  EXPECT_TRUE(engine_.store().Decide("default", id, row, "carl", 1).ok());
  engine_.engine().LookNow();
  engine_.TurnUntil([&] { return call->status.has_value(); });
  EXPECT_EQ(call->told.result()["_meta"]["meta-mcp/run"]["state"], "completed");
}

TEST_F(ProviderTest, ACallThatIsGivenUpCancelsItsRun) {
  Publish(kAsks);
  pb::CallRequest request = Tool("asks");
  request.set_client_capabilities(kElicits);
  const auto asked = Call(request);
  pb::CallRequest abandon = Retry(*asked, Json::object());
  abandon.set_abandon(true);
  EXPECT_TRUE(Call(abandon)->status->ok());
  EXPECT_EQ(engine_.WaitForEnd(OnlyRun().id).state, run_state::kCancelled);
}

TEST_F(ProviderTest, ARunIsATaskForWhoKnowsTasks) {
  RecordProperty("req", "M-FR-006.4");
  Publish(kAsks);
  pb::CallRequest request = Tool("asks");
  request.set_client_capabilities(R"({"extensions":{"io.modelcontextprotocol/tasks":{}}})");
  const auto begun = Call(request);
  ASSERT_EQ(begun->told.kind, pb::RESULT_KIND_TASK) << *begun->status;
  const std::string id = OnlyRun().id;
  EXPECT_EQ(begun->told.result()["taskId"], id);
  EXPECT_EQ(begun->told.result()["resultType"], "task");
  pb::CallRequest about;
  about.set_method("tasks/get");
  about.set_target(id);
  const Json task = Call(about)->told.result();
  EXPECT_EQ(task["status"], "input_required");
  EXPECT_EQ(ReasonOf(*Call(about, Person("carl"))->status), "TASK_NOT_FOUND");
  const std::string key = task["inputRequests"].begin().key();
  pb::CallRequest update = about;
  update.set_method("tasks/update");
  update.set_input_responses("{\"" + key +
                             R"(":{"action":"accept","content":{"decision":"approve"}}})");
  EXPECT_TRUE(Call(update)->status->ok());
  engine_.WaitForEnd(id);
  const Json over = Call(about)->told.result();
  EXPECT_EQ(over["status"], "completed");
  EXPECT_EQ(over["result"]["structuredContent"]["n"], 1);
}

TEST_F(ProviderTest, ATaskThatIsAskedForComesAtOnceAndCanBeCancelled) {
  RecordProperty("req", "M-FR-006.6");
  engine_.caller().delay = std::chrono::seconds(30);
  Publish(kOne);
  pb::CallRequest request = Tool("one");
  request.set_task("{}");
  const auto begun = Call(request);
  ASSERT_EQ(begun->told.kind, pb::RESULT_KIND_TASK);
  pb::CallRequest cancel;
  cancel.set_method("tasks/cancel");
  cancel.set_target(OnlyRun().id);
  EXPECT_TRUE(Call(cancel)->status->ok());
  EXPECT_EQ(engine_.WaitForEnd(OnlyRun().id).state, run_state::kCancelled);
}

TEST_F(ProviderTest, RunsThatStartEachOtherEnd) {
  const RunRow run = engine_.Run(R"({"document":{"dsl":"1.0.3","namespace":"default",
    "name":"self","version":"1.0.0"},
    "do":[{"again":{"run":{"workflow":{"namespace":"default","name":"self","version":"1.0.0"}}}}]})");
  EXPECT_EQ(run.state, run_state::kFailed);
  EXPECT_NE(run.error.find("calls itself"), std::string::npos) << run.error;
  const auto runs = engine_.store().ListRuns("default", "self", "", "", 100);
  EXPECT_EQ(runs->size(), 8u);
}

}  // namespace
}  // namespace metamcp::workflow
