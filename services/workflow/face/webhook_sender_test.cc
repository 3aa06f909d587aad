#include "services/workflow/face/webhook_sender.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/http/http_client.h"
#include "services/workflow/engine/engine_fixture.h"
#include "services/workflow/face/signature.h"

namespace metamcp::workflow {
namespace {

using testing::EngineFixture;
using Json = nlohmann::ordered_json;

class FakeResponse final : public http::HttpClientResponse {
 public:
  explicit FakeResponse(int status) : status_(status) {}
  int status() const override { return status_; }
  const http::HttpHeaders& headers() const override { return headers_; }
  Awaitable<absl::StatusOr<std::optional<std::string>>> ReadSome() override {
    co_return std::optional<std::string>();
  }
  Awaitable<absl::StatusOr<std::string>> ReadAll(size_t) override { co_return std::string(); }
  void Close() override {}

 private:
  const int status_;
  http::HttpHeaders headers_;
};

// Answers with the next of `answers` (the last one again and again).
class FakeHttp final : public http::HttpClient {
 public:
  Awaitable<absl::StatusOr<std::unique_ptr<http::HttpClientResponse>>> Send(
      const CallContext&, http::HttpClientRequest request) override {
    requests.push_back(request);
    const int status = answers.size() > 1 ? answers.front() : answers.back();
    if (answers.size() > 1) answers.erase(answers.begin());
    if (status == 0) co_return MakeError("UPSTREAM_UNAVAILABLE", "webhook", "refused");
    co_return std::make_unique<FakeResponse>(status);
  }
  Awaitable<absl::StatusOr<std::unique_ptr<http::WebSocket>>> OpenWebSocket(
      const CallContext&, http::HttpClientRequest, http::WebSocketOptions) override {
    co_return MakeError("UPSTREAM_UNAVAILABLE", "webhook", "none");
  }
  std::vector<http::HttpClientRequest> requests;
  std::vector<int> answers = {200};
};

constexpr char kSecret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

class WebhookSenderTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  WebhookSenderTest() : engine_(GetParam()), keys_(KeyRing::Ephemeral()) {
    if (!engine_.usable()) return;
    EXPECT_TRUE(FaceStore::MigrateBlocking(engine_.database()).ok());
    engine_.caller().handlers["s.good"] = testing::Answer("{\"n\":1}");
    engine_.caller().handlers["s.bad"] = testing::Failing("broken");
    WebhookSender::Options options;
    options.look = std::chrono::milliseconds(20);
    options.pauses = {std::chrono::milliseconds(20), std::chrono::milliseconds(40)};
    for (auto& one : senders_) {
      one = std::make_unique<WebhookSender>(engine_.io().get_executor(), engine_.db_executor(),
                                            http_, keys_, options);
    }
  }
  ~WebhookSenderTest() override {
    for (auto& one : senders_) {
      if (one == nullptr) continue;
      bool stopped = false;
      boost::asio::co_spawn(engine_.io(), Stopping(one.get(), &stopped), boost::asio::detached);
      engine_.TurnUntil([&] { return stopped; });
    }
  }
  void SetUp() override {
    if (!engine_.usable()) GTEST_SKIP() << "no PostgreSQL";
  }
  static Awaitable<void> Stopping(WebhookSender* sender, bool* stopped) {
    auto stopping = sender->Stop();
    co_await std::move(stopping);
    *stopped = true;
  }
  void StartAll() {
    for (auto& one : senders_) one->Start();
  }
  HookStore store() { return HookStore(engine_.database()); }
  void Add(const std::string& id, std::vector<std::string> states = {},
           const std::string& subject = "tester", const std::string& workflow = "") {
    WebhookRow row;
    row.id = id;
    row.tenant = "default";
    row.url = "https://hooks.example/" + id;
    row.states = std::move(states);
    row.workflow = workflow;
    row.owner = subject;
    row.principal = R"({"subject":")" + subject + R"(","roles":["operator"]})";
    row.secret = keys_.Seal(SealPurpose::kVault, kSecret, SecretContext(id));
    row.created_us = 1;
    EXPECT_TRUE(store().PutWebhook(row).ok());
  }
  RunRow Run(const std::string& name, const std::string& tool) {
    return engine_.Run(R"({"name":")" + name + R"(","steps":[{"id":"a","tool":")" + tool +
                       R"("}]})");
  }
  std::vector<DeliveryRow> Deliveries(const std::string& id) {
    return *store().Deliveries(id, 100);
  }
  bool AllEnded(const std::string& id, size_t count) {
    const auto rows = Deliveries(id);
    return rows.size() == count && std::none_of(rows.begin(), rows.end(), [](const auto& row) {
             return row.status == "pending";
           });
  }

  EngineFixture engine_;
  KeyRing keys_;
  FakeHttp http_;
  std::unique_ptr<WebhookSender> senders_[2];  // as in two processes
};

TEST_P(WebhookSenderTest, TheEndOfARunIsToldOnceSigned) {
  RecordProperty("req", "M-FR-023");
  Add("wh_1");
  StartAll();
  const RunRow run = Run("good", "s.good");
  engine_.TurnUntil([&] { return AllEnded("wh_1", 1); });
  engine_.Turn(std::chrono::milliseconds(80));
  ASSERT_EQ(http_.requests.size(), 1u);
  const http::HttpClientRequest& sent = http_.requests[0];
  const Json body = Json::parse(sent.body);
  EXPECT_EQ(body["type"], "workflow.run.completed");
  EXPECT_EQ(body["data"]["run"], run.id);
  EXPECT_EQ(body["data"]["startedBy"], "tester");
  EXPECT_EQ(sent.addresses, http::AddressRule::kPublic);
  const std::string time(sent.headers.Get("webhook-timestamp"));
  EXPECT_TRUE(CheckSignature(*SecretBytes(kSecret), sent.headers.Get("webhook-id"), time,
                             sent.headers.Get("webhook-signature"), sent.body, std::stoll(time), 1)
                  .ok());
}

TEST_P(WebhookSenderTest, OnlyWhatIsAskedForAndOnlyWhatTheOwnerMaySee) {
  Add("wh_failed", {"failed"});
  Add("wh_other", {}, "somebody-else");
  Add("wh_one", {}, "tester", "good");
  StartAll();
  Run("good", "s.good");
  Run("bad", "s.bad");
  engine_.TurnUntil([&] { return AllEnded("wh_failed", 1) && AllEnded("wh_one", 1); });
  EXPECT_EQ(Deliveries("wh_failed")[0].state, "failed");
  EXPECT_NE(Deliveries("wh_failed")[0].payload.find("broken"), std::string::npos);
  EXPECT_TRUE(Deliveries("wh_other").empty());
  EXPECT_EQ(Deliveries("wh_one")[0].state, "completed");
}

TEST_P(WebhookSenderTest, AnApprovalThatIsWaitedForIsTold) {
  RecordProperty("req", "M-FR-007.2");
  Add("wh_1", {"waiting"});
  StartAll();
  engine_.Store(R"({"name":"asks","steps":[{"id":"ok","approval":{"title":"Really?"}}]})");
  engine_.Start("asks");
  engine_.TurnUntil([&] { return AllEnded("wh_1", 1); });
  const Json body = Json::parse(http_.requests.at(0).body);
  EXPECT_EQ(body["type"], "workflow.run.waiting");
  EXPECT_EQ(body["data"]["pending"][0]["detail"]["title"], "Really?");
}

TEST_P(WebhookSenderTest, ItIsSentAgainUntilItIsTakenOrGivenUp) {
  RecordProperty("req", "M-FR-023");
  http_.answers = {500, 0, 204};
  Add("wh_1");
  StartAll();
  Run("good", "s.good");
  engine_.TurnUntil([&] { return AllEnded("wh_1", 1); });
  DeliveryRow row = Deliveries("wh_1")[0];
  EXPECT_EQ(row.status, "delivered");
  EXPECT_EQ(row.attempts, 3);
  EXPECT_EQ(http_.requests.size(), 3u);
  for (const auto& request : http_.requests) {
    EXPECT_EQ(request.headers.Get("webhook-id"), row.id);
  }
  http_.answers = {503};
  Run("good", "s.good");
  engine_.TurnUntil([&] { return AllEnded("wh_1", 2); });
  row = Deliveries("wh_1")[0];
  EXPECT_EQ(row.status, "failed");
  EXPECT_EQ(row.attempts, 3);
  EXPECT_EQ(row.error, "HTTP status 503");
  http_.answers = {410};
  Run("good", "s.good");
  engine_.TurnUntil([&] { return AllEnded("wh_1", 3); });
  EXPECT_EQ(Deliveries("wh_1")[0].attempts, 1);
}

TEST_P(WebhookSenderTest, WhatAProcessLeavesIsSentByTheNext) {
  Add("wh_1");
  Run("good", "s.good");
  EXPECT_TRUE(Deliveries("wh_1").empty());
  StartAll();
  engine_.TurnUntil([&] { return AllEnded("wh_1", 1); });
  EXPECT_EQ(http_.requests.size(), 1u);
}

TEST_P(WebhookSenderTest, AMessageIsTakenOnceWithItsEvent) {
  HookRow hook;
  hook.id = "h1";
  hook.tenant = "default";
  EXPECT_TRUE(store().PutHook(hook).ok());
  EXPECT_TRUE(*store().TakeMessage(hook, "m1", R"({"type":"order"})", 1000, 0));
  EXPECT_FALSE(*store().TakeMessage(hook, "m1", R"({"type":"order"})", 1001, 0));
  EXPECT_EQ(engine_.store().ReadBus("default", 0, 10)->size(), 1u);
  EXPECT_EQ(store().GetHook("h1")->received, 1);
  // What is older than the time that is accepted is forgotten.
  EXPECT_TRUE(*store().TakeMessage(hook, "m1", "", 5000, 2000));
}

INSTANTIATE_TEST_SUITE_P(Databases, WebhookSenderTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres));

}  // namespace
}  // namespace metamcp::workflow
