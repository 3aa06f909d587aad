#include "cli/metrics_side.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "gateway/admin/problem.h"
#include "gateway/app_options.h"
#include "gateway/auth/edge_auth.h"
#include "gateway/protocol/results.h"
#include "gateway/transport/admission.h"

namespace metamcp::cli {
namespace {

const prometheus::Histogram::BucketBoundaries kBuckets = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};

// A scrape is small and rare.
constexpr size_t kConnectionsMax = 32;
constexpr std::chrono::seconds kGrace{1};

using gateway::KeysOf;

absl::Status CheckReach(const config::Config& config, const std::string& host) {
  return gateway::CheckReach(config, host, "services.metricsListen",
                             config.services.metrics_listen);
}

}  // namespace

struct MetricsSide::Rpcs {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& calls =
      prometheus::BuildCounter()
          .Name("metamcp_rpc_calls_total")
          .Help("Calls that other processes made here, by method and gRPC code.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& time =
      prometheus::BuildHistogram()
          .Name("metamcp_rpc_duration_seconds")
          .Help("Time of these calls, without streams that last as long as their caller.")
          .Register(registry);
};

MetricsSide::MetricsSide(boost::asio::any_io_executor executor, const KeyRing& keys)
    : executor_(std::move(executor)), keys_(keys), rpcs_(std::make_unique<Rpcs>()) {}

MetricsSide::~MetricsSide() = default;

absl::Status MetricsSide::Listen(const config::Config& config) {
  const std::string& listen = config.services.metrics_listen;
  if (listen.empty()) return absl::OkStatus();
  METAMCP_ASSIGN_OR_RETURN(const auto address,
                           gateway::SplitListen(listen, "services.metricsListen"));
  METAMCP_RETURN_IF_ERROR(CheckReach(config, address.first));
  METAMCP_ASSIGN_OR_RETURN(
      authenticator_,
      auth::Authenticator::Create(KeysOf(config), config.auth.anonymous_loopback, keys_));
  http::HttpServerOptions options;
  options.connections_max = kConnectionsMax;
  server_ = http::HttpServer::Create(
      executor_,
      [this](http::HttpRequest& request, http::HttpResponder& responder) {
        return Serve(request, responder);
      },
      options);
  METAMCP_ASSIGN_OR_RETURN(const http::HttpEndpoint endpoint,
                           server_->ListenTcp(address.first, address.second));
  host_ = address.first;
  url_ = endpoint.ToString();
  return absl::OkStatus();
}

absl::Status MetricsSide::SetKeys(const config::Config& config) {
  if (authenticator_ == nullptr) return absl::OkStatus();
  METAMCP_RETURN_IF_ERROR(CheckReach(config, host_));
  return authenticator_->SetKeys(KeysOf(config), config.auth.anonymous_loopback).status();
}

void MetricsSide::OnRpc(std::string_view method, absl::StatusCode code,
                        std::chrono::steady_clock::duration time, bool lasts) {
  const std::string name(method.substr(method.find_first_not_of('/')));
  rpcs_->calls.Add({{"method", name}, {"code", absl::StatusCodeToString(code)}}).Increment();
  if (lasts) return;
  rpcs_->time.Add({{"method", name}}, kBuckets)
      .Observe(std::chrono::duration<double>(time).count());
}

void MetricsSide::AddSource(std::function<void(Families&)> source) {
  sources_.push_back(std::move(source));
}

std::string MetricsSide::Text() const {
  Families families;
  for (prometheus::MetricFamily& family : rpcs_->registry.Collect()) {
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  for (const auto& source : sources_) source(families);
  exposition::AddProcess(families, std::string(gateway::kProgramVersion));
  return exposition::Text(families);
}

absl::Status MetricsSide::Admit(const http::HttpRequest& request) const {
  METAMCP_ASSIGN_OR_RETURN(const auto principal,
                           authenticator_->Authenticate(gateway::CredentialsOf(request)));
  if (!auth::HasRole(*principal, "viewer")) {
    return MakeError("PERMISSION_DENIED", "gateway", "this needs a key with the role viewer");
  }
  if (request.path != "/metrics") {
    return MakeError("NOT_FOUND", "gateway",
                     StrCat("nothing is served at ", request.path, "; metrics are at /metrics"));
  }
  return absl::OkStatus();
}

Awaitable<void> MetricsSide::Serve(http::HttpRequest& request,
                                   http::HttpResponder& responder) const {
  const absl::Status admitted = Admit(request);
  http::HttpResponse response =
      admitted.ok() ? http::HttpResponse(200, exposition::kContentType, std::string())
                    : gateway::admin::MakeProblem(admitted);
  if (admitted.ok() && request.method != "GET" && request.method != "HEAD") {
    response = http::HttpResponse(405);
    response.headers.Add("Allow", "GET, HEAD");
  } else if (admitted.ok()) {
    response.body = Text();
  }
  (void)co_await responder.Send(std::move(response));
}

Awaitable<void> MetricsSide::Stop() {
  if (server_) co_await server_->Stop(kGrace);
}

}  // namespace metamcp::cli
