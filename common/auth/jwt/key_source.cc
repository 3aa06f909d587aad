#include "common/auth/jwt/key_source.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fstream>

#include "common/async/run.h"
#include "common/auth/oauth/metadata.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/scan.h"
#include "common/telemetry/log.h"

namespace metamcp::jwt {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr size_t kSetBytesMax = 256u << 10;
constexpr std::chrono::seconds kBackoffMax{60};

absl::Status Failed(std::string_view why) { return MakeError("AUTH_KEYS_MISSING", "gateway", why); }

// Where a URL that an issuer's metadata name may lead: the issuer's own host, and else no further
// than the public network, or this machine if the issuer is on it.
absl::StatusOr<http::AddressRule> RuleFor(const std::string& issuer, const std::string& url) {
  const auto from = http::ParseUrl(issuer);
  const auto to = http::ParseUrl(url);
  if (!from.ok() || !to.ok()) return Failed("the issuer's jwks_uri is not a URL");
  if (to->host == from->host) return http::AddressRule::kAny;
  return http::IsLoopbackHost(from->host) ? http::AddressRule::kPublicOrLoopback
                                          : http::AddressRule::kPublic;
}

// Small and local.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Failed(StrCat(path, " cannot be read"));
  std::string text(kSetBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kSetBytesMax) return Failed(StrCat(path, " is too large"));
  return text;
}

}  // namespace

KeySource::KeySource(asio::any_io_executor executor, http::HttpClient& http,
                     KeySourceOptions options, OnKeys on_keys)
    : http_(http),
      options_(std::move(options)),
      on_keys_(std::move(on_keys)),
      wake_(executor),
      done_(executor, Clock::time_point::max()),
      asked_at_(Clock::time_point::min()) {}

void KeySource::Stop() {
  stopped_ = true;
  wake_.cancel();
  done_.cancel();
}

Awaitable<void> KeySource::Run(std::shared_ptr<KeySource> self) {
  while (!self->stopped_) {
    self->fetching_ = true;
    self->asked_at_ = Clock::now();
    auto fetching = self->FetchOnce();
    auto limited = RunUntil(Clock::now() + self->options_.timeout, std::move(fetching));
    const absl::Status status = co_await std::move(limited);
    self->fetching_ = false;
    if (self->stopped_) co_return;
    self->Note(status);
    self->done_.cancel();
    self->wake_.expires_after(status.ok() ? self->options_.refresh : self->backoff_);
    co_await self->wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != asio::cancellation_type::none) co_return;
  }
}

void KeySource::Note(const absl::Status& status) {
  if (status.ok()) {
    backoff_ = std::chrono::milliseconds(0);
    return;
  }
  backoff_ = std::min<std::chrono::milliseconds>(
      backoff_.count() == 0 ? options_.retry_min : backoff_ * 2, kBackoffMax);
  Log(LogLevel::kWarning, "auth.keys_not_fetched",
      {{"issuer", options_.name},
       {"error", std::string(status.message())},
       {"kept", !text_.empty()},
       {"retry_ms", backoff_.count()}});
}

Awaitable<bool> KeySource::Ask(std::shared_ptr<KeySource> self) {
  const size_t before = self->changes_;
  if (!self->fetching_) {
    const auto least = self->backoff_.count() > 0 ? self->backoff_ : self->options_.ask_min;
    const bool early =
        self->asked_at_ != Clock::time_point::min() && Clock::now() < self->asked_at_ + least;
    if (early || self->stopped_) co_return false;
    self->asked_at_ = Clock::now();
    self->wake_.cancel();
  }
  co_await self->done_.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return self->changes_ != before;
}

Awaitable<absl::StatusOr<std::string>> KeySource::Get(std::string url, http::AddressRule rule) {
  const CallContext ctx(nullptr, Clock::now() + options_.timeout);
  http::HttpClientRequest request("GET", url);
  request.headers.Set("Accept", "application/json");
  request.idempotent = true;
  request.allow_tls12 = options_.allow_tls12;
  request.ca_file = options_.ca_file;
  request.addresses = rule;
  request.domain = "gateway";
  auto sending = http_.Send(ctx, std::move(request));
  auto response = co_await std::move(sending);
  if (!response.ok()) co_return response.status();
  if ((*response)->status() != 200) {
    co_return Failed(StrCat(url, " answers ", (*response)->status()));
  }
  auto reading = (*response)->ReadAll(kSetBytesMax);
  co_return co_await std::move(reading);
}

Awaitable<absl::StatusOr<std::string>> KeySource::Discover() {
  METAMCP_CO_ASSIGN_OR_RETURN(const auto places, oauth::ServerMetadataUrls(options_.issuer));
  absl::Status last = Failed("the issuer publishes no metadata");
  for (const std::string& place : places) {
    auto getting = Get(place, http::AddressRule::kAny);
    const auto text = co_await std::move(getting);
    last = text.status();
    if (!text.ok()) continue;
    const auto view = json::ScanObject(*text);
    if (!view.ok()) {
      last = Failed(StrCat(place, " is not JSON"));
    } else if (view->String("issuer").value_or("") != options_.issuer) {
      last = Failed(StrCat(place, " is of another issuer"));
    } else if (const auto url = view->String("jwks_uri"); url) {
      co_return *url;
    } else {
      last = Failed(StrCat(place, " names no jwks_uri"));
    }
  }
  co_return last;
}

Awaitable<absl::StatusOr<std::string>> KeySource::FetchText() {
  if (!options_.jwks_file.empty()) co_return ReadFile(options_.jwks_file);
  std::string url = options_.jwks_url;
  http::AddressRule rule = http::AddressRule::kAny;
  if (url.empty()) {
    auto discovering = Discover();
    auto found = co_await std::move(discovering);
    if (!found.ok()) co_return found.status();
    const auto allowed = RuleFor(options_.issuer, *found);
    if (!allowed.ok()) co_return allowed.status();
    url = *std::move(found);
    rule = *allowed;
  }
  auto getting = Get(url, rule);
  co_return co_await std::move(getting);
}

Awaitable<absl::Status> KeySource::FetchOnce() {
  auto fetching = FetchText();
  auto text = co_await std::move(fetching);
  if (!text.ok()) co_return text.status();
  if (*text == text_) co_return absl::OkStatus();
  METAMCP_CO_ASSIGN_OR_RETURN(KeySet keys, ParseKeySet(*text));
  if (keys.empty()) co_return Failed("the set holds no key that verifies signatures");
  if (stopped_) co_return absl::CancelledError("stopped");
  text_ = *std::move(text);
  ++changes_;
  Log(LogLevel::kInfo, "auth.keys_fetched",
      {{"issuer", options_.name}, {"keys", static_cast<int64_t>(keys.size())}});
  on_keys_(std::make_shared<const KeySet>(std::move(keys)));
  co_return absl::OkStatus();
}

}  // namespace metamcp::jwt
