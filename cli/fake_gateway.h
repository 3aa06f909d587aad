#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/http/http_test_support.h"
#include "common/http/sse.h"
#include "common/json/scan.h"
#include "common/mcp/headers.h"
#include "common/mcp/jsonrpc.h"
#include "common/mcp/meta.h"

namespace metamcp::cli {

// A gateway of both eras that does what tests say. Methods it knows: initialize; "echo" answers at
// once with its params as JSON; "events" answers as an event stream after a notification; "hold"
// answers when released; "ask" sends a server request on its stream and ends after the client's
// answer; "silent" ends without an answer; "torn" breaks its stream off, to be resumed by GET.
class FakeGateway {
 public:
  struct Seen {
    std::string method, target, body, session, version, mcp_method, mcp_name, authorization;
    std::string last_event_id;
    std::map<std::string, std::string> params;
  };

  FakeGateway()
      : server_([this](http::HttpRequest& q, http::HttpResponder& r) { return Handle(q, r); }),
        wake_(server_.io()) {
    wake_.expires_at(std::chrono::steady_clock::time_point::max());
  }
  ~FakeGateway() {
    server_.Run([this] {
      closing_ = true;
      wake_.cancel();
    });
    server_.Stop(std::chrono::milliseconds(200));
  }

  std::string Listen() { return StrCat(server_.ListenTcp().ToString(), "/mcp"); }
  void ListenUnix(const std::string& path) { (void)server_.ListenUnix(path); }
  void ForgetSessions() {
    server_.Run([this] {
      sessions_.clear();
      wake_.cancel();
    });
  }
  void Release() {
    server_.Run([this] {
      released_ = true;
      wake_.cancel();
    });
  }
  // Sends `message` on the listening stream.
  void Push(std::string message) {
    server_.Run([this, &message] {
      pushed_.push_back(std::move(message));
      wake_.cancel();
    });
  }

  // Waits until a request fits and returns it.
  Seen WaitFor(const std::function<bool(const Seen&)>& fits, size_t times = 1) {
    std::unique_lock lock(mu_);
    Seen found;
    const bool ok = arrived_.wait_for(lock, std::chrono::seconds(20), [&] {
      size_t n = 0;
      for (const Seen& seen : seen_) {
        if (!fits(seen)) continue;
        found = seen;
        ++n;
      }
      return n >= times;
    });
    EXPECT_TRUE(ok) << "the request did not come";
    return found;
  }
  Seen WaitForBody(const std::string& piece, size_t times = 1) {
    return WaitFor([&](const Seen& s) { return s.body.find(piece) != std::string::npos; }, times);
  }
  size_t Count(const std::function<bool(const Seen&)>& fits) {
    std::lock_guard lock(mu_);
    size_t n = 0;
    for (const Seen& seen : seen_) n += fits(seen) ? 1 : 0;
    return n;
  }
  bool aborted() {
    std::lock_guard lock(mu_);
    return aborted_ > 0;
  }
  void WaitForAbort() {
    std::unique_lock lock(mu_);
    EXPECT_TRUE(arrived_.wait_for(lock, std::chrono::seconds(20), [this] { return aborted_ > 0; }));
  }

 private:
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder) {
    Record(request);
    const std::string session(request.headers.Get("Mcp-Session-Id"));
    if (request.path == "/health") {
      co_await Reply(responder, 200, "{}");
    } else if (request.method == "GET") {
      co_await Get(request, responder, session);
    } else if (request.method == "DELETE") {
      sessions_.erase(session);
      co_await Reply(responder, 200, "");
    } else {
      co_await Post(request, responder, session);
    }
  }

  Awaitable<void> Post(http::HttpRequest& request, http::HttpResponder& responder,
                       std::string session) {
    const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(request.body);
    if (!parsed.ok()) {
      co_await Reply(responder, 400, jsonrpc::MakeErrorResponse(parsed.id, parsed.error));
      co_return;
    }
    const jsonrpc::Envelope& e = *parsed.envelope;
    const bool modern = mcp::HasModernClaim(e.meta);
    if (e.is_call() && e.method == "initialize") {
      const std::string id = StrCat("s", ++made_);
      sessions_.insert(id);
      http::HttpResponse response(
          200, "application/json",
          jsonrpc::MakeResult(e.id, R"({"protocolVersion":"2025-11-25","capabilities":{}})"));
      response.headers.Add("Mcp-Session-Id", id);
      (void)co_await responder.Send(std::move(response));
      co_return;
    }
    if (!modern && sessions_.count(session) == 0) {
      co_await Reply(responder, 404,
                     jsonrpc::MakeErrorResponse(jsonrpc::Id(), -31004, "no such session"));
      co_return;
    }
    if (!e.is_call()) {
      if (e.is_response()) {
        ++answers_;
        wake_.cancel();
      }
      co_await Reply(responder, 202, "");
      co_return;
    }
    co_await Answer(e, responder);
  }

  Awaitable<void> Answer(const jsonrpc::Envelope& e, http::HttpResponder& responder) {
    const std::string method(e.method);
    const std::string result = jsonrpc::MakeResult(e.id, e.raw_params());
    if (method == "silent") {
      co_await Reply(responder, 200, "");
    } else if (method == "nonsense") {
      co_await Reply(responder, 200, "<html>");
    } else if (method == "unauthorized") {
      co_await Reply(responder, 401, "");
    } else if (method == "anonymous") {
      co_await Reply(responder, 400, jsonrpc::MakeErrorResponse(jsonrpc::Id(), -32600, "bad"));
    } else if (method == "unknown") {
      co_await Reply(responder, 404, jsonrpc::MakeErrorResponse(e.id, -32601, "no such method"));
    } else if (method == "tools/list") {
      co_await Reply(
          responder, 200,
          jsonrpc::MakeResult(e.id,
                              R"({"tools":[{"name":"t","inputSchema":{"type":"object","properties":{
                            "region":{"type":"string","x-mcp-header":"Region"}}}}]})"));
    } else if (method == "events" || method == "ask" || method == "torn") {
      co_await Stream(method, result, responder);
    } else if (method == "hold" || method == "subscriptions/listen") {
      co_await Hold(result, responder);
    } else {
      co_await Reply(responder, 200, result);
    }
  }

  Awaitable<void> Stream(std::string method, std::string result, http::HttpResponder& responder) {
    co_await StartStream(responder);
    std::string first = http::SseEvent(
        R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}})",
        "message", "e-1", 1);
    if (method == "ask") {
      first = http::SseEvent("{\"jsonrpc\":\"2.0\",\n\"id\":\"srv-1\",\"method\":\"roots/list\"}");
    }
    (void)co_await responder.Write(first);
    while (method == "ask" && answers_ == 0 && !closing_) co_await Wait();
    if (method == "torn") {
      resume_ = result;
    } else {
      const std::string last = http::SseEvent(result);
      (void)co_await responder.Write(last);
    }
    (void)co_await responder.Finish();
  }

  Awaitable<void> Hold(std::string result, http::HttpResponder& responder) {
    bool gone = false;
    responder.OnDisconnect([this, &gone] {
      gone = true;
      {
        std::lock_guard lock(mu_);
        ++aborted_;
        arrived_.notify_all();
      }
      wake_.cancel();
    });
    while (!released_ && !closing_ && !gone) co_await Wait();
    if (!gone) co_await Reply(responder, 200, result);
  }

  Awaitable<void> Get(http::HttpRequest& request, http::HttpResponder& responder,
                      std::string session) {
    if (sessions_.count(session) == 0) {
      co_await Reply(responder, 404, "");
      co_return;
    }
    const bool resumes = request.headers.Get("Last-Event-ID") == "e-1";
    co_await StartStream(responder);
    if (resumes) {
      const std::string last = http::SseEvent(resume_);
      (void)co_await responder.Write(last);
      (void)co_await responder.Finish();
      co_return;
    }
    bool gone = false;
    responder.OnDisconnect([this, &gone] {
      gone = true;
      wake_.cancel();
    });
    while (!closing_ && !gone && sessions_.count(session) > 0) {
      while (!pushed_.empty() && !gone) {
        const std::string event = http::SseEvent(pushed_.front());
        pushed_.erase(pushed_.begin());
        (void)co_await responder.Write(event);
      }
      co_await Wait();
    }
    (void)co_await responder.Finish();
  }

  static Awaitable<void> Reply(http::HttpResponder& responder, int status, std::string body) {
    http::HttpResponse response(status, "application/json", std::move(body));
    (void)co_await responder.Send(std::move(response));
  }
  static Awaitable<void> StartStream(http::HttpResponder& responder) {
    http::HttpHeaders headers;
    headers.Add("Content-Type", "text/event-stream");
    (void)co_await responder.StartStream(200, std::move(headers));
  }
  Awaitable<void> Wait() {
    co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }

  void Record(const http::HttpRequest& request) {
    Seen seen;
    seen.method = request.method;
    seen.target = request.target;
    seen.body = request.body;
    seen.session = request.headers.Get("Mcp-Session-Id");
    seen.version = request.headers.Get("MCP-Protocol-Version");
    seen.mcp_method = request.headers.Get("Mcp-Method");
    seen.mcp_name = request.headers.Get("Mcp-Name");
    seen.authorization = request.headers.Get("Authorization");
    seen.last_event_id = request.headers.Get("Last-Event-ID");
    seen.params["Region"] = request.headers.Get("Mcp-Param-Region");
    std::lock_guard lock(mu_);
    seen_.push_back(std::move(seen));
    arrived_.notify_all();
  }

  http::TestServer server_;
  // On the server's thread.
  boost::asio::steady_timer wake_;
  std::set<std::string> sessions_;
  std::vector<std::string> pushed_;
  std::string resume_;
  int made_ = 0;
  int answers_ = 0;
  bool released_ = false;
  bool closing_ = false;
  std::mutex mu_;  // guards what follows
  std::condition_variable arrived_;
  std::vector<Seen> seen_;
  int aborted_ = 0;
};

}  // namespace metamcp::cli
