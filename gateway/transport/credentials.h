#pragma once

#include "common/auth/authenticator.h"
#include "common/http/http_types.h"

namespace metamcp::gateway {

// What `request` shows of its sender; looks into the request.
auth::Credentials CredentialsOf(const http::HttpRequest& request);

}  // namespace metamcp::gateway
