#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/gateway.h"

namespace metamcp::testing {

// Runs of mixed shapes over a ledger server, and what must have become of them, whatever was killed
// meanwhile: the ledger says what really happened. A person looks there to answer for steps whose
// effect is unknown.
class WorkflowShapes {
 public:
  using Rest = std::function<HttpAnswer(const std::string& method, const std::string& path,
                                        const std::string& body)>;
  WorkflowShapes(Rest rest, std::string ledger) : rest_(std::move(rest)), ledger_(ledger) {}

  // What `policy` of the configuration must be: one shape's calls need a person.
  static Json Policy();
  // Stores the workflows. False where one is refused.
  bool Store();
  // Starts run `i`; asks again, with the same request, until it is stored.
  void Start(int i);
  // Answers what waits for a person. Whether all runs have ended.
  bool Settle();
  // Expects that every run ended as its workflow says, that no effect which may not be repeated
  // happened twice or not at all, and that no answer is taken twice.
  void Check();

  size_t started() const { return runs_.size(); }
  int decided() const { return decided_; }
  int approved() const { return approved_; }
  // Of these: calls that the policy wanted allowed.
  int allowed() const { return allowed_; }
  std::string Unfinished();

 private:
  struct Run {
    std::string key, shape;
    std::string state, error;  // once it has ended
  };
  void Answer(const std::string& id, const Run& run, const Json& pending);

  Rest rest_;
  const std::string ledger_;
  std::map<std::string, Run> runs_;  // by id
  int decided_ = 0;
  int approved_ = 0;
  int allowed_ = 0;
};

}  // namespace metamcp::testing
