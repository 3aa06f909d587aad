#include "services/catalog/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <deque>

#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::UnorderedElementsAre;

// What a gateway holds, built from the messages by the contract alone.
struct Gateway {
  int64_t revision = 0;
  std::map<std::string, pb::Upstream> upstreams;
  std::map<std::string, pb::Item> items;
  std::map<std::string, pb::VirtualServerView> views;
  std::set<std::string> batch_views;
  int batches = 0;
  int begins = 0;
  int messages = 0;
  size_t largest = 0;
  size_t views_seen = 0;

  void Take(const pb::WatchCatalogResponse& m) {
    ++messages;
    largest = std::max(largest, m.ByteSizeLong());
    if (m.begin()) {
      ++begins;
      upstreams.clear();
      items.clear();
      views.clear();
    }
    for (const auto& id : m.removed_upstream_ids()) upstreams.erase(id);
    for (const auto& id : m.removed_item_ids()) items.erase(id);
    for (const auto& name : m.removed_views()) views.erase(name);
    for (const auto& u : m.upstreams()) upstreams[u.meta().id()] = u;
    for (const auto& i : m.items()) items[i.id()] = i;
    for (const auto& v : m.views()) {
      ++views_seen;
      if (batch_views.insert(v.name()).second) {
        views[v.name()] = v;
      } else {
        views[v.name()].mutable_items()->MergeFrom(v.items());
      }
    }
    if (!m.end()) return;
    ++batches;
    batch_views.clear();
    revision = m.revision();
  }
  std::vector<std::string> Names(const std::string& view) const {
    std::vector<std::string> out;
    const auto it = views.find(view);
    if (it == views.end()) return out;
    for (const auto& item : it->second.items()) {
      out.push_back(item.name());
      EXPECT_EQ(items.count(item.item_id()), 1u) << item.name();
    }
    return out;
  }
};

// A sink that a test can hold back.
template <typename Message>
class GateSink final : public Sink<Message> {
 public:
  GateSink(boost::asio::io_context& io, std::function<void(const Message&)> take)
      : signal_(io.get_executor()), take_(std::move(take)) {}
  Awaitable<absl::Status> Write(Message message) override {
    ++waiting;
    while (closed) co_await signal_.Wait();
    --waiting;
    if (broken) co_return absl::CancelledError("nobody reads");
    take_(message);
    co_return absl::OkStatus();
  }
  void Open() {
    closed = false;
    signal_.Notify();
  }
  bool closed = false;
  bool broken = false;
  int waiting = 0;

 private:
  Signal signal_;
  std::function<void(const Message&)> take_;
};

class Watcher {
 public:
  Watcher(Fixture& f, int64_t revision)
      : f_(f), sink(f.io, [this](const pb::WatchCatalogResponse& m) { gateway.Take(m); }) {
    boost::asio::co_spawn(f.io, WatchCatalog(*f.registry, revision, sink),
                          boost::asio::bind_cancellation_slot(
                              cancel.slot(), [this](std::exception_ptr e, absl::Status s) {
                                ended = true;
                                threw = e != nullptr;
                                status = s;
                              }));
    Settle();
  }
  ~Watcher() {
    cancel.emit(boost::asio::cancellation_type::terminal);
    sink.Open();
    Settle();
    EXPECT_TRUE(ended);
  }
  void Settle() {
    f_.io.restart();
    f_.io.poll();
  }

 private:
  Fixture& f_;

 public:
  Gateway gateway;
  GateSink<pb::WatchCatalogResponse> sink;
  boost::asio::cancellation_signal cancel;
  bool ended = false;
  bool threw = false;
  absl::Status status;
};

TEST(WatchTest, ALateJoinerGetsEverythingAndThenChanges) {
  RecordProperty("req", "M-FR-004.3");
  Fixture f;
  pb::Upstream secret = MakeUpstream("git");
  (*secret.mutable_spec()->mutable_env())["TOKEN"] = "s3cret";
  (*secret.mutable_spec()->mutable_headers())["Authorization"] = "s3cret";
  const std::string id = f.AddUpstream(secret);
  f.Report(id, {MakeTool("a"), MakeItem(pb::ITEM_KIND_TOOL, "broken", "{}")});
  f.Flush();
  Watcher w(f, 0);
  EXPECT_EQ(w.gateway.begins, 1);
  EXPECT_EQ(w.gateway.revision, f.registry->model().head());
  EXPECT_THAT(w.gateway.Names("default"), ElementsAre("git__a"));
  EXPECT_EQ(w.gateway.items.size(), 1u);
  EXPECT_THAT(w.gateway.upstreams.at(id).spec().env(), IsEmpty());
  EXPECT_THAT(w.gateway.upstreams.at(id).spec().headers(), IsEmpty());
  f.Report(id, {MakeTool("a"), MakeTool("b")});
  f.Flush();
  w.Settle();
  EXPECT_EQ(w.gateway.begins, 1);
  EXPECT_THAT(w.gateway.Names("default"), ElementsAre("git__a", "git__b"));
  f.Report(id, {MakeTool("b")});
  f.Flush();
  w.Settle();
  EXPECT_THAT(w.gateway.Names("default"), ElementsAre("git__b"));
  EXPECT_EQ(w.gateway.items.size(), 1u);
  ASSERT_TRUE(Await(f.io, f.registry->DeleteUpstream("git", "")).ok());
  f.Flush();
  w.Settle();
  EXPECT_THAT(w.gateway.upstreams, IsEmpty());
  EXPECT_THAT(w.gateway.items, IsEmpty());
}

TEST(WatchTest, AChangedStateSendsOnlyTheUpstream) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("a")});
  f.Flush();
  Watcher w(f, 0);
  w.gateway.views.clear();
  w.gateway.items.clear();
  pb::ReportRequest request;
  request.set_upstream_id(id);
  request.mutable_status()->set_state("open");
  ASSERT_TRUE(Await(f.io, f.registry->Report(request)).ok());
  f.Flush();
  w.Settle();
  EXPECT_EQ(w.gateway.upstreams.at(id).status().state(), "open");
  EXPECT_THAT(w.gateway.views, IsEmpty());
  EXPECT_THAT(w.gateway.items, IsEmpty());
}

TEST(WatchTest, ResumesFromARevisionAlsoAfterARestart) {
  Fixture f;
  const std::string a = f.AddUpstream(MakeUpstream("a"));
  const std::string b = f.AddUpstream(MakeUpstream("b"));
  f.Report(a, {MakeTool("x"), MakeTool("y")});
  f.Report(b, {MakeTool("z")});
  f.Flush();
  Gateway held;
  {
    Watcher w(f, 0);
    held = w.gateway;
  }
  f.Report(a, {MakeTool("y")});
  ASSERT_TRUE(Await(f.io, f.registry->DeleteUpstream("b", "")).ok());
  f.Flush();
  f.Restart();
  Watcher w(f, held.revision);
  EXPECT_EQ(w.gateway.begins, 0);
  EXPECT_EQ(w.gateway.revision, f.registry->model().head());
  EXPECT_THAT(w.gateway.Names("none"), IsEmpty());
  EXPECT_THAT(w.gateway.items, IsEmpty());  // nothing that is held already
  Watcher ahead(f, w.gateway.revision + 100);
  EXPECT_EQ(ahead.gateway.begins, 1);  // a revision we never had
  f.registry->model().SetFloor(w.gateway.revision);
  Watcher behind(f, held.revision);
  EXPECT_EQ(behind.gateway.begins, 1);
}

TEST(WatchTest, ASlowReaderGetsTheSumOfWhatItMissed) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("t0")});
  f.Flush();
  Watcher w(f, 0);
  w.sink.closed = true;
  for (int i = 1; i <= 50; ++i) {
    f.Report(id, {MakeTool("t" + std::to_string(i))});
    f.Flush();
    w.Settle();
  }
  EXPECT_EQ(w.sink.waiting, 1);
  const int before = w.gateway.batches;
  w.sink.Open();
  w.Settle();
  EXPECT_EQ(w.gateway.batches, before + 2);  // the one in flight, and one for all the rest
  EXPECT_THAT(w.gateway.Names("default"), ElementsAre("git__t50"));
  EXPECT_EQ(w.gateway.items.size(), 1u);
}

TEST(WatchTest, SplitsIntoBoundedChunks) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("big"));
  std::vector<pb::Item> tools;
  for (int i = 0; i < 9000; ++i) {
    tools.push_back(MakeTool("tool_" + std::to_string(i),
                             ",\"description\":\"" + std::string(400, 'd') + "\""));
  }
  f.Report(id, tools);
  f.Flush();
  Watcher w(f, 0);
  EXPECT_GT(w.gateway.messages, 5);
  EXPECT_LE(w.gateway.largest, (1u << 20) + 4096);
  EXPECT_EQ(w.gateway.batches, 1);
  EXPECT_EQ(w.gateway.Names("default").size(), 9000u);
}

TEST(WatchTest, EndsWithItsReaderOrItsCaller) {
  Fixture f;
  f.AddUpstream(MakeUpstream("git"));
  Watcher broken(f, 0);
  broken.sink.broken = true;
  f.AddUpstream(MakeUpstream("docs"));
  f.Flush();
  broken.Settle();
  EXPECT_TRUE(broken.ended);
  EXPECT_EQ(broken.status.code(), absl::StatusCode::kCancelled);
  Watcher cancelled(f, 0);
  EXPECT_FALSE(cancelled.ended);
  cancelled.cancel.emit(boost::asio::cancellation_type::terminal);
  cancelled.Settle();
  EXPECT_TRUE(cancelled.ended);
}

TEST(WatchTest, VirtualServersComeAndGo) {
  RecordProperty("req", "P1-Virt-1 P1-Virt-2");
  Fixture f;
  Watcher w(f, 0);
  EXPECT_THAT(w.gateway.views, UnorderedElementsAre(Key("default")));
  f.AddServer("team", pb::VirtualServerSpec());
  f.Flush();
  w.Settle();
  EXPECT_THAT(w.gateway.views, UnorderedElementsAre(Key("default"), Key("team")));
  ASSERT_TRUE(Await(f.io, f.registry->SetServerEnabled("team", false, "t")).ok());
  f.Flush();
  w.Settle();
  EXPECT_FALSE(w.gateway.views.at("team").active());
  ASSERT_TRUE(Await(f.io, f.registry->DeleteServer("team", "")).ok());
  f.Flush();
  w.Settle();
  EXPECT_THAT(w.gateway.views, UnorderedElementsAre(Key("default")));
}

TEST(WatchTest, AChangeThatClientsDoNotSeeSendsNoView) {
  Fixture f;
  f.AddServer("dev", pb::VirtualServerSpec());
  f.Flush();
  Watcher w(f, 0);
  const int64_t before = w.gateway.revision;
  const size_t views = w.gateway.views_seen;
  pb::VirtualServer labelled;
  labelled.mutable_meta()->add_tags("for the team");
  ASSERT_TRUE(Await(f.io, f.registry->UpdateServer("dev", labelled, "ann")).ok());
  f.Flush();
  w.Settle();
  EXPECT_GT(f.registry->model().head(), before);
  EXPECT_EQ(w.gateway.views_seen, views);
  labelled.mutable_spec()->set_title("Tools for developers");
  ASSERT_TRUE(Await(f.io, f.registry->UpdateServer("dev", labelled, "ann")).ok());
  f.Flush();
  w.Settle();
  EXPECT_EQ(w.gateway.views_seen, views + 1);
}

TEST(WatchUpstreamsTest, ConnectorsSeeSpecsAndNoEcho) {
  Fixture f;
  pb::Upstream git = MakeUpstream("git");
  (*git.mutable_spec()->mutable_env())["TOKEN"] = "${TOKEN}";
  const std::string id = f.AddUpstream(git);
  std::vector<pb::WatchUpstreamsResponse> got;
  GateSink<pb::WatchUpstreamsResponse> sink(
      f.io, [&got](const pb::WatchUpstreamsResponse& m) { got.push_back(m); });
  boost::asio::cancellation_signal cancel;
  bool ended = false;
  boost::asio::co_spawn(
      f.io, WatchUpstreams(*f.registry, sink),
      boost::asio::bind_cancellation_slot(
          cancel.slot(), [&ended](std::exception_ptr, absl::Status) { ended = true; }));
  const auto settle = [&f] {
    f.Flush();
    f.io.restart();
    f.io.poll();
  };
  settle();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(got[0].begin() && got[0].end());
  EXPECT_EQ(got[0].upstreams(0).spec().env().at("TOKEN"), "${TOKEN}");
  f.Report(id, {MakeTool("x")});
  settle();
  EXPECT_EQ(got.size(), 1u);
  // One of our own services is nothing to connect to.
  ASSERT_TRUE(Await(f.io, f.registry->RegisterProvider("workflow", "Workflows", true)).ok());
  settle();
  EXPECT_EQ(got.size(), 1u);
  ASSERT_TRUE(Await(f.io, f.registry->SetUpstreamEnabled("git", false, "t")).ok());
  settle();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_FALSE(got[1].upstreams(0).enabled());
  ASSERT_TRUE(Await(f.io, f.registry->DeleteUpstream("git", "")).ok());
  settle();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[2].removed_upstream_ids(0), id);
  cancel.emit(boost::asio::cancellation_type::terminal);
  settle();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace metamcp::catalog
