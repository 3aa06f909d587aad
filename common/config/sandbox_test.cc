#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/config/load.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Errors(std::string_view text) {
  return FormatErrors(CheckConfig(text, "c.json", LoadOptions()).errors);
}
std::string ErrorsOf(std::string_view server, std::string_view sandbox = "{}") {
  return Errors(StrCat(R"({"sandbox": )", sandbox,
                       R"(, "mcpServers": {"a": {"command": "x", "sandbox": )", server, "}}}"));
}

constexpr std::string_view kWhole = R"({
  "sandbox": { "profile": "mine", "production": true,
    "profiles": { "mine": { "profile": "default", "network": ["api.example.com:443", "*.example.com:80"] } } },
  "mcpServers": {
    "a": { "command": "x", "sandbox": "strict" },
    "b": { "command": "x", "sandbox": { "write": ["/srv/b", "${HOME:-/x}/c"], "memoryBytes": 1048576 } }
  }
})";

TEST(SandboxConfigTest, ProfilesShortAndLongForms) {
  const CheckResult check = CheckConfig(kWhole, "c.json", LoadOptions());
  EXPECT_THAT(FormatErrors(check.errors), IsEmpty());
  const Config& config = check.loaded.config;
  EXPECT_EQ(config.sandbox.profile, "mine");
  EXPECT_TRUE(config.sandbox.production);
  EXPECT_THAT(config.sandbox.profiles.at("mine").network,
              ElementsAre("api.example.com:443", "*.example.com:80"));
  EXPECT_EQ(config.mcp_servers.at("a").sandbox.profile, "strict");
  EXPECT_THAT(config.mcp_servers.at("b").sandbox.write, ElementsAre("/srv/b", "${HOME:-/x}/c"));
  // What is rendered is read back as the same.
  const std::string text = ConfigToJson(config, RenderOptions());
  const CheckResult again = CheckConfig(text, "c.json", LoadOptions());
  EXPECT_EQ(again.loaded.config.sandbox, config.sandbox) << text;
  EXPECT_EQ(again.loaded.config.mcp_servers, config.mcp_servers) << text;
}

TEST(SandboxConfigTest, MistakesAreNamed) {
  EXPECT_THAT(ErrorsOf(R"("strikt")"), HasSubstr("did you mean \"strict\"?"));
  EXPECT_THAT(ErrorsOf(R"({"write": ["/"]})"), HasSubstr("name single folders"));
  EXPECT_THAT(ErrorsOf(R"({"read": ["x"]})"), HasSubstr("write /the/whole/path"));
  EXPECT_THAT(ErrorsOf(R"({"network": ["none", "public"]})"), HasSubstr("leave it alone"));
  EXPECT_THAT(ErrorsOf(R"({"network": ["example.com"]})"), HasSubstr("api.example.com:443"));
  EXPECT_THAT(ErrorsOf(R"({"network": ["a b:443"]})"), HasSubstr("expected none, host"));
  EXPECT_THAT(ErrorsOf(R"({"profile": "none", "write": ["/srv"]})"), HasSubstr("choose default"));
  EXPECT_THAT(ErrorsOf(R"({"memoryBytez": 1})"), HasSubstr("did you mean \"memoryBytes\"?"));
  EXPECT_THAT(ErrorsOf("{}", R"({"profile": "other"})"), HasSubstr("expected a known profile"));
  EXPECT_THAT(ErrorsOf("{}", R"({"profiles": {"strict": {}}})"), HasSubstr("it is built in"));
  EXPECT_THAT(ErrorsOf("{}", R"({"profiles": {"x": {"profile": "none"}}})"),
              HasSubstr("base it on one of them"));
  EXPECT_THAT(ErrorsOf("{}", R"({"profiles": []})"), HasSubstr("expected an object"));
}

}  // namespace
}  // namespace metamcp::config
