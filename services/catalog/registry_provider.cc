// Upstreams that stand for our own services.
#include <utility>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/etag.h"
#include "services/catalog/registry.h"
#include "services/catalog/validate.h"

namespace metamcp::catalog {
namespace {

constexpr char kOrigin[] = "builtin";
constexpr int kAttempts = 5;

}  // namespace

Awaitable<absl::StatusOr<pb::Upstream>> Registry::RegisterProvider(std::string service,
                                                                   std::string display_name,
                                                                   bool create) {
  if (service.empty() || Slug(service) != service) {
    co_return MakeError("ARGUMENT_INVALID", "catalog", "service must be a lower-case word");
  }
  auto guard = co_await write_lock_.Lock();
  for (int attempt = 1;; ++attempt) {
    auto registering = RegisterLocked(service, display_name, create);
    auto upstream = co_await std::move(registering);
    // Another process of the same service may do so at the same moment.
    if (!absl::IsAborted(upstream.status()) || attempt == kAttempts) co_return upstream;
  }
}

Awaitable<absl::StatusOr<pb::Upstream>> Registry::RegisterLocked(std::string service,
                                                                 std::string display_name,
                                                                 bool create) {
  METAMCP_CO_RETURN_IF_ERROR(co_await Settle());
  for (const auto& [name, slot] : model_.upstreams()) {
    const pb::Upstream& upstream = slot.record->upstream;
    if (upstream.spec().type() == kServiceType && upstream.spec().service() == service) {
      co_return upstream;
    }
  }
  if (!create) {
    co_return MakeError("NOT_FOUND", "catalog", StrCat("nothing is registered for ", service));
  }
  std::string name = service;
  while (model_.upstreams().count(name) > 0) name = StrCat("meta-", name);
  pb::Upstream wanted;
  wanted.mutable_meta()->set_name(name);
  wanted.mutable_meta()->set_display_name(display_name.empty() ? name : display_name);
  wanted.mutable_meta()->set_origin(kOrigin);
  wanted.mutable_meta()->set_visibility("public");
  FillNew(wanted.mutable_meta(), service);
  wanted.mutable_spec()->set_type(std::string(kServiceType));
  wanted.mutable_spec()->set_service(service);
  wanted.set_enabled(true);
  wanted.mutable_status()->set_state("configured");
  SetEtag(&wanted);
  auto record = std::make_shared<UpstreamRecord>();
  record->config_enabled = true;
  record->upstream = std::move(wanted);
  auto storing = StoreUpstream(std::move(record), std::nullopt);
  co_return co_await std::move(storing);
}

}  // namespace metamcp::catalog
