#pragma once

#include <memory>

#include "common/async/sink.h"
#include "common/base/principal.h"
#include "common/http/http_server.h"

namespace metamcp::gateway {

// Answers requests below /api/v1, /openapi.json and other admin paths.
class AdminHandler {
 public:
  virtual ~AdminHandler() = default;
  // Whether the path is one of its own.
  virtual bool Owns(std::string_view path) const = 0;
  // `principal` has been authenticated; the handler checks its role.
  virtual Awaitable<void> Handle(http::HttpRequest& request, http::HttpResponder& responder,
                                 std::shared_ptr<const Principal> principal) = 0;
};

}  // namespace metamcp::gateway
