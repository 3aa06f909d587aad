#include "services/connector/connector_service.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
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
    if (upstream->credentials() == nullptr) continue;
    out->set_login(upstream->credentials()->StateOf(""));
    out->set_login_us(upstream->credentials()->LoginAt(""));
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
  std::shared_ptr<Credentials> logins;
  if (!request.has_spec()) {
    const auto upstream = manager_.FindByName(request.name());
    if (upstream == nullptr) co_return Unknown(manager_, request.name());
    spec = upstream->spec();
    slug = upstream->slug();
    if (auto known = upstream->Logins(); known.ok()) logins = *std::move(known);
  }
  auto running = diagnosis_.Run(std::move(slug), std::move(spec), std::move(logins));
  co_return co_await std::move(running);
}

Awaitable<absl::StatusOr<admin_pb::ProbeUpstreamResponse>> ConnectorServiceImpl::ProbeUpstream(
    const CallContext&, admin_pb::ProbeUpstreamRequest request) {
  const auto upstream = manager_.FindByName(request.name());
  if (upstream == nullptr) co_return Unknown(manager_, request.name());
  const auto began = std::chrono::steady_clock::now();
  auto probing = upstream->Probe();
  const absl::Status status = co_await std::move(probing);
  admin_pb::ProbeUpstreamResponse response;
  response.set_answers(status.ok());
  response.set_detail(std::string(status.message()));
  const auto took = std::chrono::steady_clock::now() - began;
  response.set_ms(std::chrono::duration<double, std::milli>(took).count());
  co_return response;
}

absl::StatusOr<std::shared_ptr<Credentials>> ConnectorServiceImpl::LoginsOf(
    const std::string& name, const std::string& subject) const {
  const auto upstream = manager_.FindByName(name);
  if (upstream == nullptr) return Unknown(manager_, name);
  METAMCP_ASSIGN_OR_RETURN(std::shared_ptr<Credentials> logins, upstream->Logins());
  if (!subject.empty() && !logins->settings().auth.per_principal) {
    return MakeError("ARGUMENT_INVALID", StrCat("upstream:", upstream->slug()),
                     StrCat(upstream->slug(), " has one login for everybody"));
  }
  return logins;
}

Awaitable<absl::StatusOr<admin_pb::BeginLoginResponse>> ConnectorServiceImpl::BeginLogin(
    const CallContext&, admin_pb::BeginLoginRequest request) {
  auto logins = LoginsOf(request.name(), request.subject());
  if (!logins.ok()) co_return logins.status();
  auto beginning =
      (*logins)->BeginLogin(request.subject(), request.redirect_uri(), request.binding());
  auto begun = co_await std::move(beginning);
  if (!begun.ok()) co_return begun.status();
  admin_pb::BeginLoginResponse response;
  response.set_authorization_url(std::move(begun->authorization_url));
  response.set_issuer(std::move(begun->issuer));
  co_return response;
}

Awaitable<absl::StatusOr<admin_pb::FinishLoginResponse>> ConnectorServiceImpl::FinishLogin(
    const CallContext&, admin_pb::FinishLoginRequest request) {
  // Taken before it is judged: whatever is wrong with the answer, there is no second one.
  std::optional<PendingLogin> login = logins_.pending.Take(request.state());
  const std::shared_ptr<Credentials> credentials =
      login ? login->credentials.lock() : std::shared_ptr<Credentials>();
  if (credentials == nullptr || login->binding != request.binding()) {
    co_return MakeError("STATE_INVALID", "connector",
                        "this login is unknown, over, used already, or another browser's; begin "
                        "again");
  }
  oauth::Callback callback;
  callback.code = request.code();
  callback.iss = request.iss();
  callback.has_iss = request.has_iss();
  callback.error = request.error();
  callback.error_description = request.error_description();
  auto finishing = credentials->FinishLogin(*std::move(login), std::move(callback));
  const absl::Status status = co_await std::move(finishing);
  if (!status.ok()) co_return status;
  admin_pb::FinishLoginResponse response;
  response.set_name(credentials->settings().slug);
  co_return response;
}

Awaitable<absl::StatusOr<admin_pb::LogoutResponse>> ConnectorServiceImpl::Logout(
    const CallContext&, admin_pb::LogoutRequest request) {
  auto logins = LoginsOf(request.name(), request.subject());
  if (!logins.ok()) co_return logins.status();
  auto leaving = (*logins)->Logout(request.subject());
  const absl::Status status = co_await std::move(leaving);
  if (!status.ok()) co_return status;
  co_return admin_pb::LogoutResponse();
}

}  // namespace metamcp::connector
