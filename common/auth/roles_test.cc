#include "common/auth/roles.h"

#include <gtest/gtest.h>

#include "common/auth/authenticator.h"

namespace metamcp::auth {
namespace {

Principal With(std::vector<std::string> roles, std::vector<std::string> teams = {}) {
  Principal who;
  who.subject = "ada";
  who.roles = std::move(roles);
  who.teams = std::move(teams);
  return who;
}

TEST(RolesTest, EachRoleHasItsRowOfTheTable) {
  RecordProperty("req", "M-NFR-004.3");
  const struct {
    const char* role;
    const char* may;
  } rows[] = {{"", "use"},
              {"viewer", "use view"},
              {"developer", "use view develop"},
              {"operator", "use view develop operate"},
              {"admin", "use view develop operate administer"},
              {"auditor", "audit"}};
  for (const auto& row : rows) {
    std::string may;
    for (int i = 0; i <= static_cast<int>(Permission::kAudit); ++i) {
      const auto permission = static_cast<Permission>(i);
      if (!Allows(std::string_view(row.role), permission)) continue;
      may += (may.empty() ? "" : " ") + std::string(PermissionName(permission));
    }
    EXPECT_EQ(may, row.may) << row.role;
  }
  EXPECT_FALSE(Allows(std::string_view("root"), Permission::kUse));
}

TEST(RolesTest, APrincipalMayWhatOneOfItsRolesMay) {
  EXPECT_TRUE(Allows(With({"auditor", "viewer"}), Permission::kView));
  EXPECT_TRUE(Allows(With({"auditor", "viewer"}), Permission::kAudit));
  EXPECT_FALSE(Allows(With({"auditor"}), Permission::kUse));
  EXPECT_TRUE(Allows(With({}), Permission::kUse));
  EXPECT_TRUE(Allows(With({"finance"}), Permission::kUse));
  EXPECT_FALSE(Allows(With({"finance"}), Permission::kView));
  EXPECT_FALSE(Allows(With({"finance", "auditor"}), Permission::kUse));
  EXPECT_FALSE(Allows(With({"Admin"}), Permission::kView));
}

TEST(RolesTest, OperationsNameARoleOfOurs) {
  for (const std::string_view role : Roles()) EXPECT_TRUE(PermissionOf(role).has_value()) << role;
  EXPECT_FALSE(PermissionOf("").has_value());
  EXPECT_FALSE(HasRole(With({"root"}), "root"));
  EXPECT_TRUE(HasRole(With({"operator"}), "developer"));
}

TEST(RolesTest, ObjectsAreSeenByTheirOwnerTheirTeamOrAll) {
  Ownership mine{"ada", "", "private"}, team{"eve", "core", "team"}, any{"eve", "core", "public"};
  EXPECT_TRUE(MaySee(With({}), mine));
  EXPECT_TRUE(MaySee(With({}, {"core"}), team));
  EXPECT_FALSE(MaySee(With({}, {"ops"}), team));
  EXPECT_TRUE(MaySee(With({}, {"ops"}), any));
  mine.owner = "eve";
  EXPECT_FALSE(MaySee(With({"developer"}, {"core"}), mine));
  EXPECT_TRUE(MaySee(With({"operator"}), mine));
  EXPECT_TRUE(MaySee(With({}), Ownership()));
  EXPECT_TRUE(MaySee(With({}), Ownership{"eve", "", "team"}));
  // Nobody owns it: not everybody without a name.
  Principal nobody;
  EXPECT_FALSE(MaySee(nobody, Ownership{"", "", "private"}));
}

}  // namespace
}  // namespace metamcp::auth
