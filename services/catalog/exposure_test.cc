#include "services/catalog/exposure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

pb::VirtualServerSpec Prefix(const std::string& prefix) {
  pb::VirtualServerSpec spec;
  spec.set_prefix(prefix);
  return spec;
}

View::Outcome OutcomeOf(const View& view, const std::string& slug, const std::string& original,
                        pb::ItemKind kind = pb::ITEM_KIND_TOOL) {
  const Contribution* from = view.FindContribution(slug);
  METAMCP_CHECK(from != nullptr);
  const Candidate* candidate = from->Find(kind, original);
  METAMCP_CHECK(candidate != nullptr);
  return view.OutcomeOf(*candidate);
}

TEST(ExposureTest, PrefixRulesNameTools) {
  RecordProperty("req", "P1-Id-2");
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("git")), {MakeTool("status"), MakeTool("log.show")});
  f.AddServer("plain", Prefix("none"));
  f.AddServer("word", Prefix("acme"));
  f.AddServer("tail", Prefix("acme-"));
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"),
              ElementsAre(testing::MatchesRegex("git__log_show_[0-9a-f]{8}"), "git__status"));
  EXPECT_THAT(ExposedNames(f.registry->model(), "plain"), ElementsAre("log.show", "status"));
  EXPECT_THAT(ExposedNames(f.registry->model(), "word"), Contains("acme__status"));
  EXPECT_THAT(ExposedNames(f.registry->model(), "tail"), Contains("acme-status"));
}

TEST(ExposureTest, SameNamesOfTwoServersCoexist) {
  RecordProperty("req", "M-FR-004.2 P1-Id-3 P1-Id-1");
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("a")), {MakeTool("search")});
  f.Report(f.AddUpstream(MakeUpstream("b")), {MakeTool("search")});
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"), ElementsAre("a__search", "b__search"));
}

TEST(ExposureTest, HigherPriorityTakesTheContestedName) {
  RecordProperty("req", "A-P3.3 M-FR-004.2");
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("a", 1)), {MakeTool("search")});
  f.Report(f.AddUpstream(MakeUpstream("b", 10)), {MakeTool("search")});
  f.AddServer("plain", Prefix("none"));
  const ViewPtr view = f.registry->model().FindView("plain");
  EXPECT_EQ(OutcomeOf(*view, "b", "search").name, "search");
  const View::Outcome loser = OutcomeOf(*view, "a", "search");
  EXPECT_EQ(loser.name, "a__search");
  EXPECT_THAT(std::string(loser.detail), HasSubstr("b.search"));
}

TEST(ExposureTest, EqualPriorityOfOneConfigurationGoesBySlug) {
  Fixture f;
  pb::ApplyConfigRequest config;
  *config.add_upstreams() = MakeUpstream("zeta");
  *config.add_upstreams() = MakeUpstream("alpha");
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(config)).ok());
  Model& model = f.registry->model();
  f.Report(model.FindUpstream("zeta")->id(), {MakeTool("x")});
  f.Report(model.FindUpstream("alpha")->id(), {MakeTool("x")});
  f.AddServer("plain", Prefix("none"));
  EXPECT_EQ(OutcomeOf(*model.FindView("plain"), "alpha", "x").name, "x");
  EXPECT_EQ(OutcomeOf(*model.FindView("plain"), "zeta", "x").name, "zeta__x");
}

TEST(ExposureTest, LoserWhoseQualifiedFormIsTakenIsReportedAsConflict) {
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("a", 5)), {MakeTool("x"), MakeTool("b__x")});
  f.Report(f.AddUpstream(MakeUpstream("b", 1)), {MakeTool("x")});
  f.AddServer("plain", Prefix("none"));
  const View::Outcome outcome = OutcomeOf(*f.registry->model().FindView("plain"), "b", "x");
  EXPECT_EQ(outcome.hidden, HiddenReason::kConflict);
  EXPECT_THAT(std::string(outcome.detail), HasSubstr("overrides"));
}

TEST(ExposureTest, ContestedUriTakesTheSlugIntoItsScheme) {
  RecordProperty("req", "M-FR-004.2");
  EXPECT_EQ(QualifiedUri("docs", "file:///a"), "docs+file:///a");
  EXPECT_EQ(QualifiedUri("1st", "file:///a"), "x1st+file:///a");
  EXPECT_EQ(QualifiedUri("docs", "{+path}"), "docs+uri:{+path}");
  EXPECT_EQ(QualifiedUri("docs", "ui://app/main"), "ui://docs+app/main");
  Fixture f;
  const auto resource =
      MakeItem(pb::ITEM_KIND_RESOURCE, "file:///a", R"({"uri":"file:///a","name":"a"})");
  const std::string a = f.AddUpstream(MakeUpstream("a"));
  const std::string b = f.AddUpstream(MakeUpstream("b"));
  f.ReportList(a, ListOf(pb::ITEM_KIND_RESOURCE, {resource}));
  f.ReportList(b, ListOf(pb::ITEM_KIND_RESOURCE, {resource}));
  EXPECT_THAT(ExposedNames(f.registry->model(), "default", pb::ITEM_KIND_RESOURCE),
              ElementsAre("b+file:///a", "file:///a"));
}

TEST(ExposureTest, SelectorsPickByGlobAndAnnotation) {
  RecordProperty("req", "P1-Virt-1 M-FR-004.5");
  Fixture f;
  f.Report(f.AddUpstream(MakeUpstream("git")),
           {MakeTool("status", R"(,"annotations":{"readOnlyHint":true})"), MakeTool("push"),
            MakeTool("log", R"(,"annotations":{"readOnlyHint":true,"openWorldHint":false})")});
  f.Report(f.AddUpstream(MakeUpstream("web")),
           {MakeTool("get", R"(,"annotations":{"readOnlyHint":true})")});
  pb::VirtualServerSpec readers;
  readers.mutable_tools()->set_annotations(R"({"readOnlyHint": true})");
  f.AddServer("readers", readers);
  pb::VirtualServerSpec closed;
  closed.mutable_tools()->set_annotations(R"({"openWorldHint": false})");
  f.AddServer("closed", closed);
  pb::VirtualServerSpec globs;
  globs.mutable_tools()->add_include("git.*");
  globs.mutable_tools()->add_exclude("pu?h");
  f.AddServer("globs", globs);
  pb::VirtualServerSpec one;
  one.add_servers("w*");
  f.AddServer("one", one);
  Model& model = f.registry->model();
  EXPECT_THAT(ExposedNames(model, "readers"), ElementsAre("git__log", "git__status", "web__get"));
  EXPECT_THAT(ExposedNames(model, "closed"), ElementsAre("git__log"));
  EXPECT_THAT(ExposedNames(model, "globs"), ElementsAre("git__log", "git__status"));
  EXPECT_THAT(ExposedNames(model, "one"), ElementsAre("web__get"));
  EXPECT_EQ(OutcomeOf(*model.FindView("globs"), "git", "push").hidden, HiddenReason::kFiltered);
}

TEST(ExposureTest, DisabledServersHideTheirItemsUnreachableOnesDoNot) {
  Fixture f;
  const std::string id = f.AddUpstream(MakeUpstream("git"));
  f.Report(id, {MakeTool("status")});
  pb::ReportRequest down;
  down.set_upstream_id(id);
  down.mutable_status()->set_state("connecting");
  ASSERT_TRUE(Await(f.io, f.registry->Report(down)).ok());
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"), ElementsAre("git__status"));
  ASSERT_TRUE(Await(f.io, f.registry->SetUpstreamEnabled("git", false, "tester")).ok());
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"), IsEmpty());
  EXPECT_EQ(OutcomeOf(*f.registry->model().FindView("default"), "git", "status").hidden,
            HiddenReason::kDisabled);
  ASSERT_TRUE(Await(f.io, f.registry->SetUpstreamEnabled("git", true, "tester")).ok());
  EXPECT_THAT(ExposedNames(f.registry->model(), "default"), ElementsAre("git__status"));
}

TEST(ExposureTest, RoutesListEquivalentsThenFallbacksWithTheSameSchema) {
  RecordProperty("req", "M02-TR-5.2 M02-TR-5.4");
  Fixture f;
  pb::Upstream main = MakeUpstream("main");
  main.mutable_meta()->add_tags("equivalent:search");
  main.mutable_spec()->add_fallbacks("spare");
  main.mutable_spec()->add_fallbacks("other");
  pb::Upstream twin = MakeUpstream("twin");
  twin.mutable_meta()->add_tags("equivalent:search");
  const std::string main_id = f.AddUpstream(main);
  const std::string spare = f.AddUpstream(MakeUpstream("spare"));
  const std::string other = f.AddUpstream(MakeUpstream("other"));
  const std::string twin_id = f.AddUpstream(twin);
  f.Report(main_id, {MakeTool("find")});
  const auto routes = [&f] {
    const ViewPtr view = f.registry->model().FindView("default");
    const View::Found found = view->FindExposed(pb::ITEM_KIND_TOOL, "main__find");
    METAMCP_CHECK(found.candidate != nullptr);
    std::vector<std::pair<std::string, bool>> out;
    const pb::ExposedItem exposed = view->Expose(*found.from, *found.candidate);
    for (const pb::Route& route : exposed.routes()) {
      out.emplace_back(route.upstream_id(), route.fallback());
    }
    return out;
  };
  EXPECT_THAT(routes(), ElementsAre(std::pair(main_id, false)));
  // What offers the same later joins without a report of the first one.
  f.Report(spare, {MakeTool("find", R"(,"description":"another text")")});
  f.Report(twin_id, {MakeTool("find")});
  f.Report(other,
           {MakeItem(pb::ITEM_KIND_TOOL, "find", ToolJson("find", R"({"q":{"type":"string"}})"))});
  EXPECT_THAT(routes(), ElementsAre(std::pair(main_id, false), std::pair(twin_id, false),
                                    std::pair(spare, true)));
  ASSERT_TRUE(Await(f.io, f.registry->SetUpstreamEnabled("spare", false, "tester")).ok());
  EXPECT_THAT(routes(), ElementsAre(std::pair(main_id, false), std::pair(twin_id, false)));
}

TEST(ExposureTest, DeactivatedVirtualServerSaysSo) {
  RecordProperty("req", "P1-Virt-2 P1-Virt-3");
  Fixture f;
  pb::VirtualServerSpec spec;
  spec.set_metrics_label("team-a");
  f.AddServer("team", spec);
  EXPECT_TRUE(f.registry->model().FindView("team")->Head().active());
  EXPECT_EQ(f.registry->model().FindView("team")->Head().metrics_label(), "team-a");
  ASSERT_TRUE(Await(f.io, f.registry->SetServerEnabled("team", false, "tester")).ok());
  EXPECT_FALSE(f.registry->model().FindView("team")->Head().active());
}

// Random catalogs: with prefixes a name depends on its own upstream only; without, an upstream that
// comes later takes no name unless its priority is higher; no name is ever given twice.
TEST(ExposurePropertyTest, NamesDoNotChangeBecauseAnotherUpstreamAppeared) {
  RecordProperty("req", "M-FR-004.2 A-P3.3");
  std::mt19937 random(20261120);
  for (int round = 0; round < 40; ++round) {
    Fixture f;
    f.AddServer("plain", Prefix("none"));
    Model& model = f.registry->model();
    const auto names_of = [&model](const std::string& view_name) {
      std::map<std::string, std::string> out;  // item id, name
      std::set<std::string> used;
      const ViewPtr view = model.FindView(view_name);
      for (const auto& from : view->contributions()) {
        for (const Candidate& candidate : from->candidates) {
          const std::string name(view->OutcomeOf(candidate).name);
          if (name.empty()) continue;
          EXPECT_TRUE(used.insert(name).second) << name;
          out[candidate.item->item.id()] = name;
        }
      }
      return out;
    };
    std::vector<std::string> ids;
    for (int u = 0; u < 6; ++u) {
      const auto prefixed = names_of("default");
      const auto plain = names_of("plain");
      // Later ones have lower or equal priority and slugs in any order.
      const std::string slug = std::string(1, 'a' + random() % 26) + std::to_string(u);
      ids.push_back(f.AddUpstream(MakeUpstream(slug, 10 - u / 2)));
      std::vector<pb::Item> tools;
      for (int t = 0; t < 5; ++t) tools.push_back(MakeTool("t" + std::to_string(random() % 8)));
      f.Report(ids.back(), tools);
      const auto prefixed_now = names_of("default");
      const auto plain_now = names_of("plain");
      for (const auto& [id, name] : prefixed) EXPECT_EQ(prefixed_now.at(id), name);
      for (const auto& [id, name] : plain) EXPECT_EQ(plain_now.at(id), name);
    }
    const auto before = names_of("default");
    const std::string victim = ids[random() % ids.size()];
    ASSERT_TRUE(Await(f.io, f.registry->DeleteUpstream(victim, "")).ok());
    const auto after = names_of("default");
    for (const auto& [id, name] : after) EXPECT_EQ(before.at(id), name);
  }
}

TEST(ExposureTest, HostileNamesStayDistinctAndUsable) {
  Fixture f;
  const std::string long_name(300, 'n');
  const std::string id = f.AddUpstream(MakeUpstream("h"));
  f.Report(id,
           {MakeTool("a b"), MakeTool("a\"b"), MakeTool("a/b"), MakeTool("\xc3\xa4"),
            MakeTool("\xe5\xb7\xa5\xe5\x85\xb7"), MakeTool(long_name), MakeTool(long_name + "x"),
            MakeTool("dup"), MakeTool("dup"), MakeTool(std::string(2000, 'z'))});
  const auto names = ExposedNames(f.registry->model(), "default");
  EXPECT_EQ(names.size(), 8u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  for (const std::string& name : names) {
    EXPECT_THAT(name, testing::MatchesRegex("[A-Za-z0-9_-]{1,64}"));
  }
  EXPECT_EQ(OutcomeOf(*f.registry->model().FindView("default"), "h", std::string(2000, 'z')).hidden,
            HiddenReason::kInvalidDefinition);
}

}  // namespace
}  // namespace metamcp::catalog
