#include "cli/translate.h"

#include "cli/command_fixture.h"
#include "cli/context.h"
#include "cli/stdio_options.h"

namespace metamcp::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TranslateTest : public CommandTest {
 protected:
  // What `args` ask for; empty where they are refused.
  TranslateOptions Options(std::vector<std::string> args) {
    translated_.clear();
    args.insert(args.begin(), "translate");
    EXPECT_EQ(Run(args), kExitDone) << err_;
    return translated_.empty() ? TranslateOptions() : translated_.back();
  }
  std::string Refusal(std::vector<std::string> args) {
    args.insert(args.begin(), "translate");
    EXPECT_EQ(Run(args), kExitUsage) << out_;
    EXPECT_THAT(translated_, SizeIs(0));
    return err_;
  }
};

TEST_F(TranslateTest, TakesTheFlagsOfBothVersions) {
  RecordProperty("req", "P1-Bridge-1");
  const TranslateOptions served = Options({"--stdio",       "uvx 'my server' --x",
                                           "--expose-sse",  "--expose-streamable-http",
                                           "--port",        "9000",
                                           "--host",        "localhost",
                                           "--logLevel",    "critical",
                                           "--cors",        "https://a.example",
                                           "--ssePath",     "/events",
                                           "--messagePath", "/in",
                                           "--keepAlive",   "0.5",
                                           "--stateless",   "--jsonResponse"});
  ASSERT_THAT(served.sources, SizeIs(1));
  EXPECT_EQ(served.sources[0].type, "stdio");
  EXPECT_THAT(served.sources[0].command, ElementsAre("uvx", "my server", "--x"));
  EXPECT_TRUE(served.listen && served.expose_sse && served.expose_http && !served.expose_ws);
  EXPECT_EQ(served.address, "localhost:9000");
  EXPECT_EQ(served.log_level, "error");
  EXPECT_THAT(served.cors_origins, ElementsAre("https://a.example"));
  EXPECT_EQ(served.sse_path + served.messages_path, "/events/in");
  EXPECT_EQ(served.keep_alive_ms, 500);
  EXPECT_TRUE(served.stateless && served.json_only);

  const TranslateOptions plain = Options({"--stdio", "x"});
  EXPECT_TRUE(plain.listen && plain.expose_sse && !plain.expose_http);
  EXPECT_EQ(plain.address, "127.0.0.1:8000");
  EXPECT_EQ(plain.messages_path, "/message");

  for (const char* flag : {"--connect-sse", "--sse"}) {
    const TranslateOptions joined = Options({flag, "https://h/sse", "--oauth2Bearer", "t"});
    EXPECT_FALSE(joined.listen);
    EXPECT_EQ(joined.sources.at(0).type, "sse");
    EXPECT_EQ(joined.authorization, "Bearer t");
  }
  for (const char* flag : {"--connect-streamable-http", "--streamableHttp"}) {
    EXPECT_EQ(Options({flag, "https://h/mcp"}).sources.at(0).type, "http");
  }
  const TranslateOptions client =
      Options({"--connect-ws", "wss://h/ws", "--stdioCommand", "client --now"});
  EXPECT_EQ(client.sources.at(0).type, "ws");
  EXPECT_THAT(client.client_command, ElementsAre("client", "--now"));
  EXPECT_TRUE(Options({"--connect-sse", "https://h/sse", "--expose-ws"}).listen);
}

TEST_F(TranslateTest, RefusesByNameAndSaysWhatToDo) {
  RecordProperty("req", "P1-Bridge-1");
  for (const char* flag : {"--grpc", "--connect-grpc", "--grpc-cert", "--grpc-metadata"}) {
    EXPECT_THAT(Refusal({flag, "x"}), HasSubstr(StrCat(flag, " is not supported: gRPC")));
  }
  EXPECT_THAT(Refusal({"--stdio", "x", "--enable-dynamic-env"}), HasSubstr("one translate for"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--header-to-env", "A=B"}), HasSubstr("--header-to-env"));
  EXPECT_THAT(Refusal({}), HasSubstr("name the server"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--connect-sse", "http://h/sse"}),
              HasSubstr("one server only"));
  EXPECT_THAT(Refusal({"--connect-ws", "http://h/ws"}), HasSubstr("ws://"));
  EXPECT_THAT(Refusal({"--connect-sse", "ws://h/ws"}), HasSubstr("http://"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--port", "70000"}), HasSubstr("65535"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--keepAlive", "0"}), HasSubstr("--keepAlive"));
  for (const char* path : {"sse", "/", "/a b", "/mcp", "/servers/x", "/a?b"}) {
    EXPECT_THAT(Refusal({"--stdio", "x", "--ssePath", path}), HasSubstr("--ssePath"));
  }
  EXPECT_THAT(Refusal({"--stdio", "x", "--ssePath", "/message"}), HasSubstr("must differ"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--stateless"}), HasSubstr("--expose-streamable-http"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--stdioCommand", "y"}), HasSubstr("--connect-"));
  EXPECT_THAT(Refusal({"--stdio", "x", "--host", "0.0.0.0"}), HasSubstr("--token"));
  EXPECT_EQ(Options({"--stdio", "x", "--host", "::", "--token", "k"}).address, "[::]:8000");
}

class StdioPlanTest : public ::testing::Test {
 protected:
  absl::StatusOr<StdioPlan> Plan(std::map<std::string, std::string> variables) {
    CommandContext ctx;
    ctx.global = global_;
    ctx.global.data_dir = "/nowhere";
    for (const auto& [name, value] : variables) ctx.env[name] = value;
    return PlanStdio(ctx, virtual_server_);
  }
  GlobalOptions global_;
  std::string virtual_server_;
};

TEST_F(StdioPlanTest, TakesTheVariablesOfWrappers) {
  RecordProperty("req", "P1-Transports-4");
  const auto plan = Plan({{"MCP_SERVER_URL", "http://127.0.0.1:4444/servers/x"},
                          {"MCP_AUTH", "Basic abc"},
                          {"MCP_TOOL_CALL_TIMEOUT", "90"},
                          {"CONCURRENCY", "3"}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->translate);
  EXPECT_EQ(plan->bridge.url, "http://127.0.0.1:4444/servers/x/mcp");
  EXPECT_EQ(plan->bridge.authorization, "Basic abc");
  EXPECT_EQ(plan->bridge.request_timeout, std::chrono::seconds(90));
  EXPECT_EQ(plan->bridge.in_flight_max, 3u);

  const auto older =
      Plan({{"MCP_SERVER_CATALOG_URLS", "http://127.0.0.1:4444"}, {"MCP_AUTH_TOKEN", "t"}});
  ASSERT_TRUE(older.ok()) << older.status();
  EXPECT_EQ(older->bridge.url, "http://127.0.0.1:4444/mcp");
  EXPECT_EQ(older->bridge.authorization, "Bearer t");

  const auto several = Plan({{"MCP_SERVER_CATALOG_URLS", "http://a/servers/1, https://b/sse,"},
                             {"MCP_AUTH_TOKEN", "t"},
                             {"MCP_TOOL_CALL_TIMEOUT", "2"}});
  ASSERT_TRUE(several.ok() && several->translate) << several.status();
  ASSERT_THAT(several->translate->sources, SizeIs(2));
  EXPECT_EQ(several->translate->sources[0].url, "http://a/servers/1/mcp");
  EXPECT_EQ(several->translate->sources[1].type, "sse");
  EXPECT_EQ(several->translate->authorization, "Bearer t");
  EXPECT_EQ(several->translate->timeout_ms, 2000);
  EXPECT_FALSE(several->translate->listen);

  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"MCP_TOOL_CALL_TIMEOUT", "soon"}, {"CONCURRENCY", "0"}}) {
    const auto refused = Plan({{name, value}});
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(name));
  }
}

TEST_F(StdioPlanTest, ChoosesTheTransportByTheUrl) {
  const std::pair<const char*, const char*> urls[] = {{"https://h/sse", "sse"},
                                                      {"https://h/servers/x/sse?a=b", "sse"},
                                                      {"ws://127.0.0.1/any", "ws"},
                                                      {"https://h/servers/x/ws", "ws"}};
  for (const auto& [url, type] : urls) {
    global_.url = url;
    const auto plan = Plan({{"MCP_SERVER_URL", "http://not.this"}});
    ASSERT_TRUE(plan.ok() && plan->translate) << url;
    EXPECT_EQ(plan->translate->sources.at(0).type, type) << url;
  }
  EXPECT_EQ(Plan({})->translate->sources.at(0).url, "wss://h/servers/x/ws");
  virtual_server_ = "x";
  EXPECT_FALSE(Plan({}).ok());
  global_.url.clear();
  const auto local = Plan({});
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(local->bridge.unix_socket, "/nowhere/serve.sock");
  EXPECT_EQ(local->bridge.url, "http://localhost/servers/x/mcp");
}

}  // namespace
}  // namespace metamcp::cli
