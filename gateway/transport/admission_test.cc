#include "gateway/transport/admission.h"

#include <gtest/gtest.h>

namespace metamcp::gateway {
namespace {

TEST(MatchEdgeTest, KnowsItsPaths) {
  EdgePaths paths;
  EXPECT_EQ(MatchEdge("/mcp/", paths)->virtual_server, "default");
  EXPECT_EQ(MatchEdge("/servers/x/sse", paths)->virtual_server, "x");
  EXPECT_EQ(MatchEdge("/servers/x/messages", paths)->kind, EdgeKind::kMessages);
  for (const char* path :
       {"/", "/servers//mcp", "/servers/x", "/servers/x/y/mcp", "/mcpx", "/sse/x", "/servers/x/"}) {
    EXPECT_FALSE(MatchEdge(path, paths)) << path;
  }
  paths.sse_path = "/events";
  paths.messages_path = "/message";
  paths.mcp = paths.ws = false;
  EXPECT_EQ(MatchEdge("/events", paths)->kind, EdgeKind::kSse);
  EXPECT_EQ(MatchEdge("/servers/x/sse", paths)->kind, EdgeKind::kSse);
  EXPECT_FALSE(MatchEdge("/sse", paths));
  EXPECT_FALSE(MatchEdge("/mcp", paths));
  EXPECT_FALSE(MatchEdge("/ws", paths));
}

}  // namespace
}  // namespace metamcp::gateway
