#include "gateway/models/suggest_gate.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kDefault = "default";

template <typename List, typename Drop>
void Erase(List* list, const Drop& drop) {
  list->erase(std::remove_if(list->begin(), list->end(), drop), list->end());
}

}  // namespace

bool SuggestGate::Seen::Has(std::string_view qualified_name) const {
  const EntryPtr entry = own->Find(catalog::v1::ITEM_KIND_TOOL, qualified_name);
  return entry != nullptr && !entry->builtin &&
         callable->Find(catalog::v1::ITEM_KIND_TOOL, qualified_name) != nullptr;
}

absl::StatusOr<SuggestGate::Seen> SuggestGate::Look(const CallContext& ctx,
                                                    std::string_view virtual_server) const {
  const std::string_view name = virtual_server.empty() ? kDefault : virtual_server;
  const auto snapshot = mirror_.snapshot();
  Seen out;
  out.all = snapshot->Find(name);
  out.callable = snapshot->Find(kDefault);
  const bool there = out.all != nullptr && out.all->active() && out.callable != nullptr;
  const bool may = there && (filter_ == nullptr || ctx.principal == nullptr ||
                             filter_->MayUse(*out.all, *ctx.principal));
  if (!may) {
    return MakeError("NOT_FOUND", "gateway", StrCat("no virtual server \"", name, "\""));
  }
  out.own = SeenBy(filter_, out.all, ctx.principal);
  out.callable = SeenBy(filter_, out.callable, ctx.principal);
  return out;
}

void SuggestGate::Hide(const Seen& seen, google::protobuf::RepeatedPtrField<std::string>* hidden) {
  hidden->Clear();
  for (const EntryPtr& entry : seen.all->AllEntries(catalog::v1::ITEM_KIND_TOOL)) {
    if (!entry->builtin && !seen.Has(entry->qualified_name)) *hidden->Add() = entry->qualified_name;
  }
}

Awaitable<absl::StatusOr<ai::v1::SuggestResponse>> SuggestGate::Suggest(
    const CallContext& ctx, ai::v1::SuggestRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(const Seen seen, Look(ctx, request.virtual_server()));
  Hide(seen, request.mutable_hidden());
  auto suggesting = ai_.Suggest(ctx, std::move(request));
  METAMCP_CO_ASSIGN_OR_RETURN(ai::v1::SuggestResponse response, co_await std::move(suggesting));
  // A tool that the catalog knows and this gateway does not yet is nobody's.
  const auto unseen = [&seen](const auto& one) { return !seen.Has(one.tool()); };
  for (ai::v1::SuggestedStep& step : *response.mutable_steps()) {
    Erase(step.mutable_alternatives(), unseen);
    if (step.tool().empty() || seen.Has(step.tool())) continue;
    response.set_valid(false);
    ai::v1::SuggestedProblem& problem = *response.add_problems();
    problem.set_path(StrCat("/steps/", step.id()));
    problem.set_message(StrCat("there is no tool \"", step.tool(), "\" for you"));
  }
  for (ai::v1::SuggestedGap& gap : *response.mutable_gaps()) Erase(gap.mutable_nearest(), unseen);
  Erase(response.mutable_considered(),
        [&seen](const std::string& tool) { return !seen.Has(tool); });
  co_return response;
}

Awaitable<absl::StatusOr<ai::v1::SuggestFromHistoryResponse>> SuggestGate::SuggestFromHistory(
    const CallContext& ctx, ai::v1::SuggestFromHistoryRequest request) {
  METAMCP_CO_ASSIGN_OR_RETURN(const Seen seen, Look(ctx, kDefault));
  Hide(seen, request.mutable_hidden());
  auto suggesting = ai_.SuggestFromHistory(ctx, std::move(request));
  METAMCP_CO_ASSIGN_OR_RETURN(auto response, co_await std::move(suggesting));
  Erase(response.mutable_chains(), [&seen](const ai::v1::RecurringChain& chain) {
    return !std::all_of(chain.tools().begin(), chain.tools().end(),
                        [&seen](const std::string& tool) { return seen.Has(tool); });
  });
  co_return response;
}

}  // namespace metamcp::gateway
