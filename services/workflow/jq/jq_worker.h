#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/async/sink.h"

namespace metamcp::workflow {

// A few processes meta-mcp-jq that evaluate jq programs. Each runs one program at a time; one that
// does not answer in time, or breaks, is killed and replaced. Thread: the executor's one thread;
// must outlive what awaits it.
class JqWorkers {
 public:
  struct Options {
    Options() = default;
    std::string program;  // path of meta-mcp-jq
    int processes_max = 2;
    // Of one evaluation, its compilation (24 ms with libjq 1.6) included.
    std::chrono::milliseconds timeout{5000};
    size_t result_bytes_max = 32u << 20;
  };
  JqWorkers(boost::asio::any_io_executor executor, Options options);
  ~JqWorkers();
  JqWorkers(const JqWorkers&) = delete;
  JqWorkers& operator=(const JqWorkers&) = delete;

  // Runs `program` on `input` and returns its first value as JSON (null for none). Errors:
  // EXPRESSION_INVALID it does not compile; EXPRESSION_FAILED it failed, took too long or too much;
  // UNAVAILABLE reason EXPRESSION_WORKER_LOST no process can be started.
  Awaitable<absl::StatusOr<std::string>> Evaluate(std::string program, std::string input);
  // Only compiles. Errors: as above.
  Awaitable<absl::Status> Check(std::string program);

  // Processes that were killed or lost so far.
  int replaced() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace metamcp::workflow
