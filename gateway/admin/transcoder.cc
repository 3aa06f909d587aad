#include "gateway/admin/transcoder.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <set>

#include "common/async/run.h"
#include "common/auth/authenticator.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/sse.h"
#include "common/http/url.h"
#include "common/json/utf8.h"
#include "common/telemetry/log.h"
#include "gateway/admin/json_codec.h"
#include "gateway/admin/problem.h"

namespace metamcp::gateway::admin {
namespace {

namespace asio = boost::asio;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status Invalid(std::string_view message) {
  return MakeError("ARGUMENT_INVALID", "gateway", message);
}

// "name" for "name" and "requestId" alike: the first segment as the descriptor has it.
const FieldDescriptor* FirstField(const Message& message, std::string_view path) {
  const std::string first(path.substr(0, path.find('.')));
  const auto* type = message.GetDescriptor();
  const FieldDescriptor* field = type->FindFieldByName(first);
  return field != nullptr ? field : type->FindFieldByCamelcaseName(first);
}

absl::StatusOr<std::string> DecodeForm(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  auto decoded = http::PercentDecode(spaced);
  if (!decoded.ok() || !json::IsValidUtf8(*decoded)) {
    return Invalid(StrCat("bad escape in the query parameter ", text.substr(0, 64)));
  }
  return decoded;
}

absl::Status AddQuery(const std::string& query, const Route& route, Message& message) {
  std::set<std::string> seen;
  std::string_view rest = query;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    METAMCP_ASSIGN_OR_RETURN(const std::string name, DecodeForm(pair.substr(0, equals)));
    METAMCP_ASSIGN_OR_RETURN(const std::string value,
                             DecodeForm(pair.substr(std::min(equals + 1, pair.size()))));
    if (route.body == "*") {
      return Invalid(StrCat("no query parameters here; send ", name.substr(0, 64), " in the body"));
    }
    const FieldDescriptor* field = FirstField(message, name);
    if (field != nullptr && field->name() == route.body) {
      return Invalid(StrCat(name.substr(0, 64), " belongs in the body"));
    }
    if (field != nullptr &&
        std::count(route.parameters.begin(), route.parameters.end(), field->name()) > 0) {
      return Invalid(StrCat(name.substr(0, 64), " is already in the path"));
    }
    if (!seen.insert(name).second && (field == nullptr || !field->is_repeated())) {
      return Invalid(StrCat(name.substr(0, 64), " is given twice"));
    }
    METAMCP_RETURN_IF_ERROR(SetFromText(name, value, message));
  }
  return absl::OkStatus();
}

bool IsJson(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return http::EqualsNoCase(type, "application/json");
}

absl::Status AddBody(const http::HttpRequest& request, const Route& route, Message& message) {
  if (route.body.empty()) {
    if (request.body.empty()) return absl::OkStatus();
    return Invalid(StrCat(route.method, " ", route.path, " takes no body"));
  }
  if (request.body.empty() && route.body == "*") return absl::OkStatus();
  if (!IsJson(request.headers.Get("Content-Type"))) {
    return MakeError("UNSUPPORTED_MEDIA_TYPE", "gateway", "the body must be application/json");
  }
  if (route.body == "*") return DecodeObject(request.body, "", message);
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(route.body);
  return DecodeObject(request.body, "", *message.GetReflection()->MutableMessage(&message, field));
}

// Text of the scalar at `path`, empty where it has its default.
std::string Held(const Message& message, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field =
      message.GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
  if (dot != std::string_view::npos) {
    return Held(message.GetReflection()->GetMessage(message, field), path.substr(dot + 1));
  }
  return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
             ? message.GetReflection()->GetString(message, field)
             : std::string();
}

// Writes each message as one event; opens the stream with the first.
class EventSink final : public Sink<rpc::MessagePtr> {
 public:
  explicit EventSink(http::HttpResponder& responder) : responder_(responder) {}
  Awaitable<absl::Status> Write(rpc::MessagePtr message) override {
    METAMCP_CO_RETURN_IF_ERROR(co_await Open());
    const std::string event = http::SseEvent(EncodeMessage(*message));
    co_return co_await responder_.Write(event);
  }
  Awaitable<absl::Status> Open() {
    if (responder_.started()) co_return absl::OkStatus();
    http::HttpHeaders headers;
    headers.Set("Content-Type", "text/event-stream");
    headers.Set("Cache-Control", "no-cache, no-transform");
    headers.Set("X-Accel-Buffering", "no");
    co_return co_await responder_.StartStream(200, std::move(headers));
  }

 private:
  http::HttpResponder& responder_;
};

// Awaits `op`, but cancels it when the client goes away.
template <typename T>
Awaitable<T> WhileConnected(http::HttpResponder& responder, Awaitable<T> op) {
  using boost::asio::experimental::awaitable_operators::operator||;
  const auto gone = std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor,
                                                         asio::steady_timer::time_point::max());
  responder.OnDisconnect([gone] { gone->expires_at(asio::steady_timer::time_point::min()); });
  auto caught = CatchStatus<T>(std::move(op));
  auto left = gone->async_wait(asio::as_tuple(asio::use_awaitable));
  auto result = co_await (std::move(caught) || std::move(left));
  if (result.index() == 0) co_return std::get<0>(std::move(result));
  co_return T(absl::CancelledError("the client went away"));
}

void LogInternal(const Route& route, const absl::Status& status) {
  if (ProblemStatus(status) != 500) return;
  Log(LogLevel::kError, "admin.call_failed",
      {{"method", std::string(route.info->path)}, {"error", std::string(status.message())}});
}

}  // namespace

Awaitable<void> SendProblem(http::HttpResponder& responder, absl::Status status) {
  http::HttpResponse response = MakeProblem(status);
  (void)co_await responder.Send(std::move(response));
}

Awaitable<void> SendUnmatched(http::HttpResponder& responder, const std::string& method,
                              const std::string& path, std::vector<std::string> allowed) {
  if (allowed.empty()) {
    absl::Status status = MakeError("NOT_FOUND", "gateway",
                                    StrCat("nothing is served at ", path, "; see /openapi.json"));
    co_return co_await SendProblem(responder, std::move(status));
  }
  std::string allow;
  for (const std::string& one : allowed) allow += StrCat(allow.empty() ? "" : ", ", one);
  http::HttpResponse response = MakeProblem(
      MakeError("METHOD_NOT_ALLOWED", "gateway", StrCat(path, " takes ", allow, ", not ", method)));
  response.headers.Set("Allow", allow);
  (void)co_await responder.Send(std::move(response));
}

absl::Status CheckRole(const Principal* principal, std::string_view role) {
  if (principal != nullptr && auth::HasRole(*principal, role)) return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "gateway", StrCat("this needs the role ", role));
}

absl::StatusOr<std::unique_ptr<Transcoder>> Transcoder::Create(
    const std::vector<rpc::Service*>& services, Options options) {
  METAMCP_ASSIGN_OR_RETURN(auto table, RouteTable::Create(services));
  return std::unique_ptr<Transcoder>(new Transcoder(std::move(table), options));
}

absl::StatusOr<rpc::MessagePtr> Transcoder::MakeMessage(const http::HttpRequest& request,
                                                        const RouteMatch& match) {
  const Route& route = *match.route;
  rpc::MessagePtr message(route.info->request->New());
  METAMCP_RETURN_IF_ERROR(AddBody(request, route, *message));
  METAMCP_RETURN_IF_ERROR(AddQuery(request.query, route, *message));
  for (size_t i = 0; i < route.parameters.size(); ++i) {
    if (!json::IsValidUtf8(match.values[i])) return Invalid("the path is not UTF-8");
    const std::string held = Held(*message, route.parameters[i]);
    if (!held.empty() && held != match.values[i]) {
      return Invalid(StrCat(route.parameters[i], " differs between the path and the body"));
    }
    METAMCP_RETURN_IF_ERROR(SetFromText(route.parameters[i], match.values[i], *message));
  }
  return message;
}

Awaitable<void> Transcoder::Handle(http::HttpRequest& request, http::HttpResponder& responder,
                                   std::shared_ptr<const Principal> principal) {
  RouteMatch match = table_->Match(request.method, request.path);
  if (match.route == nullptr) {
    co_await SendUnmatched(responder, request.method, request.path, std::move(match.allowed));
    co_return;
  }
  absl::Status status = CheckRole(principal.get(), match.route->role);
  absl::StatusOr<rpc::MessagePtr> message = rpc::MessagePtr();
  if (status.ok()) {
    message = MakeMessage(request, match);
    status = message.status();
  }
  if (!status.ok()) {
    co_await SendProblem(responder, std::move(status));
  } else if (match.route->streaming) {
    co_await Stream(*match.route, std::move(principal), *std::move(message), responder);
  } else {
    co_await Unary(*match.route, TraceOf(request), std::move(principal), *std::move(message),
                   responder);
  }
}

namespace {

// A service says why it failed; the transport, which knows no reason, has lost it.
absl::Status Attributed(const Route& route, absl::Status status) {
  if (!absl::IsUnavailable(status) || GetErrorInfo(status)) return status;
  return MakeError("SERVICE_LOST", "gateway",
                   StrCat("the process that serves ", route.service->info().name(),
                          " ended, or its connection broke, during the request"));
}

}  // namespace

TraceContext TraceOf(const http::HttpRequest& request) {
  TraceContext out;
  out.traceparent = std::string(request.headers.Get("traceparent"));
  out.tracestate = std::string(request.headers.Get("tracestate"));
  return out;
}

trace::Span BeginAdminSpan(std::string_view method, std::string_view route, TraceContext& trace) {
  trace::Span span(trace::Kind::kServer, method, route, trace);
  span.Set("http.request.method", method);
  span.Set("http.route", route);
  return span;
}

Awaitable<void> Transcoder::Unary(const Route& route, TraceContext trace,
                                  std::shared_ptr<const Principal> principal,
                                  rpc::MessagePtr message, http::HttpResponder& responder) {
  CallContext ctx(std::move(principal), CallContext::Clock::now() + options_.timeout);
  trace::Span span = BeginAdminSpan(route.method, route.path, trace);
  ctx.trace = std::move(trace);
  ctx.request_id = NewUuidV7();
  auto call = route.service->InvokeUnary(route.index, ctx, std::move(message));
  auto bounded = RunUntil(ctx.deadline, std::move(call));
  auto result = co_await WhileConnected(responder, std::move(bounded));
  span.Fail(result.status());
  if (!result.ok()) {
    LogInternal(route, result.status());
    co_await SendProblem(responder, Attributed(route, result.status()));
    co_return;
  }
  http::HttpResponse response(200, "application/json", EncodeMessage(**result));
  (void)co_await responder.Send(std::move(response));
}

Awaitable<void> Transcoder::Stream(const Route& route, std::shared_ptr<const Principal> principal,
                                   rpc::MessagePtr message, http::HttpResponder& responder) {
  CallContext ctx(std::move(principal), CallContext::Clock::now() + options_.stream_timeout);
  ctx.request_id = NewUuidV7();
  EventSink sink(responder);
  auto call = route.service->InvokeStream(route.index, ctx, std::move(message), sink);
  auto bounded = RunUntil(ctx.deadline, std::move(call));
  absl::Status status = co_await WhileConnected(responder, std::move(bounded));
  status = Attributed(route, std::move(status));
  if (!status.ok() && !responder.started()) {
    LogInternal(route, status);
    co_return co_await SendProblem(responder, std::move(status));
  }
  if (status.ok()) {
    status = co_await sink.Open();
  } else {
    LogInternal(route, status);
    const std::string event = http::SseEvent(ProblemBody(status), "error");
    status = co_await responder.Write(event);
  }
  if (status.ok()) (void)co_await responder.Finish();
}

}  // namespace metamcp::gateway::admin
