#pragma once

#include "common/db/executor.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"
#include "services/ai/filler.h"
#include "services/ai/history/history_suggester.h"
#include "services/ai/suggester.h"

namespace metamcp::ai {

// Implements the generated interface. What it refers to must outlive it.
class AiService final : public v1::AiService {
 public:
  AiService(Suggester& suggester, HistorySuggester& history, Filler& filler, ModelPool& pool,
            db::DbExecutor& database)
      : suggester_(suggester),
        history_(history),
        filler_(filler),
        pool_(pool),
        database_(database) {}

  Awaitable<absl::StatusOr<v1::SuggestResponse>> Suggest(const CallContext& ctx,
                                                         v1::SuggestRequest request) override;
  Awaitable<absl::StatusOr<v1::SuggestFromHistoryResponse>> SuggestFromHistory(
      const CallContext& ctx, v1::SuggestFromHistoryRequest request) override;
  Awaitable<absl::StatusOr<v1::ListFeedbackResponse>> ListFeedback(
      const CallContext& ctx, v1::ListFeedbackRequest request) override;
  Awaitable<absl::Status> Chat(const CallContext& ctx, v1::ChatRequest request,
                               Sink<v1::ChatResponse>& sink) override;
  Awaitable<absl::StatusOr<v1::RateSuggestionResponse>> RateSuggestion(
      const CallContext& ctx, v1::RateSuggestionRequest request) override;
  Awaitable<absl::StatusOr<v1::GetQualityResponse>> GetQuality(
      const CallContext& ctx, v1::GetQualityRequest request) override;
  Awaitable<absl::StatusOr<v1::ListProvidersResponse>> ListProviders(
      const CallContext& ctx, v1::ListProvidersRequest request) override;
  Awaitable<absl::StatusOr<v1::GetUsageResponse>> GetUsage(const CallContext& ctx,
                                                           v1::GetUsageRequest request) override;
  Awaitable<absl::StatusOr<v1::FillResponse>> Fill(const CallContext& ctx,
                                                   v1::FillRequest request) override {
    return filler_.Fill(ctx, std::move(request));
  }

 private:
  // Keeps a suggestion and gives it its id. What cannot be kept is a good suggestion all the same;
  // feedback on it will not be found.
  Awaitable<void> Keep(const CallContext& ctx, v1::SuggestResponse* response);

  Suggester& suggester_;
  HistorySuggester& history_;
  Filler& filler_;
  ModelPool& pool_;
  db::DbExecutor& database_;
};

}  // namespace metamcp::ai
