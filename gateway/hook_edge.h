#pragma once

#include <string_view>

#include "common/http/http_server.h"
#include "metamcp/workflow/v1/workflow_service.metamcp.h"

namespace metamcp::gateway {

// Takes signed events of other systems: POST /api/v1/workflows/hooks/{id} with the headers
// webhook-id, webhook-timestamp and webhook-signature. The signature is the credential; no key is
// asked for. Thread: the io thread.
class HookEdge {
 public:
  // Null: there are no workflows here. It must outlive the edge.
  explicit HookEdge(workflow::v1::WorkflowService* workflows) : workflows_(workflows) {}

  static bool Owns(std::string_view path);
  Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder);

 private:
  workflow::v1::WorkflowService* workflows_;
};

}  // namespace metamcp::gateway
