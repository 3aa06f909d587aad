// What was subscribed to ends with the right to it.
#include "gateway/protocol/subscriptions.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>

#include "gateway/access/access_fixture.h"

namespace metamcp::gateway {
namespace {

// Takes every subscription and keeps it.
class HoldingProvider final : public provider::v1::ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest,
                               Sink<provider::v1::CallResponse>&) override {
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest request,
                                 Sink<provider::v1::ListenResponse>& sink) override {
    provider::v1::ListenResponse ack;
    for (const std::string& uri : request.resource_uris()) {
      ack.mutable_ack()->add_resource_uris(uri);
    }
    const absl::Status sent = co_await sink.Write(std::move(ack));
    if (!sent.ok()) co_return sent;
    boost::asio::steady_timer never(co_await boost::asio::this_coro::executor,
                                    boost::asio::steady_timer::time_point::max());
    ++running;
    co_await never.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    --running;
    co_return absl::CancelledError();
  }
  int running = 0;
};

class Holding final : public ProviderDirectory {
 public:
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return &provider; }
  HoldingProvider provider;
};

class RightsTest : public AccessTest {
 protected:
  RightsTest() : hub_(io_.get_executor(), mirror_, holding_) {
    Check(false);
    ListInterest interest;
    interest.virtual_server = "default";
    interest.principal = Ada();
    interest.tools = true;
    interest.changed = [this](std::string_view) { ++told_; };
    interest.closing = [this] { ++closed_; };
    token_ = hub_.AddInterest(std::move(interest));
  }
  std::shared_ptr<const Principal> Ada() const { return std::make_shared<Principal>(who_); }
  std::unique_ptr<ResourceWatch> Watch() {
    auto watch = hub_.Watch(view(), "file:///a", "s", "{}", Ada(), [](const std::string&) {});
    EXPECT_TRUE(watch.ok()) << watch.status();
    Poll();
    return watch.ok() ? *std::move(watch) : nullptr;
  }
  void Check(bool rules) { hub_.CheckRights(&guard_, mirror_.snapshot(), rules); }
  void Poll() {
    io_.restart();
    io_.poll();
  }
  void Share(int upstream, const std::string& visibility, const std::string& team) {
    state_.mutable_upstreams(upstream)->mutable_meta()->set_visibility(visibility);
    state_.mutable_upstreams(upstream)->mutable_meta()->set_team(team);
    mirror_.Apply(state_);
  }

  Holding holding_;
  SubscriptionHub hub_;
  std::shared_ptr<void> token_;
  int told_ = 0;
  int closed_ = 0;
};

TEST_F(RightsTest, ARuleThatDeniesEndsTheWatchAndAnotherDoesNot) {
  const auto watch = Watch();
  EXPECT_EQ(holding_.provider.running, 1);
  guard_.SetPolicy(PolicyOf("deny tools if tool = git.push"));
  Check(true);
  Poll();
  EXPECT_FALSE(watch->ended());
  guard_.SetPolicy(PolicyOf("deny files if resource ~ file:*"));
  Check(true);
  Poll();
  EXPECT_TRUE(watch->ended());
  EXPECT_EQ(holding_.provider.running, 0);
}

TEST_F(RightsTest, AServerThatIsSharedWithOthersOnlyIsHeardOfNoMore) {
  const auto watch = Watch();
  mirror_.Apply(state_);
  Check(false);
  EXPECT_FALSE(watch->ended());
  const int before = told_;
  Share(0, "team", "core");
  Check(false);
  Poll();
  EXPECT_TRUE(watch->ended());
  // Its lists are shorter, and the client hears of it.
  EXPECT_GT(told_, before);
  EXPECT_EQ(closed_, 0);
}

TEST_F(RightsTest, AVirtualServerThatIsGoneForOneClosesItsStream) {
  const auto watch = Watch();
  state_.mutable_views(0)->set_visibility("team");
  state_.mutable_views(0)->set_team("core");
  mirror_.Apply(state_);
  Check(false);
  Poll();
  EXPECT_TRUE(watch->ended());
  EXPECT_EQ(closed_, 1);
}

}  // namespace
}  // namespace metamcp::gateway
