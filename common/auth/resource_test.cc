#include "common/auth/resource.h"

#include <gtest/gtest.h>

namespace metamcp::auth {
namespace {

Place At(std::string_view host, bool tls = false) {
  Place place;
  place.host = host;
  place.tls = tls;
  return place;
}

TEST(ResourceTest, EachVirtualServerIsAResourceOfItsOwn) {
  const ResourceNames names{ResourceNames::Options()};
  const Place here = At("127.0.0.1:8931");
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931/mcp", here, "default"));
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931/mcp/", here, "default"));
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931/sse", here, "default"));
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931/servers/default/mcp", here, "default"));
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931/servers/docs/ws", here, "docs"));
  EXPECT_TRUE(names.Fits("http://127.0.0.1:8931", here, ""));
  for (const char* other :
       {"http://127.0.0.1:8931/servers/docs/mcp", "http://127.0.0.1:8931", "http://127.0.0.1/mcp",
        "https://127.0.0.1:8931/mcp", "http://127.0.0.1:8931/mcpx", "http://127.0.0.1:8931/mcp?x",
        "http://127.0.0.1:8931/servers/default/", "http://127.0.0.1:89310/mcp", "", "/mcp"}) {
    EXPECT_FALSE(names.Fits(other, here, "default")) << other;
  }
  EXPECT_FALSE(names.Fits("http://127.0.0.1:8931/mcp", here, ""));
  EXPECT_FALSE(names.Fits("http://127.0.0.1:8931/mcp", here, "docs"));
  EXPECT_EQ(names.MetadataUrl(here, "/servers/docs/mcp"),
            "http://127.0.0.1:8931/.well-known/oauth-protected-resource/servers/docs/mcp");
}

TEST(ResourceTest, AHostThatNobodyCheckedNamesNothing) {
  ResourceNames::Options options;
  options.loopback_bind = false;
  options.allowed_hosts = {"gw.example"};
  const ResourceNames names(options);
  // A server that was given a token for itself could otherwise pass it on with its own name.
  EXPECT_FALSE(names.Fits("http://evil.example/mcp", At("evil.example"), "default"));
  EXPECT_EQ(names.Base(At("evil.example")), "");
  EXPECT_EQ(names.MetadataUrl(At("evil.example"), "/mcp"), "");
  EXPECT_TRUE(names.Fits("https://gw.example/mcp", At("gw.example", true), "default"));
}

TEST(ResourceTest, ThePublicUrlIsTheNameWhereThereIsOne) {
  ResourceNames::Options options;
  options.loopback_bind = false;
  options.public_url = "https://gw.example/tools/";
  const ResourceNames names(options);
  EXPECT_EQ(names.Base(At("10.0.0.1")), "https://gw.example/tools");
  EXPECT_TRUE(names.Fits("https://gw.example/tools/mcp", At("10.0.0.1"), "default"));
  EXPECT_FALSE(names.Fits("http://10.0.0.1/mcp", At("10.0.0.1"), "default"));
  EXPECT_EQ(names.MetadataUrl(At("x"), "/mcp"),
            "https://gw.example/.well-known/oauth-protected-resource/tools/mcp");
}

}  // namespace
}  // namespace metamcp::auth
