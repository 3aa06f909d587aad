#include "gateway/admin/route_table.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "common/auth/roles.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "metamcp/common/v1/options.pb.h"

namespace metamcp::gateway::admin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Whether `path` names a scalar of `type`, or a scalar of its sub-messages.
bool IsScalarField(const Descriptor* type, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = type->FindFieldByName(std::string(path.substr(0, dot)));
  if (field == nullptr || field->is_repeated()) return false;
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (dot == std::string_view::npos) return !is_message;
  return is_message && IsScalarField(field->message_type(), path.substr(dot + 1));
}

template <typename Range>
bool Contains(const Range& range, std::string_view word) {
  return std::find(std::begin(range), std::end(range), word) != std::end(range);
}

constexpr std::string_view kMethods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

// Splits off the first segment; `rest` begins with '/'.
std::string_view TakeSegment(std::string_view& rest) {
  rest.remove_prefix(1);
  const size_t end = std::min(rest.find('/'), rest.size());
  const std::string_view segment = rest.substr(0, end);
  rest.remove_prefix(end);
  return segment;
}

bool IsParameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

}  // namespace

absl::StatusOr<std::unique_ptr<RouteTable>> RouteTable::Create(
    const std::vector<rpc::Service*>& services) {
  auto table = std::make_unique<RouteTable>();
  for (rpc::Service* service : services) {
    const auto& methods = service->info().methods();
    for (size_t i = 0; i < methods.size(); ++i) {
      METAMCP_RETURN_IF_ERROR(table->Add(*service, static_cast<int>(i)));
    }
  }
  return table;
}

absl::Status RouteTable::Add(rpc::Service& service, int index) {
  const rpc::MethodInfo& info = service.info().methods()[static_cast<size_t>(index)];
  const auto bad = [&](std::string_view why) {
    return absl::InternalError(StrCat("http option of ", info.path, ": ", why));
  };
  const Descriptor* request = info.request->GetDescriptor();
  const auto* owner =
      request->file()->pool()->FindServiceByName(std::string(service.info().name()));
  const auto* method = owner == nullptr ? nullptr : owner->FindMethodByName(std::string(info.name));
  if (method == nullptr) return bad("the method has no descriptor");
  if (!method->options().HasExtension(common::v1::http)) return absl::OkStatus();
  const common::v1::HttpRule& rule = method->options().GetExtension(common::v1::http);

  auto route = std::make_unique<Route>();
  route->method = rule.method();
  route->path = rule.path();
  route->body = rule.body();
  route->role = rule.role();
  route->streaming = info.streaming;
  route->service = &service;
  route->index = index;
  route->info = &info;
  route->descriptor = method;
  if (!Contains(kMethods, rule.method())) return bad("unknown method");
  const auto permission = auth::PermissionOf(rule.role());
  if (!permission) {
    return bad("the role must be viewer, developer, operator, admin or auditor");
  }
  route->permission = *permission;
  if (!rule.body().empty() && rule.body() != "*") {
    const FieldDescriptor* body = request->FindFieldByName(rule.body());
    if (body == nullptr || body->is_repeated() || body->message_type() == nullptr) {
      return bad("the body must be \"*\" or a message field");
    }
  }
  std::string_view rest = route->path;
  if (rest.substr(0, 1) != "/") return bad("the path must begin with '/'");
  while (!rest.empty()) {
    const std::string_view segment = TakeSegment(rest);
    if (!IsParameter(segment)) continue;
    const std::string_view field = segment.substr(1, segment.size() - 2);
    if (!IsScalarField(request, field)) return bad(StrCat("no scalar field ", field));
    route->parameters.emplace_back(field);
  }
  if (absl::Status inserted = Insert(*route); !inserted.ok()) return bad(Sv(inserted.message()));
  routes_.push_back(std::move(route));
  return absl::OkStatus();
}

absl::Status RouteTable::Insert(const Route& route) {
  Node* node = &root_;
  for (std::string_view rest = route.path; !rest.empty();) {
    const std::string_view segment = TakeSegment(rest);
    auto& next = IsParameter(segment) ? node->parameter : node->literals[std::string(segment)];
    if (next == nullptr) next = std::make_unique<Node>();
    node = next.get();
  }
  if (!node->by_method.emplace(route.method, &route).second) {
    return absl::InternalError("another method has the same operation");
  }
  return absl::OkStatus();
}

const RouteTable::Node* RouteTable::Walk(const Node& node, std::string_view rest,
                                         std::vector<std::string_view>& values) {
  if (rest.empty()) return node.by_method.empty() ? nullptr : &node;
  const std::string_view segment = TakeSegment(rest);
  if (const auto it = node.literals.find(segment); it != node.literals.end()) {
    if (const Node* found = Walk(*it->second, rest, values)) return found;
  }
  if (node.parameter == nullptr || segment.empty()) return nullptr;
  values.push_back(segment);
  if (const Node* found = Walk(*node.parameter, rest, values)) return found;
  values.pop_back();
  return nullptr;
}

RouteMatch RouteTable::Match(std::string_view method, std::string_view path) const {
  RouteMatch match;
  if (path.substr(0, 1) != "/") return match;
  const Node* node = Walk(root_, path, match.values);
  if (node == nullptr) return match;
  for (const auto& [name, route] : node->by_method) match.allowed.push_back(name);
  auto it = node->by_method.find(method == "HEAD" ? std::string_view("GET") : method);
  if (it != node->by_method.end()) match.route = it->second;
  return match;
}

}  // namespace metamcp::gateway::admin
