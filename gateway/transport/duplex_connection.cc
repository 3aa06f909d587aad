#include "gateway/transport/duplex_connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/splice.h"
#include "gateway/protocol/error_map.h"
#include "gateway/protocol/front_common.h"
#include "gateway/transport/admission.h"

namespace metamcp::gateway {
namespace {

constexpr auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);
constexpr auto kForever = std::chrono::steady_clock::time_point::max();

absl::Status Refuse(std::string_view why) { return MakeError("INVALID_REQUEST", "gateway", why); }

}  // namespace

// One request on its way, and where its answer goes.
class DuplexConnection::Call final : public Reply {
 public:
  Call(std::shared_ptr<DuplexConnection> connection, std::string_view message)
      : connection_(std::move(connection)), text(message) {}
  ~Call() override {
    if (!running_) return;
    connection_->running_.erase(id);
    connection_->CloseIfDrained();
  }

  // From here on the request can be cancelled, and its id is taken.
  void Register() {
    running_ = true;
    connection_->running_[id] = this;
  }
  // The client wants no answer any more.
  void Cancel() {
    silent_ = true;
    Abort();
  }
  void Abort() {
    if (gone_) std::exchange(gone_, nullptr)();
  }

  Awaitable<absl::Status> Notify(std::string message) override {
    if (done_ || silent_) co_return absl::CancelledError("ended");
    started_ = true;
    co_return co_await connection_->Send(std::move(message));
  }
  Awaitable<absl::Status> Respond(int, std::string message) override {
    if (std::exchange(done_, true)) co_return absl::CancelledError("ended");
    if (silent_) co_return absl::OkStatus();
    const absl::Status sent = co_await connection_->Send(std::move(message));
    if (!sent.ok() || !started_ || envelope.method != "subscriptions/listen") co_return sent;
    // Where streams share a channel, this is how a server ends one (MCP, basic/patterns).
    json::ObjectWriter params;
    params.Add("requestId", id.raw());
    std::string ended =
        jsonrpc::MakeNotification("notifications/cancelled", std::move(params).Build());
    co_return co_await connection_->Send(std::move(ended));
  }
  Awaitable<absl::Status> End(int) override {
    done_ = true;
    co_return absl::OkStatus();
  }
  Awaitable<absl::Status> Open() override { co_return absl::OkStatus(); }
  bool can_push() const override { return true; }
  bool started() const override { return started_ || done_; }
  void OnGone(std::function<void()> callback) override {
    gone_ = std::move(callback);
    if (connection_->over_ || silent_) Abort();
  }
  void SetHeader(std::string_view, std::string_view) override {}

 private:
  const std::shared_ptr<DuplexConnection> connection_;
  bool running_ = false;
  bool started_ = false;
  bool done_ = false;
  bool silent_ = false;
  std::function<void()> gone_;

 public:
  const std::string text;  // what the envelope looks into
  jsonrpc::Envelope envelope;
  jsonrpc::Id id;
  Incoming in;
  std::optional<mcp::RequestMeta> meta;    // of a modern request
  std::shared_ptr<LegacySession> session;  // of a legacy one
  DuplexConnection& connection() { return *connection_; }
};

DuplexConnection::DuplexConnection(const FrontDeps& deps, ModernFront& modern, LegacyFront& legacy,
                                   TaskGroup& tasks, Options options)
    : deps_(deps),
      modern_(modern),
      legacy_(legacy),
      tasks_(tasks),
      options_(std::move(options)),
      ready_(deps.executor, kForever),
      room_(deps.executor, kForever) {}

DuplexConnection::~DuplexConnection() = default;

Awaitable<absl::Status> DuplexConnection::Take(std::string text) {
  if (end_ != End::kOpen) co_return absl::OkStatus();
  if (!jsonrpc::IsBatch(text)) co_return co_await TakeOne(text, false);
  if (session_ == nullptr || !mcp::ToleratesBatch(session_->revision)) {
    co_return Refuse("batches are not part of the MCP revision that is spoken here");
  }
  json::ScanLimits limits;
  limits.depth_max = options_.json_depth_max;
  const auto messages = jsonrpc::ParseBatch(text, options_.batch_max, limits);
  if (!messages.ok()) co_return messages.status();
  // Answered one by one, as the answers come.
  for (const std::string_view message : *messages) {
    const absl::Status taken = co_await TakeOne(message, true);
    if (!taken.ok()) co_await Report(taken);
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> DuplexConnection::TakeOne(std::string_view text, bool in_batch) {
  json::ScanLimits limits;
  limits.depth_max = options_.json_depth_max;
  auto call = std::make_shared<Call>(shared_from_this(), text);
  jsonrpc::ParseOutcome parsed = jsonrpc::ParseEnvelope(call->text, limits);
  if (!parsed.ok()) {
    if (!parsed.id.present()) co_return parsed.status();
    std::string message = jsonrpc::MakeErrorResponse(parsed.id, parsed.error);
    (void)co_await Send(std::move(message));
    co_return absl::OkStatus();
  }
  call->envelope = *std::move(parsed.envelope);
  call->id = call->envelope.id;
  if (session_ != nullptr) session_->last_used_us = NowMicros();
  if (call->envelope.is_response()) {
    if (session_ != nullptr) (void)legacy_.HandleAnswer(call->envelope, *session_);
  } else if (call->envelope.is_call()) {
    co_await TakeRequest(std::move(call), in_batch);
  } else {
    TakeNotification(call->envelope);
  }
  co_return absl::OkStatus();
}

void DuplexConnection::TakeNotification(const jsonrpc::Envelope& envelope) {
  if (envelope.method == "notifications/cancelled") {
    const auto id = jsonrpc::Id::FromRaw(envelope.params.Raw("requestId"));
    const auto found = id.ok() ? running_.find(*id) : running_.end();
    if (found != running_.end() && found->second->meta) {
      found->second->Cancel();
      return;
    }
  }
  if (session_ == nullptr || mcp::HasModernClaim(envelope.meta)) return;
  Incoming in;
  in.envelope = &envelope;
  in.principal = options_.principal;
  legacy_.HandleNotification(in, *session_);
}

absl::Status DuplexConnection::Admit(Call& call, bool in_batch) {
  const bool claim = mcp::HasModernClaim(call.envelope.meta);
  const bool initialize = !claim && call.envelope.method == "initialize";
  if (draining_) return MakeError("SHUTTING_DOWN", "gateway", "the gateway stops");
  if (in_batch && (claim || initialize)) return Refuse("this message must not be part of a batch");
  if (running_.count(call.id) > 0) {
    return Refuse("a request with this id has no answer yet");
  }
  if (running_.size() >= options_.requests_max) {
    return MakeError("QUEUE_FULL", "gateway",
                     StrCat(options_.requests_max, " requests of this connection run"));
  }
  auto view = FindView(deps_, options_.virtual_server, *options_.principal);
  if (!view.ok()) return view.status();
  call.in.envelope = &call.envelope;
  call.in.principal = options_.principal;
  call.in.view = *std::move(view);
  if (claim) {
    auto meta = mcp::ParseModernMeta(call.envelope.meta);
    if (!meta.ok()) return meta.status();
    if (absl::Status version = CheckModernVersion(*meta); !version.ok()) return version;
    call.meta = *std::move(meta);
  } else if (initialize) {
    if (session_ != nullptr || opening_) return Refuse("this connection is initialized already");
  } else if (session_ == nullptr && call.envelope.method != "ping") {
    return Refuse("send initialize first, or name a protocol version in params._meta");
  }
  call.session = session_;
  return absl::OkStatus();
}

Awaitable<void> DuplexConnection::TakeRequest(std::shared_ptr<Call> call, bool in_batch) {
  const absl::Status admitted = Admit(*call, in_batch);
  if (!admitted.ok()) {
    const bool modern = mcp::HasModernClaim(call->envelope.meta);
    co_await RespondError(*call, call->id, admitted,
                          modern ? mcp::Era::kModern : mcp::Era::kLegacy);
    co_return;
  }
  if (!call->meta && call->envelope.method == "initialize") {
    co_await Open(std::move(call));
  } else if (!call->meta && call->session == nullptr) {
    std::string pong = jsonrpc::MakeResult(call->id, "{}");
    (void)co_await call->Respond(200, std::move(pong));
  } else {
    call->Register();
    tasks_.Spawn("duplex request", Run(std::move(call)));
  }
}

Awaitable<void> DuplexConnection::Open(std::shared_ptr<Call> call) {
  opening_ = true;
  std::string transport = options_.transport;
  Incoming in = call->in;
  auto session = co_await legacy_.Initialize(std::move(in), std::move(transport), *call);
  opening_ = false;
  if (session == nullptr) co_return;
  if (over_) {
    deps_.sessions.Remove(session);
    co_return;
  }
  ++session->streams;
  session_ = session;
  tasks_.Spawn("duplex session", Forward(shared_from_this(), std::move(session)));
}

Awaitable<void> DuplexConnection::Run(std::shared_ptr<Call> call) {
  DuplexConnection& self = call->connection();
  Incoming in = call->in;
  if (call->meta) {
    mcp::RequestMeta meta = *call->meta;
    co_await self.modern_.Handle(std::move(in), std::move(meta), *call);
  } else {
    co_await self.legacy_.HandleRequest(std::move(in), call->session, *call);
  }
}

Awaitable<void> DuplexConnection::Forward(std::shared_ptr<DuplexConnection> self,
                                          std::shared_ptr<LegacySession> session) {
  constexpr std::chrono::hours kWait{1};
  absl::Status sent;
  while (sent.ok()) {
    std::optional<std::string> message = co_await session->outbox.Next(kWait);
    if (message) {
      sent = co_await self->Send(*std::move(message));
    } else if (session->outbox.closed()) {
      break;
    }
  }
  if (!self->draining_) self->Close(session->outbox.overflowed() ? End::kBehind : End::kRevoked);
}

Awaitable<absl::Status> DuplexConnection::Send(std::string message) {
  struct Waiting {
    Waiting(size_t& all_in, size_t own_in) : all(all_in), own(own_in) { all += own; }
    ~Waiting() { all -= own; }
    size_t& all;
    const size_t own;
  } waiting(waiting_bytes_, message.size());
  // Answers pile up behind a client that asks much and reads nothing.
  if (queue_bytes_ + waiting_bytes_ > options_.held_bytes_max) Close(End::kBehind);
  while (end_ == End::kOpen && !queue_.empty() &&
         (queue_.size() >= options_.queue_messages_max ||
          queue_bytes_ + message.size() > options_.queue_bytes_max)) {
    co_await room_.async_wait(kToken);
  }
  if (end_ != End::kOpen) co_return absl::CancelledError("the client is gone");
  queue_bytes_ += message.size();
  queue_.push_back(std::move(message));
  ready_.cancel();
  co_return absl::OkStatus();
}

Awaitable<void> DuplexConnection::Report(absl::Status status) {
  const WireError wire = ToWireError(status, mcp::Era::kLegacy);
  std::string message = jsonrpc::MakeErrorResponse(jsonrpc::Id(), wire.error);
  (void)co_await Send(std::move(message));
}

Awaitable<std::optional<std::string>> DuplexConnection::Next(
    std::chrono::steady_clock::duration wait) {
  if (queue_.empty() && end_ == End::kOpen) {
    ready_.expires_after(wait);
    co_await ready_.async_wait(kToken);
  }
  if (queue_.empty()) co_return std::nullopt;
  std::string message = std::move(queue_.front());
  queue_.pop_front();
  queue_bytes_ -= message.size();
  room_.cancel();
  co_return message;
}

void DuplexConnection::Close(End why) {
  if (end_ != End::kOpen) return;
  end_ = why;
  ready_.cancel();
  room_.cancel();
}

void DuplexConnection::Gone() {
  if (std::exchange(over_, true)) return;
  Close(End::kGone);
  queue_.clear();
  queue_bytes_ = 0;
  const auto self = shared_from_this();
  // Aborting one may end it, which changes the map.
  std::vector<jsonrpc::Id> ids;
  for (const auto& [id, call] : running_) ids.push_back(id);
  for (const jsonrpc::Id& id : ids) {
    const auto found = running_.find(id);
    if (found != running_.end()) found->second->Abort();
  }
  if (session_ != nullptr) {
    --session_->streams;
    deps_.sessions.Remove(session_);
  }
  if (options_.on_end) options_.on_end();
}

void DuplexConnection::Drain() {
  draining_ = true;
  CloseIfDrained();
}

void DuplexConnection::InputEnded() {
  input_ended_ = true;
  Drain();
}

void DuplexConnection::CloseIfDrained() {
  if (!draining_) return;
  for (const auto& [id, call] : running_) {
    if (!input_ended_ || call->envelope.method != "subscriptions/listen") return;
  }
  Close(End::kStopping);
}

}  // namespace metamcp::gateway
