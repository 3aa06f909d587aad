#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "common/async/task_group.h"
#include "services/connector/child_process.h"
#include "services/connector/sandbox/machine.h"
#include "services/connector/sandbox/profile.h"

namespace metamcp::connector::sandbox {

// Starts servers under their profiles: decides whether this machine can enforce one, makes the
// cgroup and the egress proxy, and hands both to the child, with which they end. One per connector;
// thread: the executor's one.
class Runner {
 public:
  // `tasks` must outlive the runner and all children.
  Runner(boost::asio::any_io_executor executor, TaskGroup& tasks, config::SandboxConfig settings,
         Machine machine);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // How `server` is started, or why it is not.
  // Errors: CONFIG_INVALID for a profile that does not exist or that this machine cannot enforce
  // while sandbox.unsafe is off, and for what sandbox.production forbids; UPSTREAM_UNAVAILABLE for
  // a command or path that is not there.
  absl::StatusOr<SpawnPlan> Plan(const std::string& server, const SpawnOptions& options,
                                 const metamcp::catalog::v1::UpstreamSandbox& spec);

  // What is in force for `spec`, to be shown: "none", "strict (bubblewrap, seccomp, …)", "unsafe:
  // …".
  std::string Shown(const metamcp::catalog::v1::UpstreamSandbox& spec) const;

  // What references and profiles' variables are looked up in; must outlive the runner.
  void UseEnvironment(const config::Environment& environment) { environment_ = &environment; }

  const Machine& machine() const { return machine_; }

 private:
  absl::Status CheckProduction(const Profile& profile, const SpawnOptions& options) const;
  std::string Lacks(const Profile& profile) const;
  absl::StatusOr<std::string> Folder();

  boost::asio::any_io_executor executor_;
  TaskGroup& tasks_;
  const config::SandboxConfig settings_;
  const Machine machine_;
  const config::Environment none_;
  const config::Environment* environment_ = &none_;
  std::string folder_;  // of the proxies' sockets
  uint64_t last_ = 0;
};

}  // namespace metamcp::connector::sandbox
