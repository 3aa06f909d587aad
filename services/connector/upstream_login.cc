// What an upstream actor has to do with logins by OAuth, and whether it answers at all.

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
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

std::string Upstream::OwnerOf(const CallContext& ctx) const {
  const bool own = credentials_ != nullptr && credentials_->settings().auth.per_principal;
  return own && ctx.principal != nullptr ? ctx.principal->subject : std::string();
}

}  // namespace metamcp::connector
