#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/auth/roles.h"
#include "common/rpc/service.h"

namespace google::protobuf {
class MethodDescriptor;
}

namespace metamcp::gateway::admin {

// One operation of the REST API, made from a method's http option.
struct Route {
  std::string method;  // GET, POST, PUT, PATCH or DELETE
  std::string path;    // template: "/api/v1/servers/{name}"
  std::string body;    // request field that is the body, "*", or empty
  std::string role;    // the least that may call it
  auth::Permission permission = auth::Permission::kAdminister;
  std::vector<std::string> parameters;  // field paths in `path`, in order
  bool streaming = false;
  rpc::Service* service = nullptr;
  int index = 0;  // of the method in service->info().methods()
  const rpc::MethodInfo* info = nullptr;
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
};

// What a path matched. `values` are those of Route::parameters; views into the path.
struct RouteMatch {
  const Route* route = nullptr;  // null where the method or the path is not known
  std::vector<std::string_view> values;
  std::vector<std::string> allowed;  // methods of the path; empty where it is unknown
};

// All operations of some services, found by path in time linear in the path. Immutable.
class RouteTable {
 public:
  // Takes every method that has an http option. The services must outlive the table. Errors:
  // INTERNAL naming the method for an option that makes no sense: no or an unknown role, an
  // unknown method, field or body, or an operation that another method has.
  static absl::StatusOr<std::unique_ptr<RouteTable>> Create(
      const std::vector<rpc::Service*>& services);

  // A literal segment wins over a parameter. HEAD is answered as GET.
  RouteMatch Match(std::string_view method, std::string_view path) const;

  // In the order of services and methods.
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> parameter;
    std::map<std::string, const Route*, std::less<>> by_method;
  };
  absl::Status Add(rpc::Service& service, int index);
  absl::Status Insert(const Route& route);
  static const Node* Walk(const Node& node, std::string_view rest,
                          std::vector<std::string_view>& values);

  std::vector<std::unique_ptr<Route>> routes_;
  Node root_;
};

}  // namespace metamcp::gateway::admin
