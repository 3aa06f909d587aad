#include "common/mcp/methods.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace metamcp::mcp {
namespace {

TEST(MethodsTest, TableIsSortedAndUnique) {
  RecordProperty("req", "A-P1.2");
  EXPECT_TRUE(std::is_sorted(std::begin(Methods()), std::end(Methods()),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  for (const MethodInfo& m : Methods()) {
    EXPECT_EQ(FindMethod(m.name), &m);
    EXPECT_EQ(m.notification, m.name.starts_with("notifications/")) << m.name;
  }
  EXPECT_EQ(FindMethod("tools/cal"), nullptr);
}

TEST(MethodsTest, KnowsRevisionsAndDirections) {
  RecordProperty("req", "M-FR-001.2");
  EXPECT_TRUE(IsServerMethod("initialize", Revision::k20241105));
  EXPECT_FALSE(IsServerMethod("initialize", Revision::k20260728));
  EXPECT_TRUE(IsServerMethod("ping", Revision::k20251125));
  EXPECT_TRUE(IsClientMethod("ping", Revision::k20251125));
  EXPECT_FALSE(IsServerMethod("ping", Revision::k20260728));
  EXPECT_FALSE(IsServerMethod("server/discover", Revision::k20251125));
  EXPECT_TRUE(IsServerMethod("server/discover", Revision::k20260728));
  EXPECT_FALSE(IsClientMethod("elicitation/create", Revision::k20250326));
  EXPECT_TRUE(IsClientMethod("elicitation/create", Revision::k20250618));
  EXPECT_FALSE(IsClientMethod("elicitation/create", Revision::k20260728));
  EXPECT_FALSE(IsServerMethod("tasks/list", Revision::k20260728));
  EXPECT_FALSE(IsServerMethod("sampling/createMessage", Revision::k20251125));
}

TEST(MethodsTest, MarksExactlyTheMethodsTheSpecificationNames) {
  int input = 0;
  int cache = 0;
  for (const MethodInfo& m : Methods()) {
    input += m.may_require_input ? 1 : 0;
    cache += m.cacheable ? 1 : 0;
  }
  EXPECT_EQ(input, 3);
  EXPECT_EQ(cache, 6);
  EXPECT_EQ(FindMethod("prompts/get")->target, "name");
  EXPECT_EQ(FindMethod("resources/read")->target, "uri");
  EXPECT_EQ(FindMethod("tasks/update")->target, "taskId");
}

TEST(VersionTest, PrintsAndParses) {
  for (const Revision r : kRevisions) EXPECT_EQ(ParseRevision(RevisionName(r)), r);
  EXPECT_EQ(ParseRevision("2025-06-19"), std::nullopt);
  EXPECT_EQ(EraOf(kLatestLegacy), Era::kLegacy);
  EXPECT_EQ(EraOf(kLatestModern), Era::kModern);
  EXPECT_TRUE(HasBatch(Revision::k20250326));
  EXPECT_FALSE(HasBatch(Revision::k20250618));
  EXPECT_FALSE(HasElicitationId(Revision::k20260728));
}

}  // namespace
}  // namespace metamcp::mcp
