#include <gtest/gtest.h>

#include "services/catalog/registry.h"
#include "services/catalog/testing.h"

namespace metamcp::catalog {
namespace {

TEST(RegisterProviderTest, IsMadeOnceAndOnlyWhereAsked) {
  Fixture f;
  EXPECT_TRUE(
      absl::IsNotFound(Await(f.io, f.registry->RegisterProvider("workflow", "", false)).status()));
  const auto made = Await(f.io, f.registry->RegisterProvider("workflow", "Workflows", true));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->meta().name(), "workflow");
  EXPECT_EQ(made->spec().type(), "service");
  f.Report(made->meta().id(), {MakeTool("notes")});
  f.Flush();
  EXPECT_EQ(ExposedNames(f.registry->model(), "default"),
            std::vector<std::string>{"workflow__notes"});
  f.Restart();
  const auto again = Await(f.io, f.registry->RegisterProvider("workflow", "", true));
  EXPECT_EQ(again->meta().id(), made->meta().id());
  EXPECT_FALSE(Await(f.io, f.registry->RegisterProvider("No Word", "", true)).ok());
}

TEST(RegisterProviderTest, AServerOfThatNameKeepsIt) {
  Fixture f;
  f.AddUpstream(MakeUpstream("workflow"));
  const auto made = Await(f.io, f.registry->RegisterProvider("workflow", "", true));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->meta().name(), "meta-workflow");
}

TEST(RegisterProviderTest, OperatorsDoNotChangeItAndAReloadLeavesIt) {
  Fixture f;
  ASSERT_TRUE(Await(f.io, f.registry->RegisterProvider("workflow", "", true)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Await(f.io, f.registry->DeleteUpstream("workflow", ""))));
  pb::Upstream forged = MakeUpstream("other");
  forged.mutable_spec()->set_type("service");
  EXPECT_TRUE(
      absl::IsInvalidArgument(Await(f.io, f.registry->CreateUpstream(forged, "", "me")).status()));
  pb::ApplyConfigRequest nothing;
  ASSERT_TRUE(Await(f.io, f.registry->ApplyConfig(nothing)).ok());
  EXPECT_TRUE(Await(f.io, f.registry->RegisterProvider("workflow", "", false)).ok());
}

}  // namespace
}  // namespace metamcp::catalog
