#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/async/task_group.h"
#include "metamcp/telemetry/v1/telemetry_service.metamcp.h"

namespace metamcp::telemetry {

// Another process that can be asked.
struct Peer {
  std::string instance;
  std::string service;
  std::shared_ptr<v1::TelemetryService> client;
};
using Peers = std::function<std::vector<Peer>()>;

// What this process tells, and with `peers` what all of them tell; they may be empty. `instance`
// and `service` name this process. Thread: the io thread. `tasks` must outlive it.
std::unique_ptr<v1::TelemetryService> MakeTelemetryService(std::string instance,
                                                           std::string service, Peers peers,
                                                           TaskGroup& tasks);

}  // namespace metamcp::telemetry
