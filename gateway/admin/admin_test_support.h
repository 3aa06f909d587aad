#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/http/http_test_support.h"
#include "common/rpc/service.h"
#include "gateway/admin/admin_edge.h"
#include "metamcp/catalog/v1/catalog_service.metamcp.h"
#include "metamcp/connector/v1/connector_service.metamcp.h"
#include "metamcp/gateway/v1/calls_service.metamcp.h"

namespace metamcp::gateway::admin {

// A service that remembers what it was asked and answers what the test says.
class FakeService final : public rpc::Service {
 public:
  using Answer = std::function<absl::StatusOr<rpc::MessagePtr>(const google::protobuf::Message&)>;

  explicit FakeService(const rpc::ServiceInfo& info) : info_(info) {}
  const rpc::ServiceInfo& info() const override { return info_; }

  template <typename Response>
  void When(const std::string& method, Response response) {
    answers_[method] = [response](const google::protobuf::Message&) {
      return rpc::MessagePtr(std::make_unique<Response>(response));
    };
  }
  void Fail(const std::string& method, absl::Status status) {
    answers_[method] = [status](const google::protobuf::Message&) { return status; };
  }
  // Messages of a streaming method, then `end`.
  void Stream(std::vector<std::shared_ptr<google::protobuf::Message>> messages, absl::Status end) {
    stream_ = std::move(messages);
    stream_end_ = std::move(end);
  }

  Awaitable<absl::StatusOr<rpc::MessagePtr>> InvokeUnary(int method, const CallContext& ctx,
                                                         rpc::MessagePtr request) override {
    const rpc::MethodInfo& asked = info_.methods()[static_cast<size_t>(method)];
    last_method = std::string(asked.name);
    last_subject = ctx.principal ? ctx.principal->subject : "";
    last_request = std::move(request);
    ++calls;
    const auto it = answers_.find(last_method);
    if (it != answers_.end()) co_return it->second(*last_request);
    co_return rpc::MessagePtr(asked.response->New());
  }
  Awaitable<absl::Status> InvokeStream(int, const CallContext&, rpc::MessagePtr,
                                       Sink<rpc::MessagePtr>& sink) override {
    ++calls;
    for (const auto& message : stream_) {
      rpc::MessagePtr own(message->New());
      own->CopyFrom(*message);
      const absl::Status written = co_await sink.Write(std::move(own));
      if (!written.ok()) co_return written;
    }
    co_return stream_end_;
  }

  template <typename Request>
  const Request& Last() const {
    return dynamic_cast<const Request&>(*last_request);
  }

  int calls = 0;
  std::string last_method;
  std::string last_subject;
  rpc::MessagePtr last_request;

 private:
  const rpc::ServiceInfo& info_;
  std::map<std::string, Answer> answers_;
  std::vector<std::shared_ptr<google::protobuf::Message>> stream_;
  absl::Status stream_end_;
};

// The admin edge behind a real server on loopback. The header X-Role says who asks.
class AdminServer {
 public:
  explicit AdminServer(std::vector<rpc::Service*> more = {}, AdminOptions options = {}) {
    http::HttpServerOptions limits;
    limits.body_bytes_max = 100'000;
    server_ = std::make_unique<http::TestServer>(
        [this](http::HttpRequest& request, http::HttpResponder& responder) {
          return Serve(request, responder);
        },
        limits);
    options.services = {&catalog, &connector, &calls};
    options.services.insert(options.services.end(), more.begin(), more.end());
    if (!options.connections) options.connections = [] { return size_t{3}; };
    if (!options.sessions) options.sessions = [] { return size_t{2}; };
    auto made = AdminEdge::Create(server_->io().get_executor(), std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    edge = *std::move(made);
    endpoint_ = server_->ListenTcp();
    edge->SetListenUrl(endpoint_.ToString());
  }
  ~AdminServer() {
    server_->Run([this] { edge->Close(); });
    server_.reset();
  }

  http::TestSocket Open() { return http::TestSocket::Connect(endpoint_); }

  http::TestSocket::Response Send(const std::string& method, const std::string& target,
                                  const std::string& body = "", const std::string& role = "admin",
                                  const std::string& type = "application/json") {
    http::TestSocket socket = Open();
    std::string head =
        StrCat(method, " ", target, " HTTP/1.1\r\nHost: 127.0.0.1:8931\r\nX-Role: ", role, "\r\n");
    if (!body.empty() || method != "GET") head += StrCat("Content-Length: ", body.size(), "\r\n");
    if (!body.empty() && !type.empty()) head += StrCat("Content-Type: ", type, "\r\n");
    EXPECT_TRUE(socket.Send(StrCat(head, "\r\n", body)));
    return socket.ReadResponse(method == "HEAD");
  }

  nlohmann::json Json(const std::string& method, const std::string& target,
                      const std::string& body = "") {
    return nlohmann::json::parse(Send(method, target, body).body, nullptr, false);
  }

  void Run(std::function<void()> call) { server_->Run(std::move(call)); }
  const http::HttpEndpoint& endpoint() const { return endpoint_; }
  int port() const { return endpoint_.port; }

  FakeService catalog{catalog::v1::CatalogService::Info()};
  FakeService connector{connector::v1::ConnectorService::Info()};
  FakeService calls{v1::CallsService::Info()};
  std::unique_ptr<AdminEdge> edge;

 private:
  Awaitable<void> Serve(http::HttpRequest& request, http::HttpResponder& responder) {
    auto principal = std::make_shared<Principal>();
    principal->subject = "tester";
    const std::string role(request.headers.Get("X-Role"));
    if (role != "none") principal->roles = {role};
    co_await edge->Handle(request, responder, principal);
  }

  std::unique_ptr<http::TestServer> server_;
  http::HttpEndpoint endpoint_;
};

inline std::string ErrorReason(const http::TestSocket::Response& response) {
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  if (!json.is_object() || !json.contains("error")) return "";
  return json["error"].value("reason", "");
}

inline std::string ErrorMessage(const http::TestSocket::Response& response) {
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  if (!json.is_object() || !json.contains("error")) return "";
  return json["error"].value("message", "");
}

}  // namespace metamcp::gateway::admin
