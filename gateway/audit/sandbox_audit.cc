#include "gateway/audit/sandbox_audit.h"

#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kUnsafe = "unsafe:";
constexpr size_t kIdBytes = 16;

// Of the same start at every gateway.
std::string IdOf(const std::string& start) {
  return StrCat("sandbox-", HexEncode(Sha256(start).substr(0, kIdBytes)));
}

}  // namespace

void SandboxAudit::OnCatalog(const catalog::v1::WatchCatalogResponse& message) {
  for (const std::string& id : message.removed_upstream_ids()) seen_.erase(id);
  for (const auto& upstream : message.upstreams()) {
    const auto& status = upstream.status();
    const bool is_unsafe = status.sandbox().compare(0, kUnsafe.size(), kUnsafe) == 0;
    if (!is_unsafe || status.pid() == 0) continue;
    const std::string start =
        StrCat(upstream.meta().id(), "\n", status.pid(), "\n", status.sandbox());
    std::string& last = seen_[upstream.meta().id()];
    if (last == start) continue;
    last = start;
    audit::v1::Event event;
    event.set_id(IdOf(start));
    event.mutable_principal()->set_subject("meta-mcp");
    event.mutable_principal()->set_kind("service");
    event.mutable_principal()->set_method("internal");
    event.set_action("sandbox.unsafe");
    event.set_upstream(upstream.meta().name());
    event.set_decision("allow");
    event.set_rule("sandbox.unsafe");
    event.set_outcome("ok");
    event.set_target(status.sandbox());
    recorder_.Note(std::move(event));
  }
}

}  // namespace metamcp::gateway
