#include "services/workflow/face/access.h"

#include <gtest/gtest.h>

namespace metamcp::workflow {
namespace {

Principal Person(const std::string& subject, std::vector<std::string> roles,
                 std::vector<std::string> teams = {}) {
  Principal out;
  out.subject = subject;
  out.roles = std::move(roles);
  out.teams = std::move(teams);
  return out;
}

Sharing SharedBy(const std::string& owner, const std::string& visibility,
                 const std::string& team = "") {
  Sharing out;
  out.owner = owner;
  out.visibility = visibility;
  out.team = team;
  return out;
}

TEST(AccessTest, WhoSeesAWorkflowIsItsVisibility) {
  RecordProperty("req", "M-FR-007.2");
  const Principal anna = Person("anna", {"operator"}, {"data"});
  const Principal ben = Person("ben", {"operator"}, {"web"});
  const Principal root = Person("root", {"admin"});
  EXPECT_TRUE(MaySee(anna, SharedBy("anna", "private")));
  EXPECT_FALSE(MaySee(ben, SharedBy("anna", "private")));
  EXPECT_TRUE(MaySee(root, SharedBy("anna", "private")));
  EXPECT_TRUE(MaySee(ben, SharedBy("anna", "public")));
  EXPECT_FALSE(MaySee(ben, SharedBy("root", "team", "data")));
  EXPECT_TRUE(MaySee(anna, SharedBy("root", "team", "data")));
  EXPECT_TRUE(MaySee(ben, SharedBy("root", "team")));
}

TEST(AccessTest, OnlyTheOwnerAndAdministratorsChangeIt) {
  const Sharing shared = SharedBy("anna", "public");
  EXPECT_TRUE(MayChange(Person("anna", {"viewer"}), shared));
  EXPECT_FALSE(MayChange(Person("ben", {"operator"}), shared));
  EXPECT_TRUE(MayChange(Person("root", {"admin"}), shared));
  EXPECT_FALSE(MayChange(Person("", {"operator"}), SharedBy("", "public")));
}

TEST(AccessTest, RunsBelongToTheirStarterAndTheWorkflowsOwner) {
  const Sharing shared = SharedBy("anna", "public");
  EXPECT_TRUE(MayHandleRun(Person("ben", {"viewer"}), "ben", shared));
  EXPECT_TRUE(MayHandleRun(Person("anna", {"viewer"}), "ben", shared));
  EXPECT_FALSE(MayHandleRun(Person("carl", {"operator"}), "ben", shared));
}

TEST(AccessTest, AnApprovalIsForWhomTheStepNames) {
  RecordProperty("req", "M-FR-007.2");
  const Sharing shared = SharedBy("anna", "public");
  const Approvers open = ReadApprovers(R"({"title":"go?"})");
  EXPECT_TRUE(MayApprove(Person("ben", {"viewer"}), "ben", shared, open));
  EXPECT_FALSE(MayApprove(Person("carl", {"operator"}), "ben", shared, open));
  EXPECT_FALSE(MayApprove(Person("anna", {"viewer"}), "ben", shared, open));
  EXPECT_TRUE(MayApprove(Person("anna", {"operator"}), "ben", shared, open));

  const Approvers named = ReadApprovers(R"({"approvers":["user:carl","role:finance","team:ops"]})");
  EXPECT_TRUE(MayApprove(Person("carl", {"viewer"}), "ben", shared, named));
  EXPECT_TRUE(MayApprove(Person("dora", {"finance"}), "ben", shared, named));
  EXPECT_TRUE(MayApprove(Person("emil", {"viewer"}, {"ops"}), "ben", shared, named));
  EXPECT_FALSE(MayApprove(Person("ben", {"operator"}), "ben", shared, named));
  EXPECT_FALSE(MayApprove(Person("root", {"admin"}), "ben", shared, named));
}

TEST(AccessTest, TheStarterMayNotApproveWhereAnotherPersonIsAskedFor) {
  const Sharing shared = SharedBy("anna", "public");
  const Approvers separate = ReadApprovers(R"({"separate":true})");
  EXPECT_FALSE(MayApprove(Person("ben", {"operator"}), "ben", shared, separate));
  EXPECT_FALSE(MayApprove(Person("root", {"admin"}), "root", shared, separate));
  EXPECT_TRUE(MayApprove(Person("carl", {"operator"}), "ben", shared, separate));
  EXPECT_FALSE(MayApprove(Person("carl", {"viewer"}), "ben", shared, separate));
  const Approvers both = ReadApprovers(R"({"separate":true,"approvers":"role:operator"})");
  EXPECT_FALSE(MayApprove(Person("ben", {"admin"}), "ben", shared, both));
  EXPECT_TRUE(MayApprove(Person("carl", {"operator"}), "ben", shared, both));
}

TEST(AccessTest, ApproversThatComeToNothingOpenNothing) {
  const Sharing shared = SharedBy("anna", "public");
  for (const char* detail :
       {R"({"approvers":[]})", R"({"approvers":null})", R"({"approvers":[7]})"}) {
    const Approvers nobody = ReadApprovers(detail);
    EXPECT_FALSE(MayApprove(Person("ben", {"operator"}), "ben", shared, nobody)) << detail;
    EXPECT_TRUE(MayApprove(Person("root", {"admin"}), "ben", shared, nobody)) << detail;
  }
}

}  // namespace
}  // namespace metamcp::workflow
