#include "services/ai/model/pool.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::ai {
namespace {

// Cents to millionths.
constexpr int64_t kMicrosPerCent = 10'000;

std::string Subject(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string("unknown") : ctx.principal->subject;
}

std::string_view ApiName(ModelApi api) {
  switch (api) {
    case ModelApi::kResponses:
      return "responses";
    case ModelApi::kChat:
      return "chat";
    case ModelApi::kAnthropic:
      return "anthropic";
  }
  return "";
}

std::string Reason(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason : std::string();
}

UsageKey KeyOf(const CallContext& ctx, std::string subject, std::string provider) {
  UsageKey key;
  key.tenant = ctx.tenant();
  key.subject = std::move(subject);
  key.provider = std::move(provider);
  return key;
}

}  // namespace

ModelPool::ModelPool(http::HttpClient& http, UsageLedger& ledger, Turns& turns,
                     std::vector<ProviderSpec> providers, PoolLimits limits)
    : ledger_(ledger), turns_(turns), limits_(limits) {
  for (ProviderSpec& spec : providers) {
    auto slot = std::make_unique<Slot>();
    slot->provider = std::make_unique<HttpProvider>(http, std::move(spec));
    providers_.push_back(std::move(slot));
  }
}

std::vector<ProviderState> ModelPool::States() const {
  std::vector<ProviderState> out;
  const auto now = Clock::now();
  for (const auto& slot : providers_) {
    ProviderState one;
    one.name = slot->provider->spec().name;
    one.api = std::string(ApiName(slot->provider->spec().api));
    one.model = slot->provider->spec().model;
    one.last_error = slot->last_error;
    one.state = slot->closed_until <= now ? "ready" : slot->asked_to_wait ? "waiting" : "open";
    if (slot->closed_until > now) {
      one.until_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(slot->closed_until - now).count();
    }
    out.push_back(std::move(one));
  }
  return out;
}

Awaitable<absl::Status> ModelPool::CheckQuota(const CallContext& ctx) {
  std::string who = StrCat("principal|", ctx.tenant(), "|", Subject(ctx));
  auto taking = turns_.Take(ctx, std::move(who), limits_.requests_per_minute);
  const bool taken = co_await std::move(taking);
  if (!taken) {
    co_return MakeError("AI_QUOTA", "ai",
                        StrCat(limits_.requests_per_minute, " requests to models in a minute"));
  }
  if (limits_.tokens_per_day <= 0 && limits_.cents_per_day <= 0) co_return absl::OkStatus();
  auto summing = ledger_.Today(ctx, KeyOf(ctx, Subject(ctx), ""));
  METAMCP_CO_ASSIGN_OR_RETURN(const UsageSum sum, co_await std::move(summing));
  if (limits_.tokens_per_day > 0 &&
      sum.input_tokens + sum.output_tokens >= limits_.tokens_per_day) {
    co_return MakeError("AI_QUOTA", "ai", StrCat(limits_.tokens_per_day, " tokens today"));
  }
  if (limits_.cents_per_day > 0 && sum.cost_micros >= limits_.cents_per_day * kMicrosPerCent) {
    co_return MakeError("AI_QUOTA", "ai",
                        StrCat("a cost of ", limits_.cents_per_day, " cents today"));
  }
  co_return absl::OkStatus();
}

Awaitable<bool> ModelPool::MayAsk(const CallContext& ctx, Slot& slot) {
  const ProviderSpec& spec = slot.provider->spec();
  if (slot.closed_until > Clock::now()) co_return false;
  auto taking = turns_.Take(ctx, StrCat("provider|", spec.name), spec.requests_per_minute);
  const bool taken = co_await std::move(taking);
  if (!taken) co_return false;
  if (spec.tokens_per_day <= 0) co_return true;
  auto summing = ledger_.Today(ctx, KeyOf(ctx, "", spec.name));
  const auto sum = co_await std::move(summing);
  co_return sum.ok() && sum->input_tokens + sum->output_tokens < spec.tokens_per_day;
}

void ModelPool::Note(Slot& slot, const absl::Status& status) {
  if (status.ok() || Reason(status) != "AI_PROVIDER_FAILED") {
    // It answered, whatever it said.
    if (!absl::IsCancelled(status)) slot.failures = 0;
    return;
  }
  slot.last_error = std::string(status.message());
  const auto info = GetErrorInfo(status);
  const auto wait = info->metadata.find("retryAfterMs");
  slot.asked_to_wait = wait != info->metadata.end();
  if (slot.asked_to_wait) {
    slot.closed_until = Clock::now() + std::chrono::milliseconds(std::stoll(wait->second));
  } else if (++slot.failures >= limits_.breaker_failures) {
    slot.closed_until = Clock::now() + limits_.breaker_open;
  }
  Log(LogLevel::kWarning, "ai.provider_failed",
      {{"provider", slot.provider->spec().name}, {"error", slot.last_error}});
}

Awaitable<void> ModelPool::Store(const CallContext& ctx, const Slot& slot, UsageSum used) {
  auto adding = ledger_.Add(ctx, KeyOf(ctx, Subject(ctx), slot.provider->spec().name), used);
  const absl::Status added = co_await std::move(adding);
  if (!added.ok()) {
    Log(LogLevel::kWarning, "ai.usage_not_stored", {{"error", std::string(added.message())}});
  }
}

ModelPool::Slot* ModelPool::FindChat(const std::string& name) {
  for (const auto& slot : providers_) {
    const ProviderSpec& spec = slot->provider->spec();
    if (spec.name == name && spec.api == ModelApi::kChat) return slot.get();
  }
  return nullptr;
}

Awaitable<absl::StatusOr<ChatEnd>> ModelPool::Chat(const CallContext& ctx,
                                                   std::vector<std::string> names, std::string body,
                                                   ChatOut& out) {
  METAMCP_CO_ASSIGN_OR_RETURN(const ChatShape shape, ReadChatShape(body));
  auto checking = CheckQuota(ctx);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(checking));
  absl::Status last =
      MakeError("AI_NO_PROVIDER", "ai", "every provider is at its limit or left alone for a while");
  for (const std::string& name : names) {
    Slot* slot = FindChat(name);
    if (slot == nullptr) continue;
    auto asking_leave = MayAsk(ctx, *slot);
    const bool may = co_await std::move(asking_leave);
    if (!may) continue;
    ChatEnd end;
    auto relaying = slot->provider->Relay(ctx, body, shape, out, &end);
    const absl::Status relayed = co_await std::move(relaying);
    Note(*slot, relayed);
    UsageSum used;
    used.requests = 1;
    used.failures = relayed.ok() ? 0 : 1;
    used.input_tokens = end.usage.input_tokens;
    used.output_tokens = end.usage.output_tokens;
    used.cost_micros = end.cost_micros;
    auto storing = Store(ctx, *slot, used);
    co_await std::move(storing);
    if (relayed.ok()) co_return end;
    if (end.began || Reason(relayed) != "AI_PROVIDER_FAILED") co_return relayed;
    last = relayed;
  }
  co_return last;
}

Awaitable<absl::StatusOr<ModelReply>> ModelPool::Ask(const CallContext& ctx,
                                                     const ModelRequest& request) {
  if (providers_.empty()) {
    co_return MakeError("AI_NO_PROVIDER", "ai", "no model is configured");
  }
  auto checking = CheckQuota(ctx);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(checking));
  absl::Status last =
      MakeError("AI_NO_PROVIDER", "ai", "every provider is at its limit or left alone for a while");
  for (size_t i = 0; i < providers_.size(); ++i) {
    Slot& slot = *providers_[i];
    auto asking_leave = MayAsk(ctx, slot);
    const bool may = co_await std::move(asking_leave);
    if (!may) continue;
    // Time is left for the others.
    const auto share = ctx.TimeLeft() / static_cast<int64_t>(providers_.size() - i);
    const CallContext capped = ctx.Capped(share);
    auto asking = slot.provider->Ask(capped, request);
    absl::StatusOr<ModelReply> reply = co_await std::move(asking);
    Note(slot, reply.status());
    UsageSum used;
    used.requests = 1;
    used.failures = reply.ok() ? 0 : 1;
    if (reply.ok()) {
      used.input_tokens = reply->usage.input_tokens;
      used.output_tokens = reply->usage.output_tokens;
      used.cost_micros = reply->cost_micros;
    }
    auto storing = Store(ctx, slot, used);
    co_await std::move(storing);
    if (reply.ok() || absl::IsCancelled(reply.status())) co_return reply;
    last = reply.status();
    if (Reason(last) == "AI_REFUSED") co_return last;
  }
  co_return last;
}

}  // namespace metamcp::ai
