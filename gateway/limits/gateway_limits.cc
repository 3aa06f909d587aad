#include "gateway/limits/gateway_limits.h"

#include <algorithm>
#include <vector>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::gateway {
namespace {

using limits::Bucket;
using limits::Refusal;
using limits::Rule;
using limits::Surface;

constexpr std::chrono::seconds kLoadRetry{2};
constexpr int kPageMax = 1000;
constexpr int kPageDefault = 100;
constexpr Surface kSurfaces[] = {Surface::kCalls, Surface::kAdmin};
constexpr Refusal kKinds[] = {Refusal::kRate, Refusal::kConcurrency, Refusal::kQuota};

limits::Limiter::Options LimiterOptions(bool shared) {
  limits::Limiter::Options out;
  out.shared = shared;
  return out;
}

limits::Exchange::Options ExchangeOptions(const GatewayLimits::Options& from) {
  limits::Exchange::Options out;
  out.gateway = from.gateway;
  out.gateways = from.members;
  return out;
}

int64_t QuotaUsed(const Bucket& bucket) {
  const int64_t quota = bucket.rule->quota;
  if (quota == 0) return -1;
  const auto& lease = bucket.quota;
  const int64_t own = lease.charge + lease.in_flight - lease.tokens;
  return std::max<int64_t>(0, (lease.left < 0 ? 0 : quota - lease.left) + own);
}

// How much of its tightest limit is used, from 0 to 1: the fullest are shown first.
double Fullness(const limits::Limiter& limiter, const Bucket& bucket) {
  const Rule& rule = *bucket.rule;
  const auto part = [](int64_t used, int64_t of) {
    return of == 0 ? 0.0 : static_cast<double>(used) / static_cast<double>(of);
  };
  return std::max({part(rule.burst - limiter.Remaining(bucket), rule.burst),
                   part(bucket.running, rule.concurrency), part(QuotaUsed(bucket), rule.quota)});
}

void FillRule(const Rule& rule, v1::LimitRule& out) {
  out.set_name(rule.name);
  out.set_scope(std::string(limits::ScopeName(rule.scope)));
  out.set_match(rule.match);
  if (rule.per) out.set_per(std::string(limits::ScopeName(*rule.per)));
  out.set_surface(rule.surface == Surface::kAdmin ? "admin" : "calls");
  out.set_rate(rule.rate);
  out.set_burst(rule.burst);
  out.set_concurrency(rule.concurrency);
  out.set_daily_quota(rule.quota);
}

}  // namespace

GatewayLimits::GatewayLimits(boost::asio::any_io_executor executor, const config::Config& config,
                             Options options)
    : limiter_(LimiterOptions(options.shared && options.catalog != nullptr)),
      stage_(limiter_),
      exchange_(std::move(executor), limiter_, options.catalog, ExchangeOptions(options)) {
  SetConfig(config);
}

absl::Status GatewayLimits::Admit(const Principal& principal, limits::Ticket& ticket) {
  if (!limiter_.HasRules(Surface::kAdmin)) return absl::OkStatus();
  limits::Subject subject;
  subject.tenant = principal.tenant;
  subject.principal = principal.subject;
  subject.teams = principal.teams;
  return limiter_.Acquire(Surface::kAdmin, subject, false, ticket);
}

absl::Status GatewayLimits::AdmitModel(const Principal& principal, const std::string& model,
                                       limits::Ticket& ticket) {
  if (!limiter_.HasRules(Surface::kCalls)) return absl::OkStatus();
  const std::string tool = StrCat("model.", model);
  limits::Subject subject;
  subject.tenant = principal.tenant;
  subject.principal = principal.subject;
  subject.client = principal.client;
  subject.teams = principal.teams;
  subject.upstream = "model";
  subject.tool = tool;
  subject.exposed = tool;
  return limiter_.Acquire(Surface::kCalls, subject, false, ticket);
}

Awaitable<void> GatewayLimits::Run() {
  for (bool said = false;; said = true) {
    auto loading = exchange_.Load();
    const absl::Status loaded = co_await std::move(loading);
    if (loaded.ok()) break;
    if (!said) {
      Log(LogLevel::kWarning, "limits.not_loaded", {{"error", std::string(loaded.message())}});
    }
    const bool slept = co_await Sleep(kLoadRetry);
    if (!slept) co_return;
  }
  auto running = exchange_.Run();
  co_await std::move(running);
}

void GatewayLimits::ForEachRefusal(const Count& fn) const {
  for (const Surface surface : kSurfaces) {
    for (const auto& rule : limiter_.rules(surface)) {
      for (const Refusal why : kKinds) {
        const bool can = why == Refusal::kRate          ? rule->interval_ns > 0
                         : why == Refusal::kConcurrency ? rule->concurrency > 0
                                                        : rule->quota > 0;
        if (can) fn(*rule, why, limiter_.refused(*rule, why));
      }
    }
  }
}

Awaitable<absl::StatusOr<v1::ListLimitsResponse>> GatewayLimits::ListLimits(
    const CallContext&, v1::ListLimitsRequest request) {
  if (request.page_size() < 0 || request.page_size() > kPageMax) {
    co_return MakeError("ARGUMENT_INVALID", "gateway",
                        StrCat("pageSize must be at most ", kPageMax));
  }
  v1::ListLimitsResponse response;
  std::vector<std::pair<double, const Bucket*>> found;
  std::map<const Rule*, int64_t> keys;
  limiter_.ForEach([&](const Bucket& bucket) {
    ++keys[bucket.rule.get()];
    const bool wanted = request.rule().empty() || bucket.rule->name == request.rule();
    if (wanted) found.emplace_back(Fullness(limiter_, bucket), &bucket);
  });
  for (const Surface surface : kSurfaces) {
    for (const auto& rule : limiter_.rules(surface)) {
      if (!request.rule().empty() && rule->name != request.rule()) continue;
      v1::LimitRule& out = *response.add_rules();
      FillRule(*rule, out);
      out.set_keys(keys[rule.get()]);
      uint64_t refused = 0;
      for (const Refusal why : kKinds) refused += limiter_.refused(*rule, why);
      out.set_refused(static_cast<int64_t>(refused));
    }
  }
  const auto most = std::min<size_t>(
      found.size(),
      static_cast<size_t>(request.page_size() == 0 ? kPageDefault : request.page_size()));
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(most), found.end(),
                    [](const auto& a, const auto& b) {
                      if (a.first != b.first) return a.first > b.first;
                      return a.second->value < b.second->value;
                    });
  for (size_t i = 0; i < most; ++i) {
    const Bucket& bucket = *found[i].second;
    v1::LimitState& out = *response.add_states();
    out.set_rule(bucket.rule->name);
    out.set_value(bucket.value);
    out.set_remaining(limiter_.Remaining(bucket));
    out.set_reset_ms(limiter_.ResetMs(bucket));
    out.set_running(bucket.running);
    out.set_quota_used(QuotaUsed(bucket));
  }
  response.set_shared(limiter_.shared());
  response.set_exchanged_ms(exchange_.last_ms());
  co_return response;
}

}  // namespace metamcp::gateway
