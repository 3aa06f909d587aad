#include "services/connector/secrets.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

#include "absl/strings/ascii.h"
#include "common/async/run.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace metamcp::connector {
namespace {

constexpr std::chrono::seconds kLook(5);
constexpr std::chrono::seconds kClaimed(10);
constexpr std::chrono::milliseconds kClaimRetry(100);
constexpr int kClaimTries = 50;
constexpr std::chrono::milliseconds kIdleLook(100);
constexpr std::chrono::seconds kIdleWait(30);
constexpr size_t kValueMax = 64 << 10;
constexpr size_t kNameMax = 128;
constexpr size_t kSecretsMax = 1000;

SecretKey KeyOf(const std::string& name) { return {"default", "vault", "", "", name}; }
std::string EntryOf(const std::string& name) { return StrCat("secret:", name); }

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kNameMax && !absl::ascii_isdigit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

void Wipe(std::string& text) { OPENSSL_cleanse(text.data(), text.size()); }

// The key id in a sealed text (KeyRing::Seal).
std::string KidOf(const std::string& sealed) {
  const auto raw = Base64UrlDecode(sealed);
  if (!raw || raw->size() < 2) return "";
  return raw->substr(2, static_cast<unsigned char>((*raw)[1]));
}

absl::Status NoSecret(const std::string& name) {
  return MakeError("NOT_FOUND", "connector", StrCat("the vault has no secret ", name));
}

}  // namespace

bool UsesSecret(const metamcp::catalog::v1::UpstreamSpec& spec, const std::string& name) {
  const auto in = [&name](const std::string& text) {
    const auto references = config::References(text);
    return std::any_of(references.begin(), references.end(), [&name](const auto& reference) {
      return reference.kind == config::Reference::Kind::kSecret && reference.name == name;
    });
  };
  for (const std::string& text : spec.args()) {
    if (in(text)) return true;
  }
  for (const auto* map : {&spec.env(), &spec.headers()}) {
    for (const auto& [key, text] : *map) {
      if (in(text)) return true;
    }
  }
  const auto& auth = spec.auth();
  for (const std::string* text : {&spec.command(), &spec.cwd(), &spec.url(), &auth.client_id(),
                                  &auth.client_secret(), &auth.private_key(), &auth.id_token(),
                                  &auth.identity_client_id(), &auth.identity_client_secret()}) {
    if (in(*text)) return true;
  }
  return false;
}

Secrets::Secrets(TaskGroup& tasks, SecretStore& store, const KeyRing& keys, Manager& manager,
                 config::Environment& environment)
    : tasks_(tasks), store_(store), keys_(keys), manager_(manager), environment_(environment) {}

Secrets::~Secrets() {
  for (auto& [name, value] : environment_) {
    if (name.starts_with("secret:")) Wipe(value);
  }
}

void Secrets::Start() { tasks_.Spawn("secrets.follow", Follow(this)); }

Awaitable<void> Secrets::Follow(Secrets* self) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  bool failing = false;
  while (true) {
    auto refreshing = self->Refresh();
    const absl::Status status = co_await std::move(refreshing);
    if (!status.ok() && !failing) {
      Log(LogLevel::kWarning, "secrets.unread", {{"error", std::string(status.message())}});
    }
    failing = !status.ok();
    timer.expires_after(kLook);
    const auto [error] =
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (error) co_return;
  }
}

bool Secrets::Outdated(const std::string& sealed) const {
  return KidOf(sealed) != KidOf(keys_.Seal(SealPurpose::kVault, "", ""));
}

Awaitable<absl::Status> Secrets::Refresh() {
  auto loading = store_.Load(KeyOf(""));
  const auto found = co_await std::move(loading);
  if (!found.ok()) co_return found.status();
  std::map<std::string, std::string> now;
  std::vector<std::string> outdated;
  for (const StoredSecret& secret : *found) {
    now[secret.issuer] = secret.sealed;
    const auto before = sealed_.find(secret.issuer);
    if (Outdated(secret.sealed)) outdated.push_back(secret.issuer);
    if (before != sealed_.end() && before->second == secret.sealed) continue;
    auto plain = keys_.Open(SealPurpose::kVault, secret.sealed, KeyOf(secret.issuer).Context());
    if (!plain) {
      Log(LogLevel::kError, "secrets.sealed_by_another_key", {{"name", secret.issuer}});
      Forget(secret.issuer);
      continue;
    }
    Apply(secret.issuer, *std::move(plain));
  }
  for (const auto& [name, sealed] : sealed_) {
    if (now.count(name) == 0) Forget(name);
  }
  sealed_ = std::move(now);
  for (const std::string& name : outdated) {
    auto resealing = Reseal(name);
    METAMCP_CO_RETURN_IF_ERROR(co_await std::move(resealing));
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Secrets::Claim(std::string claimant) {
  for (int i = 0; i < kClaimTries; ++i) {
    auto claiming = store_.Claim(KeyOf(""), claimant, kClaimed);
    const auto mine = co_await std::move(claiming);
    if (!mine.ok()) co_return mine.status();
    if (*mine) co_return absl::OkStatus();
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, kClaimRetry);
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  co_return MakeError("QUEUE_FULL", "connector", "another process changes the vault");
}

// Under the claim, so that a value that was set meanwhile is not put back.
Awaitable<absl::Status> Secrets::Reseal(std::string name) {
  const std::string claimant = NewUuidV7();
  auto claiming = Claim(claimant);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(claiming));
  auto loading = store_.Load(KeyOf(name));
  const auto found = co_await std::move(loading);
  absl::Status status = found.status();
  if (found.ok() && !found->empty() && Outdated(found->front().sealed)) {
    const std::string context = KeyOf(name).Context();
    auto plain = keys_.Open(SealPurpose::kVault, found->front().sealed, context);
    if (plain) {
      std::string sealed = keys_.Seal(SealPurpose::kVault, *plain, context);
      Wipe(*plain);
      sealed_[name] = sealed;
      auto putting = store_.Put(KeyOf(name), std::move(sealed));
      status = co_await std::move(putting);
    }
  }
  auto releasing = store_.Release(KeyOf(""), claimant);
  co_await std::move(releasing);
  co_return status;
}

void Secrets::Apply(const std::string& name, std::string value) {
  std::string& entry = environment_[EntryOf(name)];
  const bool changed = entry != value;
  Wipe(entry);
  entry = std::move(value);
  if (changed) Changed(name);
}

void Secrets::Forget(const std::string& name) {
  const auto entry = environment_.find(EntryOf(name));
  if (entry == environment_.end()) return;
  Wipe(entry->second);
  environment_.erase(entry);
  Changed(name);
}

void Secrets::Changed(const std::string& name) {
  for (const auto& upstream : manager_.All()) {
    if (!UsesSecret(upstream->spec(), name)) continue;
    Log(LogLevel::kInfo, "secrets.changed", {{"name", name}, {"upstream", upstream->slug()}});
    tasks_.Spawn("secrets.restart", RestartWhenIdle(upstream));
  }
}

Awaitable<void> Secrets::RestartWhenIdle(std::shared_ptr<Upstream> upstream) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  const auto until = std::chrono::steady_clock::now() + kIdleWait;
  while (upstream->working() && std::chrono::steady_clock::now() < until) {
    timer.expires_after(kIdleLook);
    const auto [error] =
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (error) co_return;
  }
  upstream->Restart();
}

Awaitable<absl::Status> Secrets::Set(std::string name, std::string value, bool must_exist) {
  struct Wiped {
    std::string* text;
    ~Wiped() { Wipe(*text); }
  } wiped{&value};
  if (!IsName(name)) {
    co_return MakeError("ARGUMENT_INVALID", "connector",
                        "a secret's name has 1 to 128 letters, digits and '_', no digit first");
  }
  if (value.empty() || value.size() > kValueMax || value.find('\0') != std::string::npos) {
    co_return MakeError("ARGUMENT_INVALID", "connector",
                        "a secret's value has 1 to 65536 bytes, none of them zero");
  }
  const std::string claimant = NewUuidV7();
  auto claiming = Claim(claimant);
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(claiming));
  auto loading = store_.Load(KeyOf(""));
  const auto found = co_await std::move(loading);
  absl::Status status = found.status();
  if (found.ok()) {
    const bool exists = std::any_of(found->begin(), found->end(),
                                    [&name](const auto& one) { return one.issuer == name; });
    if (must_exist && !exists) {
      status = NoSecret(name);
    } else if (!exists && found->size() >= kSecretsMax) {
      status = MakeError("ARGUMENT_INVALID", "connector", "the vault holds 1000 secrets, no more");
    } else {
      std::string sealed = keys_.Seal(SealPurpose::kVault, value, KeyOf(name).Context());
      auto putting = store_.Put(KeyOf(name), std::move(sealed));
      status = co_await std::move(putting);
    }
  }
  auto releasing = store_.Release(KeyOf(""), claimant);
  co_await std::move(releasing);
  if (!status.ok()) co_return status;
  auto refreshing = Refresh();
  co_return co_await std::move(refreshing);
}

Awaitable<absl::Status> Secrets::Remove(std::string name) {
  auto loading = store_.Load(KeyOf(name));
  const auto found = co_await std::move(loading);
  if (!found.ok()) co_return found.status();
  if (name.empty() || found->empty()) co_return NoSecret(name);
  auto removing = store_.Remove(KeyOf(name));
  METAMCP_CO_RETURN_IF_ERROR(co_await std::move(removing));
  auto refreshing = Refresh();
  co_return co_await std::move(refreshing);
}

Awaitable<absl::StatusOr<std::vector<Secrets::Listed>>> Secrets::List() {
  auto refreshing = Refresh();
  const absl::Status status = co_await std::move(refreshing);
  if (!status.ok()) co_return status;
  std::vector<Listed> out;
  for (const auto& [name, sealed] : sealed_) {
    Listed one;
    one.name = name;
    one.readable = environment_.count(EntryOf(name)) > 0;
    for (const auto& upstream : manager_.All()) {
      if (UsesSecret(upstream->spec(), name)) one.used_by.push_back(upstream->slug());
    }
    out.push_back(std::move(one));
  }
  co_return out;
}

}  // namespace metamcp::connector
