// Every MCP method, every role and none, the own and a foreign team. A method of the protocol that
// is not in the table fails.
#include <map>
#include <set>

#include "common/json/splice.h"
#include "common/mcp/methods.h"
#include "gateway/access/access_fixture.h"

namespace metamcp::gateway {
namespace {

enum class Needs {
  kNothing,  // says nothing of what there is: version, liveness, own log level, own answers
  kUse,      // permission "use"; the lists of others are empty, calls are refused
};

const std::map<std::string_view, Needs> kMethodNeeds = {
    {"completion/complete", Needs::kUse},
    {"initialize", Needs::kNothing},
    {"logging/setLevel", Needs::kNothing},
    {"notifications/cancelled", Needs::kNothing},
    {"notifications/initialized", Needs::kNothing},
    {"notifications/progress", Needs::kNothing},
    {"notifications/roots/list_changed", Needs::kNothing},
    {"notifications/tasks/status", Needs::kNothing},
    {"ping", Needs::kNothing},
    {"prompts/get", Needs::kUse},
    {"prompts/list", Needs::kUse},
    {"resources/list", Needs::kUse},
    {"resources/read", Needs::kUse},
    {"resources/subscribe", Needs::kUse},
    {"resources/templates/list", Needs::kUse},
    {"resources/unsubscribe", Needs::kNothing},
    {"server/discover", Needs::kNothing},
    {"subscriptions/listen", Needs::kNothing},  // of lists that are empty; URIs as subscribe
    {"tasks/cancel", Needs::kUse},
    {"tasks/get", Needs::kUse},
    {"tasks/list", Needs::kUse},    // runs tasks/get for each
    {"tasks/result", Needs::kUse},  // runs tasks/get
    {"tasks/update", Needs::kUse},
    {"tools/call", Needs::kUse},
    {"tools/list", Needs::kUse},
};

class MatrixTest : public AccessTest {
 protected:
  // Whether `who_` gets through with a request of that method about what is git's or vault's.
  bool Passes(std::string_view method, const std::string& upstream) {
    const auto lists = [&](ItemKind kind) {
      for (const EntryPtr& entry : guard_.Seen(view(), who_)->Entries(kind)) {
        if (entry->routes.at(0).upstream_id() == upstream) return true;
      }
      return false;
    };
    const std::string scheme = upstream == "git" ? "file:///a" : "vault:///a";
    if (method == "tools/list") return lists(catalog::v1::ITEM_KIND_TOOL);
    if (method == "prompts/list") return lists(catalog::v1::ITEM_KIND_PROMPT);
    if (method == "resources/list") return lists(catalog::v1::ITEM_KIND_RESOURCE);
    if (method == "resources/templates/list") return lists(catalog::v1::ITEM_KIND_TEMPLATE);
    if (method == "resources/subscribe") {
      return guard_.MayWatch(view(), who_, scheme).ok();
    }
    const int before = directory_.provider.calls;
    (void)Run(Spec(std::string(method), ParamsOf(method, upstream, scheme)));
    return directory_.provider.calls > before;
  }
  std::string ParamsOf(std::string_view method, const std::string& upstream,
                       const std::string& uri) {
    if (method == "tools/call") {
      return StrCat(R"({"name":")", upstream, upstream == "git" ? "__log" : "__read", "\"}");
    }
    if (method == "prompts/get") return StrCat(R"({"name":")", upstream, "__ask\"}");
    if (method == "resources/read") return StrCat(R"({"uri":")", uri, "\"}");
    if (method == "completion/complete") {
      return StrCat(R"({"ref":{"type":"ref/prompt","name":")", upstream,
                    R"(__ask"},"argument":{"name":"a","value":""}})");
    }
    return StrCat(R"({"taskId":")", Task(upstream), "\"}");
  }
  // The id under which `who_` knows a task.
  std::string Task(const std::string& upstream) {
    json::ObjectWriter plain;
    plain.AddString("u", upstream);
    plain.AddString("t", "t1");
    plain.AddString("i", "");
    return keys_.Seal(SealPurpose::kTask, std::move(plain).Build(),
                      StrCat("task|default|", who_.subject, "|default"));
  }
  void AddRest() {
    for (const std::string upstream : {"git", "vault"}) {
      AddPrompt(upstream);
    }
    Add("vault", catalog::v1::ITEM_KIND_RESOURCE, "vault:///a", R"({"uri":"vault:///a"})");
    Add("vault", catalog::v1::ITEM_KIND_TEMPLATE, "vault:///{p}", R"({"uriTemplate":"x"})");
    mirror_.Apply(state_);
  }
  void AddPrompt(const std::string& upstream) {
    Add(upstream, catalog::v1::ITEM_KIND_PROMPT, "ask", R"({"name":"ask"})");
    for (auto& view : *state_.mutable_views()) {
      view.mutable_items(view.items_size() - 1)->set_name(StrCat(upstream, "__ask"));
    }
  }
};

TEST_F(MatrixTest, EveryMethodOfTheProtocolIsInTheTable) {
  RecordProperty("req", "M-NFR-004.3");
  std::set<std::string_view> accepted;
  for (const mcp::MethodInfo& method : mcp::Methods()) {
    for (const mcp::Revision revision : mcp::kRevisions) {
      if (mcp::ServerAccepts(method, revision)) accepted.insert(method.name);
    }
  }
  for (const std::string_view method : accepted) {
    EXPECT_EQ(kMethodNeeds.count(method), 1u) << method << " names no permission";
  }
  for (const auto& [method, needs] : kMethodNeeds) {
    EXPECT_EQ(accepted.count(method), 1u) << method << " is no method";
  }
}

TEST_F(MatrixTest, EveryMethodForEveryRoleAndBothTeams) {
  AddRest();
  std::vector<std::string> roles(auth::Roles().begin(), auth::Roles().end());
  roles.emplace_back("");
  roles.emplace_back("somebody-elses");
  int cells = 0;
  for (const auto& [method, needs] : kMethodNeeds) {
    // The last two are tasks/get for what a session remembers.
    if (needs == Needs::kNothing || method == "tasks/list" || method == "tasks/result") continue;
    for (const std::string& role : roles) {
      for (const bool own : {true, false}) {
        who_.roles.clear();
        if (!role.empty()) who_.roles.push_back(role);
        who_.teams = {own ? "core" : "sales"};
        const bool use = auth::Allows(who_, auth::Permission::kUse);
        const bool sees = own || auth::Allows(who_, auth::Permission::kOperate);
        EXPECT_EQ(Passes(method, "git"), use) << method << " as " << role;
        EXPECT_EQ(Passes(method, "vault"), use && sees)
            << method << " as " << role << (own ? ", own team" : ", foreign team");
        cells += 2;
      }
    }
  }
  EXPECT_EQ(cells, 12 * 7 * 2 * 2);
}

TEST_F(MatrixTest, AForeignTenantSharesNothingThatIsRemembered) {
  guard_.SetPolicy(PolicyOf("deny no-push if tool = git.push"));
  Principal other = who_;
  other.tenant = "other";
  // Equal, but made for each: a tenant is a wall for what is kept as well.
  EXPECT_NE(guard_.Seen(view(), who_), nullptr);
  EXPECT_EQ(guard_.Seen(view(), other)->Entries(catalog::v1::ITEM_KIND_TOOL).size(), 1u);
}

}  // namespace
}  // namespace metamcp::gateway
