#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/key_ring.h"
#include "common/config/expand.h"
#include "services/connector/login/secret_store.h"
#include "services/connector/manager.h"

namespace metamcp::connector {

// The values that ${secret:NAME} stands for: sealed with the key ring (purpose vault, bound to
// tenant and name) in the connector's database, in memory as entries "secret:NAME" of the
// environment that specifications are resolved with. A change, also one that another connector
// made, reaches servers that use it when their calls are done. What an older key sealed is sealed
// again with the first. Thread: the executor's one. References must outlive it, and `tasks` must
// have ended before it does.
class Secrets {
 public:
  Secrets(TaskGroup& tasks, SecretStore& store, const KeyRing& keys, Manager& manager,
          config::Environment& environment);
  ~Secrets();

  // Reads what is stored, now and every few seconds.
  void Start();

  // Stores a value. `must_exist`: NOT_FOUND where there is none yet.
  // Errors: ARGUMENT_INVALID for a name that is none, an empty value or one over 64 KiB, more than
  // 1000 secrets; those of the store.
  Awaitable<absl::Status> Set(std::string name, std::string value, bool must_exist);
  // Errors: NOT_FOUND; those of the store.
  Awaitable<absl::Status> Remove(std::string name);

  struct Listed {
    std::string name;
    std::vector<std::string> used_by;  // slugs of servers that run here
    bool readable = true;              // a key of the ring opens it
  };
  Awaitable<absl::StatusOr<std::vector<Listed>>> List();

 private:
  static Awaitable<void> Follow(Secrets* self);
  static Awaitable<void> RestartWhenIdle(std::shared_ptr<Upstream> upstream);
  Awaitable<absl::Status> Refresh();
  Awaitable<absl::Status> Reseal(std::string name);
  Awaitable<absl::Status> Claim(std::string claimant);
  void Apply(const std::string& name, std::string value);
  void Forget(const std::string& name);
  void Changed(const std::string& name);
  bool Outdated(const std::string& sealed) const;

  TaskGroup& tasks_;
  SecretStore& store_;
  const KeyRing& keys_;
  Manager& manager_;
  config::Environment& environment_;
  std::map<std::string, std::string> sealed_;  // as last seen
};

// Whether a text of `spec` refers to the secret `name`.
bool UsesSecret(const metamcp::catalog::v1::UpstreamSpec& spec, const std::string& name);

}  // namespace metamcp::connector
