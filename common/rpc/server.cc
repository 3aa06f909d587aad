#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_initializer.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/rpc/dispatcher.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/tls_credentials.h"

namespace metamcp::rpc {
namespace {

// A new replica gets its share when connections are made anew; calls that run are not touched.
constexpr int kConnectionAgeMs = 300'000;
constexpr int kServerPingMs = 20'000;

// gRPC's reflection names what was registered by name; our services are behind a generic one.
class NamedServices final : public grpc::ServerBuilderPlugin {
 public:
  explicit NamedServices(std::vector<std::string> names) : names_(std::move(names)) {}
  std::string name() override { return "metamcp_services"; }
  void InitServer(grpc::ServerInitializer* server) override {
    auto* list = const_cast<std::vector<std::string>*>(server->GetServiceList());
    list->insert(list->end(), names_.begin(), names_.end());
  }
  void Finish(grpc::ServerInitializer*) override {}
  void ChangeArguments(const std::string&, void*) override {}

 private:
  const std::vector<std::string> names_;
};

// gRPC's reflection joins every server of a program that it is linked into; here there is a switch.
class Reflection final : public grpc::ServerBuilderOption {
 public:
  Reflection(bool on, std::vector<std::string> names) : on_(on), names_(std::move(names)) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const std::string name = grpc::reflection::ProtoServerReflectionPlugin().name();
    std::erase_if(*plugins, [&name](const auto& plugin) { return plugin->name() == name; });
    if (!on_) return;
    plugins->push_back(std::make_unique<NamedServices>(names_));
    plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }

 private:
  const bool on_;
  const std::vector<std::string> names_;
};

std::string WithPort(const std::string& listen, int port) {
  const size_t colon = listen.rfind(':');
  if (port == 0 || colon == std::string::npos) return listen;
  return StrCat(listen.substr(0, colon + 1), port);
}

class GrpcServerImpl final : public GrpcServer {
 public:
  GrpcServerImpl(asio::any_io_executor executor, const std::vector<Service*>& services,
                 const Options& options)
      : options_(options), dispatcher_(executor, services, options) {
    for (const Service* service : services) ready_[std::string(service->info().name())] = false;
  }
  ~GrpcServerImpl() override {
    if (probe_) probe_->Shutdown(std::chrono::system_clock::now());
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
  }

  absl::Status Listen() {
    TakeGrpcLog();
    if (options_.tls != nullptr) {
      OnlyTls13();
      credentials_ = MakeServerCredentials(options_.tls);
    } else if (IsLocalTarget(options_.listen) || options_.allow_plaintext) {
      credentials_ = grpc::InsecureServerCredentials();
    } else {
      return MakeError(
          "CONFIG_INVALID", "gateway",
          StrCat("services.listen ", options_.listen,
                 " is reachable from other machines: set services.tls (mTLS; 'meta-mcp cert init' "
                 "makes certificates), or services.allowPlaintext in a closed network"));
    }
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&dispatcher_);
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    builder.SetMaxSendMessageSize(kMessageBytesMax);
    builder.SetOption(std::make_unique<Reflection>(options_.reflection, Names()));
    METAMCP_RETURN_IF_ERROR(Build(builder, options_.listen, credentials_, server_, address_));
    if (!options_.probe_listen.empty()) {
      grpc::ServerBuilder probe;
      probe.RegisterCallbackGenericService(&nothing_);
      probe.SetOption(std::make_unique<Reflection>(false, Names()));
      METAMCP_RETURN_IF_ERROR(Build(probe, options_.probe_listen, grpc::InsecureServerCredentials(),
                                    probe_, probe_address_));
    }
    TellHealth();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  const std::string& probe_address() const override { return probe_address_; }

  Load load() const override { return dispatcher_.load(); }

  void SetReady(std::string_view service, bool ready) override {
    const auto it = ready_.find(service);
    if (it == ready_.end() || it->second == ready) return;
    it->second = ready;
    TellHealth();
  }
  void NotReady() override {
    ending_ = true;
    TellHealth();
  }
  void Refuse() override { dispatcher_.Refuse(); }

  Awaitable<void> Stop(std::chrono::steady_clock::duration grace) override {
    if (!server_) co_return;
    NotReady();
    // Shutdown blocks until the last call is done, and calls end on this executor: another thread
    // has to wait.
    auto server = std::shared_ptr<grpc::Server>(std::move(server_));
    auto probe = std::shared_ptr<grpc::Server>(std::move(probe_));
    auto finished = std::make_shared<std::atomic<bool>>(false);
    std::thread waiter([server, probe, finished, grace] {
      server->Shutdown(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(grace));
      if (probe) probe->Shutdown(std::chrono::system_clock::now());
      *finished = true;
    });
    while (!*finished || dispatcher_.running() > 0) {
      co_await Sleep(std::chrono::milliseconds(5));
    }
    waiter.join();
  }

 private:
  static absl::Status Build(grpc::ServerBuilder& builder, const std::string& listen,
                            const std::shared_ptr<grpc::ServerCredentials>& credentials,
                            std::unique_ptr<grpc::Server>& server, std::string& address) {
    int port = 0;
    builder.AddListeningPort(listen, credentials, &port);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kPingIntervalLeastMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kServerPingMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepAliveTimeoutMs);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kConnectionAgeMs);
    server = builder.BuildAndStart();
    if (!server || (port == 0 && listen.rfind("unix:", 0) != 0)) {
      return absl::UnavailableError(
          StrCat("cannot listen on ", listen, "; is another process using it?"));
    }
    address = WithPort(listen, port);
    return absl::OkStatus();
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, ready] : ready_) names.push_back(name);
    return names;
  }

  void TellHealth() {
    bool all = true;
    for (const auto& [name, ready] : ready_) all = all && ready;
    for (grpc::Server* server : {server_.get(), probe_.get()}) {
      if (server == nullptr) continue;
      grpc::HealthCheckServiceInterface* health = server->GetHealthCheckService();
      if (health == nullptr) continue;
      for (const auto& [name, ready] : ready_) health->SetServingStatus(name, ready && !ending_);
      health->SetServingStatus("", all && !ending_);
    }
  }

  const Options options_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  // the server asks it until it ends
  Dispatcher dispatcher_;
  grpc::CallbackGenericService nothing_;            // beside health, at the probes' address
  std::map<std::string, bool, std::less<>> ready_;  // by service
  bool ending_ = false;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Server> probe_;
  std::string address_;
  std::string probe_address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Create(asio::any_io_executor executor,
                                                               std::vector<Service*> services,
                                                               const Options& options) {
  auto server = std::make_unique<GrpcServerImpl>(std::move(executor), services, options);
  METAMCP_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace metamcp::rpc
