#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/config/config.h"
#include "common/policy/policy.h"

namespace metamcp::config {

// Where policy.file of the configuration at `config_file` lies; empty where there is none.
std::string PolicyPath(const std::string& config_file, const std::string& policy_file);

// The rules of a configuration that was loaded, those of policy.consent among them. `loopback`:
// only this machine reaches the gateway, for policy.default auto. Errors: CONFIG_INVALID.
absl::StatusOr<std::shared_ptr<const policy::Policy>> CompilePolicy(const PolicyConfig& config,
                                                                    bool loopback);

// The rules of a file that somebody proposes in place of those of `config`; those of policy.consent
// stay. Errors: CONFIG_INVALID, in which the file is called "rules".
absl::StatusOr<std::shared_ptr<const policy::Policy>> CompileProposal(const PolicyConfig& config,
                                                                      std::string rules,
                                                                      policy::Effect otherwise);

}  // namespace metamcp::config
