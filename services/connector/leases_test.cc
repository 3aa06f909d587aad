#include "services/connector/leases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async/run.h"
#include "common/base/ids.h"

namespace metamcp::connector {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace directory_pb = metamcp::catalog::v1;

// Gives what is free to whoever asks.
class FakeDirectory final : public directory_pb::DirectoryService {
 public:
  Awaitable<absl::StatusOr<directory_pb::TakeUpstreamsResponse>> TakeUpstreams(
      const CallContext&, directory_pb::TakeUpstreamsRequest request) override {
    if (!status.ok()) co_return status;
    for (const std::string& id : request.release_ids()) owners.erase(id);
    directory_pb::TakeUpstreamsResponse response;
    for (const std::string& id : request.take_ids()) {
      if (owners[id].empty()) owners[id] = request.instance();
      Add(response, id);
    }
    for (const std::string& id : request.ask_ids()) Add(response, id);
    co_return response;
  }
  Awaitable<absl::StatusOr<directory_pb::AnnounceResponse>> Announce(
      const CallContext&, directory_pb::AnnounceRequest) override {
    co_return absl::UnimplementedError("");
  }
  Awaitable<absl::StatusOr<directory_pb::MarkSessionsResponse>> MarkSessions(
      const CallContext&, directory_pb::MarkSessionsRequest) override {
    co_return absl::UnimplementedError("");
  }
  Awaitable<absl::StatusOr<directory_pb::ListSessionMarksResponse>> ListSessionMarks(
      const CallContext&, directory_pb::ListSessionMarksRequest) override {
    co_return absl::UnimplementedError("");
  }

  std::map<std::string, std::string> owners;
  absl::Status status;

 private:
  void Add(directory_pb::TakeUpstreamsResponse& response, const std::string& id) {
    directory_pb::UpstreamLease& lease = *response.add_leases();
    lease.set_upstream_id(id);
    lease.set_owner(owners[id]);
  }
};

class LeasesTest : public ::testing::Test {
 protected:
  void Alive(const std::vector<std::string>& instances, int64_t since_us) {
    std::vector<cluster::Member> alive;
    for (const std::string& instance : instances) {
      cluster::Member& member = alive.emplace_back();
      member.instance = instance;
      member.roles = {"connector"};
      member.since_us = since_us;
    }
    members_.Replace(std::move(alive));
  }
  absl::StatusOr<Leases::Verdict> Ask(Leases::Wishes wishes) {
    absl::StatusOr<Leases::Verdict> verdict;
    boost::asio::co_spawn(io_, leases_.Ask(std::move(wishes)),
                          [&](std::exception_ptr, auto v) { verdict = std::move(v); });
    io_.restart();
    io_.run();
    return verdict;
  }
  // An upstream that should run at `instance`, by the hash.
  std::string For(const std::string& instance) {
    const std::vector<cluster::Member> alive = members_.With("connector");
    for (int i = 0;; ++i) {
      std::string id = "u" + std::to_string(i);
      const auto* winner = cluster::RendezvousWinner(id, alive);
      if (winner->instance == instance) return id;
    }
  }

  boost::asio::io_context io_;
  cluster::Members members_{"aaaaaaaaaaaa", true};
  FakeDirectory directory_;
  Leases leases_{&members_, &directory_};
};

TEST_F(LeasesTest, StartsItsOwnAndKnowsWhoHasTheOthers) {
  Alive({"aaaaaaaaaaaa", "bbbbbbbbbbbb"}, 0);
  const std::string mine = For("aaaaaaaaaaaa");
  const std::string theirs = For("bbbbbbbbbbbb");
  Leases::Wishes wishes;
  wishes.desired = {mine, theirs};
  auto verdict = Ask(wishes);
  ASSERT_TRUE(verdict.ok());
  EXPECT_THAT(verdict->start, ElementsAre(mine));
  EXPECT_EQ(leases_.OwnerOf(theirs), "");
  directory_.owners[theirs] = "bbbbbbbbbbbb";
  wishes.running = {mine};
  verdict = Ask(wishes);
  EXPECT_THAT(verdict->start, IsEmpty());
  EXPECT_EQ(leases_.OwnerOf(theirs), "bbbbbbbbbbbb");
}

TEST_F(LeasesTest, StopsWhatSomebodyElseHas) {
  Alive({"aaaaaaaaaaaa"}, 0);
  Leases::Wishes wishes;
  wishes.desired = {"u1"};
  wishes.running = {"u1"};
  directory_.owners["u1"] = "bbbbbbbbbbbb";
  const auto verdict = Ask(wishes);
  EXPECT_THAT(verdict->stop, ElementsAre("u1"));
}

TEST_F(LeasesTest, MovesWhatIsIdleToWhoHasSettled) {
  Alive({"aaaaaaaaaaaa", "bbbbbbbbbbbb"}, NowMicros());
  const std::string theirs = For("bbbbbbbbbbbb");
  directory_.owners[theirs] = "aaaaaaaaaaaa";
  Leases::Wishes wishes;
  wishes.desired = {theirs};
  wishes.running = {theirs};
  EXPECT_THAT(Ask(wishes)->move, IsEmpty());  // it has just come
  Alive({"aaaaaaaaaaaa", "bbbbbbbbbbbb"}, 0);
  wishes.busy = {theirs};
  EXPECT_THAT(Ask(wishes)->move, IsEmpty());
  wishes.busy.clear();
  EXPECT_THAT(Ask(wishes)->move, ElementsAre(theirs));
  EXPECT_EQ(directory_.owners[theirs], "aaaaaaaaaaaa");  // until it has ended
  wishes.running.clear();
  wishes.ended = {theirs};
  EXPECT_THAT(Ask(wishes)->start, IsEmpty());
  EXPECT_EQ(directory_.owners[theirs], "");
}

TEST_F(LeasesTest, ASilentDirectoryChangesNothing) {
  Alive({"aaaaaaaaaaaa"}, 0);
  directory_.status = absl::UnavailableError("no database");
  Leases::Wishes wishes;
  wishes.desired = {"u1"};
  wishes.running = {"u1"};
  EXPECT_FALSE(Ask(wishes).ok());
}

TEST_F(LeasesTest, AloneWithoutACluster) {
  cluster::Members one("aaaaaaaaaaaa", false);
  EXPECT_TRUE(Leases(&one, &directory_).alone());
  EXPECT_TRUE(Leases(nullptr, nullptr).alone());
  EXPECT_FALSE(leases_.alone());
}

}  // namespace
}  // namespace metamcp::connector
