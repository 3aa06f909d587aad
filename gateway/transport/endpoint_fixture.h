#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/async/run.h"
#include "common/http/http_client.h"
#include "common/json/scan.h"
#include "gateway/transport/mcp_endpoint.h"
#include "gateway/transport/sse_endpoint.h"
#include "gateway/transport/ws_endpoint.h"

// A real endpoint on a real socket between a real HTTP client and a scripted provider.
namespace metamcp::gateway {

// Answers calls by the target's name: what a test needs of an upstream.
class FakeProvider final : public provider::v1::ProviderService {
 public:
  Awaitable<absl::Status> Call(const CallContext& ctx, provider::v1::CallRequest request,
                               Sink<provider::v1::CallResponse>& sink) override;
  Awaitable<absl::Status> Listen(const CallContext& ctx, provider::v1::ListenRequest request,
                                 Sink<provider::v1::ListenResponse>& sink) override;

  std::vector<provider::v1::CallRequest> calls;
  int cancelled = 0;
  int listening = 0;
  bool gate = false;        // what "slow" and "poll" wait for before they answer
  bool opened = false;      // the page that "url" wants opened
  std::string updated_uri;  // sent by a Listen stream once set
};

class EndpointTest : public ::testing::Test {
 protected:
  EndpointTest();
  ~EndpointTest() override;

  struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;  // lower-case names
    std::string body;
    std::vector<std::string> messages;  // of an event stream, or the one JSON body
    std::vector<std::string> ids;       // of every event, one without data included
    bool retry = false;                 // whether an event said when to come back
  };
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // Runs `body` to its end.
  void Run(std::function<Awaitable<void>()> body);
  Awaitable<Answer> Send(std::string method, std::string path, Headers headers, std::string body);
  // POST /mcp of a modern request with the right headers; `extra` replaces or adds headers, an
  // empty value leaves one out.
  Awaitable<Answer> Modern(std::string method, std::string params_members, Headers extra);
  Awaitable<Answer> Modern(std::string method, std::string params_members);
  // POST of a legacy message in a session.
  Awaitable<Answer> Legacy(std::string session, std::string message);
  // initialize; returns the session id.
  Awaitable<std::string> Initialize(std::string version = "2025-11-25",
                                    std::string capabilities = "{}");
  // A member of the JSON text at the path of keys, raw; empty where absent.
  static std::string At(const std::string& text, std::vector<std::string> path);
  // Adds an item to the catalog and publishes a new revision.
  void AddItem(ItemKind kind, std::string name, std::string definition,
               std::string upstream = "u1");
  void Publish();

  boost::asio::io_context io_;
  KeyRing keys_ = KeyRing::Ephemeral();
  FakeProvider provider_;
  std::unique_ptr<ProviderDirectory> directory_;
  CatalogMirror mirror_;
  std::unique_ptr<CallChain> chain_;
  std::unique_ptr<SessionRegistry> sessions_;
  std::unique_ptr<SubscriptionHub> hub_;
  TaskGroup tasks_{io_.get_executor()};
  KeepAlive keep_alive_{tasks_, std::chrono::seconds(20)};
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::unique_ptr<McpEndpoint> endpoint_;
  std::unique_ptr<DuplexFront> duplex_;
  std::unique_ptr<SseEndpoint> sse_;
  std::unique_ptr<WsEndpoint> ws_;
  std::unique_ptr<http::HttpServer> server_;
  std::unique_ptr<http::HttpClient> client_;
  std::string base_;
  catalog::v1::WatchCatalogResponse state_;
  std::string capabilities_ = R"({"elicitation":{}})";  // of modern clients
};

}  // namespace metamcp::gateway
