#include "cli/apply_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::cli {
namespace {

using ::testing::ElementsAre;

TEST(ApplyConfigTest, VirtualServersNameServersByTheirKeyOrSlug) {
  RecordProperty("req", "P1-Virt-1");
  config::Config config;
  config.mcp_servers["My Server"].type = "stdio";
  config.mcp_servers["git.hub"].type = "stdio";
  auto& server = config.virtual_servers["dev"];
  server.servers = {"My Server", "git*", "my-server"};
  server.overrides["My Server.a.b"].name = "x";
  server.overrides["git.hub.y"].name = "y";
  server.overrides["git-hub.z"].name = "z";
  const auto request = ToApplyConfig(config);
  const auto& spec = request.virtual_servers(0).spec();
  EXPECT_THAT(spec.servers(), ElementsAre("my-server", "git*", "my-server"));
  EXPECT_EQ(spec.overrides().at("my-server.a.b").name(), "x");
  EXPECT_EQ(spec.overrides().at("git-hub.y").name(), "y");
  EXPECT_EQ(spec.overrides().at("git-hub.z").name(), "z");
  EXPECT_EQ(request.upstreams(0).meta().display_name(), "My Server");
}

TEST(ApplyConfigTest, WhatHasATeamIsTheTeamsUnlessItSaysOtherwise) {
  RecordProperty("req", "M-NFR-004.3");
  config::Config config;
  config.mcp_servers["all"].type = "stdio";
  config.mcp_servers["core"].type = "stdio";
  config.mcp_servers["core"].sharing.team = "core";
  auto& shown = config.virtual_servers["shown"].sharing;
  shown.owner = "ada";
  shown.team = "core";
  shown.visibility = "public";
  const auto request = ToApplyConfig(config);
  EXPECT_EQ(request.upstreams(0).meta().visibility(), "public");
  EXPECT_EQ(request.upstreams(1).meta().visibility(), "team");
  EXPECT_EQ(request.upstreams(1).meta().team(), "core");
  EXPECT_EQ(request.virtual_servers(0).meta().visibility(), "public");
  EXPECT_EQ(request.virtual_servers(0).meta().owner(), "ada");
}

}  // namespace
}  // namespace metamcp::cli
