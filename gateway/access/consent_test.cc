#include "gateway/access/consent.h"

#include <map>

#include "common/json/scan.h"
#include "common/json/splice.h"
#include "gateway/access/access_fixture.h"

namespace metamcp::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace v1 = access::v1;

// Keeps approvals of one call each; what a scope covers is the store's matter, and tested there.
class FakeApprovals final : public v1::ApprovalService {
 public:
  Awaitable<absl::StatusOr<v1::AskApprovalResponse>> AskApproval(
      const CallContext&, v1::AskApprovalRequest request) override {
    if (on_ask) on_ask();
    v1::AskApprovalResponse out;
    for (auto& [id, one] : all) {
      if (one.digest() != request.approval().digest()) continue;
      if (!request.id().empty() && id != request.id()) continue;
      if (one.state() == "used" || one.state() == "closed") continue;
      *out.mutable_approval() = one;
      out.set_outcome(one.state() == "approved" ? "granted" : one.state());
      if (one.state() == "approved") one.set_state("used");
      if (one.state() == "denied") one.set_state("closed");
      co_return out;
    }
    out.set_outcome(request.id().empty() ? "waiting" : "gone");
    if (!request.id().empty()) co_return out;
    const std::string id = StrCat("a", all.size() + 1);
    all[id] = request.approval();
    all[id].set_id(id);
    all[id].set_state("waiting");
    *out.mutable_approval() = all[id];
    co_return out;
  }
  Awaitable<absl::StatusOr<v1::DecideApprovalResponse>> DecideApproval(
      const CallContext&, v1::DecideApprovalRequest request) override {
    v1::Approval& one = all[request.id()];
    if (one.state() != "waiting") co_return MakeError("APPROVAL_CLOSED", "catalog", "decided");
    one.set_state(request.approve() ? "approved" : "denied");
    one.set_scope(request.scope());
    co_return v1::DecideApprovalResponse();
  }
  Awaitable<absl::StatusOr<v1::ListApprovalsResponse>> ListApprovals(
      const CallContext&, v1::ListApprovalsRequest) override {
    co_return v1::ListApprovalsResponse();
  }
  Awaitable<absl::StatusOr<v1::GetApprovalResponse>> GetApproval(const CallContext&,
                                                                 v1::GetApprovalRequest) override {
    co_return v1::GetApprovalResponse();
  }
  Awaitable<absl::StatusOr<v1::RevokeApprovalResponse>> RevokeApproval(
      const CallContext&, v1::RevokeApprovalRequest) override {
    co_return v1::RevokeApprovalResponse();
  }
  std::map<std::string, v1::Approval> all;
  std::function<void()> on_ask;
};

class ConsentTest : public AccessTest {
 protected:
  ConsentTest() : consent_(guard_, approvals_, Consent::Options()) {
    guard_.SetPolicy(PolicyOf("consent ask if tool = git.push because \"It leaves the house.\""));
    chain_.SetConsent(&consent_);
  }
  // A call by a client that can be asked.
  CallSpec Push(const std::string& arguments = "{}") {
    CallSpec spec =
        Spec("tools/call", StrCat(R"({"name":"git__push","arguments":)", arguments, "}"));
    spec.client_capabilities = R"({"elicitation":{"form":{}}})";
    return spec;
  }
  static std::string StateOf(const CallOutcome& outcome) {
    return json::ScanObject(outcome.result)->String("requestState").value_or("");
  }
  static CallSpec Answered(CallSpec spec, const CallOutcome& question, const std::string& answer) {
    spec.has_request_state = true;
    spec.request_state = StateOf(question);
    spec.input_responses = StrCat(R"({"metamcp_consent":)", answer, "}");
    return spec;
  }
  int calls() const { return directory_.provider.calls; }

  int calls_made_ = 0;
  FakeApprovals approvals_;
  Consent consent_;
};

constexpr const char* kAccept = R"({"action":"accept","content":{"allow":"once"}})";

TEST_F(ConsentTest, APersonIsShownExactlyWhatWouldRunAndItRunsOnce) {
  RecordProperty("req", "M-AC-5.5.2");
  const CallSpec spec = Push(R"({"branch":"main","api_key":"s3cret"})");
  const auto asked = Run(spec);
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->kind, provider::v1::RESULT_KIND_INPUT_REQUIRED);
  EXPECT_THAT(asked->result, HasSubstr("elicitation/create"));
  EXPECT_THAT(asked->result, HasSubstr("git.push"));
  EXPECT_THAT(asked->result, HasSubstr(R"(\"branch\":\"main\")"));
  EXPECT_THAT(asked->result, HasSubstr("It leaves the house."));
  EXPECT_THAT(asked->result, Not(HasSubstr("s3cret")));
  EXPECT_EQ(calls(), 0);
  const auto done = Run(Answered(spec, *asked, kAccept));
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(calls(), 1);
  EXPECT_EQ(done->rule, "policy:ask");
  EXPECT_THAT(directory_.provider.last.params(), HasSubstr("s3cret"));
  EXPECT_FALSE(directory_.provider.last.has_request_state());
  // The same answer again, and the same call again.
  EXPECT_EQ(ReasonOf(Run(Answered(spec, *asked, kAccept)).status()), "APPROVAL_CLOSED");
  EXPECT_EQ(Run(spec)->kind, provider::v1::RESULT_KIND_INPUT_REQUIRED);
  EXPECT_EQ(calls(), 1);
}

TEST_F(ConsentTest, WhatIsNotAcceptedDoesNotRun) {
  for (const char* answer :
       {R"({"action":"decline"})", R"({"action":"cancel"})", R"({})", R"("accept")", "null",
        R"({"action":"Accept"})", R"({"content":{"allow":"always"}})"}) {
    const CallSpec spec = Push(StrCat(R"({"n":")", calls_made_++, R"("})"));
    const auto asked = Run(spec);
    ASSERT_TRUE(asked.ok());
    EXPECT_EQ(ReasonOf(Run(Answered(spec, *asked, answer)).status()), "CONSENT_DENIED") << answer;
  }
  EXPECT_EQ(calls(), 0);
}

TEST_F(ConsentTest, AnAnswerIsForItsRequestOnly) {
  const auto asked = Run(Push(R"({"branch":"main"})"));
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(ReasonOf(Run(Answered(Push(R"({"branch":"prod"})"), *asked, kAccept)).status()),
            "STATE_INVALID");
  who_.subject = "eve";
  EXPECT_EQ(ReasonOf(Run(Answered(Push(R"({"branch":"main"})"), *asked, kAccept)).status()),
            "STATE_INVALID");
  // Made up, without a question.
  CallSpec forged = Push();
  forged.has_request_state = true;
  forged.input_responses = StrCat(R"({"metamcp_consent":)", kAccept, "}");
  EXPECT_EQ(ReasonOf(Run(forged).status()), "STATE_INVALID");
  EXPECT_EQ(calls(), 0);
}

TEST_F(ConsentTest, AClientThatCannotBeAskedIsToldWhichApprovalToGet) {
  for (const char* capabilities : {"{}", R"({"elicitation":{"url":{}}})", ""}) {
    CallSpec spec = Push();
    spec.client_capabilities = capabilities;
    const auto refused = Run(spec);
    EXPECT_EQ(ReasonOf(refused.status()), "CONSENT_REQUIRED");
    EXPECT_EQ(MetadataOf(refused.status(), "approval"), "a1");
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("meta-mcp approve a1"));
  }
  EXPECT_EQ(calls(), 0);
  approvals_.all["a1"].set_state("approved");
  CallSpec spec = Push();
  spec.client_capabilities = "{}";
  EXPECT_EQ(ReasonOf(Run(Push(R"({"other":1})")).status()), "OK");  // asked about
  EXPECT_EQ(calls(), 0);
  EXPECT_TRUE(Run(spec).ok());
  EXPECT_EQ(calls(), 1);
  EXPECT_EQ(ReasonOf(Run(spec).status()), "CONSENT_REQUIRED");
}

TEST_F(ConsentTest, WhereAnotherMustApproveTheClientIsNotAsked) {
  Consent::Options options;
  options.self_approval = false;
  consent_.SetOptions(options);
  EXPECT_EQ(ReasonOf(Run(Push()).status()), "CONSENT_REQUIRED");
  EXPECT_EQ(calls(), 0);
}

TEST_F(ConsentTest, ADenialWinsOverConsent) {
  guard_.SetPolicy(PolicyOf("consent ask\ndeny no if tool = git.push"));
  EXPECT_EQ(ReasonOf(Run(Push()).status()), "PERMISSION_DENIED");
  EXPECT_TRUE(approvals_.all.empty());
}

TEST_F(ConsentTest, TheServersOwnQuestionIsAnsweredOnce) {
  const CallSpec spec = Push();
  const auto asked = Run(spec);
  ASSERT_TRUE(asked.ok());
  directory_.provider.kind = provider::v1::RESULT_KIND_INPUT_REQUIRED;
  directory_.provider.result =
      R"({"resultType":"input_required","inputRequests":{},"requestState":"theirs"})";
  const auto theirs = Run(Answered(spec, *asked, kAccept));
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  EXPECT_EQ(calls(), 1);
  CallSpec answer = spec;
  answer.has_request_state = true;
  answer.request_state = StateOf(*theirs);
  answer.input_responses = R"({"q":{"action":"accept"}})";
  ASSERT_TRUE(Run(answer).ok());
  EXPECT_EQ(calls(), 2);
  EXPECT_EQ(directory_.provider.last.request_state(), "theirs");
  // Given once more it would run the operation again.
  EXPECT_EQ(ReasonOf(Run(answer).status()), "STATE_INVALID");
  EXPECT_EQ(calls(), 2);
}

TEST_F(ConsentTest, WhatTheSearchToolsCallIsAskedForToo) {
  state_.mutable_views(0)->set_mode("search");
  mirror_.Apply(state_);
  CallSpec spec =
      Spec("tools/call", R"({"name":"call_tool","arguments":{"name":"git__push","arguments":{}}})");
  EXPECT_EQ(ReasonOf(Run(spec).status()), "CONSENT_REQUIRED");
  EXPECT_EQ(calls(), 0);
}

TEST(ShowArgumentsTest, IsBoundedAndHidesNothing) {
  EXPECT_EQ(ShowArguments("", 100), "{}");
  EXPECT_EQ(ShowArguments("not json", 100), "(no JSON)");
  EXPECT_EQ(ShowArguments(R"({"a":{"Password":"x","API-Key":[1],"n":1}})", 100),
            R"({"a":{"Password":"***","API-Key":"***","n":1}})");
  const std::string turned = ShowArguments("{\"a\":\"x\xe2\x80\xaey\"}", 100);
  EXPECT_EQ(turned, R"({"a":"x<U+202E>y"})");
  EXPECT_EQ(ShowArguments(StrCat(R"({"a":")", std::string(1000, 'x'), "\"}"), 4000).size(),
            500 + std::string("{\"a\":\"… (1000 bytes)\"}").size());
  EXPECT_LE(ShowArguments(StrCat("[", std::string(2000, '1'), "]"), 100).size(), 130u);
}

// Another reason than a rule.
class FakeCause final : public ConsentCause {
 public:
  std::optional<Why> Asks(const StageCall&) const override { return why; }
  bool Unsaid(const StageCall& call) const override { return unsaid && !call.resumed; }
  Awaitable<void> Say(const StageCall&) override {
    ++said;
    unsaid = false;
    co_return;
  }
  std::optional<Why> why;
  bool unsaid = false;
  int said = 0;
};

class CauseTest : public ConsentTest {
 protected:
  CauseTest() {
    guard_.SetPolicy(PolicyOf(""));
    consent_.SetCause(&cause_);
  }
  void Taint(const std::string& bound) {
    cause_.why = ConsentCause::Why{"taint.mode", "web answered.", bound};
  }
  FakeCause cause_;
};

TEST_F(CauseTest, APersonIsAskedWithTheReason) {
  Taint("web");
  const auto asked = Run(Push());
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_THAT(asked->result, HasSubstr("web answered."));
  EXPECT_THAT(asked->result, HasSubstr("taint.mode"));
  EXPECT_EQ(directory_.provider.calls, 0);
  const auto done = Run(Answered(Push(), *asked, R"({"action":"accept"})"));
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(directory_.provider.calls, 1);
}

TEST_F(CauseTest, WhatWasAllowedForOneReasonIsNotForAnother) {
  Taint("web");
  const auto asked = Run(Push());
  ASSERT_TRUE(asked.ok());
  // While the person thinks, another server answers, and a rule is added.
  Taint("web\nmail");
  EXPECT_EQ(ReasonOf(Run(Answered(Push(), *asked, R"({"action":"accept"})")).status()),
            "APPROVAL_CLOSED");
  EXPECT_EQ(directory_.provider.calls, 0);
  guard_.SetPolicy(PolicyOf("consent ask if tool = git.push because \"Precious.\""));
  const auto both = Run(Push());
  ASSERT_TRUE(both.ok());
  EXPECT_THAT(both->result, HasSubstr("Precious. web answered."));
  cause_.why.reset();
  EXPECT_EQ(ReasonOf(Run(Answered(Push(), *both, R"({"action":"accept"})")).status()),
            "APPROVAL_CLOSED");
  EXPECT_EQ(directory_.provider.calls, 0);
}

// Between the question and its answer: what is denied by then does not run.
TEST_F(CauseTest, APolicyThatDeniesMeanwhileAndARoleThatIsGoneWin) {
  Taint("web");
  const auto asked = Run(Push());
  ASSERT_TRUE(asked.ok());
  guard_.SetPolicy(PolicyOf("deny no if tool = git.push"));
  EXPECT_EQ(ReasonOf(Run(Answered(Push(), *asked, R"({"action":"accept"})")).status()),
            "PERMISSION_DENIED");
  guard_.SetPolicy(PolicyOf(""));
  who_.roles = {"auditor"};
  EXPECT_EQ(ReasonOf(Run(Answered(Push(), *asked, R"({"action":"accept"})")).status()),
            "PERMISSION_DENIED");
  EXPECT_EQ(directory_.provider.calls, 0);
}

TEST_F(CauseTest, RulesThatChangeWhileTheStoreIsAskedCount) {
  Taint("web");
  const auto asked = Run(Push());
  ASSERT_TRUE(asked.ok());
  approvals_.on_ask = [this] { guard_.SetPolicy(PolicyOf("deny no if tool = git.push")); };
  EXPECT_EQ(ReasonOf(Run(Answered(Push(), *asked, R"({"action":"accept"})")).status()),
            "PERMISSION_DENIED");
  EXPECT_EQ(directory_.provider.calls, 0);
}

TEST_F(CauseTest, OthersHearOfACallBeforeItIsSentAndOnlyWhereItMatters) {
  ASSERT_TRUE(CallTool("git__push").ok());
  EXPECT_EQ(cause_.said, 0);
  cause_.unsaid = true;
  ASSERT_TRUE(CallTool("git__push").ok());
  EXPECT_EQ(cause_.said, 1);
  ASSERT_TRUE(CallTool("git__push").ok());
  EXPECT_EQ(cause_.said, 1);
  // A call that is refused says nothing.
  cause_.unsaid = true;
  Taint("web");
  EXPECT_FALSE(CallTool("git__push").ok());
  EXPECT_EQ(cause_.said, 1);
}

}  // namespace
}  // namespace metamcp::gateway
