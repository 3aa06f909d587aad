#include "gateway/routing/call_chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {
namespace {

using catalog::v1::ITEM_KIND_PROMPT;
using catalog::v1::ITEM_KIND_RESOURCE;
using catalog::v1::ITEM_KIND_TEMPLATE;
using catalog::v1::ITEM_KIND_TOOL;

// Answers every call with `result` and keeps what it was asked.
class FakeProvider final : public provider::v1::ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    last = std::move(request);
    ++calls;
    if (!refuse.ok()) co_return refuse;
    provider::v1::CallResponse event;
    event.mutable_result()->set_kind(provider::v1::RESULT_KIND_COMPLETE);
    event.mutable_result()->set_data(result);
    event.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(event));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>&) override {
    co_return absl::OkStatus();
  }
  std::string result = R"({"resultType":"complete","content":[]})";
  provider::v1::CallRequest last;
  int calls = 0;
  absl::Status refuse;
};

class Directory final : public ProviderDirectory {
 public:
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return &provider; }
  FakeProvider provider;
};

class NoEvents final : public CallEvents {
 public:
  Awaitable<absl::Status> Progress(std::string) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> LogMessage(std::string) override { co_return absl::OkStatus(); }
};

class Outcomes final : public CallObserver {
 public:
  void OnFinished(const FinishedCall& call) override { last = std::string(call.outcome); }
  std::string last;
};

// Lets everybody log in whose subject is not "viewer".
class Links final : public LoginLinks {
 public:
  std::string LinkFor(const Principal& principal, const std::string& upstream_id,
                      const std::string& name, bool own) const override {
    if (principal.subject == "viewer" && !own) return "";
    return StrCat("http://gw/", upstream_id, "/", name, own ? "/own" : "");
  }
};

class CallChainTest : public ::testing::Test {
 protected:
  CallChainTest() : chain_(directory_, keys_, CallChain::Options()) {
    catalog::v1::Upstream& up = *state_.add_upstreams();
    up.mutable_meta()->set_id("u");
    up.mutable_meta()->set_name("up");
    up.set_enabled(true);
    up.mutable_status()->set_reachable(true);
    catalog::v1::VirtualServerView& view = *state_.add_views();
    view.set_name("default");
    view.set_active(true);
    view.add_upstream_ids("u");
    state_.set_begin(true);
    state_.set_end(true);
  }
  catalog::v1::VirtualServerView& view() { return *state_.mutable_views(0); }
  catalog::v1::ExposedItem& Add(catalog::v1::ItemKind kind, std::string original,
                                std::string definition = "{}") {
    auto& item = *state_.add_items();
    item.set_id(original);
    item.set_upstream_id("u");
    item.set_kind(kind);
    item.set_original_name(original);
    item.set_definition(std::move(definition));
    auto& exposed = *view().add_items();
    exposed.set_kind(kind);
    exposed.set_name(original);
    exposed.set_qualified_name(StrCat("up.", original));
    exposed.set_item_id(original);
    exposed.add_routes()->set_upstream_id("u");
    exposed.mutable_routes(0)->set_original_name(original);
    return exposed;
  }
  absl::StatusOr<CallOutcome> Call(std::string method, std::string params) {
    CatalogMirror mirror;
    mirror.Apply(state_);
    CallSpec spec;
    spec.view = mirror.snapshot()->Find("default");
    spec.method = std::move(method);
    spec.params = std::move(params);
    spec.client_capabilities = capabilities_;
    spec.request_state = state_text_;
    spec.has_request_state = !state_text_.empty();
    spec.input_responses = responses_;
    auto who = std::make_shared<Principal>();
    who->subject = subject_;
    const CallContext ctx(who, CallContext::Clock::now() + std::chrono::seconds(30));
    NoEvents events;
    absl::StatusOr<CallOutcome> out = absl::UnknownError("not run");
    boost::asio::io_context io;
    boost::asio::co_spawn(io, chain_.Run(ctx, spec, events),
                          [&out](std::exception_ptr, absl::StatusOr<CallOutcome> outcome) {
                            out = std::move(outcome);
                          });
    io.run();
    return out;
  }
  std::string Reason(const absl::StatusOr<CallOutcome>& outcome) {
    const auto info = GetErrorInfo(outcome.status());
    return info ? info->reason : "";
  }
  absl::StatusOr<CallOutcome> Read(std::string_view uri) {
    return Call("resources/read", StrCat("{\"uri\":\"", uri, "\"}"));
  }
  const FakeProvider& provider() const { return directory_.provider; }

  Directory directory_;
  KeyRing keys_ = KeyRing::Ephemeral();
  CallChain chain_;
  catalog::v1::WatchCatalogResponse state_;
  std::string capabilities_ = "{}";
  std::string state_text_, responses_;
  std::string subject_ = "somebody";
};

TEST_F(CallChainTest, ArgumentsOfPromptsAreMappedBackToo) {
  RecordProperty("req", "M02-US-004.2");
  auto& prompt = Add(ITEM_KIND_PROMPT, "greet");
  (*prompt.mutable_arguments())["who"].set_rename("person");
  (*prompt.mutable_arguments())["tone"].set_fixed_value("\"kind\"");
  ASSERT_TRUE(Call("prompts/get", R"({"name":"greet","arguments":{"person":"Ann"}})").ok());
  EXPECT_EQ(provider().last.params(),
            R"({"name":"greet","arguments":{"who":"Ann","tone":"kind"}})");
  EXPECT_EQ(Reason(Call("prompts/get", R"({"name":"greet","arguments":{"tone":"x"}})")),
            "INVALID_PARAMS");
}

TEST_F(CallChainTest, CompletionsNameTheArgumentAsTheUpstreamDoes) {
  RecordProperty("req", "M02-US-004.2");
  auto& prompt = Add(ITEM_KIND_PROMPT, "greet");
  (*prompt.mutable_arguments())["who"].set_rename("person");
  (*prompt.mutable_arguments())["tone"].set_fixed_value("\"kind\"");
  const std::string ref = R"({"ref":{"type":"ref/prompt","name":"greet"},)";
  ASSERT_TRUE(
      Call("completion/complete", StrCat(ref, R"("argument":{"name":"person","value":"A"},)",
                                         R"("context":{"arguments":{"person":"B"}}})"))
          .ok());
  EXPECT_EQ(provider().last.params(),
            StrCat(ref, R"("argument":{"name":"who","value":"A"},)",
                   R"("context":{"arguments":{"who":"B","tone":"kind"}}})"));
  for (const char* name : {"tone", "who"}) {
    const std::string argument = StrCat(R"("argument":{"name":")", name, R"(","value":""}})");
    EXPECT_EQ(Reason(Call("completion/complete", ref + argument)), "INVALID_PARAMS") << name;
  }
}

TEST_F(CallChainTest, ResourcesNeedNotBeListedToBeRead) {
  ASSERT_TRUE(Read("ui://widget/1").ok());
  EXPECT_EQ(provider().last.target(), "ui://widget/1");
}

TEST_F(CallChainTest, WhatAVirtualServerLeavesOutCannotBeRead) {
  RecordProperty("req", "A-P1.3");
  Add(ITEM_KIND_RESOURCE, "docs://a");
  Add(ITEM_KIND_TEMPLATE, "file:///{+path}", R"({"uriTemplate":"file:///{+path}","name":"f"})");
  view().mutable_resources()->add_exclude("file:///secret*");
  view().add_disabled_items("up.docs://b");
  EXPECT_TRUE(Read("file:///open.txt").ok());
  EXPECT_TRUE(Read("docs://c").ok());
  EXPECT_EQ(provider().calls, 2);
  for (const char* uri : {"file:///secret.txt", "docs://b"}) {
    EXPECT_EQ(Reason(Read(uri)), "RESOURCE_NOT_FOUND") << uri;
  }
  view().mutable_resources()->add_include("docs://a");
  EXPECT_TRUE(Read("docs://a").ok());
  EXPECT_EQ(Reason(Read("docs://c")), "RESOURCE_NOT_FOUND");
  EXPECT_EQ(provider().calls, 3);
}

TEST_F(CallChainTest, ATemplateThatAConflictRenamedReadsTheUpstreamsOwnUri) {
  auto& exposed = Add(ITEM_KIND_TEMPLATE, "file:///{p}", R"({"uriTemplate":"file:///{p}"})");
  exposed.set_name("up+file:///{p}");
  directory_.provider.result = R"({"contents":[{"uri":"file:///x","text":"y"}]})";
  const auto outcome = Read("up+file:///x");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(provider().last.target(), "file:///x");
  EXPECT_THAT(outcome->result, ::testing::HasSubstr(R"("uri":"up+file:///x")"));
}

TEST_F(CallChainTest, ANameOfAServerThatIsNotThereYetSaysSo) {
  Add(ITEM_KIND_TOOL, "t", R"({"name":"t","inputSchema":{}})");
  EXPECT_EQ(Reason(Call("tools/call", R"({"name":"up__x"})")), "TOOL_NOT_FOUND");
  auto& status = *state_.mutable_upstreams(0)->mutable_status();
  status.set_reachable(false);
  status.set_state("connecting");
  const auto outcome = Call("tools/call", R"({"name":"up__x"})");
  EXPECT_EQ(Reason(outcome), "UPSTREAM_UNAVAILABLE");
  EXPECT_THAT(std::string(outcome.status().message()), ::testing::HasSubstr("up is connecting"));
  EXPECT_EQ(Reason(Call("tools/call", R"({"name":"upper"})")), "TOOL_NOT_FOUND");
  status.set_tools(1);  // it is known what it offers
  EXPECT_EQ(Reason(Call("tools/call", R"({"name":"up__x"})")), "TOOL_NOT_FOUND");
}

TEST_F(CallChainTest, WhatMayHaveTakenEffectIsNotSentToAnotherRoute) {
  RecordProperty("req", "M-P3");
  catalog::v1::Upstream& other = *state_.add_upstreams();
  other.mutable_meta()->set_id("v");
  other.mutable_meta()->set_name("other");
  other.set_enabled(true);
  other.mutable_status()->set_reachable(true);
  view().add_upstream_ids("v");
  const auto add_route = [](catalog::v1::ExposedItem& item) {
    item.add_routes()->set_upstream_id("v");
    item.mutable_routes(1)->set_original_name(item.name());
  };
  add_route(Add(ITEM_KIND_TOOL, "pay", R"({"name":"pay","inputSchema":{}})"));
  add_route(Add(ITEM_KIND_TOOL, "look",
                R"({"name":"look","inputSchema":{},"annotations":{"readOnlyHint":true}})"));
  const auto calls = [&](const char* reason, const char* params) {
    const int before = provider().calls;
    directory_.provider.refuse = MakeError(reason, "upstream:up", "HTTP 500");
    EXPECT_EQ(Reason(Call("tools/call", params)), reason);
    return provider().calls - before;
  };
  EXPECT_EQ(calls("UPSTREAM_LOST", R"({"name":"pay"})"), 1);
  EXPECT_EQ(calls("UPSTREAM_UNAVAILABLE", R"({"name":"pay"})"), 2);
  EXPECT_EQ(calls("UPSTREAM_LOST", R"({"name":"look"})"), 2);
}

TEST_F(CallChainTest, AToolThatSaysItFailedIsNotCountedAsOk) {
  Add(ITEM_KIND_TOOL, "t", R"({"name":"t","inputSchema":{}})");
  Outcomes outcomes;
  chain_.SetObserver(&outcomes);
  const auto count = [&](std::string result) {
    directory_.provider.result = std::move(result);
    EXPECT_TRUE(Call("tools/call", R"({"name":"t"})").ok());
    return outcomes.last;
  };
  EXPECT_EQ(count(R"({"content":[],"isError":true})"), "tool_error");
  EXPECT_EQ(count(R"({"content":[],"isError": false})"), "ok");
  EXPECT_EQ(count(R"({"content":[],"structuredContent":{"isError":true}})"), "ok");
  chain_.SetObserver(nullptr);
}

TEST_F(CallChainTest, ALoginIsOfferedToThoseWhoCanOpenAddresses) {
  RecordProperty("req", "M02-US-002.3");
  Add(ITEM_KIND_TOOL, "t", R"({"name":"t","inputSchema":{}})");
  const Links links;
  chain_.SetLogins(&links);
  directory_.provider.refuse =
      MakeError("UPSTREAM_LOGIN_REQUIRED", "upstream:up", "up needs login", {{"login", "shared"}});
  capabilities_ = R"({"elicitation":{"url":{}}})";
  const auto asked = Call("tools/call", R"({"name":"t"})");
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->kind, provider::v1::RESULT_KIND_INPUT_REQUIRED);
  EXPECT_THAT(asked->result, ::testing::HasSubstr(R"("url":"http://gw/u/up")"));
  EXPECT_THAT(asked->result, ::testing::HasSubstr(R"("mode":"url")"));
  const auto view = json::ScanObject(asked->result);
  state_text_ = view->String("requestState").value_or("");
  ASSERT_FALSE(state_text_.empty());
  // Declined: nothing is called.
  responses_ = R"({"metamcp_login":{"action":"decline"}})";
  const int before = provider().calls;
  const auto declined = Call("tools/call", R"({"name":"t"})");
  ASSERT_TRUE(declined.ok());
  EXPECT_THAT(declined->result, ::testing::HasSubstr("declined"));
  EXPECT_EQ(provider().calls, before);
  // Accepted: the call is made afresh and waits for the login.
  responses_ = R"({"metamcp_login":{"action":"accept"}})";
  directory_.provider.refuse = absl::OkStatus();
  ASSERT_TRUE(Call("tools/call", R"({"name":"t"})").ok());
  EXPECT_GT(provider().last.login_wait_ms(), 0);
  EXPECT_FALSE(provider().last.has_request_state());
  EXPECT_EQ(provider().last.input_responses(), "");
  subject_ = "another";
  EXPECT_EQ(Reason(Call("tools/call", R"({"name":"t"})")), "STATE_INVALID");
}

TEST_F(CallChainTest, OthersAreToldWhereToLogIn) {
  Add(ITEM_KIND_TOOL, "t", R"({"name":"t","inputSchema":{}})");
  Add(ITEM_KIND_PROMPT, "p");
  const Links links;
  chain_.SetLogins(&links);
  directory_.provider.refuse =
      MakeError("UPSTREAM_LOGIN_REQUIRED", "upstream:up", "up needs login", {{"login", "shared"}});
  const auto told = Call("tools/call", R"({"name":"t"})");
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_THAT(told->result, ::testing::HasSubstr("http://gw/u/up"));
  EXPECT_THAT(told->result, ::testing::HasSubstr(R"("isError":true)"));
  const auto prompt = Call("prompts/get", R"({"name":"p"})");
  EXPECT_EQ(Reason(prompt), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_THAT(std::string(prompt.status().message()), ::testing::HasSubstr("http://gw/u/up"));
  subject_ = "viewer";
  const auto refused = Call("tools/call", R"({"name":"t"})");
  EXPECT_EQ(Reason(refused), "UPSTREAM_LOGIN_REQUIRED");
  EXPECT_THAT(std::string(refused.status().message()), ::testing::Not(::testing::HasSubstr("gw")));
  directory_.provider.refuse = MakeError("UPSTREAM_LOGIN_REQUIRED", "upstream:up", "up needs login",
                                         {{"login", "principal"}});
  EXPECT_THAT(Call("tools/call", R"({"name":"t"})")->result,
              ::testing::HasSubstr("http://gw/u/up/own"));
}

// Writes down what it sees, refuses what it is told to, and may change the outcome.
class NotingStage final : public CallStage {
 public:
  NotingStage(std::string name, std::string& notes) : name_(std::move(name)), notes_(notes) {}
  absl::Status Before(const StageCall& call) override {
    if (refuses) return MakeError("PERMISSION_DENIED", "policy", "no");
    notes_ += StrCat(name_, "+", call.entry != nullptr ? call.entry->qualified_name : "?", " ");
    return absl::OkStatus();
  }
  void After(const StageCall& call, absl::StatusOr<CallOutcome>* outcome) override {
    notes_ += StrCat(name_, outcome != nullptr ? "-" : "!", call.name, " ");
    if (outcome != nullptr && outcome->ok()) (*outcome)->result += name_;
  }
  bool refuses = false;

 private:
  const std::string name_;
  std::string& notes_;
};

TEST_F(CallChainTest, StagesSeeEveryCallAndTheRefusalOfOneUndoesThoseBefore) {
  Add(ITEM_KIND_TOOL, "greet");
  std::string notes;
  NotingStage first("a", notes), second("b", notes);
  chain_.AddStage(&first);
  chain_.AddStage(&second);
  auto outcome = Call("tools/call", R"({"name":"greet","arguments":{}})");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(notes, "a+up.greet b+up.greet b-greet a-greet ");
  EXPECT_EQ(outcome->result, R"({"resultType":"complete","content":[]}ba)");
  EXPECT_EQ(provider().calls, 1);

  notes.clear();
  second.refuses = true;
  EXPECT_EQ(Reason(Call("tools/call", R"({"name":"greet","arguments":{}})")), "PERMISSION_DENIED");
  EXPECT_EQ(notes, "a+up.greet a!greet ");
  EXPECT_EQ(provider().calls, 1);
}

}  // namespace
}  // namespace metamcp::gateway
