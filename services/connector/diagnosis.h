#pragma once

#include <string>

#include "metamcp/connector/v1/connector_service.pb.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {

namespace admin_pb = ::metamcp::connector::v1;

// Tries an upstream step by step on a fresh connection, beside the running ones, and says where it
// failed and what to do. Never calls a tool that may change something: the last step is a ping or
// server/discover.
class Diagnosis {
 public:
  explicit Diagnosis(Core& core) : core_(core) {}

  // `logins` are those of the running upstream, null where it has none.
  Awaitable<admin_pb::DiagnoseUpstreamResponse> Run(std::string slug, catalog_pb::UpstreamSpec spec,
                                                    std::shared_ptr<Credentials> logins);

 private:
  class Steps;
  Awaitable<bool> Network(const Target& target, http::HttpClient& http, bool login, Steps& steps);
  Awaitable<void> Session(Dialer::Request request, Steps& steps);

  Core& core_;
};

}  // namespace metamcp::connector
