#pragma once

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/async/run.h"
#include "common/http/http_server.h"
#include "common/http/sse.h"
#include "services/connector/event.h"

namespace metamcp::connector {

// An MCP server over HTTP whose behaviour a test sets. Runs on the test's loop.
class HttpMcpServer {
 public:
  using Json = nlohmann::json;
  enum class Mode { kModern, kLegacy, kSse };

  HttpMcpServer(boost::asio::io_context& io, Mode mode_in)
      : mode(mode_in), wake_(io.get_executor()) {
    auto handler = [this](http::HttpRequest& request, http::HttpResponder& responder) {
      return Handle(request, responder);
    };
    server_ = http::HttpServer::Create(io.get_executor(), handler, http::HttpServerOptions());
    endpoint_ = *server_->ListenTcp("127.0.0.1", 0);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(endpoint_.port) + "/mcp"; }
  Awaitable<void> Stop() { return server_->Stop(std::chrono::milliseconds(100)); }

  Mode mode;
  bool stream_answers = false;   // SSE instead of JSON
  bool drop_mid_stream = false;  // ends the stream of "slow" once, to be resumed
  int status = 0;                // answers everything with this
  std::string session = "session-1";
  bool forget_session = false;
  std::string endpoint_event = "/messages";
  std::vector<http::HttpRequest> requests;
  int deletes = 0, streams = 0, resumes = 0, initializes = 0;
  bool hung_up = false;             // a client left "hang"
  int refuse_code = 0;              // modern tools/call is answered with this error,
  int refusals = 0;                 // so many times
  bool slow_level = false;          // takes its time with logging/setLevel
  std::vector<bool> level_of_call;  // whether it had one when a tools/call came
  bool mirrors = false;  // "echo" mirrors its argument region in a header, and insists on it

 private:
  Awaitable<void> SendJson(http::HttpResponder& responder, Json message,
                           std::string session_id = "") {
    http::HttpResponse response(200, "application/json", message.dump());
    if (!session_id.empty()) response.headers.Set("Mcp-Session-Id", session_id);
    auto sending = responder.Send(std::move(response));
    (co_await std::move(sending)).IgnoreError();
  }
  Awaitable<void> SendStatus(http::HttpResponder& responder, int code) {
    auto sending = responder.Send(http::HttpResponse(code));
    (co_await std::move(sending)).IgnoreError();
  }

  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder) {
    requests.push_back(request);
    if (status != 0) {
      auto sending = SendStatus(responder, status);
      co_await std::move(sending);
    } else if (mode == Mode::kSse) {
      auto serving = HandleSse(request, responder);
      co_await std::move(serving);
    } else if (request.method == "POST") {
      auto serving = HandlePost(request, responder);
      co_await std::move(serving);
    } else if (request.method == "DELETE") {
      ++deletes;
      auto sending = SendStatus(responder, 204);
      co_await std::move(sending);
    } else if (mode == Mode::kLegacy) {
      auto serving = HandleGet(request, responder);
      co_await std::move(serving);
    } else {
      auto sending = SendStatus(responder, 405);
      co_await std::move(sending);
    }
  }

  static Json Answer(const Json& message, Json result) {
    return {{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", std::move(result)}};
  }
  Json Result(const Json& message, bool modern) {
    const std::string method = message["method"];
    Json result = Json::object();
    if (method == "initialize") {
      ++initializes;
      result = {{"protocolVersion", mode == Mode::kSse ? "2024-11-05" : "2025-11-25"},
                {"capabilities", {{"tools", Json::object()}, {"logging", Json::object()}}},
                {"serverInfo", {{"name", "http"}, {"version", "1"}}}};
    } else if (method == "server/discover") {
      result = {{"supportedVersions", {"2026-07-28"}},
                {"capabilities", {{"tools", Json::object()}}}};
    } else if (method == "tools/list") {
      Json schema = {{"type", "object"}};
      if (mirrors) {
        schema["properties"]["region"] = {{"type", "string"}, {"x-mcp-header", "Region"}};
      }
      result = {{"tools", Json::array({{{"name", "echo"}, {"inputSchema", schema}}})}};
    } else if (method == "tools/call") {
      result = {{"content", Json::array({{{"type", "text"}, {"text", message["params"].dump()}}})}};
    }
    if (modern) result["resultType"] = "complete";
    return result;
  }

  Awaitable<void> HandlePost(http::HttpRequest& request, http::HttpResponder& responder) {
    const Json message = Json::parse(request.body, nullptr, false);
    const bool modern = mode == Mode::kModern;
    if (!message.contains("method")) {
      answers[message["id"].get<std::string>()] = message.value("result", Json());
      wake_.WakeAll();
    }
    if (!message.contains("id") || !message.contains("method")) {
      auto sending = SendStatus(responder, 202);
      co_await std::move(sending);
      co_return;
    }
    const std::string method = message["method"];
    if (!modern && method == "server/discover") {
      auto sending = SendStatus(responder, 400);
      co_await std::move(sending);
      co_return;
    }
    if (!modern && method != "initialize" &&
        (forget_session || request.headers.Get("Mcp-Session-Id") != session)) {
      forget_session = false;
      auto sending = SendStatus(responder, 404);
      co_await std::move(sending);
      co_return;
    }
    const bool unmirrored = mirrors && request.headers.Get("Mcp-Param-Region") != "eu";
    if (modern && method == "tools/call" && (refusals > 0 || unmirrored)) {
      if (refusals > 0) --refusals;
      const Json error = {{"code", unmirrored ? -32020 : refuse_code}, {"message", "no"}};
      http::HttpResponse response(
          400, "application/json",
          Json({{"jsonrpc", "2.0"}, {"id", message["id"]}, {"error", error}}).dump());
      auto sending = responder.Send(std::move(response));
      (co_await std::move(sending)).IgnoreError();
      co_return;
    }
    if (method == "logging/setLevel") {
      if (slow_level) {
        auto pausing = Sleep(std::chrono::milliseconds(50));
        co_await std::move(pausing);
      }
      has_level_ = true;
    }
    if (method == "tools/call") level_of_call.push_back(has_level_);
    const std::string name =
        method == "tools/call" ? message["params"].value("name", "") : std::string();
    if (name == "hang") {
      responder.OnDisconnect([this] {
        hung_up = true;
        wake_.WakeAll();
      });
      while (!hung_up) {
        auto waiting = wake_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
        co_await std::move(waiting);
      }
      co_return;
    }
    if (stream_answers || name == "elicit" || name == "slow") {
      auto streaming = StreamAnswer(message, name, responder);
      co_await std::move(streaming);
      co_return;
    }
    auto sending = SendJson(responder, Answer(message, Result(message, modern)),
                            method == "initialize" ? session : "");
    co_await std::move(sending);
  }

  Awaitable<void> StreamAnswer(Json message, std::string name, http::HttpResponder& responder) {
    http::HttpHeaders headers{{"Content-Type", "text/event-stream"}};
    if (message["method"] == "initialize") headers.Set("Mcp-Session-Id", session);
    auto starting = responder.StartStream(200, headers);
    (co_await std::move(starting)).IgnoreError();
    if (name == "slow" && drop_mid_stream) {
      drop_mid_stream = false;
      pending_ = Answer(message, Result(message, false));
      auto priming = responder.Write("id: 41\nretry: 10\ndata:\n\n");
      (co_await std::move(priming)).IgnoreError();
      auto finishing = responder.Finish();
      (co_await std::move(finishing)).IgnoreError();
      co_return;
    }
    Json result = Result(message, mode == Mode::kModern);
    if (name == "elicit") {
      const Json ask = {
          {"jsonrpc", "2.0"},
          {"id", "ask-1"},
          {"method", "elicitation/create"},
          {"params",
           {{"message", "Name?"},
            {"requestedSchema", {{"type", "object"}, {"properties", Json::object()}}}}}};
      const std::string event = http::SseEvent(ask.dump());
      auto asking = responder.Write(event);
      (co_await std::move(asking)).IgnoreError();
      while (answers.count("ask-1") == 0) {
        auto waiting = wake_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::seconds(1));
        co_await std::move(waiting);
      }
      result["content"][0]["text"] = answers["ask-1"].dump();
    }
    const std::string last = http::SseEvent(Answer(message, result).dump());
    auto writing = responder.Write(last);
    (co_await std::move(writing)).IgnoreError();
    auto finishing = responder.Finish();
    (co_await std::move(finishing)).IgnoreError();
  }

  Awaitable<void> HandleGet(http::HttpRequest& request, http::HttpResponder& responder) {
    const bool resume = request.headers.Get("Last-Event-ID") == "41";
    http::HttpHeaders headers{{"Content-Type", "text/event-stream"}};
    auto starting = responder.StartStream(200, headers);
    (co_await std::move(starting)).IgnoreError();
    std::string text;
    if (resume) {
      ++resumes;
      text = http::SseEvent(pending_.dump(), {}, "42");
    } else {
      ++streams;
      text = http::SseEvent(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})");
    }
    auto writing = responder.Write(text);
    (co_await std::move(writing)).IgnoreError();
    while (!resume && !responder.disconnected()) {
      auto waiting =
          wake_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
      co_await std::move(waiting);
    }
    auto finishing = responder.Finish();
    (co_await std::move(finishing)).IgnoreError();
  }

  // 2024-11-05: the stream brings everything, POSTs are only accepted.
  Awaitable<void> HandleSse(http::HttpRequest& request, http::HttpResponder& responder) {
    if (request.method == "POST" && request.path == "/mcp") {
      auto sending = SendStatus(responder, 405);
      co_await std::move(sending);
      co_return;
    }
    if (request.method == "POST") {
      const Json message = Json::parse(request.body, nullptr, false);
      if (message.contains("id") && message.contains("method")) {
        outbox_[request.query].push_back(Answer(message, Result(message, false)).dump());
        wake_.WakeAll();
      }
      auto sending = SendStatus(responder, 202);
      co_await std::move(sending);
      co_return;
    }
    http::HttpHeaders headers{{"Content-Type", "text/event-stream"}};
    auto starting = responder.StartStream(200, headers);
    (co_await std::move(starting)).IgnoreError();
    const std::string session_query = "s=" + std::to_string(++streams);
    const std::string first = http::SseEvent(endpoint_event + "?" + session_query, "endpoint");
    std::vector<std::string>& outbox = outbox_[session_query];
    auto writing = responder.Write(first);
    (co_await std::move(writing)).IgnoreError();
    while (!responder.disconnected()) {
      if (outbox.empty()) {
        auto waiting =
            wake_.WaitUntil(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
        co_await std::move(waiting);
        continue;
      }
      const std::string event = http::SseEvent(outbox.front());
      outbox.erase(outbox.begin());
      auto sending = responder.Write(event);
      if (!(co_await std::move(sending)).ok()) break;
    }
  }

  std::unique_ptr<http::HttpServer> server_;
  http::HttpEndpoint endpoint_;
  bool has_level_ = false;
  Broadcast wake_;
  std::map<std::string, Json> answers;
  Json pending_;
  std::map<std::string, std::vector<std::string>> outbox_;  // by stream
};

}  // namespace metamcp::connector
