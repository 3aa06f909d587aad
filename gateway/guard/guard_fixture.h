#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

// A server as calls know it.
inline std::shared_ptr<const UpstreamInfo> MakeUpstream(const std::string& name, bool trusted) {
  auto info = std::make_shared<UpstreamInfo>();
  info->id = "id-" + name;
  info->name = name;
  info->trusted = trusted;
  return info;
}

// A virtual server with web, which is not trusted, and files; a call of a tool of files by ada.
class GuardTest : public ::testing::Test {
 protected:
  GuardTest() {
    ServerView::Parts parts;
    parts.name = "default";
    parts.upstreams = {MakeUpstream("web", false), MakeUpstream("files", true)};
    spec_.view = std::make_shared<ServerView>(std::move(parts));
    spec_.method = "tools/call";
    entry_.kind = catalog::v1::ITEM_KIND_TOOL;
    entry_.definition = R"({"name":"t","inputSchema":{}})";
    Route("files");
    auto who = std::make_shared<Principal>();
    who->subject = "ada";
    ctx_.principal = std::move(who);
  }
  void Route(const std::string& upstream) {
    routes_.clear();
    routes_.emplace_back();
    routes_.back().set_upstream_id("id-" + upstream);
  }
  StageCall Call() { return {ctx_, spec_, &entry_, "t", routes_, false, &arguments_}; }
  static std::string Reason(const absl::Status& status) {
    const auto info = GetErrorInfo(status);
    return info ? info->reason : "";
  }
  static absl::StatusOr<CallOutcome> Result(const std::string& json,
                                            const std::string& from = "files") {
    CallOutcome out;
    out.result = json;
    out.upstream = from;
    return out;
  }

  CallContext ctx_;
  CallSpec spec_;
  ExposedEntry entry_;
  std::vector<catalog::v1::Route> routes_;
  std::string arguments_;
};

}  // namespace metamcp::gateway
