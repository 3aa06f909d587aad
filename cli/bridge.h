#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/line_io.h"
#include "common/async/task_group.h"
#include "common/http/http_client.h"
#include "common/http/sse.h"
#include "common/mcp/headers.h"
#include "common/mcp/jsonrpc.h"

namespace metamcp::cli {

struct BridgeOptions {
  using Millis = std::chrono::milliseconds;
  BridgeOptions() {}

  std::string url;          // the MCP endpoint
  std::string unix_socket;  // connect here instead of the URL's host
  std::string ca_file;      // PEM files, for an https URL; see RestTarget
  std::string cert_file;
  std::string key_file;
  std::string authorization;  // value of the header; may be empty
  bool allow_plain_http = false;
  Millis request_timeout{0};   // of one request; 0: none
  Millis drain{10'000};        // for answers after the end of the input
  Millis presence{0};          // asks for /health this often, so that the gateway sees a client
  Millis reconnect_min{200};   // wait before a listening stream is opened again, doubled up to
  Millis reconnect_max{5000};  // this
  size_t in_flight_max = 512;  // above: QUEUE_FULL
  size_t message_bytes_max = 64 << 20;
  // Called when nobody answers, before the request is tried once more: starts the gateway again.
  std::function<Awaitable<absl::Status>()> revive;
};

// Carries one client's newline-delimited MCP over to a Streamable HTTP endpoint. Both eras, also
// mixed: what claims the modern era in _meta goes out as it is; the rest belongs to the one legacy
// session, which is opened anew (with the client's own initialize) when the gateway has lost it.
// Many requests run at once; each gets exactly one answer, made here where the gateway gives none.
// Sources: MCP 2025-11-25 and 2026-07-28, basic/transports.
//
// Thread: the executor's one thread. Everything outlives Run.
class Bridge {
 public:
  Bridge(boost::asio::any_io_executor executor, http::HttpClient& client, LineSource& source,
         LineSink& sink, BridgeOptions options);

  // Runs until the input ends or the output is gone; then waits for running requests, at most
  // `drain`, ends the session and returns.
  Awaitable<void> Run();

 private:
  // One request of the client that has no answer yet.
  struct Pending {
    Pending(boost::asio::any_io_executor executor) : abort(std::move(executor)) {}
    jsonrpc::Id id;
    std::string method;
    std::string text;
    http::HttpHeaders headers;  // of the modern era
    bool modern = false;
    bool listens = false;    // never ends by itself
    bool cancelled = false;  // by the client: no answer is due
    bool answered = false;
    boost::asio::steady_timer abort;  // expires at the request's deadline, or at once to abort it
  };
  using PendingPtr = std::shared_ptr<Pending>;
  // Where the messages of one HTTP answer go.
  struct Stream {
    PendingPtr pending;  // may be null
    std::string last_event_id;
    std::optional<int64_t> retry_ms;
  };
  using ResponsePtr = std::unique_ptr<http::HttpClientResponse>;

  // bridge.cc: the client's side.
  Awaitable<void> ReadAll();
  Awaitable<void> TakeLine(std::string line);
  Awaitable<void> TakeOne(std::string line);
  Awaitable<void> TakeBatch(std::string line);
  Awaitable<void> TakeRequest(std::string line, const jsonrpc::Envelope& envelope);
  Awaitable<void> TakeNotification(std::string line, const jsonrpc::Envelope& envelope);
  void TakeModernHeaders(const jsonrpc::Envelope& envelope, Pending* pending) const;
  void Start(PendingPtr pending);
  Awaitable<void> Drain();
  Awaitable<void> Emit(std::string message);
  Awaitable<void> EmitError(jsonrpc::Id id, bool modern, absl::Status status);

  // bridge_exchange.cc: the gateway's side.
  Awaitable<void> RunRequest(PendingPtr pending);
  Awaitable<absl::Status> Exchange(PendingPtr pending);
  Awaitable<absl::Status> Resume(Stream* stream);
  Awaitable<absl::StatusOr<ResponsePtr>> Send(http::HttpClientRequest request);
  http::HttpClientRequest MakeRequest(std::string method, std::string body) const;
  Awaitable<absl::Status> ReadAnswer(http::HttpClientResponse& response, Stream* stream);
  Awaitable<absl::Status> ReadEvents(http::HttpClientResponse& response, Stream* stream);
  Awaitable<void> TakeMessage(std::string text, Stream* stream);
  Awaitable<void> TakeMessages(std::string text, Stream* stream);
  void LearnTools(std::string_view result);
  absl::Status ErrorOfStatus(int status) const;

  // bridge_session.cc: the legacy session.
  void AddSession(http::HttpClientRequest* request) const;
  void TakeInitialized(const http::HttpClientResponse& response, std::string_view result);
  Awaitable<void> SessionSettled();
  Awaitable<absl::Status> Reinitialize(std::string lost);
  Awaitable<absl::Status> OpenAgain();
  Awaitable<absl::StatusOr<std::string>> AskForUs(std::string text);
  Awaitable<absl::StatusOr<std::string>> ReadOurAnswer(http::HttpClientResponse& response);
  void Enqueue(std::string text, bool completes_handshake);
  Awaitable<void> PostQueued();
  Awaitable<void> Listen(std::string session);
  Awaitable<void> KeepPresence();
  Awaitable<void> EndSession();
  void RememberState(const Pending& pending, std::string_view raw_params);

  const boost::asio::any_io_executor executor_;
  http::HttpClient& client_;
  LineSource& source_;
  LineSink& sink_;
  const BridgeOptions options_;
  TaskGroup tasks_;
  std::map<jsonrpc::Id, PendingPtr> pending_;
  boost::asio::steady_timer changed_;  // wakes whoever waits for a request or the session

  std::string session_;
  std::string protocol_version_;
  std::string initialize_;     // as the client sent it
  std::string initialized_;    // likewise
  bool initializing_ = false;  // between initialize and its answer, or while opening again
  bool completing_ = false;    // notifications/initialized is on its way
  bool posting_ = false;       // a task works on queue_
  struct Queued {
    std::string text;
    bool completes_handshake = false;
  };
  std::deque<Queued> queue_;  // notifications and answers, in order
  // What the client asked for in the session, to be asked again in a new one: raw params.
  std::map<std::string, std::string> subscriptions_;
  std::string log_level_;
  int64_t our_requests_ = 0;
  std::map<std::string, std::vector<mcp::ParamHeader>> tool_headers_;
};

}  // namespace metamcp::cli
