#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "common/base/key_ring.h"
#include "common/db/executor.h"
#include "services/workflow/face/face_store.h"
#include "services/workflow/face/hook_store.h"

namespace metamcp::http {
class HttpClient;
}

namespace metamcp::workflow {

// What a secret of a webhook or hook is sealed for.
std::string SecretContext(const std::string& id);

// The body that tells of a run.
std::string WebhookPayload(const RunRow& run, const std::string& state, int64_t now_us,
                           const std::vector<StepRow>& steps);

// Sends what the outbox says, signed, and again with growing pauses until the address takes it.
// Several processes share the work. Single-threaded. Await Stop before destruction.
class WebhookSender {
 public:
  struct Options {
    Options();
    std::chrono::milliseconds look{1000};
    std::chrono::milliseconds timeout{15'000};
    // Before the second try, the third, …; after the last one it has failed.
    std::vector<std::chrono::milliseconds> pauses;
    bool loopback = false;  // addresses of this machine are allowed, and plain http to them
    int64_t keep_us = 7ll * 86'400 * 1'000'000;
  };
  WebhookSender(boost::asio::any_io_executor executor, db::DbExecutor& database,
                http::HttpClient& http, const KeyRing& keys, Options options = Options());

  void Start();
  Awaitable<void> Stop();
  void LookNow();

 private:
  Awaitable<void> Loop();
  Awaitable<void> Unpack();
  Awaitable<bool> SendDue();
  static Awaitable<void> SendOne(WebhookSender* self, DeliveryRow row);
  Awaitable<absl::StatusOr<int>> Post(const WebhookRow& webhook, const DeliveryRow& row);

  boost::asio::any_io_executor executor_;
  db::DbExecutor& database_;
  http::HttpClient& http_;
  const KeyRing& keys_;
  const Options options_;
  Signal work_;
  TaskGroup tasks_;
  TaskGroup sends_;
  bool look_ = false;
  bool stopping_ = false;
  int64_t pruned_us_ = 0;
};

}  // namespace metamcp::workflow
