// What a session makes of its upstream's messages: answers, progress, log messages, questions.

#include <optional>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/meta.h"
#include "common/mcp/methods.h"
#include "common/mcp/validate.h"
#include "services/connector/session.h"

namespace metamcp::connector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kHeldMax = 16;
// What follows an answer to nobody within this time may be more of the same.
constexpr std::chrono::milliseconds kStrayEcho(2);
// Then the call in flight has this long to show that it was not its answer.
constexpr std::chrono::seconds kDoubt(2);
// Messages in a row that are not JSON-RPC, or answer nobody, before the session is given up.
constexpr int kBrokenMax = 20;

// The task that a question belongs to, if it says so.
std::string TaskOf(std::string_view params) {
  if (params.find(mcp::kMetaRelatedTask) == std::string_view::npos) return "";
  const auto view = json::ScanObject(params);
  if (!view.ok()) return "";
  const auto meta = json::ScanObject(view->Raw("_meta"));
  if (!meta.ok()) return "";
  const auto related = json::ScanObject(meta->Raw(mcp::kMetaRelatedTask));
  return related.ok() ? related->String("taskId").value_or("") : "";
}

// The id in the text of an answer that does not parse, if one can be made out.
std::optional<int64_t> IdInBrokenText(std::string_view text) {
  constexpr std::string_view kKey = "\"id\":";
  const size_t at = text.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + kKey.size());
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const size_t digits = text.find_first_not_of("0123456789");
  // Cut within the number it would be another's.
  if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
  return json::RawInt64(text.substr(0, digits));
}

}  // namespace

void Session::OnMessage(std::string_view text, uint64_t stream_of) {
  const auto keep = shared_from_this();
  Reached();
  if (jsonrpc::IsBatch(text)) {
    // 2025-03-26 servers may answer in batches.
    const auto messages = jsonrpc::ParseBatch(text);
    if (!messages.ok()) return Remark("a malformed batch was dropped");
    for (const std::string_view message : *messages) {
      if (!jsonrpc::IsBatch(message)) OnMessage(message, stream_of);
    }
    return;
  }
  const jsonrpc::ParseOutcome outcome = jsonrpc::ParseEnvelope(text);
  if (!outcome.ok()) return OnMalformed(text, outcome, stream_of);
  const jsonrpc::Envelope& envelope = *outcome.envelope;
  switch (envelope.kind) {
    case jsonrpc::MessageKind::kResult:
    case jsonrpc::MessageKind::kError:
      return OnResponse(envelope);
    case jsonrpc::MessageKind::kNotification:
      return OnNotification(envelope, stream_of);
    case jsonrpc::MessageKind::kRequest:
      return OnUpstreamRequest(envelope, stream_of);
  }
}

// An answer that cannot be read is still the only one that will come, so whoever waits for it is
// told at once. What is no JSON-RPC at all (servers print to stdout) is only noted.
void Session::OnMalformed(std::string_view text, const jsonrpc::ParseOutcome& outcome,
                          uint64_t stream_of) {
  Remark(StrCat("a malformed message was dropped (", outcome.error.message,
                "): ", text.substr(0, 120)));
  std::optional<int64_t> id = outcome.id.AsInt();
  const bool rpc = text.find("\"jsonrpc\"") != std::string_view::npos;
  if (!id && rpc) id = IdInBrokenText(text);
  std::shared_ptr<Exchange> exchange = id ? Find(static_cast<uint64_t>(*id)) : Find(stream_of);
  if (exchange == nullptr && rpc && !id) exchange = OnlyCall();
  if (exchange != nullptr) {
    FailExchange(exchange, StrCat("the upstream's answer to ", exchange->spec.method,
                                  " is malformed: ", outcome.error.message));
  }
  if (rpc) CountBroken();
}

void Session::FailExchange(const std::shared_ptr<Exchange>& exchange, std::string_view why) {
  pending_.erase(exchange->id);
  for (const Question& question : exchange->questions) RefuseQuestion(question);
  exchange->questions.clear();
  exchange->FinishFailure(MakeError("UPSTREAM_PROTOCOL", options_.domain, why));
}

// A peer that has lost the thread does not find it again by itself.
void Session::CountBroken() {
  if (++broken_ < kBrokenMax || channel_->Correlates()) return;
  OnClosed(MakeError("UPSTREAM_PROTOCOL", options_.domain,
                     StrCat("the upstream sent ", broken_,
                            " messages in a row that are not JSON-RPC or answer nobody")));
  channel_->Drop();
}

void Session::OnResponse(const jsonrpc::Envelope& envelope) {
  const auto id = envelope.id.AsInt();
  const std::shared_ptr<Exchange> exchange =
      id && *id > 0 ? Find(static_cast<uint64_t>(*id)) : nullptr;
  if (exchange == nullptr) {
    // Late answers of cancelled requests and of our own setLevel are ordinary.
    if (id && *id > 0 && static_cast<uint64_t>(*id) <= last_id_) return;
    Remark(StrCat("an answer to an unknown request was dropped: id ", envelope.id.raw()));
    OnStray(envelope.id.raw());
    return CountBroken();
  }
  broken_ = 0;
  pending_.erase(exchange->id);
  // A call that ends leaves its questions without anybody to answer them.
  for (const Question& question : exchange->questions) RefuseQuestion(question);
  exchange->questions.clear();
  if (envelope.kind == jsonrpc::MessageKind::kResult) {
    exchange->Finish(std::string(envelope.result));
    return;
  }
  RpcError error;
  error.code = envelope.error.code;
  error.message = envelope.error.message;
  error.data = envelope.error.data;
  exchange->FinishError(std::move(error));
}

// An answer under the id of no request is most likely that of the only call in flight, which would
// wait for nothing.
void Session::OnStray(std::string_view id) {
  const bool news = Clock::now() > stray_at_ + kStrayEcho;
  stray_at_ = Clock::now();
  const auto only = OnlyCall();
  if (only == nullptr || channel_->Correlates()) return;
  const std::string why = StrCat("the upstream answered ", only->spec.method,
                                 " under the id of no request: ", id.substr(0, 80));
  if (news) return FailExchange(only, why);
  // The call before may have been answered twice, and this one's answer may still come.
  doubt_timer_.expires_after(kDoubt);
  auto decide = [weak = weak_from_this(), doubted = std::weak_ptr<Exchange>(only),
                 since = only->active_at, why](boost::system::error_code error) {
    const auto self = weak.lock();
    const auto exchange = doubted.lock();
    if (error || self == nullptr || exchange == nullptr || exchange->done) return;
    if (exchange->active_at == since && self->Expects(exchange->id)) {
      self->FailExchange(exchange, why);
    }
  };
  doubt_timer_.async_wait(std::move(decide));
}

void Session::OnNotification(const jsonrpc::Envelope& envelope, uint64_t stream_of) {
  const std::string_view method = envelope.method;
  if (method == "notifications/progress") return OnProgress(envelope);
  if (method == "notifications/message") return OnLog(envelope, stream_of);
  if (method == "notifications/subscriptions/acknowledged") {
    const auto id = json::RawInt64(envelope.meta.Raw(mcp::kMetaSubscriptionId));
    const auto exchange = id ? Find(static_cast<uint64_t>(*id)) : Find(stream_of);
    if (exchange != nullptr) exchange->AddNote(false, std::string(envelope.raw_params()));
    return;
  }
  if (mcp::FindMethod(method) == nullptr) {
    std::shared_ptr<Exchange> target = Find(stream_of);
    if (target == nullptr) target = OnlyCall();
    if (target != nullptr && target->spec.call) {
      target->AddExtension(std::string(method), std::string(envelope.raw_params()));
    }
    return;
  }
  if (observer_ == nullptr) return;
  if (method == "notifications/tools/list_changed") observer_->OnListChanged(ListKind::kTools);
  if (method == "notifications/resources/list_changed") {
    observer_->OnListChanged(ListKind::kResources);
  }
  if (method == "notifications/prompts/list_changed") observer_->OnListChanged(ListKind::kPrompts);
  if (method == "notifications/resources/updated") {
    if (const auto uri = envelope.params.String("uri")) observer_->OnResourceUpdated(*uri);
  }
}

void Session::OnProgress(const jsonrpc::Envelope& envelope) {
  const auto token = json::RawInt64(envelope.params.Raw("progressToken"));
  std::shared_ptr<Exchange> exchange = token ? Find(static_cast<uint64_t>(*token)) : nullptr;
  if (exchange == nullptr && token) {
    const auto told = told_on_.find(static_cast<uint64_t>(*token));
    if (told != told_on_.end()) exchange = told->second.lock();
  }
  if (exchange == nullptr || !exchange->spec.wants_progress) return;
  if (!mcp::ValidateParams(negotiated_.revision, envelope.method, envelope.raw_params()).ok()) {
    return Remark("a malformed progress notification was dropped");
  }
  json::Splicer splicer(envelope.params);
  splicer.Remove("progressToken");
  exchange->AddNote(true, splicer.Build());
}

void Session::OnLog(const jsonrpc::Envelope& envelope, uint64_t stream_of) {
  const auto level = envelope.params.String("level");
  const auto severity = level ? mcp::LogSeverity(*level) : std::nullopt;
  if (!severity) return;
  std::shared_ptr<Exchange> target = Find(stream_of);
  if (target == nullptr) target = OnlyCall();
  if (target == nullptr || target->spec.log_severity < 0) return;
  if (*severity < target->spec.log_severity) return;
  target->AddNote(false, std::string(envelope.raw_params()));
}

void Session::OnUpstreamRequest(const jsonrpc::Envelope& envelope, uint64_t stream_of) {
  if (envelope.method == "ping") {
    SendText(jsonrpc::MakeResult(envelope.id, "{}"));
    return;
  }
  if (adopted_ && negotiated_.modern()) {
    Remark(StrCat("a request that 2026-07-28 does not allow was dropped: ", envelope.method));
    return;
  }
  Question question;
  question.id = std::string(envelope.id.raw());
  question.method = std::string(envelope.method);
  question.params = envelope.params.present() ? std::string(envelope.raw_params()) : "{}";
  const mcp::MethodInfo* info = mcp::FindMethod(question.method);
  if (info == nullptr || !info->input_request || !mcp::ClientAccepts(*info, negotiated_.revision)) {
    SendText(jsonrpc::MakeErrorResponse(envelope.id, jsonrpc::kMethodNotFound, "Method not found"));
    return;
  }
  const absl::Status valid =
      mcp::ValidateParams(negotiated_.revision, question.method, question.params);
  if (!valid.ok()) {
    Remark(StrCat("a malformed question was refused: ", Sv(valid.message())));
    SendText(jsonrpc::MakeErrorResponse(envelope.id, jsonrpc::kInvalidParams,
                                        std::string(valid.message())));
    return;
  }
  Route(std::move(question), stream_of);
}

void Session::Route(Question question, uint64_t stream_of) {
  std::shared_ptr<Exchange> target;
  if (stream_of != 0) target = Find(stream_of);
  const std::string task = TaskOf(question.params);
  for (const auto& [id, exchange] : pending_) {
    if (!task.empty() && exchange->spec.task_id == task) target = exchange;
  }
  if (target != nullptr && !target->spec.capset.Allows(question.method, question.params)) {
    return RefuseQuestion(question);
  }
  // Nothing links a question on a shared channel to a call, so only a call that is alone may be
  // asked; a second one could belong to somebody else.
  if (target == nullptr) {
    target = OnlyCall();
    if (target != nullptr && !target->spec.capset.Allows(question.method, question.params))
      target = nullptr;
  }
  if (target != nullptr) {
    target->AddQuestion(std::move(question));
    return;
  }
  if (in_flight() == 0 && options_.hold_questions.count() > 0 && held_.size() < kHeldMax) {
    held_.push_back(Held{std::move(question), Clock::now() + options_.hold_questions});
    DropStaleHeld();
    return;
  }
  RefuseQuestion(question);
  if (capable_in_flight() > 0) {
    Remark("a question could not be attributed to one call and was refused");
    if (observer_ != nullptr) observer_->OnAmbiguousQuestion();
  }
}

void Session::TakeHeld(Exchange& exchange) {
  std::vector<Held> rest;
  for (Held& held : held_) {
    if (exchange.spec.capset.Allows(held.question.method, held.question.params)) {
      exchange.AddQuestion(std::move(held.question));
    } else {
      rest.push_back(std::move(held));
    }
  }
  held_ = std::move(rest);
}

void Session::DropStaleHeld() {
  const auto now = Clock::now();
  std::vector<Held> rest;
  for (Held& held : held_) {
    if (held.until <= now) {
      RefuseQuestion(held.question);
    } else {
      rest.push_back(std::move(held));
    }
  }
  held_ = std::move(rest);
  if (held_.empty()) return;
  held_timer_.expires_at(held_.front().until);
  auto again = [weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (!error && self != nullptr) self->DropStaleHeld();
  };
  held_timer_.async_wait(std::move(again));
}

}  // namespace metamcp::connector
