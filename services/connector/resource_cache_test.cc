#include "services/connector/resource_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "services/connector/upstream_fixture.h"

namespace metamcp::connector {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The fixture counts how often test://fixture/count is read.
class ResourceCacheTest : public UpstreamFixture {
 protected:
  void Use(ResourceCache::Options options) {
    resources_ = std::make_unique<ResourceCache>(*store_, tasks_, std::move(options));
    core_.resources = resources_.get();
  }
  std::shared_ptr<Upstream> Ready(std::vector<std::string> args) {
    auto upstream = Start(Stdio("one", std::move(args)));
    EXPECT_TRUE(UntilState(*upstream, "ready")) << upstream->status().detail();
    return upstream;
  }
  static pb::CallRequest ReadOf(const Upstream& upstream) {
    pb::CallRequest request;
    request.set_upstream_id(upstream.id());
    request.set_method("resources/read");
    request.set_target("test://fixture/count");
    request.set_params(R"({"uri":"test://fixture/count"})");
    request.set_client_capabilities("{}");
    return request;
  }
  Json ResultOf(Upstream& upstream, pb::CallRequest request, const std::string& who = "ada") {
    auto call = std::make_shared<RunningCall>();
    auto principal = std::make_shared<Principal>();
    principal->subject = who;
    call->ctx.principal = principal;
    call->ctx.deadline = std::chrono::steady_clock::now() + seconds(20);
    auto done = [call](std::exception_ptr e, absl::Status status) {
      call->status = e ? absl::CancelledError("thrown") : std::move(status);
      call->done = true;
    };
    boost::asio::co_spawn(io_, upstream.Call(call->ctx, std::move(request), call->sink),
                          std::move(done));
    EXPECT_TRUE(Until([&] { return call->done; }));
    EXPECT_TRUE(call->status.ok()) << call->status;
    return Json::parse(call->sink.result);
  }
  // How often the server had been read when it answered this.
  std::string Count(Upstream& upstream, const std::string& who = "ada") {
    return ResultOf(upstream, ReadOf(upstream), who)["contents"][0]["text"];
  }

  std::unique_ptr<cache::Cache> store_ = cache::MakeMemoryCache({});
  std::unique_ptr<ResourceCache> resources_;
};

const std::vector<std::string> kPublic = {"--era",  "modern",           "--resource-ttl",
                                          "600000", "--resource-scope", "public"};
const std::vector<std::string> kPrivate = {"--era", "modern", "--resource-ttl", "600000"};

TEST_F(ResourceCacheTest, WhatTheServerCallsPublicIsForEverybody) {
  RecordProperty("req", "P1-Res-4");
  Use({});
  auto upstream = Ready(kPublic);
  EXPECT_EQ(Count(*upstream), "1");
  const Json again = ResultOf(*upstream, ReadOf(*upstream), "bob");
  EXPECT_EQ(again["contents"][0]["text"], "1");
  EXPECT_LE(again["ttlMs"].get<int>(), 600000);
  EXPECT_GT(again["ttlMs"].get<int>(), 500000) << "what is left of it";
  EXPECT_EQ(again["cacheScope"], "public");
  EXPECT_EQ(resources_->hits(), 1);
  EXPECT_EQ(resources_->misses(), 1);
  EXPECT_GT(resources_->bytes(), 0u);
}

TEST_F(ResourceCacheTest, AllElseIsForWhoAsked) {
  RecordProperty("req", "P1-Res-4");
  Use({});
  auto upstream = Ready(kPrivate);
  EXPECT_EQ(Count(*upstream, "ada"), "1");
  EXPECT_EQ(Count(*upstream, "bob"), "2");
  EXPECT_EQ(Count(*upstream, "ada"), "1");
  EXPECT_EQ(Count(*upstream, "bob"), "2");
}

TEST_F(ResourceCacheTest, NothingIsKeptThatTheServerDoesNotCallFresh) {
  Use({});
  auto upstream = Ready({"--era", "modern"});
  EXPECT_EQ(Count(*upstream), "1");
  EXPECT_EQ(Count(*upstream), "2");
  EXPECT_EQ(resources_->bytes(), 0u);
}

TEST_F(ResourceCacheTest, TheOperatorSpeaksForServersThatSayNothing) {
  RecordProperty("req", "P1-Res-4");
  ResourceCache::Options options;
  options.rules = {{"o*", seconds(60)}, {"*", seconds(0)}};
  Use(std::move(options));
  auto upstream = Ready({"--era", "legacy"});
  EXPECT_EQ(Count(*upstream, "ada"), "1");
  const Json again = ResultOf(*upstream, ReadOf(*upstream), "ada");
  EXPECT_EQ(again["contents"][0]["text"], "1");
  EXPECT_EQ(again["ttlMs"], 0) << "what it says itself";
  EXPECT_EQ(Count(*upstream, "bob"), "2");
}

TEST_F(ResourceCacheTest, TimeEndsIt) {
  ResourceCache::Options options;
  options.ttl_max = milliseconds(40);
  Use(std::move(options));
  auto upstream = Ready(kPublic);
  EXPECT_EQ(Count(*upstream), "1");
  const auto end = std::chrono::steady_clock::now() + milliseconds(60);
  EXPECT_TRUE(Until([&] { return std::chrono::steady_clock::now() > end; }));
  EXPECT_EQ(Count(*upstream), "2");
}

TEST_F(ResourceCacheTest, AnUpdateEndsIt) {
  RecordProperty("req", "P1-Res-4");
  Use({});
  auto upstream = Ready({"--era", "legacy"});
  ResourceCache::Options options;
  options.rules = {{"*", seconds(60)}};
  Use(std::move(options));
  EXPECT_EQ(Count(*upstream), "1");
  EXPECT_EQ(Count(*upstream), "1");
  Finish(*upstream, Tool(*upstream, "update"));
  EXPECT_TRUE(Until([&] { return Count(*upstream) == "2"; }));
  upstream->Restart();
  EXPECT_TRUE(UntilState(*upstream, "ready"));
  EXPECT_EQ(Count(*upstream), "1") << "another process, asked anew";
}

TEST_F(ResourceCacheTest, WhatIsReadWhileItChangesIsNotKept) {
  Use({});
  CallContext ctx;
  pb::CallRequest request;
  request.set_upstream_id("u");
  request.set_method("resources/read");
  request.set_target("test://x");
  request.set_params("{}");
  const auto place = resources_->PlaceOf(ctx, request, "one");
  ASSERT_TRUE(place);
  resources_->Forget("u");
  resources_->Keep(*place, R"({"contents":[],"ttlMs":60000,"cacheScope":"public"})");
  EXPECT_TRUE(Until([&] { return tasks_.running() == 0; }));
  EXPECT_EQ(resources_->bytes(), 0u);
  EXPECT_FALSE(Await(io_, resources_->Find(*resources_->PlaceOf(ctx, request, "one"))));
}

TEST_F(ResourceCacheTest, OnlyPlainReadsHaveAPlace) {
  Use({});
  CallContext ctx;
  pb::CallRequest plain;
  plain.set_upstream_id("u");
  plain.set_method("resources/read");
  plain.set_target("test://x");
  plain.set_params(R"({"uri":"test://x","_meta":{"progressToken":1}})");
  EXPECT_TRUE(resources_->PlaceOf(ctx, plain, "one"));
  pb::CallRequest other = plain;
  other.set_params(R"({"uri":"test://x","com.example/page":2})");
  EXPECT_FALSE(resources_->PlaceOf(ctx, other, "one"));
  other = plain;
  other.set_has_request_state(true);
  EXPECT_FALSE(resources_->PlaceOf(ctx, other, "one"));
  other = plain;
  other.set_input_responses("{}");
  EXPECT_FALSE(resources_->PlaceOf(ctx, other, "one"));
  other = plain;
  other.set_method("prompts/get");
  EXPECT_FALSE(resources_->PlaceOf(ctx, other, "one"));
  other = plain;
  other.set_params("no JSON");
  EXPECT_FALSE(resources_->PlaceOf(ctx, other, "one"));
}

}  // namespace
}  // namespace metamcp::connector
