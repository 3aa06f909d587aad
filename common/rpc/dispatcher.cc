#include "common/rpc/dispatcher.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/rpc/tls_credentials.h"

namespace metamcp::rpc {
namespace {

// Answers RPCs that reach no method.
class RefuseReactor final : public grpc::ServerGenericBidiReactor {
 public:
  RefuseReactor(grpc::GenericCallbackServerContext* context, const absl::Status& status) {
    std::string error_info;
    const grpc::Status answer = ToGrpc(status, error_info);
    if (!error_info.empty()) context->AddTrailingMetadata(kErrorInfoKey, error_info);
    Finish(answer);
  }
  void OnDone() override { delete this; }
};

absl::Status Ending() {
  return MakeError("SHUTTING_DOWN", "gateway", "this process is ending; ask another one",
                   {{"refused_by", "service"}});
}

}  // namespace

Dispatcher::Dispatcher(asio::any_io_executor executor, const std::vector<Service*>& services,
                       const GrpcServer::Options& options)
    : executor_(std::move(executor)),
      callers_(options.callers),
      tls_(options.tls != nullptr),
      calls_max_(options.calls_max),
      streams_max_(options.streams_max),
      checks_(options.checks),
      on_finished_(options.on_finished) {
  for (Service* service : services) {
    const auto& methods = service->info().methods();
    for (size_t i = 0; i < methods.size(); ++i) {
      const std::string path(methods[i].path);
      Entry& entry = entries_[path];
      entry.target = Target{service, static_cast<int>(i), &methods[i]};
      auto callers = callers_.find(path);
      if (callers == callers_.end()) callers = callers_.find(service->info().name());
      if (callers != callers_.end()) entry.callers = &callers->second;
      entry.endless =
          std::find(options.endless.begin(), options.endless.end(), path) != options.endless.end();
      if (const auto check = checks_.find(path); check != checks_.end()) {
        entry.check = &check->second;
      }
    }
  }
}

absl::Status Dispatcher::Admit(const grpc::GenericCallbackServerContext& context,
                               const Entry& entry) const {
  if (refusing_) return Ending();
  if (entry.endless && streams_ >= streams_max_) {
    return absl::ResourceExhaustedError("too many streams at once");
  }
  if (!entry.endless && running_ >= calls_max_) {
    return absl::ResourceExhaustedError("too many calls at once");
  }
  if (!tls_) return absl::OkStatus();
  const std::vector<std::string> roles = PeerRoles(*context.auth_context());
  const bool welcome = entry.callers == nullptr
                           ? !roles.empty()
                           : std::any_of(roles.begin(), roles.end(), [&](const std::string& role) {
                               return entry.callers->count(role) > 0;
                             });
  if (welcome) return absl::OkStatus();
  return MakeError("PERMISSION_DENIED", "gateway",
                   StrCat("the caller's certificate is for [", absl::StrJoin(roles, ", "), "]; ",
                          entry.target.info->path, " is for ",
                          entry.callers == nullptr ? std::string("the suite's services")
                                                   : absl::StrJoin(*entry.callers, ", ")));
}

grpc::ServerGenericBidiReactor* Dispatcher::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const auto it = entries_.find(context->method());
  if (it == entries_.end()) {
    return new RefuseReactor(context,
                             absl::UnimplementedError(StrCat("no method ", context->method())));
  }
  const absl::Status admitted = Admit(*context, it->second);
  if (!admitted.ok()) return new RefuseReactor(context, admitted);
  auto reactor = std::make_shared<CallReactor>(executor_, context, it->second.target,
                                               it->second.endless ? streams_ : running_);
  if (on_finished_) reactor->Tell(on_finished_);
  if (tls_ && it->second.check != nullptr) {
    reactor->Check(*it->second.check, PeerRoles(*context->auth_context()));
  }
  if (it->second.endless) Remember(reactor);
  reactor->Begin(reactor);
  // Refuse may have looked before this call was remembered.
  if (it->second.endless && refusing_) {
    asio::post(executor_, [reactor] { reactor->End(Ending()); });
  }
  return reactor.get();
}

void Dispatcher::Remember(const std::shared_ptr<CallReactor>& reactor) {
  const std::lock_guard lock(mu_);
  std::erase_if(endless_, [](const auto& one) { return one.expired(); });
  endless_.push_back(reactor);
}

void Dispatcher::Refuse() {
  refusing_ = true;
  std::vector<std::weak_ptr<CallReactor>> endless;
  {
    const std::lock_guard lock(mu_);
    endless.swap(endless_);
  }
  for (const auto& one : endless) {
    if (const auto reactor = one.lock()) reactor->End(Ending());
  }
}

}  // namespace metamcp::rpc
