#include "gateway/routing/connectors.h"

#include <algorithm>

#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/rpc/channel.h"

namespace metamcp::gateway {
namespace {

using provider::v1::CallRequest;
using provider::v1::CallResponse;

// An upstream changes hands within its lease and a scan; a call waits that long for it.
// So does one whose connector ends in order, once the calls that run there are done.
constexpr std::chrono::seconds kPatience{12};
constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::seconds kProbe{1};
constexpr size_t kOwnersMax = 20000;

// Whether anything has come back.
template <typename T>
class WatchedSink final : public Sink<T> {
 public:
  explicit WatchedSink(Sink<T>& sink) : sink_(sink) {}
  Awaitable<absl::Status> Write(T event) override {
    used = true;
    return sink_.Write(std::move(event));
  }
  bool used = false;

 private:
  Sink<T>& sink_;
};

// The owner that a connector names; nothing if its answer is another.
std::optional<std::string> NamedOwner(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (!info || info->reason != "NOT_OWNER") return std::nullopt;
  const auto owner = info->metadata.find("owner");
  return owner == info->metadata.end() ? std::string() : owner->second;
}

// A connector that has just started has not been told of all upstreams; the catalog has this one.
bool NotToldYet(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && info->reason == "NOT_FOUND";
}

// The transport failed; the connector said nothing.
bool Unanswered(const absl::Status& status) {
  return absl::IsUnavailable(status) && !GetErrorInfo(status);
}

// The answer of a connector that is the wrong one to ask, or of none.
bool KnowsNothing(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return Unanswered(status) || rpc::NotBegun(status) ||
         (info && (info->reason == "NOT_FOUND" || info->reason == "NOT_OWNER" ||
                   info->reason == "STATE_INVALID"));
}

absl::Status OwnerLost() {
  return MakeError("CALL_OWNER_LOST", "connector",
                   "the connector that held this call has ended (restart); start it again");
}

}  // namespace

Connectors::Connectors(cluster::Members& members, ConnectorClient fallback, Dial dial)
    : members_(members), fallback_(std::move(fallback)), dial_(std::move(dial)) {
  members_.OnChange([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    std::erase_if(clients_, [this](const auto& e) { return members_.Find(e.first) == nullptr; });
    std::erase_if(suspects_, [this](const auto& name) { return members_.Find(name) == nullptr; });
    std::erase_if(owners_, [this](const auto& e) { return members_.Find(e.second) == nullptr; });
  });
}

absl::StatusOr<ConnectorClient> Connectors::ClientOf(const cluster::Member& member) {
  const auto known = clients_.find(member.instance);
  if (known != clients_.end()) return known->second;
  METAMCP_ASSIGN_OR_RETURN(ConnectorClient client, dial_(member));
  clients_[member.instance] = client;
  return client;
}

void Connectors::Remember(const std::string& upstream_id, const std::string& owner) {
  if (owners_.size() >= kOwnersMax) owners_.clear();
  owners_[upstream_id] = owner;
}

Awaitable<bool> Connectors::Answers(const CallContext& ctx, const Choice& choice) {
  if (suspects_.count(choice.instance) == 0) co_return true;
  const CallContext capped = ctx.Capped(kProbe);
  connector::v1::ListConnectionsRequest request;
  auto asking = choice.client.connector->ListConnections(capped, std::move(request));
  const auto answer = co_await std::move(asking);
  const absl::Status& status = answer.status();
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) co_return false;
  suspects_.erase(choice.instance);
  co_return true;
}

Awaitable<absl::StatusOr<Connectors::Choice>> Connectors::Choose(const CallContext& ctx,
                                                                 const std::string& upstream_id) {
  Choice choice;
  const auto heard = owners_.find(upstream_id);
  const cluster::Member* member = heard == owners_.end() ? nullptr : members_.Find(heard->second);
  std::vector<cluster::Member> known;
  if (member == nullptr) {
    known = members_.With("connector");
    member = cluster::RendezvousWinner(upstream_id, known);
  }
  if (member == nullptr && fallback_.provider == nullptr) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", "connector", "no connector is there");
  }
  if (member == nullptr) {
    choice.client = fallback_;
    co_return choice;
  }
  choice.instance = member->instance;
  Remember(upstream_id, choice.instance);
  METAMCP_CO_ASSIGN_OR_RETURN(choice.client, ClientOf(*member));
  const bool answers = co_await Answers(ctx, choice);
  if (answers) co_return choice;
  co_return MakeError("NOT_OWNER", "connector", "the connector of this upstream does not answer");
}

template <typename Response, typename Request, typename Ask>
Awaitable<absl::Status> Connectors::AskWhoRuns(const CallContext& ctx, const Request& request,
                                               Sink<Response>& sink, bool again, Ask ask) {
  auto until = std::min(ctx.deadline, CallContext::Clock::now() + kPatience);
  for (bool followed = false;;) {
    auto choosing = Choose(ctx, request.upstream_id());
    auto choice = co_await std::move(choosing);
    absl::Status status = choice.status();
    // One that has just come, or comes back, is known with the next heartbeat.
    const bool nobody = !choice.ok() && members_.clustered() && members_.With("connector").empty();
    if (choice.ok()) {
      WatchedSink<Response> watched(sink);
      auto asking = ask(*choice->client.provider, watched);
      status = co_await std::move(asking);
      if (watched.used && !(again && NamedOwner(status))) co_return status;
      if (watched.used) until = CallContext::Clock::now() + kPatience;
      if (Unanswered(status)) suspects_.insert(choice->instance);
    }
    auto owner = NamedOwner(status);
    if (choice.ok() && !choice->instance.empty() && rpc::NotBegun(status)) {
      suspects_.insert(choice->instance);
      owner = "";
    }
    const bool early = members_.clustered() && NotToldYet(status);
    if (nobody || early) owner = "";
    if (!owner) co_return status;
    if (owner->empty()) {
      owners_.erase(request.upstream_id());
    } else {
      Remember(request.upstream_id(), *owner);
    }
    if (!owner->empty() && !followed && members_.Find(*owner) != nullptr) {
      followed = true;
      continue;
    }
    followed = false;
    if (CallContext::Clock::now() + kPause >= until) {
      if (nobody || early) co_return status;
      co_return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                          "the upstream is changing hands; nothing was executed");
    }
    const bool slept = co_await Sleep(kPause);
    if (!slept) co_return absl::CancelledError("cancelled");
  }
}

Awaitable<absl::Status> Connectors::Call(const CallContext& ctx, CallRequest request,
                                         Sink<CallResponse>& sink) {
  if (!request.owner().empty() && members_.clustered()) {
    auto owned = CallOwner(ctx, std::move(request), sink);
    co_return co_await std::move(owned);
  }
  const auto call = [&](provider::v1::ProviderService& provider, Sink<CallResponse>& to) {
    return provider.Call(ctx, request, to);
  };
  auto asking = AskWhoRuns<CallResponse>(ctx, request, sink, false, call);
  co_return co_await std::move(asking);
}

Awaitable<absl::Status> Connectors::CallOwner(const CallContext& ctx, CallRequest request,
                                              Sink<CallResponse>& sink) {
  auto looking = members_.Look(request.owner());
  const std::optional<cluster::Member> member = co_await std::move(looking);
  if (!member && members_.silent) {
    co_return MakeError("UPSTREAM_UNAVAILABLE", "connector",
                        "the connector that holds this call cannot be looked up now; try again");
  }
  if (!member) co_return OwnerLost();
  METAMCP_CO_ASSIGN_OR_RETURN(const ConnectorClient client, ClientOf(*member));
  auto calling = client.provider->Call(ctx, std::move(request), sink);
  const absl::Status status = co_await std::move(calling);
  if (!Unanswered(status) && !rpc::NotBegun(status)) co_return status;
  suspects_.insert(member->instance);
  co_return OwnerLost();
}

Awaitable<absl::Status> Connectors::Listen(const CallContext& ctx,
                                           provider::v1::ListenRequest request,
                                           Sink<provider::v1::ListenResponse>& sink) {
  const auto listen = [&](provider::v1::ProviderService& provider,
                          Sink<provider::v1::ListenResponse>& to) {
    return provider.Listen(ctx, request, to);
  };
  auto asking = AskWhoRuns<provider::v1::ListenResponse>(ctx, request, sink, true, listen);
  co_return co_await std::move(asking);
}

std::vector<ConnectorClient> Connectors::All() {
  std::vector<ConnectorClient> out;
  for (const cluster::Member& member : members_.With("connector")) {
    if (auto client = ClientOf(member); client.ok()) out.push_back(*std::move(client));
  }
  if (out.empty() && fallback_.connector != nullptr) out.push_back(fallback_);
  return out;
}

Awaitable<absl::StatusOr<connector::v1::ListConnectionsResponse>> Connectors::ListConnections(
    const CallContext& ctx, connector::v1::ListConnectionsRequest request) {
  connector::v1::ListConnectionsResponse all;
  absl::Status failed = absl::UnavailableError("no connector is there");
  const std::vector<ConnectorClient> clients = All();
  bool any = false;
  for (const ConnectorClient& client : clients) {
    auto asking = client.connector->ListConnections(ctx, request);
    auto answer = co_await std::move(asking);
    if (!answer.ok()) {
      failed = answer.status();
      continue;
    }
    any = true;
    for (auto& connection : *answer->mutable_connections()) {
      *all.add_connections() = std::move(connection);
    }
  }
  if (!any) co_return failed;
  std::sort(all.mutable_connections()->begin(), all.mutable_connections()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  co_return all;
}

template <typename Response, typename Ask>
Awaitable<absl::StatusOr<Response>> Connectors::FirstThatKnows(Ask ask) {
  absl::Status failed = absl::UnavailableError("no connector is there");
  const std::vector<ConnectorClient> clients = All();
  for (const ConnectorClient& client : clients) {
    auto asking = ask(*client.connector);
    absl::StatusOr<Response> answer = co_await std::move(asking);
    if (answer.ok() || !KnowsNothing(answer.status())) co_return answer;
    failed = answer.status();
  }
  co_return failed;
}

Awaitable<absl::StatusOr<connector::v1::RestartUpstreamResponse>> Connectors::RestartUpstream(
    const CallContext& ctx, connector::v1::RestartUpstreamRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.RestartUpstream(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::RestartUpstreamResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::GetLogsResponse>> Connectors::GetLogs(
    const CallContext& ctx, connector::v1::GetLogsRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.GetLogs(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::GetLogsResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::DiagnoseUpstreamResponse>> Connectors::DiagnoseUpstream(
    const CallContext& ctx, connector::v1::DiagnoseUpstreamRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.DiagnoseUpstream(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::DiagnoseUpstreamResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::ProbeUpstreamResponse>> Connectors::ProbeUpstream(
    const CallContext& ctx, connector::v1::ProbeUpstreamRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.ProbeUpstream(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::ProbeUpstreamResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::BeginLoginResponse>> Connectors::BeginLogin(
    const CallContext& ctx, connector::v1::BeginLoginRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.BeginLogin(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::BeginLoginResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::FinishLoginResponse>> Connectors::FinishLogin(
    const CallContext& ctx, connector::v1::FinishLoginRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.FinishLogin(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::FinishLoginResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::LogoutResponse>> Connectors::Logout(
    const CallContext& ctx, connector::v1::LogoutRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.Logout(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::LogoutResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::SetSecretResponse>> Connectors::SetSecret(
    const CallContext& ctx, connector::v1::SetSecretRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.SetSecret(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::SetSecretResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::ListSecretsResponse>> Connectors::ListSecrets(
    const CallContext& ctx, connector::v1::ListSecretsRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.ListSecrets(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::ListSecretsResponse>(ask);
  co_return co_await std::move(asking);
}

Awaitable<absl::StatusOr<connector::v1::RemoveSecretResponse>> Connectors::RemoveSecret(
    const CallContext& ctx, connector::v1::RemoveSecretRequest request) {
  auto ask = [&ctx, &request](connector::v1::ConnectorService& one) {
    return one.RemoveSecret(ctx, request);
  };
  auto asking = FirstThatKnows<connector::v1::RemoveSecretResponse>(ask);
  co_return co_await std::move(asking);
}

}  // namespace metamcp::gateway
