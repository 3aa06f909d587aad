#include "services/connector/session.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"
#include "common/mcp/meta.h"
#include "services/connector/handshake.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

// A misbehaving upstream must not fill its own log.
constexpr int kRemarksMax = 100;
constexpr std::chrono::seconds kLevelTimeout(5);

// What broke below a session broke at its upstream, whichever library noticed.
absl::Status Attributed(absl::Status why, const std::string& domain) {
  ErrorInfo info;
  info.reason = "UPSTREAM_LOST";
  if (const auto known = GetErrorInfo(why)) info = *known;
  info.domain = domain;
  return WithErrorInfo(std::move(why), info);
}

}  // namespace

Session::Session(boost::asio::any_io_executor executor, std::shared_ptr<Channel> channel,
                 SessionOptions options, SessionObserver& observer)
    : executor_(executor),
      channel_(std::move(channel)),
      options_(std::move(options)),
      observer_(&observer),
      levelled_(executor),
      held_timer_(executor),
      doubt_timer_(executor) {}

Session::~Session() { channel_->Drop(); }

void Session::Start() {
  started_ = true;
  channel_->Start(weak_from_this());
  if (channel_->pid() != 0) Reached();
}

void Session::Reached() {
  if (reached_) return;
  reached_ = true;
  if (observer_ != nullptr) observer_->OnReached();
}

void Session::Adopt(Negotiated negotiated) {
  negotiated_ = std::move(negotiated);
  adopted_ = true;
  channel_->SetProtocol(negotiated_.modern(), mcp::RevisionName(negotiated_.revision));
}

std::string Session::OwnMeta() const {
  return StrCat("\"", mcp::kMetaProtocolVersion, "\":\"", mcp::RevisionName(mcp::kLatestModern),
                "\",\"", mcp::kMetaClientInfo, "\":", options_.client_info, ",\"",
                mcp::kMetaClientCapabilities, "\":", CapabilitiesText(GatewayCapset()));
}

std::string Session::RequestText(const Exchange& exchange) const {
  const RequestSpec& spec = exchange.spec;
  std::string_view params = spec.params.empty() ? std::string_view("{}") : spec.params;
  while (!params.empty() && params.back() != '}') params.remove_suffix(1);
  if (!params.empty()) params.remove_suffix(1);
  const bool bare = params.find_first_not_of(" \t\r\n{") == std::string_view::npos;
  std::string out;
  out.reserve(params.size() + spec.meta_tail.size() + spec.method.size() + 128);
  out += R"({"jsonrpc":"2.0","id":)";
  out += std::to_string(exchange.id);
  out += R"(,"method":")";
  out += spec.method;
  out += R"(","params":)";
  out += params;
  if (!spec.meta_tail.empty() || spec.wants_progress) {
    if (!bare) out += ',';
    out += R"("_meta":{)";
    if (spec.wants_progress) {
      out += R"("progressToken":)";
      out += std::to_string(exchange.id);
      if (!spec.meta_tail.empty()) out += ',';
    }
    out += spec.meta_tail;
    out += '}';
  }
  out += "}}";
  return out;
}

absl::StatusOr<std::shared_ptr<Exchange>> Session::Begin(RequestSpec spec) {
  if (lost_) return lost_why_;
  if (pending_.size() >= options_.pending_max) {
    return MakeError("QUEUE_FULL", options_.domain, "too many requests are in flight");
  }
  auto exchange = std::make_shared<Exchange>(executor_, ++last_id_, std::move(spec));
  Outgoing message(RequestText(*exchange));
  message.request_id = exchange->id;
  message.method = exchange->spec.method;
  message.name = exchange->spec.name;
  message.headers = exchange->spec.headers;
  // Expected before it is sent: a transport may know at once that there will be no answer.
  pending_.emplace(exchange->id, exchange);
  if (absl::Status sent = channel_->Send(std::move(message)); !sent.ok()) {
    pending_.erase(exchange->id);
    return sent;
  }
  if (!held_.empty() && !exchange->done) TakeHeld(*exchange);
  return exchange;
}

Awaitable<absl::Status> Session::WantLogs(int severity) {
  static constexpr std::string_view kLevels[] = {"debug", "info",     "notice", "warning",
                                                 "error", "critical", "alert",  "emergency"};
  const auto self = shared_from_this();
  if (severity < 0 || !adopted_ || negotiated_.modern() || !negotiated_.logging) {
    co_return absl::OkStatus();
  }
  while (log_severity_set_ < 0 || severity < log_severity_set_) {
    if (levelling_) {
      auto waiting = levelled_.WaitUntil(Clock::now() + kLevelTimeout);
      co_await std::move(waiting);
      const auto state = co_await boost::asio::this_coro::cancellation_state;
      if (state.cancelled() != boost::asio::cancellation_type::none) {
        co_return absl::CancelledError("cancelled");
      }
      continue;
    }
    struct Turn {
      Session& session;
      explicit Turn(Session& s) : session(s) { session.levelling_ = true; }
      ~Turn() {
        session.levelling_ = false;
        session.levelled_.WakeAll();
      }
    } turn(*this);
    RequestSpec spec("logging/setLevel", StrCat(R"({"level":")", kLevels[severity], "\"}"));
    auto asking = Ask(std::move(spec), kLevelTimeout);
    const auto answer = co_await std::move(asking);
    if (absl::IsCancelled(answer.status())) co_return answer.status();
    // Who does not take it has its say once; the call goes on without.
    log_severity_set_ = severity;
  }
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<Session::Answer>> Session::Ask(RequestSpec spec,
                                                        std::chrono::milliseconds timeout) {
  auto self = shared_from_this();
  if (adopted_ && negotiated_.modern() && spec.meta_tail.empty()) {
    spec.meta_tail = OwnMeta();
  }
  const std::string method = spec.method;
  auto begun = Begin(std::move(spec));
  if (!begun.ok()) co_return begun.status();
  const std::shared_ptr<Exchange> exchange = *begun;
  const auto until = Clock::now() + timeout;
  while (!exchange->done) {
    const auto wake = co_await exchange->Wait(until);
    if (wake == Exchange::Wake::kSignalled) continue;
    Cancel(*exchange, "the gateway stopped waiting");
    if (wake == Exchange::Wake::kCancelled) co_return absl::CancelledError("cancelled");
    co_return MakeError("UPSTREAM_TIMEOUT", options_.domain,
                        StrCat("no answer to ", method, " within ", timeout.count(), " ms"));
  }
  if (!exchange->failure.ok()) co_return exchange->failure;
  Answer answer;
  answer.result = std::move(exchange->result);
  answer.error = std::move(exchange->error);
  co_return answer;
}

Awaitable<absl::StatusOr<Negotiated>> Session::Initialize(std::chrono::milliseconds timeout) {
  RequestSpec spec("initialize",
                   StrCat(R"({"protocolVersion":")", mcp::RevisionName(mcp::kLatestLegacy),
                          R"(","capabilities":)", options_.client_capabilities, R"(,"clientInfo":)",
                          options_.client_info, "}"));
  auto asked = Ask(std::move(spec), timeout);
  auto answer = co_await std::move(asked);
  if (!answer.ok()) co_return answer.status();
  if (answer->error) {
    co_return MakeError("UPSTREAM_PROTOCOL", options_.domain,
                        StrCat("initialize was refused: ", answer->error->code, " ",
                               answer->error->message.substr(0, 200)));
  }
  auto negotiated = ReadInitializeResult(answer->result);
  if (!negotiated.ok()) co_return negotiated.status();
  channel_->SetProtocol(false, mcp::RevisionName(negotiated->revision));
  const absl::Status sent = Notify("notifications/initialized", "");
  if (!sent.ok()) co_return sent;
  co_return negotiated;
}

Awaitable<absl::StatusOr<Session::Answer>> Session::Discover(std::chrono::milliseconds timeout) {
  RequestSpec spec("server/discover", "");
  spec.meta_tail = OwnMeta();
  auto asked = Ask(std::move(spec), timeout);
  co_return co_await std::move(asked);
}

void Session::Cancel(Exchange& exchange, std::string_view reason) {
  const auto it = pending_.find(exchange.id);
  if (it == pending_.end()) return;
  const std::shared_ptr<Exchange> keep = it->second;
  pending_.erase(it);
  for (const Question& question : keep->questions) RefuseQuestion(question);
  keep->questions.clear();
  keep->FinishFailure(absl::CancelledError("cancelled"));
  if (lost_) return;
  // initialize must not be cancelled (2025-11-25, basic/utilities/cancellation).
  if (!channel_->CancelsByAbandon() && keep->spec.method != "initialize") {
    SendText(StrCat(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":)",
                    keep->id, R"(,"reason":)", json::JsonQuote(reason), "}}"));
  }
  channel_->Abandon(keep->id);
}

void Session::KeepTelling(const std::shared_ptr<Exchange>& exchange) {
  absl::erase_if(told_on_, [](const auto& entry) { return entry.second.expired(); });
  told_on_[exchange->id] = exchange;
}

void Session::AnswerQuestion(const Question& question, std::string_view raw_result) {
  const auto result = mcp::InputResultToLegacy(question.method, raw_result, negotiated_.revision);
  // Several blocks have no form before 2025-11-25: as if the client had refused.
  if (!result.ok()) return RefuseQuestion(question);
  SendText(StrCat(R"({"jsonrpc":"2.0","id":)", question.id, R"(,"result":)", *result, "}"));
}

void Session::RejectQuestion(const Question& question, const RpcError& error) {
  SendText(StrCat(R"({"jsonrpc":"2.0","id":)", question.id, R"(,"error":{"code":)", error.code,
                  R"(,"message":)", json::JsonQuote(error.message), "}}"));
}

void Session::RefuseQuestion(const Question& question) {
  if (question.method == "elicitation/create") {
    AnswerQuestion(question, R"({"action":"cancel"})");
    return;
  }
  const bool sampling = question.method == "sampling/createMessage";
  SendText(StrCat(
      R"({"jsonrpc":"2.0","id":)", question.id, R"(,"error":{"code":)", sampling ? -1 : -32603,
      R"(,"message":)",
      sampling ? R"("User rejected sampling request")" : R"("No client is there to answer this")",
      "}}"));
}

absl::Status Session::Notify(std::string_view method, std::string_view raw_params) {
  return channel_->Send(Outgoing(jsonrpc::MakeNotification(method, raw_params)));
}

void Session::SendText(std::string text) {
  // A full queue ends in the upstream's death by heartbeat; nothing more can be done here.
  if (!lost_) channel_->Send(Outgoing(std::move(text))).IgnoreError();
}

size_t Session::in_flight() const {
  return static_cast<size_t>(std::count_if(
      pending_.begin(), pending_.end(), [](const auto& entry) { return entry.second->spec.call; }));
}

std::shared_ptr<Exchange> Session::OnlyCall() const {
  std::shared_ptr<Exchange> only;
  for (const auto& [id, exchange] : pending_) {
    if (!exchange->spec.call) continue;
    if (only != nullptr) return nullptr;
    only = exchange;
  }
  return only;
}

size_t Session::capable_in_flight() const {
  return static_cast<size_t>(std::count_if(pending_.begin(), pending_.end(), [](const auto& entry) {
    return entry.second->spec.capset.any();
  }));
}

std::shared_ptr<Exchange> Session::Find(uint64_t id) const {
  const auto it = pending_.find(id);
  return it == pending_.end() ? nullptr : it->second;
}

void Session::Remark(std::string_view text) {
  if (observer_ != nullptr && remarks_ < kRemarksMax) {
    ++remarks_;
    observer_->OnRemark(text);
  }
}

void Session::OnPaused(uint64_t request_id, std::chrono::milliseconds retry_after) {
  if (const auto exchange = Find(request_id)) exchange->AddPause(retry_after);
}

void Session::OnRequestFailed(uint64_t request_id, absl::Status why) {
  const auto keep = shared_from_this();
  const auto exchange = Find(request_id);
  if (exchange == nullptr) return;
  pending_.erase(request_id);
  exchange->FinishFailure(Attributed(std::move(why), options_.domain));
}

void Session::OnClosed(absl::Status why) {
  const auto keep = shared_from_this();
  if (lost_) return;
  lost_ = true;
  lost_why_ = Attributed(std::move(why), options_.domain);
  held_.clear();
  held_timer_.cancel();
  doubt_timer_.cancel();
  auto pending = std::move(pending_);
  pending_.clear();
  for (const auto& [id, exchange] : pending) exchange->FinishFailure(lost_why_);
  if (observer_ != nullptr) observer_->OnLost(lost_why_);
}

Awaitable<void> Session::Close() {
  const auto keep = shared_from_this();
  auto closing = channel_->Close();
  co_await std::move(closing);
}

}  // namespace metamcp::connector
