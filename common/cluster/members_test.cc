#include "common/cluster/members.h"

#include <google/protobuf/empty.pb.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <set>

#include "common/base/error.h"
#include "common/cluster/peer_channels.h"
#include "common/cluster/role_channel.h"

namespace metamcp::cluster {
namespace {

Member MakeMember(const std::string& instance, std::vector<std::string> roles) {
  Member member;
  member.instance = instance;
  member.address = "h:" + instance;
  member.roles = std::move(roles);
  return member;
}

TEST(MembersTest, AreFoundByInstanceAndRole) {
  Members members("a", true);
  int changes = 0;
  members.OnChange([&changes] { ++changes; });
  const std::vector<Member> both = {MakeMember("b", {"connector", "gateway"}),
                                    MakeMember("a", {"gateway"})};
  members.Replace(both);
  members.Replace(both);
  EXPECT_EQ(changes, 1);
  ASSERT_NE(members.Find("b"), nullptr);
  EXPECT_EQ(members.Find("c"), nullptr);
  ASSERT_EQ(members.With("gateway").size(), 2u);
  EXPECT_EQ(members.With("gateway")[0].instance, "a");
  EXPECT_EQ(members.With("connector").size(), 1u);
  members.Replace({});
  EXPECT_EQ(members.Find("a"), nullptr);
  EXPECT_EQ(changes, 2);
}

TEST(MembersTest, AnUnknownInstanceIsAskedForOnceForAllWhoWait) {
  boost::asio::io_context io;
  Members members("a", true);
  const std::string late = NewInstanceId();
  ASSERT_TRUE(IsInstanceId(late));
  int asked = 0;
  members.refresh = [&]() -> Awaitable<void> {
    ++asked;
    members.Replace({MakeMember(late, {"gateway"})});
    co_return;
  };
  const auto look = [&io, &members](const std::vector<std::string>& instances) {
    int found = 0;
    for (const std::string& instance : instances) {
      boost::asio::co_spawn(
          io, members.Look(instance),
          [&found](std::exception_ptr, std::optional<Member> m) { found += m ? 1 : 0; });
    }
    io.restart();
    io.run();
    return found;
  };
  EXPECT_EQ(look({"no instance"}), 0);
  EXPECT_EQ(asked, 0);
  // Those who come while the directory is asked wait for its answer.
  EXPECT_EQ(look({late, late, late}), 3);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(look({"000000000000", "000000000001", late}), 1);
  EXPECT_EQ(asked, 2);
}

TEST(RendezvousTest, OneMoreMovesOnlyItsShare) {
  std::vector<Member> two = {MakeMember("a", {}), MakeMember("b", {})};
  std::vector<Member> three = two;
  three.push_back(MakeMember("c", {}));
  const std::vector<Member> none;
  EXPECT_EQ(RendezvousWinner("x", none), nullptr);
  std::set<std::string> seen;
  int moved = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string key = std::to_string(i);
    const std::string before = RendezvousWinner(key, two)->instance;
    const std::string after = RendezvousWinner(key, three)->instance;
    seen.insert(before);
    if (before == after) continue;
    EXPECT_EQ(after, "c");
    ++moved;
  }
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(moved, 50);
  EXPECT_LT(moved, 150);
}

// Each member is tried; a call that none has begun says so.
TEST(RoleChannelTest, NobodyIsThereOrAnswers) {
  Members members("self", true);
  int asked = 0;
  members.refresh = [&asked]() -> Awaitable<void> {
    ++asked;
    co_return;
  };
  PeerChannels channels(members, rpc::ChannelOptions());
  RoleChannel channel(members, channels, "workflow");
  std::string message;
  const auto reason = [&] {
    CallContext ctx;
    ctx.deadline = CallContext::Clock::now() + std::chrono::milliseconds(700);
    const rpc::MethodInfo method{"M", "/p.S/M", false, nullptr, nullptr};
    google::protobuf::Empty request, response;
    std::string out;
    boost::asio::io_context io;
    boost::asio::co_spawn(io, channel.Unary(ctx, method, request, response),
                          [&](std::exception_ptr, absl::Status status) {
                            message = std::string(status.message());
                            const auto info = GetErrorInfo(status);
                            out = info ? info->reason : status.ToString();
                          });
    io.run();
    return out;
  };
  EXPECT_EQ(reason(), "SERVICE_UNREACHABLE");
  EXPECT_GT(asked, 0);
  // Others' roles do not count, nor does an address where nobody listens.
  Member gateway = MakeMember("b", {"gateway"});
  Member gone = MakeMember("c", {"workflow"});
  gone.address = "127.0.0.1:1";
  members.Replace({gateway, gone});
  // The caller's time may end while that address is tried.
  const std::string other = reason();
  EXPECT_TRUE(other == "SERVICE_UNREACHABLE" || other.starts_with("DEADLINE_EXCEEDED")) << other;
  if (other == "SERVICE_UNREACHABLE") {
    EXPECT_NE(message.find("127.0.0.1:1"), std::string::npos)
        << "what the last one said: " << message;
  }
}

}  // namespace
}  // namespace metamcp::cluster
