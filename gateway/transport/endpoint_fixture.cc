#include "gateway/transport/endpoint_fixture.h"

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/mcp/headers.h"

namespace metamcp::gateway {

namespace asio = boost::asio;

namespace {

class OneProvider final : public ProviderDirectory {
 public:
  explicit OneProvider(provider::v1::ProviderService& provider) : provider_(provider) {}
  provider::v1::ProviderService* Find(const UpstreamInfo&) override { return &provider_; }

 private:
  provider::v1::ProviderService& provider_;
};

Awaitable<absl::Status> Result(Sink<provider::v1::CallResponse>& sink,
                               provider::v1::ResultKind kind, std::string data) {
  provider::v1::CallResponse event;
  event.mutable_result()->set_kind(kind);
  event.mutable_result()->set_data(std::move(data));
  event.mutable_result()->set_last(true);
  co_return co_await sink.Write(std::move(event));
}

}  // namespace

Awaitable<absl::Status> FakeProvider::Call(const CallContext&, provider::v1::CallRequest request,
                                           Sink<provider::v1::CallResponse>& sink) {
  calls.push_back(request);
  const std::string target = request.target();
  if (target == "hang") {
    const bool slept = co_await Sleep(std::chrono::hours(1));
    cancelled += slept ? 0 : 1;
    co_return absl::CancelledError("cancelled");
  }
  if (target == "slow" || target == "poll") {
    provider::v1::CallResponse event;
    if (target == "slow") {
      event.set_progress(R"({"progress":1})");
    } else {
      event.mutable_paused()->set_retry_ms(7);
    }
    (void)co_await sink.Write(std::move(event));
    while (!gate) {
      const bool slept = co_await Sleep(std::chrono::milliseconds(1));
      if (slept) continue;
      ++cancelled;
      co_return absl::CancelledError("cancelled");
    }
  }
  if (target == "lost") {
    co_return MakeError("UPSTREAM_LOST", "upstream:up", "the process ended");
  }
  if (target == "url" && !opened) {
    provider::v1::CallResponse event;
    event.mutable_error()->set_code(-32042);
    event.mutable_error()->set_message("sign in");
    event.mutable_error()->set_data(
        R"({"elicitations":[{"mode":"url","message":"m","url":"https://a.example/x",)"
        R"("elicitationId":"e1"}]})");
    co_return co_await sink.Write(std::move(event));
  }
  if (target == "task") {
    provider::v1::CallResponse event;
    event.mutable_result()->set_kind(provider::v1::RESULT_KIND_TASK);
    event.mutable_result()->set_instance("key");
    event.mutable_result()->set_data(
        R"({"resultType":"task","taskId":"inner-1","status":"working","createdAt":"c","ttlMs":null})");
    event.mutable_result()->set_last(true);
    co_return co_await sink.Write(std::move(event));
  }
  if (request.method().compare(0, 6, "tasks/") == 0) {
    const bool get = request.method() == "tasks/get";
    co_return co_await Result(
        sink, provider::v1::RESULT_KIND_COMPLETE,
        get ? R"({"resultType":"complete","taskId":"inner-1","status":"completed","createdAt":"c",)"
              R"("ttlMs":null,"result":{"content":[]}})"
            : R"({"resultType":"complete"})");
  }
  if (request.method() == "vendor/do") {
    provider::v1::CallResponse event;
    event.mutable_notification()->set_method("notifications/vendor/step");
    event.mutable_notification()->set_params(R"({"n":1})");
    (void)co_await sink.Write(std::move(event));
    co_return co_await Result(sink, provider::v1::RESULT_KIND_EXTENSION,
                              R"({"resultType":"vendor/x","seen":1})");
  }
  if (target == "refuse") {
    provider::v1::CallResponse event;
    event.mutable_error()->set_code(-32602);
    event.mutable_error()->set_message("no such thing");
    co_return co_await sink.Write(std::move(event));
  }
  if (target == "progress") {
    for (int i = 1; i <= 3; ++i) {
      provider::v1::CallResponse event;
      event.set_progress(StrCat("{\"progress\":", i, ",\"total\":3,\"message\":\"m\"}"));
      (void)co_await sink.Write(std::move(event));
    }
  }
  if (target == "ask" && !request.has_request_state()) {
    co_return co_await Result(
        sink, provider::v1::RESULT_KIND_INPUT_REQUIRED,
        R"({"resultType":"input_required","inputRequests":{"q":{"method":"elicitation/create",)"
        R"("params":{"message":"name?","requestedSchema":{"type":"object","properties":{}}}}},)"
        R"("requestState":"inner-state"})");
  }
  const std::string text = target == "ask" ? request.input_responses() : request.params();
  std::string result = StrCat(R"({"resultType":"complete","content":[{"type":"text","text":)",
                              json::JsonQuote(text), "}]}");
  if (request.method() == "resources/read") {
    result =
        StrCat(R"({"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[{"uri":)",
               json::JsonQuote(target), R"(,"text":"t"}]})");
  }
  co_return co_await Result(sink, provider::v1::RESULT_KIND_COMPLETE, std::move(result));
}

Awaitable<absl::Status> FakeProvider::Listen(const CallContext&,
                                             provider::v1::ListenRequest request,
                                             Sink<provider::v1::ListenResponse>& sink) {
  ++listening;
  provider::v1::ListenResponse ack;
  *ack.mutable_ack()->mutable_resource_uris() = request.resource_uris();
  (void)co_await sink.Write(std::move(ack));
  for (;;) {
    const bool slept = co_await Sleep(std::chrono::milliseconds(1));
    if (!slept) break;
    if (updated_uri.empty()) continue;
    provider::v1::ListenResponse updated;
    updated.mutable_updated()->set_uri(std::exchange(updated_uri, ""));
    (void)co_await sink.Write(std::move(updated));
  }
  --listening;
  co_return absl::CancelledError("cancelled");
}

EndpointTest::EndpointTest() {
  const auto executor = io_.get_executor();
  directory_ = std::make_unique<OneProvider>(provider_);
  CallChain::Options chain;
  chain.gateway_id = "gw";
  chain_ = std::make_unique<CallChain>(*directory_, keys_, chain);
  sessions_ = std::make_unique<SessionRegistry>(executor, keys_, SessionRegistry::Options());
  hub_ = std::make_unique<SubscriptionHub>(executor, mirror_, *directory_);
  authenticator_ = *auth::Authenticator::Create({}, true, keys_);
  FrontDeps deps(executor, mirror_, *chain_, *sessions_, *hub_, keys_);
  deps.tasks = &tasks_;
  deps.first_list_wait = std::chrono::seconds(20);
  endpoint_ = std::make_unique<McpEndpoint>(deps, *authenticator_, tasks_, keep_alive_,
                                            McpEndpoint::Options());
  DuplexFront::Options duplex;
  duplex.connections_per_principal_max = 8;
  duplex.keep_alive = std::chrono::milliseconds(50);
  duplex.message_bytes_max = 1 << 20;
  duplex_ =
      std::make_unique<DuplexFront>(deps, endpoint_->modern(), endpoint_->legacy(), tasks_, duplex);
  sse_ = std::make_unique<SseEndpoint>(*duplex_, *authenticator_, EdgePaths());
  ws_ = std::make_unique<WsEndpoint>(*duplex_, *authenticator_);
  http::HttpServerOptions options;
  options.sweep_interval = std::chrono::milliseconds(5);
  server_ = http::HttpServer::Create(
      executor,
      [this](http::HttpRequest& request, http::HttpResponder& responder) -> Awaitable<void> {
        auto route = MatchEdge(request.path, EdgePaths());
        const EdgeKind kind = route ? route->kind : EdgeKind::kMcp;
        std::string name = route ? route->virtual_server : "default";
        if (kind == EdgeKind::kSse) {
          return sse_->HandleStream(request, responder, std::move(name), http::HttpHeaders());
        }
        if (kind == EdgeKind::kMessages) {
          return sse_->HandleMessage(request, responder, std::move(name), http::HttpHeaders());
        }
        if (kind == EdgeKind::kWs) {
          return ws_->Handle(request, responder, std::move(name), http::HttpHeaders());
        }
        return endpoint_->Handle(request, responder, std::move(name), http::HttpHeaders());
      },
      options);
  base_ = server_->ListenTcp("127.0.0.1", 0)->ToString();
  client_ = http::NewHttpClient(executor, http::HttpClientOptions());

  auto& upstream = *state_.add_upstreams();
  upstream.mutable_meta()->set_id("u1");
  upstream.mutable_meta()->set_name("up");
  upstream.set_enabled(true);
  upstream.mutable_status()->set_state("ready");
  upstream.mutable_status()->set_reachable(true);
  auto& view = *state_.add_views();
  view.set_name("default");
  view.set_active(true);
  view.add_upstream_ids("u1");
  for (const char* name :
       {"echo", "hang", "lost", "refuse", "progress", "ask", "slow", "poll", "url", "task"}) {
    AddItem(catalog::v1::ITEM_KIND_TOOL, name,
            StrCat(R"({"name":")", name, R"(","inputSchema":{"type":"object"}})"));
  }
  AddItem(catalog::v1::ITEM_KIND_RESOURCE, "test://a", R"({"uri":"test://a","name":"a"})");
}

EndpointTest::~EndpointTest() {
  Run([this]() -> Awaitable<void> {
    hub_->Close();
    sessions_->Clear();
    co_await server_->Stop(std::chrono::milliseconds(0));
    co_await hub_->Stop();
    tasks_.CancelAll();
    co_await tasks_.Join(std::chrono::seconds(5));
  });
}

void EndpointTest::AddItem(ItemKind kind, std::string name, std::string definition,
                           std::string upstream) {
  auto& item = *state_.add_items();
  item.set_id(StrCat("i", state_.items_size()));
  item.set_upstream_id(upstream);
  item.set_kind(kind);
  item.set_original_name(name);
  item.set_definition(std::move(definition));
  auto& exposed = *state_.mutable_views(0)->add_items();
  exposed.set_kind(kind);
  exposed.set_item_id(item.id());
  const std::string slug = upstream == "u1" ? "up" : upstream;
  exposed.set_qualified_name(StrCat(slug, ".", name));
  const bool prefixed =
      kind == catalog::v1::ITEM_KIND_TOOL || kind == catalog::v1::ITEM_KIND_PROMPT;
  exposed.set_name(prefixed ? StrCat(slug, "__", name) : name);
  auto& route = *exposed.add_routes();
  route.set_upstream_id(upstream);
  route.set_item_id(item.id());
  route.set_original_name(std::move(name));
  Publish();
}

void EndpointTest::Publish() {
  catalog::v1::WatchCatalogResponse message = state_;
  message.set_begin(true);
  message.set_end(true);
  message.set_revision(state_.items_size());
  mirror_.Apply(message);
}

void EndpointTest::Run(std::function<Awaitable<void>()> body) {
  bool ended = false;
  asio::co_spawn(io_, body(), [&ended](std::exception_ptr e) {
    ended = true;
    if (e) ADD_FAILURE() << StatusFromException(e);
  });
  auto work = asio::make_work_guard(io_);
  while (!ended) io_.run_one();
}

Awaitable<EndpointTest::Answer> EndpointTest::Send(std::string method, std::string path,
                                                   Headers headers, std::string body) {
  http::HttpClientRequest request(method, base_ + path);
  for (const auto& [name, value] : headers) request.headers.Add(name, value);
  request.body = std::move(body);
  Answer answer;
  const CallContext ctx(nullptr, CallContext::Clock::now() + std::chrono::seconds(30));
  auto response = co_await client_->Send(ctx, std::move(request));
  if (!response.ok()) {
    if (!absl::IsCancelled(response.status())) ADD_FAILURE() << response.status();
    co_return answer;
  }
  answer.status = (*response)->status();
  const auto& got = (*response)->headers();
  for (size_t i = 0; i < got.size(); ++i) {
    answer.headers[absl::AsciiStrToLower(Av(got.at(i).name))] = std::string(got.at(i).value);
  }
  auto text = co_await (*response)->ReadAll(1 << 20);
  answer.body = text.ok() ? *text : "";
  if (answer.headers["content-type"] == "text/event-stream") {
    http::SseParser parser;
    (void)parser.Feed(answer.body, [&answer](http::SseMessage& message) {
      answer.ids.push_back(message.id);
      answer.retry = answer.retry || message.retry_ms.has_value();
      if (!message.data.empty()) answer.messages.push_back(message.data);
    });
  } else {
    answer.messages.push_back(answer.body);
  }
  co_return answer;
}

Awaitable<EndpointTest::Answer> EndpointTest::Modern(std::string method, std::string params_members,
                                                     Headers extra) {
  std::string params =
      StrCat(R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)",
             R"("io.modelcontextprotocol/clientCapabilities":)", capabilities_,
             R"(,"progressToken":"tok"})", params_members.empty() ? "" : ",", params_members, "}");
  Headers headers = {{"Content-Type", "application/json"},
                     {"Accept", "application/json, text/event-stream"},
                     {"MCP-Protocol-Version", "2026-07-28"},
                     {"Mcp-Method", method}};
  if (auto name = json::ScanObject(params)->String("name")) headers.push_back({"Mcp-Name", *name});
  if (auto uri = json::ScanObject(params)->String("uri")) headers.push_back({"Mcp-Name", *uri});
  if (auto id = json::ScanObject(params)->String("taskId")) headers.push_back({"Mcp-Name", *id});
  for (const auto& [name, value] : extra) {
    std::erase_if(headers, [&](const auto& h) { return h.first == name; });
    if (!value.empty()) headers.push_back({name, value});
  }
  std::string body = jsonrpc::MakeRequest(jsonrpc::Id::Int(7), method, params);
  co_return co_await Send("POST", "/mcp", std::move(headers), std::move(body));
}

Awaitable<EndpointTest::Answer> EndpointTest::Modern(std::string method,
                                                     std::string params_members) {
  return Modern(std::move(method), std::move(params_members), Headers());
}

Awaitable<EndpointTest::Answer> EndpointTest::Legacy(std::string session, std::string message) {
  Headers headers = {{"Content-Type", "application/json"},
                     {"Accept", "application/json, text/event-stream"}};
  if (!session.empty()) headers.push_back({"Mcp-Session-Id", session});
  co_return co_await Send("POST", "/mcp", std::move(headers), std::move(message));
}

Awaitable<std::string> EndpointTest::Initialize(std::string version, std::string capabilities) {
  std::string message = StrCat(
      R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":")", version,
      R"(","capabilities":)", capabilities, R"(,"clientInfo":{"name":"t","version":"1"}}})");
  Answer answer = co_await Legacy("", std::move(message));
  EXPECT_EQ(answer.status, 200) << answer.body;
  co_return answer.headers["mcp-session-id"];
}

std::string EndpointTest::At(const std::string& text, std::vector<std::string> path) {
  std::string at = text;
  for (const std::string& key : path) {
    auto view = json::ScanObject(at);
    if (!view.ok()) return "";
    std::string next(view->Raw(key));
    at = std::move(next);
  }
  return at;
}

}  // namespace metamcp::gateway
