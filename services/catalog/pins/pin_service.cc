#include "services/catalog/pins/pin_service.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/paging.h"

namespace metamcp::catalog {
namespace {

constexpr int kAttempts = 8;
constexpr int kNamesMax = 10'000;

void Fill(const PinnedItem& from, v1::Pin& out) {
  out.set_name(from.name);
  out.set_upstream(from.upstream);
  out.set_state(std::string(PinStateName(from.shown.state)));
  out.set_quarantined(from.shown.quarantined);
  out.set_fingerprint(from.now->item.fingerprint());
  if (from.pin == nullptr) return;
  out.set_approved_fingerprint(from.pin->approved->item.fingerprint());
  out.set_approved_by(from.pin->by);
  out.set_approved_us(from.pin->at_us);
  if (from.shown.state != PinState::kChanged) return;
  for (std::string& member :
       ChangedMembers(from.pin->approved->item.definition(), from.now->item.definition())) {
    out.add_changed(std::move(member));
  }
}

}  // namespace

absl::Status PinService::CheckTenant(const CallContext& ctx) const {
  if (ctx.tenant() == registry_.tenant()) return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "catalog", "this catalog does not serve your tenant");
}

Awaitable<absl::StatusOr<v1::ListPinsResponse>> PinService::ListPins(const CallContext& ctx,
                                                                     v1::ListPinsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  METAMCP_CO_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  const std::string filter = StrCat("pins\n", request.upstream(), "\n", request.state());
  METAMCP_CO_ASSIGN_OR_RETURN(const std::vector<std::string> after,
                              ReadPageToken(filter, request.page_token(), 1));
  v1::ListPinsResponse response;
  for (const PinnedItem& pinned : registry_.ListPins()) {
    if (!after.empty() && pinned.name <= after[0]) continue;
    if (!request.upstream().empty() && pinned.upstream != request.upstream()) continue;
    if (!request.state().empty() && PinStateName(pinned.shown.state) != request.state()) continue;
    if (static_cast<size_t>(response.pins_size()) == size) {
      const std::string& last = response.pins(response.pins_size() - 1).name();
      response.set_next_page_token(MakePageToken(filter, {last}));
      break;
    }
    Fill(pinned, *response.add_pins());
  }
  co_return response;
}

Awaitable<absl::StatusOr<v1::GetPinResponse>> PinService::GetPin(const CallContext& ctx,
                                                                 v1::GetPinRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  for (const PinnedItem& pinned : registry_.ListPins()) {
    if (pinned.name != request.name()) continue;
    v1::GetPinResponse response;
    Fill(pinned, *response.mutable_pin());
    response.set_definition(pinned.now->item.definition());
    if (pinned.pin == nullptr) co_return response;
    response.set_approved_definition(pinned.pin->approved->item.definition());
    for (PinChange& change :
         CompareDefinitions(response.approved_definition(), response.definition())) {
      v1::PinDifference& out = *response.add_differences();
      out.set_path(std::move(change.path));
      out.set_before(std::move(change.before));
      out.set_after(std::move(change.after));
    }
    co_return response;
  }
  co_return MakeError(
      "NOT_FOUND", "catalog",
      registry_.model().pin_policy().mode == PinMode::kOff
          ? std::string("definitions are not pinned: catalog.pins is off")
          : StrCat("there is no tool '", request.name(), "'; 'meta-mcp tool pins' lists them"));
}

Awaitable<absl::StatusOr<v1::ApprovePinsResponse>> PinService::ApprovePins(
    const CallContext& ctx, v1::ApprovePinsRequest request) {
  METAMCP_CO_RETURN_IF_ERROR(CheckTenant(ctx));
  const bool one_of = request.all() == request.names().empty();
  if (!one_of || request.names_size() > kNamesMax) {
    co_return MakeError("ARGUMENT_INVALID", "catalog",
                        StrCat("either all, or at most ", kNamesMax, " names"));
  }
  if (registry_.model().pin_policy().mode == PinMode::kOff) {
    co_return MakeError("ARGUMENT_INVALID", "catalog",
                        "definitions are not pinned: catalog.pins is off");
  }
  ApproveOptions wanted;
  wanted.names.assign(request.names().begin(), request.names().end());
  wanted.all = request.all();
  wanted.fingerprint = request.fingerprint();
  const std::string actor = ctx.principal ? ctx.principal->subject : "unknown";
  // Who shares the store may write meanwhile; then what was wanted is worked out again.
  absl::StatusOr<std::vector<std::string>> names = std::vector<std::string>();
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    auto approving = registry_.ApprovePins(wanted, actor);
    names = co_await std::move(approving);
    const auto info = GetErrorInfo(names.status());
    if (!info || info->reason != "DATABASE_CONFLICT") break;
  }
  if (!names.ok()) co_return names.status();
  v1::ApprovePinsResponse response;
  for (std::string& name : *names) response.add_approved(std::move(name));
  co_return response;
}

}  // namespace metamcp::catalog
