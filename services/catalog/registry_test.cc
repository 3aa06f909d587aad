#include "services/catalog/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "services/catalog/convert.h"
#include "services/catalog/testing.h"
#include "services/catalog/validate.h"

namespace metamcp::catalog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : "";
}

TEST(RegistryTest, CreatesUnderTheSlugAndAnswersARepetition) {
  Fixture f;
  const auto made =
      Await(f.io, f.registry->CreateUpstream(MakeUpstream("My Server!"), "r1", "ann"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->meta().name(), "my-server");
  EXPECT_EQ(made->meta().display_name(), "My Server!");
  EXPECT_EQ(made->meta().created_by(), "ann");
  EXPECT_EQ(made->meta().origin(), "api");
  EXPECT_EQ(f.store.upstreams.size(), 1u);  // before the answer
  const auto again =
      Await(f.io, f.registry->CreateUpstream(MakeUpstream("My Server!"), "r1", "ann"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->meta().id(), made->meta().id());
  f.Restart();
  const auto later =
      Await(f.io, f.registry->CreateUpstream(MakeUpstream("My Server!"), "r1", "ann"));
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(later->meta().id(), made->meta().id());
  const auto other = Await(f.io, f.registry->CreateUpstream(MakeUpstream("my server"), "", "ann"));
  EXPECT_EQ(ReasonOf(other.status()), "ALREADY_EXISTS");
}

TEST(RegistryTest, UpdatesAreGuardedByTheEtag) {
  Fixture f;
  f.AddUpstream(MakeUpstream("git"));
  pb::Upstream change = MakeUpstream("git", 7);
  const std::string etag = f.registry->model().FindUpstream("git")->record->upstream.meta().etag();
  change.mutable_meta()->set_etag("other");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->UpdateUpstream("git", change, "bob")).status()),
            "ETAG_MISMATCH");
  change.mutable_meta()->set_etag(etag);
  const auto updated = Await(f.io, f.registry->UpdateUpstream("git", change, "bob"));
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->spec().priority(), 7);
  EXPECT_EQ(updated->meta().updated_by(), "bob");
  EXPECT_NE(updated->meta().etag(), etag);
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->DeleteUpstream("git", etag))), "ETAG_MISMATCH");
  EXPECT_TRUE(Await(f.io, f.registry->DeleteUpstream("git", "")).ok());
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->DeleteUpstream("git", ""))), "NOT_FOUND");
}

TEST(RegistryTest, RefusesSpecsThatCannotWork) {
  const auto check = [](const std::function<void(pb::UpstreamSpec*)>& set) {
    pb::Upstream upstream = MakeUpstream("x");
    set(upstream.mutable_spec());
    return std::string(CheckUpstream(upstream).message());
  };
  EXPECT_EQ(check([](auto*) {}), "");
  EXPECT_THAT(check([](auto* s) { s->clear_command(); }), HasSubstr("spec.command"));
  EXPECT_THAT(check([](auto* s) { s->set_type("tcp"); }), HasSubstr("stdio, http, sse, ws"));
  EXPECT_THAT(check([](auto* s) { s->set_url("http://a"); }), HasSubstr("spec.url"));
  const auto http = [&check](const std::string& type, const std::string& url) {
    return check([&](auto* s) {
      s->clear_command();
      s->set_type(type);
      s->set_url(url);
    });
  };
  EXPECT_EQ(http("http", "https://a/mcp"), "");
  EXPECT_EQ(http("http", "${BASE}/mcp"), "");
  EXPECT_EQ(http("ws", "wss://a"), "");
  EXPECT_THAT(http("http", ""), HasSubstr("missing"));
  EXPECT_THAT(http("http", "ws://a"), HasSubstr("http://"));
  EXPECT_THAT(http("ws", "http://a"), HasSubstr("ws://"));
  EXPECT_THAT(http("sse", "https://"), HasSubstr("host"));
  EXPECT_THAT(check([](auto* s) { (*s->mutable_headers())["a b"] = "x"; }), HasSubstr("headers"));
  EXPECT_THAT(check([](auto* s) { (*s->mutable_headers())["a"] = "x\r\ny"; }),
              HasSubstr("line break"));
  EXPECT_THAT(check([](auto* s) { s->set_timeout_ms(-1); }), HasSubstr("timeoutMs"));
  EXPECT_THAT(check([](auto* s) { s->set_era("old"); }), HasSubstr("spec.era"));
  EXPECT_THAT(check([](auto* s) { s->add_fallbacks("Not Slug"); }), HasSubstr("slug"));
  pb::VirtualServer server;
  server.mutable_spec()->set_prefix("a b");
  EXPECT_FALSE(CheckVirtualServer(server).ok());
  server.mutable_spec()->set_prefix("none");
  server.mutable_spec()->mutable_tools()->set_annotations("[]");
  EXPECT_FALSE(CheckVirtualServer(server).ok());
}

pb::ApplyConfigRequest Config() {
  pb::ApplyConfigRequest config;
  *config.add_upstreams() = MakeUpstream("Git");
  *config.add_upstreams() = MakeUpstream("docs");
  (*config.mutable_upstreams(1)->mutable_spec()->mutable_env())["A"] = "1";
  (*config.mutable_upstreams(1)->mutable_spec()->mutable_env())["B"] = "2";
  pb::VirtualServer* server = config.add_virtual_servers();
  server->mutable_meta()->set_name("plain");
  server->mutable_spec()->set_prefix("none");
  server->set_enabled(true);
  return config;
}

std::vector<std::string> ChangesOf(const pb::ApplyConfigResponse& response) {
  std::vector<std::string> out;
  for (const auto& c : response.changes()) out.push_back(c.change() + " " + c.name());
  return out;
}

TEST(ApplyConfigTest, ReconcilesOnlyWhatTheFileDefines) {
  Fixture f;
  f.AddUpstream(MakeUpstream("mine"));
  auto first = Await(f.io, f.registry->ApplyConfig(Config()));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(ChangesOf(*first), ElementsAre("added git", "added docs", "added plain"));
  const int64_t revision = f.store.revision;
  const auto again = Await(f.io, f.registry->ApplyConfig(Config()));
  ASSERT_TRUE(again.ok());
  EXPECT_THAT(ChangesOf(*again), IsEmpty());
  EXPECT_EQ(again->revision(), first->revision());
  EXPECT_EQ(f.store.revision, revision);
  pb::ApplyConfigRequest changed = Config();
  changed.mutable_upstreams(0)->mutable_spec()->set_priority(3);
  changed.mutable_upstreams()->RemoveLast();
  const std::string id = f.registry->model().FindUpstream("git")->id();
  const auto third = Await(f.io, f.registry->ApplyConfig(changed));
  ASSERT_TRUE(third.ok());
  EXPECT_THAT(ChangesOf(*third), ElementsAre("changed git", "removed docs"));
  EXPECT_EQ(f.registry->model().FindUpstream("git")->id(), id);
  EXPECT_NE(f.registry->model().FindUpstream("mine"), nullptr);
}

TEST(ApplyConfigTest, IsAllOrNothing) {
  Fixture f;
  f.AddUpstream(MakeUpstream("docs"));
  const int64_t revision = f.store.revision;
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->ApplyConfig(Config())).status()), "ALREADY_EXISTS");
  pb::ApplyConfigRequest twice;
  *twice.add_upstreams() = MakeUpstream("A b");
  *twice.add_upstreams() = MakeUpstream("a-b");
  const auto status = Await(f.io, f.registry->ApplyConfig(twice)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("'a-b'"));
  pb::ApplyConfigRequest bad = Config();
  bad.mutable_upstreams()->RemoveLast();
  bad.add_upstreams()->mutable_meta()->set_name("broken");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->ApplyConfig(bad)).status()), "ARGUMENT_INVALID");
  EXPECT_EQ(f.store.revision, revision);
  EXPECT_EQ(f.registry->model().FindUpstream("git"), nullptr);
}

TEST(ApplyConfigTest, FileObjectsRefuseEditsButKeepTheOperatorsWish) {
  Fixture f;
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(Config())).ok());
  EXPECT_EQ(
      ReasonOf(Await(f.io, f.registry->UpdateUpstream("git", MakeUpstream("git"), "x")).status()),
      "OBJECT_READ_ONLY");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->DeleteUpstream("git", ""))), "OBJECT_READ_ONLY");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->DeleteServer("plain", ""))), "OBJECT_READ_ONLY");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->DeleteServer("default", ""))), "OBJECT_READ_ONLY");
  ASSERT_TRUE(Await(f.io, f.registry->SetUpstreamEnabled("git", false, "x")).ok());
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(Config())).ok());
  EXPECT_FALSE(f.registry->model().FindUpstream("git")->record->upstream.enabled());
  pb::ApplyConfigRequest off = Config();
  off.mutable_upstreams(0)->set_enabled(false);
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(off)).ok());
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(Config())).ok());
  EXPECT_TRUE(f.registry->model().FindUpstream("git")->record->upstream.enabled());
}

TEST(ReportTest, CountsVersionsAndFlagsBreakingChanges) {
  RecordProperty("req", "M-FR-004.6 M-FR-004.1 M-FR-004.3");
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  const auto item = [&f]() -> const pb::Item& {
    const auto& items = f.registry->model().FindUpstream("git")->items;
    return items.begin()->second.entry->item;
  };
  const auto tool = [](const std::string& properties) {
    return MakeItem(pb::ITEM_KIND_TOOL, "x", ToolJson("x", properties));
  };
  f.Report(id, {tool(R"({"a":{},"b":{}})")});
  const int64_t first_seen = item().first_seen_us();
  EXPECT_EQ(item().version(), 1);
  f.Report(id, {tool(R"({"b":{} , "a":{}})")});  // only written differently
  EXPECT_EQ(item().version(), 1);
  f.Report(id, {tool(R"({"a":{},"b":{},"c":{}})")});
  EXPECT_EQ(item().version(), 2);
  EXPECT_FALSE(item().breaking_change());
  f.Report(id, {tool(R"({"a":{}})")});
  EXPECT_EQ(item().version(), 3);
  EXPECT_TRUE(item().breaking_change());
  EXPECT_EQ(item().first_seen_us(), first_seen);
  EXPECT_GT(f.registry->model().FindUpstream("git")->record->lists[pb::ITEM_KIND_TOOL].seen_us,
            first_seen);
  f.Report(id, {});
  EXPECT_EQ(f.registry->model().ItemCount(), 0u);
}

TEST(ReportTest, AnUnchangedReportWritesNothing) {
  RecordProperty("req", "M-FR-004.4 M02-US-003.3");
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("x")});
  f.Flush();
  const int64_t revision = f.store.revision;
  f.Report(id, {MakeTool("x")});
  f.Flush();
  EXPECT_EQ(f.store.revision, revision);
}

TEST(ReportTest, AbsentKindsStayAndUnknownUpstreamsAreNotFound) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("x")});
  f.ReportList(
      id, ListOf(pb::ITEM_KIND_PROMPT, {MakeItem(pb::ITEM_KIND_PROMPT, "p", R"({"name":"p"})")}));
  EXPECT_EQ(f.registry->model().ItemCount(), 2u);
  pb::ReportRequest unknown;
  unknown.set_upstream_id("nobody");
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->Report(unknown)).status()), "NOT_FOUND");
  pb::ReportRequest bad;
  bad.set_upstream_id(id);
  bad.add_lists();
  EXPECT_EQ(ReasonOf(Await(f.io, f.registry->Report(bad)).status()), "ARGUMENT_INVALID");
}

TEST(ReportTest, HostileStatusTextCannotStopTheStore) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  pb::ReportRequest request;
  request.set_upstream_id(id);
  request.mutable_status()->set_detail(std::string("bad \xff\x00 text", 11));
  request.mutable_status()->set_instructions(std::string(1 << 20, 'i'));
  ASSERT_TRUE(Await(f.io, f.registry->Report(request)).ok());
  const pb::UpstreamStatus& status =
      f.registry->model().FindUpstream(id)->record->upstream.status();
  EXPECT_EQ(status.detail(), "bad \xef\xbf\xbd? text");
  EXPECT_EQ(status.instructions().size(), 64u << 10);
}

TEST(RegistryTest, ARestartServesTheLastKnownList) {
  RecordProperty("req", "M-COMP-Cat.2 M-FR-004.4");
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("x"), MakeItem(pb::ITEM_KIND_TOOL, "broken", "{}")});
  pb::VirtualServerSpec plain;
  plain.set_prefix("none");
  f.AddServer("plain", plain);
  f.Flush();
  f.Restart();
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"), ElementsAre("git__x"));
  EXPECT_THAT(ExposedNames(f.registry->model(), "plain"), ElementsAre("x"));
  EXPECT_EQ(f.registry->model().head(), f.store.revision);
  const auto& items = f.registry->model().FindUpstream(id)->items;
  EXPECT_THAT(items.at(Model::ItemKey(pb::ITEM_KIND_TOOL, "broken")).entry->invalid,
              HasSubstr("name"));
}

TEST(RegistryTest, AReportDuringAnUpdateIsNotLost) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.store.during_apply = [&f, id] {
    pb::ReportRequest request;
    request.set_upstream_id(id);
    request.mutable_status()->set_state("ready");
    boost::asio::co_spawn(f.io, f.registry->Report(request), [](std::exception_ptr, auto) {});
    f.io.poll();
  };
  ASSERT_TRUE(Await(f.io, f.registry->UpdateUpstream("git", MakeUpstream("git", 9), "x")).ok());
  const pb::Upstream& now = f.registry->model().FindUpstream(id)->record->upstream;
  EXPECT_EQ(now.status().state(), "ready");
  EXPECT_EQ(now.spec().priority(), 9);
}

// What is served equals what is stored.
void ExpectConsistent(Fixture& f) {
  Model& model = f.registry->model();
  ASSERT_EQ(model.upstreams().size(), f.store.upstreams.size());
  for (const auto& [id, at] : f.store.upstreams) {
    const auto* slot = model.FindUpstream(id);
    ASSERT_NE(slot, nullptr);
    EXPECT_EQ(DeterministicBytes(slot->record->upstream.spec()),
              DeterministicBytes(at.value->upstream.spec()));
    EXPECT_EQ(slot->record->upstream.enabled(), at.value->upstream.enabled());
  }
  EXPECT_EQ(model.ItemCount(), f.store.items.size());
  EXPECT_EQ(model.servers().size(), f.store.servers.size());
  EXPECT_EQ(model.head(), f.store.revision);
}

// Every operation, each repeated until it succeeds, with call N of the store failing.
bool RunScript(Fixture& f) {
  bool failed = false;
  // `also` is the refusal that is as good as success: of an object that is gone, or not ours.
  const auto retry = [&failed](const std::function<absl::Status()>& op,
                               absl::StatusCode also = absl::StatusCode::kOk) {
    const auto done = [also](const absl::Status& s) { return s.ok() || s.code() == also; };
    absl::Status status = op();
    if (!done(status)) {
      failed = true;
      status = op();
    }
    return done(status) ? absl::OkStatus() : status;
  };
  Registry& r = *f.registry;
  EXPECT_TRUE(retry([&] {
                return Await(f.io, r.CreateUpstream(MakeUpstream("a"), "q1", "t")).status();
              }).ok());
  EXPECT_TRUE(retry([&] { return Await(f.io, r.ApplyConfig(Config())).status(); }).ok());
  const std::string id = r.model().FindUpstream("a")->id();
  f.Report(id, {MakeTool("x"), MakeTool("y")});
  EXPECT_TRUE(retry([&] { return Await(f.io, r.Flush()); }).ok());
  f.Report(id, {MakeTool("y")});
  EXPECT_TRUE(
      retry([&] { return Await(f.io, r.SetUpstreamEnabled("git", false, "t")).status(); }).ok());
  EXPECT_TRUE(retry([&] { return Await(f.io, r.DeleteServer("plain", "")); },
                    absl::StatusCode::kFailedPrecondition)
                  .ok());
  EXPECT_TRUE(
      retry([&] { return Await(f.io, r.DeleteUpstream("a", "")); }, absl::StatusCode::kNotFound)
          .ok());
  EXPECT_TRUE(retry([&] { return Await(f.io, r.Flush()); }).ok());
  return failed;
}

class RegistryFaultTest : public testing::TestWithParam<bool> {};

TEST_P(RegistryFaultTest, EveryFailingCallOfTheStoreLeavesItConsistent) {
  bool reached = true;
  int failed = 0;
  int n = 2;  // call 1 is the load
  for (; reached && n < 100; ++n) {
    Fixture f;
    f.store.fail_call = n;
    f.store.fail_after_effect = GetParam();
    failed += RunScript(f) ? 1 : 0;
    reached = f.store.calls >= n;
    ExpectConsistent(f);
    ASSERT_FALSE(testing::Test::HasFailure()) << "call " << n;
    f.store.fail_call = 0;
    f.Restart();
    ExpectConsistent(f);
  }
  // A report is taken whether the store answers or not; everything else has said that it failed.
  EXPECT_GT(failed, 5);
  EXPECT_LT(n, 100);  // the script ran to its end without a failing call
}

INSTANTIATE_TEST_SUITE_P(BeforeAndAfterTheEffect, RegistryFaultTest, testing::Bool());

}  // namespace
}  // namespace metamcp::catalog
