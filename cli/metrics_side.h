#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/authenticator.h"
#include "common/config/config.h"
#include "common/http/http_server.h"
#include "common/telemetry/exposition.h"

namespace metamcp::cli {

// /metrics of this process at services.metricsListen: what the kernel and the gRPC server count,
// and what the services here add. Who asks needs the role viewer, as at the gateway.
// Thread: the io thread.
class MetricsSide {
 public:
  using Families = std::vector<prometheus::MetricFamily>;

  MetricsSide(boost::asio::any_io_executor executor, const KeyRing& keys);
  ~MetricsSide();

  // Errors: CONFIG_INVALID (an address that others reach and no key; keys that make no sense),
  // UNAVAILABLE (taken).
  absl::Status Listen(const config::Config& config);
  // Where it listens ("http://127.0.0.1:9464"); empty if it does not.
  const std::string& url() const { return url_; }
  // Other keys. Errors: as Listen; then nothing has changed.
  absl::Status SetKeys(const config::Config& config);

  // Counts a call of the gRPC server. `lasts`: a stream that ends only with its caller.
  void OnRpc(std::string_view method, absl::StatusCode code,
             std::chrono::steady_clock::duration time, bool lasts);
  // Asked at each scrape.
  void AddSource(std::function<void(Families&)> source);
  std::string Text() const;

  Awaitable<void> Stop();

 private:
  struct Rpcs;
  Awaitable<void> Serve(http::HttpRequest& request, http::HttpResponder& responder) const;
  absl::Status Admit(const http::HttpRequest& request) const;

  boost::asio::any_io_executor executor_;
  const KeyRing& keys_;
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::unique_ptr<http::HttpServer> server_;
  std::unique_ptr<Rpcs> rpcs_;
  std::vector<std::function<void(Families&)>> sources_;
  std::string host_;
  std::string url_;
};

}  // namespace metamcp::cli
