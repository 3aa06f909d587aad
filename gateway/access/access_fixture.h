#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "gateway/access/access_guard.h"
#include "gateway/routing/call_chain.h"
#include "gateway/routing/mirror.h"

namespace metamcp::gateway {

// Counts the calls that reach it, and answers each.
class CountingProvider final : public provider::v1::ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext&, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override {
    ++calls;
    last = std::move(request);
    provider::v1::CallResponse event;
    event.mutable_result()->set_kind(kind);
    event.mutable_result()->set_data(result);
    event.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(event));
  }
  Awaitable<absl::Status> Listen(const CallContext&, provider::v1::ListenRequest,
                                 Sink<provider::v1::ListenResponse>&) override {
    co_return absl::OkStatus();
  }
  int calls = 0;
  provider::v1::CallRequest last;
  provider::v1::ResultKind kind = provider::v1::RESULT_KIND_COMPLETE;
  std::string result = R"({"resultType":"complete","content":[]})";
};

class OneProvider final : public ProviderDirectory {
 public:
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return &provider; }
  CountingProvider provider;
};

class QuietEvents final : public CallEvents {
 public:
  Awaitable<absl::Status> Progress(std::string) override { co_return absl::OkStatus(); }
  Awaitable<absl::Status> LogMessage(std::string) override { co_return absl::OkStatus(); }
};

inline std::shared_ptr<const policy::Policy> PolicyOf(
    std::string text, policy::Effect otherwise = policy::Effect::kAllow) {
  std::vector<policy::Policy::Source> sources;
  sources.push_back({std::move(text), "test"});
  auto made = policy::Policy::Compile(sources, otherwise);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : nullptr;
}

inline std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "OK";
  const auto info = GetErrorInfo(status);
  return info ? info->reason : std::string(status.message());
}
inline std::string MetadataOf(const absl::Status& status, const std::string& key) {
  const auto info = GetErrorInfo(status);
  return info && info->metadata.count(key) > 0 ? info->metadata.at(key) : "";
}

// Servers git (all) and vault (team core) behind the virtual server default, and ops, which is of
// team core.
class AccessTest : public ::testing::Test {
 protected:
  AccessTest() : guard_(PolicyOf("")), chain_(directory_, keys_, CallChain::Options()) {
    AddUpstream("git", "", "public");
    AddUpstream("vault", "core", "team");
    AddView("default", "", "public");
    AddView("ops", "core", "team");
    AddTool("git", "push", R"({"name":"x","inputSchema":{"type":"object"}})");
    AddTool("git", "log", R"({"name":"x","annotations":{"readOnlyHint":true}})");
    AddTool("vault", "read", R"({"name":"x"})");
    Add("git", catalog::v1::ITEM_KIND_RESOURCE, "file:///a", R"({"uri":"file:///a","name":"a"})");
    Add("git", catalog::v1::ITEM_KIND_TEMPLATE, "file:///{p}",
        R"({"uriTemplate":"file:///{p}","name":"t"})");
    state_.set_begin(true);
    state_.set_end(true);
    mirror_.Apply(state_);
    chain_.AddStage(&guard_);
    chain_.SetFilter(&guard_);
    who_.subject = "ada";
    who_.roles = {"developer"};
  }

  void AddUpstream(const std::string& name, const std::string& team,
                   const std::string& visibility) {
    catalog::v1::Upstream& up = *state_.add_upstreams();
    up.mutable_meta()->set_id(name);
    up.mutable_meta()->set_name(name);
    up.mutable_meta()->set_owner("root");
    up.mutable_meta()->set_team(team);
    up.mutable_meta()->set_visibility(visibility);
    up.set_enabled(true);
    up.mutable_status()->set_reachable(true);
    up.mutable_status()->set_listed(true);
  }
  void AddView(const std::string& name, const std::string& team, const std::string& visibility) {
    catalog::v1::VirtualServerView& view = *state_.add_views();
    view.set_name(name);
    view.set_active(true);
    view.set_team(team);
    view.set_visibility(visibility);
    view.add_upstream_ids("git");
    view.add_upstream_ids("vault");
  }
  void AddTool(const std::string& upstream, const std::string& name, std::string definition) {
    Add(upstream, catalog::v1::ITEM_KIND_TOOL, name, std::move(definition));
  }
  void Add(const std::string& upstream, ItemKind kind, const std::string& name,
           std::string definition) {
    auto& item = *state_.add_items();
    item.set_id(StrCat(upstream, ".", name));
    item.set_upstream_id(upstream);
    item.set_kind(kind);
    item.set_original_name(name);
    item.set_definition(std::move(definition));
    for (auto& view : *state_.mutable_views()) {
      auto& exposed = *view.add_items();
      exposed.set_kind(kind);
      exposed.set_name(kind == catalog::v1::ITEM_KIND_TOOL ? StrCat(upstream, "__", name) : name);
      exposed.set_qualified_name(StrCat(upstream, ".", name));
      exposed.set_item_id(item.id());
      exposed.add_routes()->set_upstream_id(upstream);
      exposed.mutable_routes(0)->set_original_name(name);
    }
  }

  std::shared_ptr<const ServerView> view(const std::string& name = "default") {
    return mirror_.snapshot()->Find(name);
  }
  CallSpec Spec(std::string method, std::string params) {
    CallSpec spec;
    spec.view = view();
    spec.method = std::move(method);
    spec.params = std::move(params);
    spec.client_info = R"({"name":"tester","version":"1"})";
    return spec;
  }
  absl::StatusOr<CallOutcome> Run(const CallSpec& spec) {
    QuietEvents events;
    const CallContext ctx(std::make_shared<Principal>(who_),
                          CallContext::Clock::now() + std::chrono::seconds(30));
    absl::StatusOr<CallOutcome> out = absl::UnknownError("not run");
    boost::asio::co_spawn(io_, chain_.Run(ctx, spec, events),
                          [&](std::exception_ptr error, absl::StatusOr<CallOutcome> done) {
                            EXPECT_EQ(error, nullptr);
                            out = std::move(done);
                          });
    io_.restart();
    io_.run();
    return out;
  }
  absl::StatusOr<CallOutcome> CallTool(const std::string& name,
                                       const std::string& arguments = "{}") {
    return Run(
        Spec("tools/call", StrCat(R"({"name":")", name, R"(","arguments":)", arguments, "}")));
  }
  std::vector<std::string> Listed(ItemKind kind = catalog::v1::ITEM_KIND_TOOL) {
    std::vector<std::string> out;
    for (const EntryPtr& entry : guard_.Seen(view(), who_)->Entries(kind))
      out.push_back(entry->name);
    return out;
  }

  boost::asio::io_context io_;
  catalog::v1::WatchCatalogResponse state_;
  CatalogMirror mirror_;
  KeyRing keys_ = KeyRing::Ephemeral();
  OneProvider directory_;
  AccessGuard guard_;
  CallChain chain_;
  Principal who_;
};

}  // namespace metamcp::gateway
