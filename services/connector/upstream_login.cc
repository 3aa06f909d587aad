// What an upstream actor has to do with logins by OAuth, and whether it answers at all.

#include <algorithm>

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/connector/login/token_exchange.h"
#include "services/connector/upstream.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kProbeTime(8);

}  // namespace

void Upstream::UseCredentials(const Target& target) {
  const bool http = target.type == "http" || target.type == "sse";
  // A token that was given by hand is the operator's choice; no other is sent beside it.
  if (core_.logins == nullptr || !http || target.has_authorization() ||
      target.auth.grant == "none") {
    credentials_.reset();
    exchange_.reset();
    return;
  }
  Credentials::Settings settings;
  if (!tenant_.empty()) settings.tenant = tenant_;
  settings.slug = slug_;
  settings.domain = domain_;
  settings.url = target.url;
  settings.allow_tls12 = target.allow_tls12;
  settings.ca_file = target.ca_file;
  settings.auth = target.auth;
  if (target.auth.grant == "token_exchange") {
    credentials_.reset();
    if (exchange_ != nullptr && exchange_->settings() == settings) return;
    exchange_ = std::make_shared<TokenExchange>(*core_.logins, std::move(settings));
    return;
  }
  exchange_.reset();
  if (credentials_ != nullptr && credentials_->settings() == settings) return;
  auto changed = [weak = weak_from_this()](const std::string& owner) {
    if (const auto self = weak.lock()) self->LoginChanged(owner);
  };
  credentials_ =
      std::make_shared<Credentials>(*core_.logins, std::move(settings), std::move(changed));
}

absl::StatusOr<std::shared_ptr<Credentials>> Upstream::Logins() {
  METAMCP_ASSIGN_OR_RETURN(const Target target, ResolveTarget(slug_, spec_, core_.environment));
  UseCredentials(target);
  if (credentials_ != nullptr) return credentials_;
  return MakeError("ARGUMENT_INVALID", domain_,
                   StrCat(slug_, " is not logged in to by OAuth: ",
                          target.has_authorization() ? "its headers hold an Authorization"
                          : target.url.empty()       ? "it is a program on this machine"
                          : exchange_ != nullptr     ? "its grant is token_exchange"
                                                     : "auth.grant is none"));
}

void Upstream::LoginChanged(const std::string& owner) {
  ForgetResources();
  if (!owner.empty() || credentials_ == nullptr) {
    if (on_change_) on_change_(id_);
    return;
  }
  const bool usable = main_ != nullptr && main_->usable();
  const std::string state = credentials_->StateOf("");
  if (state == "needed") {
    Remark("a login is needed");
    if (usable) SetState("needs-login", true, StrCat(slug_, " needs login"));
    return;
  }
  if (usable && state == "present") {
    // What could not be read without the login can be now.
    MarkLists(true, true, true);
    wake_.Set();
    if (status_.state() == "needs-login") SetState("ready", true, "");
    return;
  }
  if (usable || status_.state() != "needs-login") return;
  backoff_.Reset();
  breaker_.Succeeded();
  ever_tried_ = false;  // so that waiting calls wait for the connection
  SetState("connecting", false, "");
  wake_.Set();
}

Awaitable<absl::Status> Upstream::Probe() {
  const auto self = shared_from_this();
  if (main_ == nullptr || !main_->usable()) co_return NotReady();
  const std::shared_ptr<Session> session = main_->session;
  RequestSpec spec(session->negotiated().modern() ? "server/discover" : "ping", "");
  auto asking = session->Ask(std::move(spec), kProbeTime);
  const auto answer = co_await std::move(asking);
  co_return answer.status();
}

std::shared_ptr<Signer> Upstream::SignerNow() const {
  if (exchange_ != nullptr) return exchange_;
  return credentials_;
}

absl::Status Upstream::OfferToken(const CallContext& ctx, const pb::CallRequest& request) {
  if (exchange_ == nullptr) return absl::OkStatus();
  if (!request.subject_token().empty() && ctx.principal != nullptr) {
    exchange_->Offer(OwnerOf(ctx), request.subject_token());
    return absl::OkStatus();
  }
  const std::string how = ctx.principal == nullptr ? "nobody" : ctx.principal->method;
  return MakeError("UPSTREAM_AUTH", domain_,
                   StrCat(slug_,
                          " is reached with what its callers' tokens are exchanged for, and "
                          "this call came without one (",
                          how, ")"));
}

std::string Upstream::OwnerOf(const CallContext& ctx) const {
  if (exchange_ != nullptr && ctx.principal != nullptr) {
    // Of two tokens of one person the narrower one does not get what the wider one was exchanged
    // for.
    std::vector<std::string> scopes = ctx.principal->scopes;
    std::sort(scopes.begin(), scopes.end());
    std::string owner = StrCat(ctx.principal->tenant, "\n", ctx.principal->subject);
    for (const std::string& scope : scopes) owner += StrCat("\n", scope);
    return owner;
  }
  const bool own = credentials_ != nullptr && credentials_->settings().auth.per_principal;
  return own && ctx.principal != nullptr ? ctx.principal->subject : std::string();
}

}  // namespace metamcp::connector
