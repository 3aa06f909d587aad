#include "cli/bridge.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/mcp/meta.h"
#include "common/mcp/methods.h"
#include "common/telemetry/log.h"

namespace metamcp::cli {
namespace {

using Clock = std::chrono::steady_clock;

// JSON allows line breaks only between tokens, so a space says the same.
void JoinLines(std::string* text) {
  std::replace_if(
      text->begin(), text->end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
}

}  // namespace

Bridge::Bridge(boost::asio::any_io_executor executor, http::HttpClient& client, LineSource& source,
               LineSink& sink, BridgeOptions options)
    : executor_(executor),
      client_(client),
      source_(source),
      sink_(sink),
      options_(std::move(options)),
      tasks_(executor),
      changed_(executor) {
  changed_.expires_at(Clock::time_point::max());
  // Without a reader there is nothing left to do.
  sink_.OnClosed([this] { source_.Stop(); });
}

Awaitable<void> Bridge::Run() {
  if (options_.presence.count() > 0) tasks_.Spawn("presence", KeepPresence());
  co_await ReadAll();
  co_await Drain();
  tasks_.CancelAll();
  (void)co_await tasks_.Join(std::chrono::seconds(5));
  co_await EndSession();
}

Awaitable<void> Bridge::ReadAll() {
  for (;;) {
    auto line = co_await source_.ReadLine();
    if (!line.ok()) {
      co_await EmitError(jsonrpc::Id(), false, line.status());
      continue;
    }
    if (!line->has_value()) co_return;
    co_await TakeLine(**std::move(line));
  }
}

Awaitable<void> Bridge::TakeLine(std::string line) {
  if (jsonrpc::IsBatch(line)) {
    co_await TakeBatch(std::move(line));
  } else {
    co_await TakeOne(std::move(line));
  }
}

Awaitable<void> Bridge::TakeOne(std::string line) {
  const jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(line);
  if (!parsed.ok()) {
    std::string answer = jsonrpc::MakeErrorResponse(parsed.id, parsed.error);
    co_await Emit(std::move(answer));
    co_return;
  }
  // The envelope's views point into `line`: receivers get a copy.
  const jsonrpc::Envelope& envelope = *parsed.envelope;
  std::string text = line;
  if (envelope.is_call()) {
    co_await TakeRequest(std::move(text), envelope);
  } else if (envelope.is_response()) {
    Enqueue(std::move(text), false);
  } else {
    co_await TakeNotification(std::move(text), envelope);
  }
}

// Only 2025-03-26 has batches. Their requests are answered one by one, as the answers come.
Awaitable<void> Bridge::TakeBatch(std::string line) {
  const auto messages = jsonrpc::ParseBatch(line);
  if (!messages.ok()) {
    co_await EmitError(jsonrpc::Id(), false, messages.status());
    co_return;
  }
  for (const std::string_view message : *messages) co_await TakeOne(std::string(message));
}

Awaitable<void> Bridge::TakeRequest(std::string line, const jsonrpc::Envelope& envelope) {
  const bool modern = mcp::HasModernClaim(envelope.meta);
  if (pending_.count(envelope.id) > 0) {
    const absl::Status status =
        MakeError("INVALID_REQUEST", "cli", "a request with this id has no answer yet");
    co_await EmitError(envelope.id, modern, status);
    co_return;
  }
  if (pending_.size() >= options_.in_flight_max) {
    const absl::Status status = MakeError(
        "QUEUE_FULL", "cli", StrCat(options_.in_flight_max, " requests have no answer yet"));
    co_await EmitError(envelope.id, modern, status);
    co_return;
  }
  auto pending = std::make_shared<Pending>(executor_);
  pending->id = envelope.id;
  pending->method = envelope.method;
  pending->modern = modern;
  pending->listens = envelope.method == "subscriptions/listen";
  if (modern) {
    TakeModernHeaders(envelope, pending.get());
  } else if (envelope.method == "initialize") {
    initialize_ = line;
    session_.clear();
    protocol_version_.clear();
    subscriptions_.clear();
    log_level_.clear();
    initializing_ = true;
  } else {
    RememberState(*pending, envelope.raw_params());
  }
  pending->text = std::move(line);
  Start(std::move(pending));
}

void Bridge::TakeModernHeaders(const jsonrpc::Envelope& envelope, Pending* pending) const {
  const auto version = envelope.meta.String(mcp::kMetaProtocolVersion);
  if (version && http::IsHeaderValue(*version)) {
    pending->headers.Add(mcp::kHeaderProtocolVersion, *version);
  }
  if (http::IsHeaderValue(envelope.method)) {
    pending->headers.Add(mcp::kHeaderMethod, envelope.method);
  }
  const mcp::MethodInfo* info = mcp::FindMethod(envelope.method);
  if (info == nullptr || info->target.empty()) return;
  const auto target = envelope.params.String(info->target);
  if (!target) return;
  pending->headers.Add(mcp::kHeaderName, mcp::EncodeHeaderValue(*target));
  const auto declared = tool_headers_.find(*target);
  if (envelope.method != "tools/call" || declared == tool_headers_.end()) return;
  const auto params = mcp::ComputeParamHeaders(declared->second, envelope.params.Raw("arguments"));
  // Arguments that do not fit their schema are for the server to refuse.
  if (!params.ok()) return;
  for (const auto& [name, value] : *params) pending->headers.Add(name, value);
}

void Bridge::Start(PendingPtr pending) {
  if (options_.request_timeout.count() > 0 && !pending->listens) {
    pending->abort.expires_after(options_.request_timeout);
  } else {
    pending->abort.expires_at(Clock::time_point::max());
  }
  pending_[pending->id] = pending;
  tasks_.Spawn("request", RunRequest(std::move(pending)));
}

Awaitable<void> Bridge::TakeNotification(std::string line, const jsonrpc::Envelope& envelope) {
  if (envelope.method == "notifications/cancelled") {
    const auto id = jsonrpc::Id::FromRaw(envelope.params.Raw("requestId"));
    const auto found = id.ok() ? pending_.find(*id) : pending_.end();
    if (found != pending_.end()) {
      found->second->cancelled = true;
      if (found->second->modern) {
        // Closing the answer is how a modern server learns of it.
        found->second->abort.expires_at(Clock::time_point::min());
        co_return;
      }
    }
  }
  const bool legacy = !session_.empty() || initializing_;
  if (!legacy || mcp::HasModernClaim(envelope.meta)) {
    // The modern era has no other notification from client to server.
    Log(LogLevel::kDebug, "notification.dropped", {{"method", envelope.method}});
    co_return;
  }
  const bool completes = envelope.method == "notifications/initialized";
  if (completes) initialized_ = line;
  Enqueue(std::move(line), completes);
}

// Requests that end by themselves may still be answered; streams are not waited for.
Awaitable<void> Bridge::Drain() {
  const auto until = Clock::now() + options_.drain;
  for (;;) {
    const bool busy =
        posting_ || std::any_of(pending_.begin(), pending_.end(),
                                [](const auto& entry) { return !entry.second->listens; });
    if (!busy || Clock::now() >= until) co_return;
    boost::asio::steady_timer limit(executor_, until);
    auto wake = changed_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    auto late = limit.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    using boost::asio::experimental::awaitable_operators::operator||;
    (void)co_await (std::move(wake) || std::move(late));
  }
}

Awaitable<void> Bridge::Emit(std::string message) {
  JoinLines(&message);
  (void)co_await sink_.WriteLine(std::move(message));
}

Awaitable<void> Bridge::EmitError(jsonrpc::Id id, bool modern, absl::Status status) {
  const auto info = GetErrorInfo(status);
  const ErrorEntry* entry = info ? FindError(info->reason) : nullptr;
  if (entry == nullptr) entry = FindError("INTERNAL");
  const int code = modern ? entry->jsonrpc_modern : entry->jsonrpc_legacy;
  const std::string data = StrCat("{\"reason\":", json::JsonQuote(entry->reason),
                                  ",\"source\":", json::JsonQuote(info ? info->domain : "cli"),
                                  ",\"hint\":", json::JsonQuote(entry->hint), "}");
  std::string answer = jsonrpc::MakeErrorResponse(id, code, Sv(status.message()), data);
  co_await Emit(std::move(answer));
}

}  // namespace metamcp::cli
