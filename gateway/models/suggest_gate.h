#pragma once

#include <memory>
#include <string>

#include "gateway/routing/mirror.h"
#include "gateway/routing/view_filter.h"
#include "metamcp/ai/v1/ai_service.metamcp.h"

namespace metamcp::gateway {

// The ai service as one caller may use it: suggestions are made of tools of the virtual server that
// the caller may use and that a workflow may call; nothing else is in an answer. The ai service
// knows neither roles nor rules. Thread: the io thread.
class SuggestGate final : public ai::v1::AiService {
 public:
  // Both must outlive it.
  SuggestGate(ai::v1::AiService& ai, const CatalogMirror& mirror) : ai_(ai), mirror_(mirror) {}
  // Must outlive it; without one everybody may use everything.
  void SetFilter(ViewFilter* filter) { filter_ = filter; }

  // Errors: NOT_FOUND for a virtual server that is not there for the caller.
  Awaitable<absl::StatusOr<ai::v1::SuggestResponse>> Suggest(
      const CallContext& ctx, ai::v1::SuggestRequest request) override;
  Awaitable<absl::StatusOr<ai::v1::SuggestFromHistoryResponse>> SuggestFromHistory(
      const CallContext& ctx, ai::v1::SuggestFromHistoryRequest request) override;

  Awaitable<absl::StatusOr<ai::v1::RateSuggestionResponse>> RateSuggestion(
      const CallContext& ctx, ai::v1::RateSuggestionRequest request) override {
    return ai_.RateSuggestion(ctx, std::move(request));
  }
  Awaitable<absl::StatusOr<ai::v1::GetQualityResponse>> GetQuality(
      const CallContext& ctx, ai::v1::GetQualityRequest request) override {
    return ai_.GetQuality(ctx, std::move(request));
  }
  Awaitable<absl::StatusOr<ai::v1::ListFeedbackResponse>> ListFeedback(
      const CallContext& ctx, ai::v1::ListFeedbackRequest request) override {
    return ai_.ListFeedback(ctx, std::move(request));
  }
  Awaitable<absl::StatusOr<ai::v1::ListProvidersResponse>> ListProviders(
      const CallContext& ctx, ai::v1::ListProvidersRequest request) override {
    return ai_.ListProviders(ctx, std::move(request));
  }
  Awaitable<absl::StatusOr<ai::v1::GetUsageResponse>> GetUsage(
      const CallContext& ctx, ai::v1::GetUsageRequest request) override {
    return ai_.GetUsage(ctx, std::move(request));
  }
  Awaitable<absl::StatusOr<ai::v1::FillResponse>> Fill(const CallContext& ctx,
                                                       ai::v1::FillRequest request) override {
    return ai_.Fill(ctx, std::move(request));
  }
  Awaitable<absl::Status> Chat(const CallContext& ctx, ai::v1::ChatRequest request,
                               Sink<ai::v1::ChatResponse>& sink) override {
    return ai_.Chat(ctx, std::move(request), sink);
  }

 private:
  // What one caller may use, of a virtual server and of those tools that workflows may call.
  struct Seen {
    std::shared_ptr<const ServerView> all;
    std::shared_ptr<const ServerView> own;
    std::shared_ptr<const ServerView> callable;
    bool Has(std::string_view qualified_name) const;
  };
  absl::StatusOr<Seen> Look(const CallContext& ctx, std::string_view virtual_server) const;
  static void Hide(const Seen& seen, google::protobuf::RepeatedPtrField<std::string>* hidden);

  ai::v1::AiService& ai_;
  const CatalogMirror& mirror_;
  ViewFilter* filter_ = nullptr;
};

}  // namespace metamcp::gateway
