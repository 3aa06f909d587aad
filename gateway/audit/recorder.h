#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "common/async/async_lock.h"
#include "common/async/task_group.h"
#include "gateway/audit/spool.h"
#include "metamcp/audit/v1/audit_service.metamcp.h"

namespace metamcp::gateway {

// Where everything that is audited in this process goes on its way to the audit service.
//
// strict: Record returns when the service has stored the event. While it cannot, Ready refuses, so
// that nothing new happens unrecorded; events that wait are stored when it can again.
// buffered: Record returns when the event is in the spool, from where a task ships it.
//
// Thread: the executor's one thread.
class AuditRecorder {
 public:
  struct Options {
    Options() {}
    bool strict = false;
    std::string source;                        // this process, in the records
    SpoolOptions spool;                        // of buffered
    std::chrono::milliseconds patience{5000};  // of Record, in strict
    size_t waiting_max = 20'000;               // events in memory
  };

  // `service` must outlive it. Blocks. Errors: Spool::OpenBlocking's.
  static absl::StatusOr<std::unique_ptr<AuditRecorder>> CreateBlocking(
      boost::asio::any_io_executor executor, audit::v1::AuditService& service, Options options);
  ~AuditRecorder();

  void Start();
  // Ships what is there, at most for `grace`; what is spooled goes on at the next start.
  Awaitable<void> Stop(std::chrono::steady_clock::duration grace);

  // Errors: AUDIT_UNAVAILABLE.
  absl::Status Ready() const;
  Awaitable<absl::Status> Record(audit::v1::Event event);
  // Hands in without waiting.
  void Note(audit::v1::Event event);

  // Events on their way: in memory, and bytes in the spool.
  size_t waiting() const { return waiting_.size(); }
  int64_t spooled_bytes() const { return spool_ ? spool_->bytes() : 0; }

 private:
  struct Waiting {
    Waiting(audit::v1::Event event_in, boost::asio::any_io_executor executor)
        : event(std::move(event_in)), done(std::move(executor)) {}
    audit::v1::Event event;
    Signal done;
    bool stored = false;
  };
  using Batch = std::vector<audit::v1::Event>;

  AuditRecorder(boost::asio::any_io_executor executor, audit::v1::AuditService& service,
                Options options, std::unique_ptr<Spool> spool);
  void Complete(audit::v1::Event& event) const;
  bool Enqueue(std::shared_ptr<Waiting> waiting);
  Awaitable<absl::Status> WaitFor(std::shared_ptr<Waiting> waiting);
  static Awaitable<absl::Status> UntilStored(std::shared_ptr<Waiting> waiting);
  // One by one where the service refuses the batch for what is in it.
  Awaitable<absl::Status> Store(Batch batch);
  Awaitable<absl::Status> StoreAll(audit::v1::AppendRequest request);
  void SetDown(const absl::Status& status);
  Awaitable<void> RunStrict();
  Awaitable<void> RunShipping();
  Awaitable<bool> ShipSome();

  boost::asio::any_io_executor executor_;
  audit::v1::AuditService& service_;
  const Options options_;
  std::unique_ptr<Spool> spool_;  // of buffered
  TaskGroup tasks_;
  Signal work_;
  std::deque<std::shared_ptr<Waiting>> waiting_;
  bool down_ = false;
  bool stopping_ = false;
};

}  // namespace metamcp::gateway
