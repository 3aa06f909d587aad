#pragma once

#include <map>
#include <string>

#include "gateway/audit/recorder.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"

namespace metamcp::gateway {

// Records each start of a server in a sandbox that this machine cannot enforce (sandbox.unsafe), as
// the catalog tells of it. Several gateways record one start once. Thread: the io thread.
class SandboxAudit {
 public:
  // Must outlive this.
  explicit SandboxAudit(AuditRecorder& recorder) : recorder_(recorder) {}
  void OnCatalog(const catalog::v1::WatchCatalogResponse& message);

 private:
  AuditRecorder& recorder_;
  std::map<std::string, std::string> seen_;  // by upstream: the start that was recorded last
};

}  // namespace metamcp::gateway
