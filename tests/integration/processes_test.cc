// Gateway, connector and catalog as three processes over gRPC.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "common/db/testing.h"
#include "tests/support/gateway.h"

namespace metamcp::testing {
namespace {

using std::chrono::seconds;

// An address that was free a moment ago: a process that comes back must be found where it was.
std::string FreeAddress() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

// Three programs that know each other by address alone; each has a data folder of its own.
class Cluster {
 public:
  Cluster(const std::string& database, Json servers)
      : database_(database), catalog_address_(FreeAddress()), connector_address_(FreeAddress()) {
    WriteFile(dir_.File("config.json"),
              Json({{"version", 1}, {"mcpServers", std::move(servers)}}).dump());
  }

  bool StartCatalog() {
    return Start(&catalog_, "meta-mcp-catalog",
                 {"--listen", catalog_address_, "--database-url", database_});
  }
  bool StartConnector() {
    return Start(&connector_, "meta-mcp-connector",
                 {"--listen", connector_address_, "--catalog", catalog_address_});
  }
  bool StartGateway() {
    return Start(&gateway_, "meta-mcp-gateway",
                 {"--listen", "127.0.0.1:0", "--catalog", catalog_address_, "--connector",
                  connector_address_});
  }
  bool StartAll() { return StartCatalog() && StartConnector() && StartGateway(); }

  static void Kill(Process& process) {
    process.Signal(SIGKILL);
    process.Wait(seconds(10));
  }

  McpClient Client(ClientEra era) const { return McpClient(mcp_, era); }
  bool WaitForTools(const std::vector<std::string>& names) const {
    return Eventually(kPatience, [&] {
      const std::vector<std::string> listed = Client(ClientEra::kModern).ToolNames();
      return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return std::find(listed.begin(), listed.end(), name) != listed.end();
      });
    });
  }
  // Whether both eras reach the tool before long.
  ::testing::AssertionResult Answers(const std::string& tool) const {
    for (const ClientEra era : {ClientEra::kLegacy, ClientEra::kModern}) {
      std::string last;
      const bool good = Eventually(kPatience, [&] {
        last = Client(era).CallText(tool, {{"text", "hello"}});
        return last == "hello";
      });
      if (!good) return ::testing::AssertionFailure() << EraName(era) << ": " << last << Log();
    }
    return ::testing::AssertionSuccess();
  }
  std::string Log() const { return "\n" + ReadFile(dir_.File("stderr")); }

  Process& catalog() { return *catalog_; }
  Process& connector() { return *connector_; }
  Process& gateway() { return *gateway_; }
  const std::string& catalog_address() const { return catalog_address_; }

 private:
  bool Start(std::unique_ptr<Process>* process, const std::string& program,
             std::vector<std::string> more) {
    std::vector<std::string> command = {BinaryPath(program), "--config", dir_.File("config.json"),
                                        "--data-dir", dir_.File(program)};
    command.insert(command.end(), more.begin(), more.end());
    Process::Options options;
    options.stderr_file = dir_.File("stderr");
    *process = std::make_unique<Process>(command, options);
    const std::string line = (*process)->ReadLine(kPatience).value_or("");
    if (const size_t at = line.find("mcp="); at != std::string::npos) {
      mcp_ = line.substr(at + 4, line.find(' ', at) - at - 4);
    }
    return line.rfind("ready ", 0) == 0;
  }

  TempDir dir_;
  const std::string database_, catalog_address_, connector_address_;
  std::string mcp_;
  std::unique_ptr<Process> catalog_, connector_, gateway_;
};

class ProcessesTest : public ::testing::TestWithParam<db::TestBackend> {
 protected:
  void SetUp() override {
    scratch_ = std::make_unique<db::ScratchDatabase>(GetParam());
    if (scratch_->url().empty()) {
      if (db::ScratchDatabase::PostgresRequired()) FAIL() << "no PostgreSQL";
      GTEST_SKIP() << "METAMCP_TEST_POSTGRES_URL is not set";
    }
    web_ = std::make_unique<HttpFixture>("metamcp-fixture-echo",
                                         std::vector<std::string>{"--name", "web"});
    const Json servers = {{"io", EchoServer("io")}, {"web", UrlServer(web_->url())}};
    cluster_ = std::make_unique<Cluster>(scratch_->url(), servers);
  }
  void TearDown() override { cluster_.reset(); }

  std::unique_ptr<db::ScratchDatabase> scratch_;
  std::unique_ptr<HttpFixture> web_;
  std::unique_ptr<Cluster> cluster_;
};

TEST_P(ProcessesTest, ListsAndCallsLikeOneProcess) {
  ASSERT_TRUE(cluster_->StartAll()) << cluster_->Log();
  ASSERT_TRUE(cluster_->WaitForTools({"io__who", "web__who"})) << cluster_->Log();
  EXPECT_TRUE(cluster_->Answers("io__echo"));
  EXPECT_TRUE(cluster_->Answers("web__echo"));
  McpClient client = cluster_->Client(ClientEra::kModern);
  const std::string big = client.CallText("io__big", {{"bytes", 3 << 20}});
  EXPECT_EQ(big.size(), 3u << 20);  // in more than one chunk
  const Json unknown = client.CallTool("io__nothing");
  EXPECT_EQ(unknown.value(Json::json_pointer("/error/code"), 0), -32602) << unknown;
}

TEST_P(ProcessesTest, EachMayBeKilledAndComesBack) {
  ASSERT_TRUE(cluster_->StartAll()) << cluster_->Log();
  ASSERT_TRUE(cluster_->WaitForTools({"io__who", "web__who"})) << cluster_->Log();

  Cluster::Kill(cluster_->catalog());  // calls do not need it
  EXPECT_TRUE(cluster_->Answers("io__echo"));
  ASSERT_TRUE(cluster_->StartCatalog()) << cluster_->Log();
  EXPECT_TRUE(cluster_->Answers("web__echo"));

  McpClient waiting = cluster_->Client(ClientEra::kModern);
  waiting.Start("tools/call", {{"name", "io__slow"}, {"arguments", {{"ms", 60000}}}});
  McpClient asker = cluster_->Client(ClientEra::kModern);
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return asker.CallText("io__stats").find("\"waiting\":1") != std::string::npos;
  }));
  Cluster::Kill(cluster_->connector());
  const Json lost = waiting.Finish();
  EXPECT_TRUE(lost.contains("error")) << lost;
  ASSERT_TRUE(cluster_->StartConnector()) << cluster_->Log();
  EXPECT_TRUE(cluster_->Answers("io__echo"));
  EXPECT_TRUE(cluster_->Answers("web__echo"));

  Cluster::Kill(cluster_->gateway());
  ASSERT_TRUE(cluster_->StartGateway()) << cluster_->Log();
  EXPECT_TRUE(cluster_->Answers("io__echo"));
}

TEST_P(ProcessesTest, MayStartInAnyOrder) {
  ASSERT_TRUE(cluster_->StartGateway()) << cluster_->Log();
  ASSERT_TRUE(cluster_->StartConnector()) << cluster_->Log();
  ASSERT_TRUE(cluster_->StartCatalog()) << cluster_->Log();
  ASSERT_TRUE(cluster_->WaitForTools({"io__who", "web__who"})) << cluster_->Log();
  EXPECT_TRUE(cluster_->Answers("io__echo"));
}

TEST_P(ProcessesTest, EndCleanly) {
  ASSERT_TRUE(cluster_->StartAll()) << cluster_->Log();
  ASSERT_TRUE(cluster_->WaitForTools({"io__who"})) << cluster_->Log();
  for (Process* each : {&cluster_->gateway(), &cluster_->connector(), &cluster_->catalog()}) {
    each->Signal(SIGTERM);
    EXPECT_EQ(each->Wait(kPatience), 0) << cluster_->Log();
  }
}

TEST_P(ProcessesTest, AForeignPeerReadsAndWritesTheWire) {
  Process probe({"/usr/bin/python3", "-c", "import grpc, google.protobuf"}, Process::Options());
  if (probe.Wait(kPatience) != 0) GTEST_SKIP() << "python3 has no grpc module";
  ASSERT_TRUE(cluster_->StartAll()) << cluster_->Log();
  ASSERT_TRUE(cluster_->WaitForTools({"io__who", "web__who"})) << cluster_->Log();

  const TempDir messages;
  const std::string proto = METAMCP_SOURCE_DIR "/proto";
  Process protoc({"sh", "-c",
                  "exec protoc -I " + proto + " --python_out=" + messages.path() + " $(find " +
                      proto + " -name '*.proto')"},
                 Process::Options());
  ASSERT_EQ(protoc.Wait(kPatience), 0);
  Process::Options options;
  options.stderr_file = messages.File("stderr");
  Process peer({"/usr/bin/python3", METAMCP_SOURCE_DIR "/tests/integration/grpc_peer.py",
                cluster_->catalog_address(), messages.path(), "guest",
                BinaryPath("metamcp-fixture-echo"), "--stdio", "--name", "guest"},
               options);
  const Json seen = Json::parse(peer.ReadLine(kPatience).value_or(""), nullptr, false);
  ASSERT_TRUE(seen.is_object()) << ReadFile(messages.File("stderr")) << cluster_->Log();
  EXPECT_EQ(seen["upstreams"], Json({"io", "web"}));
  EXPECT_EQ(seen["watched"], true);
  EXPECT_EQ(seen["error"],
            Json({{"code", "NOT_FOUND"}, {"reason", "NOT_FOUND"}, {"domain", "catalog"}}));
  EXPECT_EQ(seen["created"], "guest");
  EXPECT_EQ(seen["created_again"], "guest");  // the same request_id
  EXPECT_TRUE(cluster_->Answers("guest__echo"));
}

INSTANTIATE_TEST_SUITE_P(Databases, ProcessesTest,
                         ::testing::Values(db::TestBackend::kSqliteFile,
                                           db::TestBackend::kPostgres),
                         db::BackendName);

}  // namespace
}  // namespace metamcp::testing
