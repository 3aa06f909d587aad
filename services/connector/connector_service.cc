#include "services/connector/connector_service.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::connector {
namespace {

constexpr int kLogsDefault = 200;
constexpr int kLogsMax = 1000;

absl::Status Unknown(const Manager& manager, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& upstream : manager.All()) names.push_back(upstream->slug());
  const std::string nearest = Nearest(name, names);
  return MakeError("NOT_FOUND", "connector",
                   StrCat("there is no server '", name.substr(0, 80), "'",
                          nearest.empty() ? "" : StrCat("; did you mean '", nearest, "'?")));
}

}  // namespace

Awaitable<absl::StatusOr<admin_pb::ListConnectionsResponse>> ConnectorServiceImpl::ListConnections(
    const CallContext&, admin_pb::ListConnectionsRequest) {
  admin_pb::ListConnectionsResponse response;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& upstream : manager_.All()) {
    admin_pb::Connection* out = response.add_connections();
    out->set_upstream_id(upstream->id());
    out->set_name(upstream->slug());
    out->set_type(upstream->type());
    *out->mutable_status() = upstream->status();
    out->set_instances(upstream->instances());
    out->set_in_flight(upstream->in_flight());
    out->set_queued(upstream->queued());
    out->set_parked(upstream->parked());
    out->set_calls(upstream->calls());
    out->set_failures(upstream->failures());
    out->set_breaker(std::string(upstream->breaker().name(now)));
  }
  co_return response;
}

Awaitable<absl::StatusOr<admin_pb::RestartUpstreamResponse>> ConnectorServiceImpl::RestartUpstream(
    const CallContext&, admin_pb::RestartUpstreamRequest request) {
  const auto upstream = manager_.FindByName(request.name());
  if (upstream == nullptr) co_return Unknown(manager_, request.name());
  upstream->Restart();
  co_return admin_pb::RestartUpstreamResponse();
}

Awaitable<absl::StatusOr<admin_pb::GetLogsResponse>> ConnectorServiceImpl::GetLogs(
    const CallContext&, admin_pb::GetLogsRequest request) {
  const auto upstream = manager_.FindByName(request.name());
  if (upstream == nullptr) co_return Unknown(manager_, request.name());
  const int limit = request.limit() <= 0 ? kLogsDefault : std::min<int>(request.limit(), kLogsMax);
  admin_pb::GetLogsResponse response;
  for (const LogRing::Line& line : upstream->log().Newest(static_cast<size_t>(limit))) {
    admin_pb::LogLine* out = response.add_lines();
    out->set_time_us(line.time_us);
    out->set_source(line.ours ? "gateway" : "stderr");
    out->set_text(line.text);
  }
  co_return response;
}

Awaitable<absl::StatusOr<admin_pb::DiagnoseUpstreamResponse>>
ConnectorServiceImpl::DiagnoseUpstream(const CallContext&,
                                       admin_pb::DiagnoseUpstreamRequest request) {
  catalog_pb::UpstreamSpec spec = request.spec();
  std::string slug = Slug(request.name());
  if (!request.has_spec()) {
    const auto upstream = manager_.FindByName(request.name());
    if (upstream == nullptr) co_return Unknown(manager_, request.name());
    spec = upstream->spec();
    slug = upstream->slug();
  }
  auto running = diagnosis_.Run(std::move(slug), std::move(spec));
  co_return co_await std::move(running);
}

}  // namespace metamcp::connector
