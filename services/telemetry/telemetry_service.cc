#include "services/telemetry/telemetry_service.h"

#include <algorithm>
#include <chrono>

#include "common/async/async_lock.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log_keep.h"
#include "common/telemetry/span_ring.h"
#include "services/telemetry/analysis.h"
#include "services/telemetry/profiler.h"

namespace metamcp::telemetry {
namespace {

constexpr int64_t kLimit = 100;
constexpr int64_t kLinesMax = 5000;
constexpr int64_t kSpansMax = 20'000;
constexpr int64_t kDaySeconds = 24 * 3600;
constexpr int kProfileSeconds = 10;
constexpr int kProfileSecondsMax = 120;
// A process that is slower has trouble of its own, which the answer says.
constexpr std::chrono::seconds kPatience{3};

int64_t Bounded(int64_t asked, int64_t max) { return asked <= 0 ? kLimit : std::min(asked, max); }

// Logs and spans belong to the installation, not to a tenant.
absl::Status CheckTenant(const CallContext& ctx) {
  if (ctx.tenant() == "default") return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "gateway",
                   "what processes tell about themselves is for operators of the tenant default");
}

absl::StatusOr<LogLevel> LevelOf(const std::string& text) {
  LogLevel level = LogLevel::kDebug;
  if (text.empty() || ParseLogLevel(text, &level)) return level;
  return MakeError("ARGUMENT_INVALID", "gateway",
                   StrCat("\"", text, "\" is no level: debug, info, warning, error"));
}

template <size_t N>
std::string Hex(const std::array<uint8_t, N>& id) {
  if (id == std::array<uint8_t, N>{}) return "";
  return HexEncode(std::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

std::string TextOf(const trace::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return StrCat(std::get<double>(value));
}

v1::Span ToProto(const trace::SpanData& from, const v1::Source& self) {
  v1::Span to;
  to.set_trace(Hex(from.trace));
  to.set_span(Hex(from.span));
  to.set_parent(Hex(from.parent));
  to.set_name(from.name);
  to.set_kind(from.kind == trace::Kind::kClient     ? "client"
              : from.kind == trace::Kind::kInternal ? "internal"
                                                    : "server");
  to.set_service(self.service());
  to.set_instance(self.instance());
  to.set_begun_ns(from.begun_ns);
  to.set_ended_ns(from.ended_ns);
  for (const trace::Attribute& attribute : from.attributes) {
    (*to.mutable_attributes())[std::string(attribute.key)] = TextOf(attribute.value);
  }
  to.set_failed(from.failed);
  return to;
}

bool Fits(const trace::SpanData& span, const v1::ListSpansRequest& request) {
  return span.ended_ns >= request.since_us() * 1000 &&
         span.ended_ns - span.begun_ns >= request.longer_than_us() * 1000 &&
         FitsPattern(request.name(), span.name) &&
         (request.trace().empty() || request.trace() == Hex(span.trace));
}

void SortSpans(google::protobuf::RepeatedPtrField<v1::Span>& spans, bool slowest, int64_t limit) {
  std::stable_sort(spans.begin(), spans.end(), [slowest](const v1::Span& a, const v1::Span& b) {
    if (slowest) return a.ended_ns() - a.begun_ns() > b.ended_ns() - b.begun_ns();
    return a.ended_ns() > b.ended_ns();
  });
  while (spans.size() > limit) spans.RemoveLast();
}

v1::SearchLogsResponse FindOwnLines(const v1::SearchLogsRequest& request, LogLevel least,
                                    int64_t limit, const std::string& instance) {
  LogFilter filter;
  filter.least = least;
  filter.text = request.text();
  filter.event = request.event();
  filter.trace = request.trace();
  filter.since_us = request.since_us();
  filter.until_us = request.until_us();
  filter.limit = static_cast<size_t>(limit);
  v1::SearchLogsResponse response;
  for (KeptLine& line : FindLogLines(filter)) {
    v1::LogLine& to = *response.add_lines();
    to.set_time_us(line.time_us);
    to.set_instance(instance);
    to.set_line(std::move(line.line));
  }
  return response;
}

v1::ListSpansResponse FindOwnSpans(const v1::ListSpansRequest& request, int64_t limit,
                                   const v1::Source& self) {
  v1::ListSpansResponse response;
  *response.add_sources() = self;
  const trace::SpanRing* ring = trace::SpanRing::Kept();
  if (ring == nullptr) {
    response.mutable_sources(0)->set_error("telemetry.traces.keep is 0");
    return response;
  }
  for (const trace::SpanData& span : ring->All()) {
    if (Fits(span, request)) *response.add_spans() = ToProto(span, self);
  }
  SortSpans(*response.mutable_spans(), request.slowest(), limit);
  return response;
}

std::vector<v1::Span> ListOf(const v1::ListSpansResponse& spans) {
  return std::vector<v1::Span>(spans.spans().begin(), spans.spans().end());
}

// What the others answer, each in its time.
template <typename Response>
struct Answers {
  Answers(boost::asio::any_io_executor executor, size_t size)
      : all(size, absl::UnavailableError("not asked")), left(size), done(std::move(executor)) {}
  std::vector<absl::StatusOr<Response>> all;
  size_t left;
  Signal done;
};

template <typename Request, typename Response>
using Method = Awaitable<absl::StatusOr<Response>> (v1::TelemetryService::*)(const CallContext&,
                                                                             Request);

template <typename Request, typename Response>
Awaitable<void> AskOne(std::shared_ptr<Answers<Response>> answers, size_t i, Peer peer,
                       CallContext ctx, Request request, Method<Request, Response> method) {
  auto asking = ((*peer.client).*method)(ctx, std::move(request));
  answers->all[i] = co_await std::move(asking);
  if (--answers->left == 0) answers->done.Notify();
}

template <typename Request, typename Response>
Awaitable<std::vector<absl::StatusOr<Response>>> AskAll(TaskGroup& tasks, std::vector<Peer> peers,
                                                        CallContext ctx, Request request,
                                                        Method<Request, Response> method) {
  if (peers.empty()) co_return std::vector<absl::StatusOr<Response>>();
  const auto executor = co_await boost::asio::this_coro::executor;
  auto answers = std::make_shared<Answers<Response>>(executor, peers.size());
  const CallContext capped = ctx.Capped(kPatience);
  for (size_t i = 0; i < peers.size(); ++i) {
    if (tasks.Spawn("telemetry.ask", AskOne(answers, i, peers[i], capped, request, method)) == 0) {
      --answers->left;
    }
  }
  while (answers->left > 0) {
    auto waiting = answers->done.Wait();
    co_await std::move(waiting);
  }
  co_return std::move(answers->all);
}

void AddSource(const Peer& peer, const absl::Status& status,
               google::protobuf::RepeatedPtrField<v1::Source>* out) {
  v1::Source& source = *out->Add();
  source.set_instance(peer.instance);
  source.set_service(peer.service);
  if (!status.ok()) source.set_error(std::string(status.message()));
}

}  // namespace

TelemetryService::TelemetryService(std::string instance, std::string service, Peers peers,
                                   TaskGroup& tasks)
    : instance_(std::move(instance)),
      service_(std::move(service)),
      peers_(std::move(peers)),
      tasks_(tasks) {}

v1::Source TelemetryService::Self() const {
  v1::Source self;
  self.set_instance(instance_);
  self.set_service(service_);
  return self;
}

Awaitable<absl::StatusOr<v1::SearchLogsResponse>> TelemetryService::SearchLogs(
    const CallContext& ctx, v1::SearchLogsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  METAMCP_CO_ASSIGN_OR_RETURN(const LogLevel least, LevelOf(request.level()));
  const int64_t limit = Bounded(request.limit(), kLinesMax);
  std::function<v1::SearchLogsResponse()> find = [request, least, limit, instance = instance_] {
    return FindOwnLines(request, least, limit, instance);
  };
  auto finding = aside_.Run<v1::SearchLogsResponse>(std::move(find));
  v1::SearchLogsResponse response = co_await std::move(finding);
  *response.add_sources() = Self();
  if (request.here()) co_return response;
  request.set_here(true);
  const std::vector<Peer> others = Others();
  auto asking = AskAll<v1::SearchLogsRequest, v1::SearchLogsResponse>(
      tasks_, others, ctx, std::move(request), &v1::TelemetryService::SearchLogs);
  auto answers = co_await std::move(asking);
  for (size_t i = 0; i < answers.size(); ++i) {
    AddSource(others[i], answers[i].status(), response.mutable_sources());
    if (answers[i].ok()) response.mutable_lines()->MergeFrom(answers[i]->lines());
  }
  std::stable_sort(response.mutable_lines()->begin(), response.mutable_lines()->end(),
                   [](const auto& a, const auto& b) { return a.time_us() > b.time_us(); });
  while (response.lines_size() > limit) response.mutable_lines()->RemoveLast();
  co_return response;
}

void TelemetryService::SetLevelFor(LogLevel level, int64_t seconds) {
  const uint64_t turn = ++level_turn_;
  if (!level_for_a_time_) level_before_ = CurrentLogLevel();
  metamcp::SetLogLevel(level);
  Log(LogLevel::kWarning, "log.level_set", {{"level", LogLevelName(level)}, {"seconds", seconds}});
  level_for_a_time_ = seconds > 0;
  if (!level_for_a_time_) return;
  auto back = [](TelemetryService* self, uint64_t of, int64_t after) -> Awaitable<void> {
    auto sleeping = Sleep(std::chrono::seconds(after));
    const bool slept = co_await std::move(sleeping);
    if (!slept || self->level_turn_ != of) co_return;
    self->level_for_a_time_ = false;
    metamcp::SetLogLevel(self->level_before_);
  };
  tasks_.Spawn("telemetry.log_level", back(this, turn, seconds));
}

Awaitable<absl::StatusOr<v1::SetLogLevelResponse>> TelemetryService::SetLogLevel(
    const CallContext& ctx, v1::SetLogLevelRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (request.level().empty()) {
    co_return MakeError("ARGUMENT_INVALID", "gateway", "level: debug, info, warning or error");
  }
  METAMCP_CO_ASSIGN_OR_RETURN(const LogLevel level, LevelOf(request.level()));
  if (request.seconds() < 0 || request.seconds() > kDaySeconds) {
    co_return MakeError("ARGUMENT_INVALID", "gateway", "seconds: 0 (for good) to 86400");
  }
  SetLevelFor(level, request.seconds());
  v1::SetLogLevelResponse response;
  *response.add_sources() = Self();
  if (request.here()) co_return response;
  request.set_here(true);
  const std::vector<Peer> others = Others();
  auto asking = AskAll<v1::SetLogLevelRequest, v1::SetLogLevelResponse>(
      tasks_, others, ctx, std::move(request), &v1::TelemetryService::SetLogLevel);
  const auto answers = co_await std::move(asking);
  for (size_t i = 0; i < answers.size(); ++i) {
    AddSource(others[i], answers[i].status(), response.mutable_sources());
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListSpansResponse>> TelemetryService::ListSpans(
    const CallContext& ctx, v1::ListSpansRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const int64_t limit = Bounded(request.limit(), kSpansMax);
  bool kept = trace::SpanRing::Kept() != nullptr;
  std::function<v1::ListSpansResponse()> find = [request, limit, self = Self()] {
    return FindOwnSpans(request, limit, self);
  };
  auto finding = aside_.Run<v1::ListSpansResponse>(std::move(find));
  v1::ListSpansResponse response = co_await std::move(finding);
  const bool slowest = request.slowest();
  if (!request.here()) {
    request.set_here(true);
    const std::vector<Peer> others = Others();
    auto asking = AskAll<v1::ListSpansRequest, v1::ListSpansResponse>(
        tasks_, others, ctx, std::move(request), &v1::TelemetryService::ListSpans);
    const auto answers = co_await std::move(asking);
    for (size_t i = 0; i < answers.size(); ++i) {
      AddSource(others[i], answers[i].status(), response.mutable_sources());
      if (!answers[i].ok()) continue;
      kept = true;
      response.mutable_spans()->MergeFrom(answers[i]->spans());
    }
  }
  if (!kept) {
    co_return MakeError("TRACES_NOT_KEPT", "gateway",
                        "no process keeps spans: set telemetry.traces.keep, for example to 10000");
  }
  auto all = std::make_shared<v1::ListSpansResponse>(std::move(response));
  std::function<v1::ListSpansResponse()> sort = [slowest, limit, all] {
    SortSpans(*all->mutable_spans(), slowest, limit);
    return std::move(*all);
  };
  auto sorting = aside_.Run<v1::ListSpansResponse>(std::move(sort));
  co_return co_await std::move(sorting);
}

Awaitable<absl::StatusOr<TelemetryService::AllSpans>> TelemetryService::SpansSince(
    const CallContext& ctx, int64_t since_us) {
  v1::ListSpansRequest request;
  request.set_since_us(since_us);
  request.set_limit(kSpansMax);
  auto finding = ListSpans(ctx, std::move(request));
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  AllSpans all;
  all.spans = std::make_shared<v1::ListSpansResponse>(*std::move(found));
  all.sources = std::move(*all.spans->mutable_sources());
  co_return all;
}

Awaitable<absl::StatusOr<v1::AnalyzePerformanceResponse>> TelemetryService::AnalyzePerformance(
    const CallContext& ctx, v1::AnalyzePerformanceRequest request) {
  auto finding = SpansSince(ctx, request.since_us());
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  std::function<v1::AnalyzePerformanceResponse()> analyze = [item = request.item(),
                                                             all = found->spans] {
    v1::AnalyzePerformanceResponse out;
    telemetry::AnalyzePerformance(item, ListOf(*all), &out);
    return out;
  };
  auto analyzing = aside_.Run<v1::AnalyzePerformanceResponse>(std::move(analyze));
  v1::AnalyzePerformanceResponse response = co_await std::move(analyzing);
  *response.mutable_sources() = std::move(found->sources);
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetServiceMapResponse>> TelemetryService::GetServiceMap(
    const CallContext& ctx, v1::GetServiceMapRequest request) {
  auto finding = SpansSince(ctx, request.since_us());
  auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  std::function<v1::GetServiceMapResponse()> draw = [all = found->spans] {
    v1::GetServiceMapResponse out;
    MakeServiceMap(ListOf(*all), &out);
    return out;
  };
  auto drawing = aside_.Run<v1::GetServiceMapResponse>(std::move(draw));
  v1::GetServiceMapResponse response = co_await std::move(drawing);
  *response.mutable_sources() = std::move(found->sources);
  co_return response;
}

Awaitable<absl::StatusOr<v1::TakeProfileResponse>> TelemetryService::TakeProfile(
    const CallContext& ctx, v1::TakeProfileRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  if (!request.instance().empty() && request.instance() != instance_) {
    for (const Peer& peer : Others()) {
      if (peer.instance != request.instance()) continue;
      auto asking = peer.client->TakeProfile(ctx, std::move(request));
      co_return co_await std::move(asking);
    }
    co_return MakeError("NOT_FOUND", "gateway",
                        StrCat("no process ", request.instance(), " is known here"));
  }
  v1::TakeProfileResponse response;
  if (request.kind() == "heap") {
    if (auto sampled = SampleHeap()) {
      response.set_profile(*std::move(sampled));
      response.set_media_type("application/octet-stream");
      co_return response;
    }
    METAMCP_CO_ASSIGN_OR_RETURN(*response.mutable_profile(), DescribeHeap());
    response.set_media_type("application/xml");
    co_return response;
  }
  const int seconds = request.seconds() == 0 ? kProfileSeconds : request.seconds();
  if (request.kind() != "cpu" || seconds < 1 || seconds > kProfileSecondsMax) {
    co_return MakeError("ARGUMENT_INVALID", "gateway",
                        StrCat("kind: cpu or heap; seconds: 1 to ", kProfileSecondsMax));
  }
  auto profiling = ProfileCpu(seconds);
  auto profile = co_await std::move(profiling);
  if (!profile.ok()) co_return profile.status();
  response.set_profile(*std::move(profile));
  response.set_media_type("application/octet-stream");
  co_return response;
}

std::unique_ptr<v1::TelemetryService> MakeTelemetryService(std::string instance,
                                                           std::string service, Peers peers,
                                                           TaskGroup& tasks) {
  return std::make_unique<TelemetryService>(std::move(instance), std::move(service),
                                            std::move(peers), tasks);
}

}  // namespace metamcp::telemetry
