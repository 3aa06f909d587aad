#include "gateway/routing/connectors.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>

#include "common/async/run.h"
#include "common/base/error.h"

namespace metamcp::gateway {
namespace {

using provider::v1::CallRequest;
using provider::v1::CallResponse;

// Answers every call with one status, after a result if it is OK.
class FakeConnector final : public provider::v1::ProviderService,
                            public connector::v1::ConnectorService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, CallRequest request,
                               Sink<CallResponse>& sink) override {
    calls.push_back(std::move(request));
    if (!answer.ok()) co_return answer;
    CallResponse event;
    event.mutable_result()->set_data(name);
    event.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(event));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>& sink) override {
    ++listens;
    if (!refusals.empty()) {
      const absl::Status refusal = refusals.front();
      refusals.pop_front();
      co_return refusal;
    }
    provider::v1::ListenResponse event;
    event.mutable_ack();
    (void)co_await sink.Write(std::move(event));
    co_return answer;
  }
  Awaitable<absl::StatusOr<connector::v1::ListConnectionsResponse>> ListConnections(
      const CallContext&, connector::v1::ListConnectionsRequest) override {
    if (!admin.ok()) co_return admin;
    connector::v1::ListConnectionsResponse response;
    response.add_connections()->set_name(name);
    co_return response;
  }
  Awaitable<absl::StatusOr<connector::v1::RestartUpstreamResponse>> RestartUpstream(
      const CallContext&, connector::v1::RestartUpstreamRequest) override {
    ++restarts;
    if (!admin.ok()) co_return admin;
    co_return connector::v1::RestartUpstreamResponse();
  }
  Awaitable<absl::StatusOr<connector::v1::GetLogsResponse>> GetLogs(
      const CallContext&, connector::v1::GetLogsRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::DiagnoseUpstreamResponse>> DiagnoseUpstream(
      const CallContext&, connector::v1::DiagnoseUpstreamRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::ProbeUpstreamResponse>> ProbeUpstream(
      const CallContext&, connector::v1::ProbeUpstreamRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::BeginLoginResponse>> BeginLogin(
      const CallContext&, connector::v1::BeginLoginRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::FinishLoginResponse>> FinishLogin(
      const CallContext&, connector::v1::FinishLoginRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::LogoutResponse>> Logout(
      const CallContext&, connector::v1::LogoutRequest) override {
    co_return admin;
  }
  Awaitable<absl::StatusOr<connector::v1::SetSecretResponse>> SetSecret(
      const CallContext&, connector::v1::SetSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<connector::v1::ListSecretsResponse>> ListSecrets(
      const CallContext&, connector::v1::ListSecretsRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }
  Awaitable<absl::StatusOr<connector::v1::RemoveSecretResponse>> RemoveSecret(
      const CallContext&, connector::v1::RemoveSecretRequest) override {
    co_return absl::UnimplementedError("not asked for here");
  }

  std::string name;
  absl::Status answer;
  std::deque<absl::Status> refusals;  // of Listen, before it acknowledges
  absl::Status admin;
  std::vector<CallRequest> calls;
  int listens = 0;
  int restarts = 0;
};

class TextSink final : public Sink<CallResponse> {
 public:
  Awaitable<absl::Status> Write(CallResponse event) override {
    text += event.result().data();
    co_return absl::OkStatus();
  }
  std::string text;
};

absl::Status NotOwner(const std::string& owner) {
  return MakeError("NOT_OWNER", "connector", "another one", {{"owner", owner}});
}

class ConnectorsTest : public ::testing::Test {
 protected:
  ConnectorsTest() {
    for (size_t i = 0; i < fakes_.size(); ++i) {
      fakes_[i] = std::make_shared<FakeConnector>();
      fakes_[i]->name = names_[i];
    }
    ConnectorClient none;
    auto dial = [this](const cluster::Member& member) -> absl::StatusOr<ConnectorClient> {
      const auto& fake = fakes_[member.instance == names_[0] ? 0 : 1];
      return ConnectorClient{fake, fake};
    };
    connectors_ = std::make_unique<Connectors>(members_, none, std::move(dial));
    Alive({names_[0], names_[1]});
    const std::vector<cluster::Member> alive = members_.With("connector");
    const std::string winner = cluster::RendezvousWinner("u1", alive)->instance;
    hinted_ = fakes_[winner == names_[0] ? 0 : 1];
    other_ = fakes_[winner == names_[0] ? 1 : 0];
  }
  void Alive(const std::vector<std::string>& instances) {
    std::vector<cluster::Member> alive;
    for (const std::string& instance : instances) {
      cluster::Member& member = alive.emplace_back();
      member.instance = instance;
      member.roles = {"connector"};
    }
    members_.Replace(std::move(alive));
  }
  // The text, or the reason or code of the failure.
  std::string Call(const std::string& owner = "",
                   std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    CallRequest request;
    request.set_upstream_id("u1");
    request.set_owner(owner);
    TextSink sink;
    CallContext ctx;
    ctx.deadline = CallContext::Clock::now() + limit;
    absl::Status status;
    boost::asio::co_spawn(io_, connectors_->Call(ctx, std::move(request), sink),
                          [&status](std::exception_ptr, absl::Status s) { status = s; });
    io_.restart();
    io_.run();
    if (status.ok()) return sink.text;
    const auto info = GetErrorInfo(status);
    return info ? info->reason : std::string(absl::StatusCodeToString(status.code()));
  }

  std::string Listen() {
    class AckSink final : public Sink<provider::v1::ListenResponse> {
     public:
      Awaitable<absl::Status> Write(provider::v1::ListenResponse) override {
        ++acks;
        co_return absl::OkStatus();
      }
      int acks = 0;
    } sink;
    provider::v1::ListenRequest request;
    request.set_upstream_id("u1");
    CallContext ctx;
    ctx.deadline = CallContext::Clock::now() + std::chrono::hours(1);
    absl::Status status;
    boost::asio::co_spawn(io_, connectors_->Listen(ctx, std::move(request), sink),
                          [&status](std::exception_ptr, absl::Status s) { status = s; });
    io_.restart();
    io_.run();
    return std::string(absl::StatusCodeToString(status.code())) + ", acknowledged " +
           std::to_string(sink.acks) + " times";
  }

  boost::asio::io_context io_;
  cluster::Members members_{"ffffffffffff", true};
  const std::array<std::string, 2> names_ = {"aaaaaaaaaaaa", "bbbbbbbbbbbb"};
  std::array<std::shared_ptr<FakeConnector>, 2> fakes_;
  std::shared_ptr<FakeConnector> hinted_, other_;
  std::unique_ptr<Connectors> connectors_;
};

TEST_F(ConnectorsTest, FollowsTheNamedOwnerAndRemembersIt) {
  hinted_->answer = NotOwner(other_->name);
  EXPECT_EQ(Call(), other_->name);
  EXPECT_EQ(Call(), other_->name);
  EXPECT_EQ(hinted_->calls.size(), 1u);
  // When that one is gone, the next call asks anew.
  Alive({hinted_->name});
  hinted_->answer = absl::OkStatus();
  EXPECT_EQ(Call(), hinted_->name);
}

TEST_F(ConnectorsTest, WaitsForAnUpstreamThatChangesHandsButNotForEver) {
  hinted_->answer = NotOwner("");
  other_->answer = NotOwner("");
  EXPECT_EQ(Call("", std::chrono::milliseconds(250)), "UPSTREAM_UNAVAILABLE");
  EXPECT_GE(hinted_->calls.size(), 2u);
  EXPECT_TRUE(other_->calls.empty());
}

TEST_F(ConnectorsTest, WaitsForAConnectorThatHasNotBeenToldOfTheUpstreamYet) {
  hinted_->answer =
      MakeError("NOT_FOUND", "connector", "this connector does not have that upstream");
  EXPECT_EQ(Call("", std::chrono::milliseconds(250)), "NOT_FOUND");
  EXPECT_GE(hinted_->calls.size(), 2u);
  EXPECT_TRUE(other_->calls.empty());
}

TEST_F(ConnectorsTest, AWatchFindsItsServerWhileItChangesHands) {
  RecordProperty("req", "M-FR-001.2");
  // Whose it is is not known yet; then it is the other's, whose process is still on its way.
  hinted_->refusals = {NotOwner(""), NotOwner(other_->name)};
  other_->refusals = {MakeError("SERVICE_UNREACHABLE", "gateway", "not yet")};
  hinted_->refusals.push_back(NotOwner(other_->name));
  EXPECT_EQ(Listen(), "OK, acknowledged 1 times");
  EXPECT_EQ(other_->listens, 2);
}

TEST_F(ConnectorsTest, AWatchFollowsAServerThatMoves) {
  hinted_->answer = NotOwner(other_->name);
  EXPECT_EQ(Listen(), "OK, acknowledged 2 times");
  hinted_->answer = absl::UnavailableError("the connection broke");
  Alive({hinted_->name});
  EXPECT_EQ(Listen(), "UNAVAILABLE, acknowledged 1 times") << "who listens begins again";
}

TEST_F(ConnectorsTest, TwoThatNameEachOtherAreNoLoop) {
  hinted_->answer = NotOwner(other_->name);
  other_->answer = NotOwner(hinted_->name);
  EXPECT_EQ(Call("", std::chrono::milliseconds(250)), "UPSTREAM_UNAVAILABLE");
  EXPECT_LT(hinted_->calls.size() + other_->calls.size(), 20u);
}

TEST_F(ConnectorsTest, WhatMayHaveBeenReceivedIsNotSentAgain) {
  hinted_->answer = absl::UnavailableError("the connection broke");
  EXPECT_EQ(Call(), "UNAVAILABLE");
  EXPECT_EQ(hinted_->calls.size(), 1u);
  EXPECT_TRUE(other_->calls.empty());
  // From then on it is asked first whether it answers at all.
  hinted_->admin = absl::UnavailableError("still broken");
  EXPECT_EQ(Call("", std::chrono::milliseconds(250)), "UPSTREAM_UNAVAILABLE");
  EXPECT_EQ(hinted_->calls.size(), 1u);
  hinted_->admin = hinted_->answer = absl::OkStatus();
  EXPECT_EQ(Call(), hinted_->name);
}

TEST_F(ConnectorsTest, ARetryGoesToItsOwnerOnly) {
  EXPECT_EQ(Call(other_->name), other_->name);
  EXPECT_TRUE(hinted_->calls.empty());
  other_->answer = absl::UnavailableError("gone");
  EXPECT_EQ(Call(other_->name), "CALL_OWNER_LOST");
  EXPECT_EQ(Call("cccccccccccc"), "CALL_OWNER_LOST");
  members_.silent = true;  // nobody can say that it is gone
  EXPECT_EQ(Call("cccccccccccc"), "UPSTREAM_UNAVAILABLE");
  EXPECT_TRUE(hinted_->calls.empty());
}

TEST_F(ConnectorsTest, NobodyIsThere) {
  Alive({});
  EXPECT_EQ(Call("", std::chrono::milliseconds(250)), "UPSTREAM_UNAVAILABLE");
  // One that comes meanwhile is taken.
  boost::asio::steady_timer later(io_, std::chrono::milliseconds(150));
  later.async_wait([this](const auto&) { Alive({hinted_->name}); });
  EXPECT_EQ(Call(), hinted_->name);
}

TEST_F(ConnectorsTest, WhatNobodyHasBegunWaitsForWhoeverIsNext) {
  RecordProperty("req", "P3-Ops-8");
  for (const char* reason : {"SERVICE_UNREACHABLE", "SHUTTING_DOWN"}) {
    Alive({names_[0], names_[1]});
    hinted_->answer = hinted_->admin =
        MakeError(reason, "gateway", "not here", {{"refused_by", "service"}});
    boost::asio::steady_timer later(io_, std::chrono::milliseconds(150));
    later.async_wait([this](const auto&) { Alive({other_->name}); });
    EXPECT_EQ(Call(), other_->name) << reason;
  }
  EXPECT_EQ(Call(hinted_->name), "CALL_OWNER_LOST");
}

TEST_F(ConnectorsTest, OperatorsSeeAllOfThemAsOne) {
  CallContext ctx;
  absl::StatusOr<connector::v1::ListConnectionsResponse> listed;
  absl::StatusOr<connector::v1::RestartUpstreamResponse> restarted;
  fakes_[0]->admin = MakeError("NOT_FOUND", "connector", "no such server");
  boost::asio::co_spawn(io_, connectors_->RestartUpstream(ctx, {}),
                        [&](std::exception_ptr, auto r) { restarted = std::move(r); });
  io_.run();
  EXPECT_TRUE(restarted.ok()) << restarted.status();
  EXPECT_EQ(fakes_[0]->restarts + fakes_[1]->restarts, 2);
  fakes_[0]->admin = absl::OkStatus();
  boost::asio::co_spawn(io_, connectors_->ListConnections(ctx, {}),
                        [&](std::exception_ptr, auto r) { listed = std::move(r); });
  io_.restart();
  io_.run();
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->connections_size(), 2);
  EXPECT_EQ(listed->connections(0).name(), names_[0]);
}

}  // namespace
}  // namespace metamcp::gateway
