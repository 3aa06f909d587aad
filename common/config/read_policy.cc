#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "common/base/strings.h"
#include "common/config/policy_rules.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

constexpr size_t kPolicyBytesMax = 4u << 20;

// Returns what is wrong, or "".
std::string ReadRules(const std::string& path, std::string* text) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return StrCat("cannot be read: ", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return "is no file";
  std::ifstream in(path, std::ios::binary);
  if (!in) return StrCat("cannot be read: ", std::strerror(errno));
  text->assign(kPolicyBytesMax + 1, '\0');
  in.read(text->data(), static_cast<std::streamsize>(text->size()));
  text->resize(static_cast<size_t>(in.gcount()));
  if (text->size() > kPolicyBytesMax) return StrCat("has more than ", kPolicyBytesMax, " bytes");
  return "";
}

// What policy.consent stands for.
void AddConsent(const PolicyConfig& config, std::vector<policy::Policy::Source>* sources) {
  if (config.consent == "off") return;
  // A run was started by somebody who was asked, where the workflow's own tool says so.
  const std::string_view which =
      config.consent == "destructive"
          ? "destructive and not idempotent"
          : "says-destructive and not idempotent and not anonymous and principal != run";
  sources->push_back({StrCat("consent policy.consent if kind = tool and ", which,
                             " because \"It may destroy something, and cannot be repeated "
                             "safely.\""),
                      "policy.consent"});
}

}  // namespace

std::string PolicyPath(const std::string& config_file, const std::string& policy_file) {
  if (policy_file.empty() || policy_file.front() == '/') return policy_file;
  const size_t slash = config_file.rfind('/');
  return slash == std::string::npos ? policy_file
                                    : StrCat(config_file.substr(0, slash + 1), policy_file);
}

absl::StatusOr<std::shared_ptr<const policy::Policy>> CompilePolicy(const PolicyConfig& config,
                                                                    bool loopback) {
  std::vector<policy::Policy::Source> sources;
  if (!config.file.empty()) sources.push_back({config.text, config.path});
  for (size_t i = 0; i < config.rules.size(); ++i) {
    sources.push_back({config.rules[i], StrCat("policy.rules[", i, "]")});
  }
  const bool allows =
      config.otherwise == "allow" || (config.otherwise == "auto" && (loopback || sources.empty()));
  AddConsent(config, &sources);
  return policy::Policy::Compile(sources, allows ? policy::Effect::kAllow : policy::Effect::kDeny);
}

absl::StatusOr<std::shared_ptr<const policy::Policy>> CompileProposal(const PolicyConfig& config,
                                                                      std::string rules,
                                                                      policy::Effect otherwise) {
  std::vector<policy::Policy::Source> sources;
  sources.push_back({std::move(rules), "rules"});
  AddConsent(config, &sources);
  return policy::Policy::Compile(sources, otherwise);
}

void ReadPolicy(const std::string& file, const LoadOptions& options, CheckResult* out) {
  PolicyConfig& config = out->loaded.config.policy;
  const auto fail = [out](std::string in, std::string message) {
    Problem problem;
    problem.file = std::move(in);
    problem.message = std::move(message);
    out->errors.push_back(std::move(problem));
  };
  if (!config.file.empty() && options.resolve) {
    config.path = PolicyPath(file, config.file);
    if (std::string wrong = ReadRules(config.path, &config.text); !wrong.empty()) {
      config.text.clear();
      fail(config.path, std::move(wrong));
    }
  }
  const auto compiled = CompilePolicy(config, true);
  if (compiled.ok()) return;
  std::string wrong(compiled.status().message());
  // What is wrong in the file of rules names that file.
  const bool its = !config.path.empty() && wrong.rfind(config.path, 0) == 0;
  fail(its ? "" : file, std::move(wrong));
}

}  // namespace metamcp::config
