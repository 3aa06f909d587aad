#include "services/ai/ai_service.h"

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"
#include "common/auth/roles.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "services/ai/ledger.h"
#include "services/ai/prompt.h"
#include "services/ai/store/sql_store.h"

namespace metamcp::ai {
namespace {

constexpr int64_t kDayUs = 86'400'000'000;
// How long suggestions and what became of them are kept: tasks are people's words.
constexpr int64_t kKeptDays = 90;
constexpr int64_t kUsageRowsMax = 1000;
constexpr int kDaysMax = 3650;
constexpr size_t kChatBodyMax = 8u << 20;
constexpr size_t kPieceMax = 1u << 20;
constexpr int kFeedbackMax = 1000;
constexpr int64_t kFeedbackDefault = 100;

absl::Status Invalid(std::string_view why) { return MakeError("ARGUMENT_INVALID", "ai", why); }

std::string Who(const CallContext& ctx) {
  return ctx.principal == nullptr ? std::string("unknown") : ctx.principal->subject;
}

std::string DayText(int64_t day) {
  return absl::FormatTime("%Y-%m-%d", absl::FromUnixMicros(day * kDayUs), absl::UTCTimeZone());
}

// Pieces of an answer as messages, none of which is too long for the way between processes.
class ChatToSink final : public ChatOut {
 public:
  explicit ChatToSink(Sink<v1::ChatResponse>& sink) : sink_(sink) {}
  Awaitable<absl::Status> Begin(int status, std::string content_type,
                                std::string provider) override {
    v1::ChatResponse message;
    message.set_status(status);
    message.set_content_type(std::move(content_type));
    message.set_provider(std::move(provider));
    return sink_.Write(std::move(message));
  }
  Awaitable<absl::Status> Data(std::string bytes) override {
    for (size_t begin = 0; begin < bytes.size(); begin += kPieceMax) {
      v1::ChatResponse message;
      message.set_data(bytes.substr(begin, kPieceMax));
      auto writing = sink_.Write(std::move(message));
      METAMCP_CO_RETURN_IF_ERROR(co_await std::move(writing));
    }
    co_return absl::OkStatus();
  }

 private:
  Sink<v1::ChatResponse>& sink_;
};

SuggestionRow ToRow(const CallContext& ctx, const v1::SuggestResponse& response) {
  SuggestionRow row;
  row.id = response.id();
  row.tenant = ctx.tenant();
  row.subject = Who(ctx);
  row.task = WithoutSecrets(response.task());
  row.made_by = response.made_by();
  row.provider = response.provider();
  row.model = response.model();
  row.prompt_version = response.prompt_version();
  row.workflow = response.workflow();
  row.valid = response.valid();
  row.created_us = NowMicros();
  return row;
}

}  // namespace

Awaitable<absl::StatusOr<v1::SuggestResponse>> AiService::Suggest(const CallContext& ctx,
                                                                  v1::SuggestRequest request) {
  auto suggesting = suggester_.Suggest(ctx, std::move(request));
  METAMCP_CO_ASSIGN_OR_RETURN(v1::SuggestResponse response, co_await std::move(suggesting));
  auto keeping = Keep(ctx, &response);
  co_await std::move(keeping);
  co_return response;
}

Awaitable<void> AiService::Keep(const CallContext& ctx, v1::SuggestResponse* response) {
  response->set_id(NewUuidV7());
  std::function<absl::Status(db::Database&)> op =
      [row = ToRow(ctx, *response)](db::Database& database) {
        return SqlStore(database).AddSuggestion(row, row.created_us - kKeptDays * kDayUs);
      };
  auto storing = database_.RunStatus(ctx, std::move(op));
  const absl::Status stored = co_await std::move(storing);
  if (!stored.ok()) {
    Log(LogLevel::kWarning, "ai.suggestion_not_stored", {{"error", std::string(stored.message())}});
  }
}

Awaitable<absl::StatusOr<v1::SuggestFromHistoryResponse>> AiService::SuggestFromHistory(
    const CallContext& ctx, v1::SuggestFromHistoryRequest request) {
  auto suggesting = history_.Suggest(ctx, std::move(request));
  METAMCP_CO_ASSIGN_OR_RETURN(v1::SuggestFromHistoryResponse response,
                              co_await std::move(suggesting));
  for (v1::RecurringChain& chain : *response.mutable_chains()) {
    auto keeping = Keep(ctx, chain.mutable_suggestion());
    co_await std::move(keeping);
  }
  co_return response;
}

Awaitable<absl::Status> AiService::Chat(const CallContext& ctx, v1::ChatRequest request,
                                        Sink<v1::ChatResponse>& sink) {
  if (request.body().size() > kChatBodyMax) co_return Invalid("the request is longer than 8 MiB");
  std::vector<std::string> names(request.providers().begin(), request.providers().end());
  ChatToSink out(sink);
  auto asking = pool_.Chat(ctx, std::move(names), std::move(*request.mutable_body()), out);
  METAMCP_CO_ASSIGN_OR_RETURN(const ChatEnd end, co_await std::move(asking));
  v1::ChatResponse last;
  last.set_input_tokens(end.usage.input_tokens);
  last.set_output_tokens(end.usage.output_tokens);
  last.set_cost_micros(end.cost_micros);
  auto writing = sink.Write(std::move(last));
  co_return co_await std::move(writing);
}

Awaitable<absl::StatusOr<v1::ListFeedbackResponse>> AiService::ListFeedback(
    const CallContext& ctx, v1::ListFeedbackRequest request) {
  if (request.limit() < 0 || request.limit() > kFeedbackMax) {
    co_return Invalid("limit must be 0 to 1000");
  }
  const int64_t limit = request.limit() == 0 ? kFeedbackDefault : request.limit();
  // Comments are people's words.
  const bool all =
      ctx.principal != nullptr && auth::Allows(*ctx.principal, auth::Permission::kOperate);
  std::function<absl::StatusOr<std::vector<SaidRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), subject = all ? std::string() : Who(ctx),
       suggestion = request.suggestion(), limit](db::Database& database) {
        return SqlStore(database).Said(tenant, subject, suggestion, limit);
      };
  auto reading = database_.Run<std::vector<SaidRow>>(ctx, std::move(op));
  METAMCP_CO_ASSIGN_OR_RETURN(const auto rows, co_await std::move(reading));
  v1::ListFeedbackResponse response;
  for (const SaidRow& row : rows) {
    v1::Feedback& out = *response.add_feedback();
    out.set_suggestion(row.feedback.suggestion_id);
    out.set_subject(row.feedback.subject);
    out.set_kind(row.feedback.kind);
    out.set_rating(static_cast<int>(row.feedback.rating));
    out.set_comment(row.feedback.comment);
    out.set_created_us(row.feedback.created_us);
    out.set_task(row.task);
    out.set_made_by(row.made_by);
    out.set_prompt_version(row.prompt_version);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::RateSuggestionResponse>> AiService::RateSuggestion(
    const CallContext& ctx, v1::RateSuggestionRequest request) {
  const std::string& kind = request.kind();
  if (kind != "accepted" && kind != "edited" && kind != "failed" && kind != "rated") {
    co_return Invalid("kind must be accepted, edited, failed or rated");
  }
  const bool rates = kind == "rated";
  if (rates != (request.rating() >= 1 && request.rating() <= 5)) {
    co_return Invalid("rating must be 1 to 5, and only of kind rated");
  }
  if (request.comment().size() > 4096) co_return Invalid("comment is longer than 4096 bytes");
  FeedbackRow row;
  row.id = NewUuidV7();
  row.tenant = ctx.tenant();
  row.suggestion_id = request.id();
  row.subject = Who(ctx);
  row.kind = kind;
  row.rating = request.rating();
  row.comment = WithoutSecrets(request.comment());
  row.created_us = NowMicros();
  std::function<absl::Status(db::Database&)> op = [row](db::Database& database) {
    return SqlStore(database).AddFeedback(row);
  };
  auto storing = database_.RunStatus(ctx, std::move(op));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(storing));
  co_return v1::RateSuggestionResponse();
}

Awaitable<absl::StatusOr<v1::GetQualityResponse>> AiService::GetQuality(
    const CallContext& ctx, v1::GetQualityRequest request) {
  if (request.days() < 0 || request.days() > kDaysMax) co_return Invalid("days must be 0 to 3650");
  const int64_t days = request.days() == 0 ? 30 : request.days();
  std::function<absl::StatusOr<std::vector<QualityRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), since = NowMicros() - days * kDayUs](db::Database& database) {
        return SqlStore(database).Quality(tenant, since);
      };
  auto reading = database_.Run<std::vector<QualityRow>>(ctx, std::move(op));
  METAMCP_CO_ASSIGN_OR_RETURN(const auto rows, co_await std::move(reading));
  v1::GetQualityResponse response;
  for (const QualityRow& row : rows) {
    v1::Quality& out = *response.add_quality();
    out.set_made_by(row.made_by);
    out.set_suggestions(row.suggestions);
    out.set_valid(row.valid);
    out.set_accepted(row.accepted);
    out.set_edited(row.edited);
    out.set_failed(row.failed);
    out.set_rated(row.rated);
    if (row.rated > 0) {
      out.set_rating(static_cast<double>(row.rating_sum) / static_cast<double>(row.rated));
    }
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::ListProvidersResponse>> AiService::ListProviders(
    const CallContext&, v1::ListProvidersRequest) {
  v1::ListProvidersResponse response;
  for (const ProviderState& state : pool_.States()) {
    v1::Provider& out = *response.add_providers();
    out.set_name(state.name);
    out.set_api(state.api);
    out.set_model(state.model);
    out.set_state(state.state);
    out.set_until_ms(state.until_ms);
    out.set_last_error(state.last_error);
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetUsageResponse>> AiService::GetUsage(const CallContext& ctx,
                                                                    v1::GetUsageRequest request) {
  if (request.days() < 0 || request.days() > kDaysMax) co_return Invalid("days must be 0 to 3650");
  const int64_t days = request.days() == 0 ? 7 : request.days();
  std::function<absl::StatusOr<std::vector<UsageRow>>(db::Database&)> op =
      [tenant = ctx.tenant(), from = DayOf(NowMicros()) - days + 1](db::Database& database) {
        return SqlStore(database).Usage(tenant, from, kUsageRowsMax);
      };
  auto reading = database_.Run<std::vector<UsageRow>>(ctx, std::move(op));
  METAMCP_CO_ASSIGN_OR_RETURN(const auto rows, co_await std::move(reading));
  v1::GetUsageResponse response;
  for (const UsageRow& row : rows) {
    v1::Usage& out = *response.add_usage();
    out.set_day(DayText(row.day));
    out.set_subject(row.subject);
    out.set_provider(row.provider);
    out.set_requests(row.requests);
    out.set_failures(row.failures);
    out.set_input_tokens(row.input_tokens);
    out.set_output_tokens(row.output_tokens);
    out.set_cost_micros(row.cost_micros);
  }
  co_return response;
}

}  // namespace metamcp::ai
