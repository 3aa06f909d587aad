#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "common/policy/policy.h"
#include "gateway/routing/snapshot.h"
#include "metamcp/access/v1/replay_service.pb.h"
#include "metamcp/audit/v1/audit_service.pb.h"

namespace metamcp::gateway {

// Decides recorded calls by other rules. What the record does not have (scopes; arguments, unless
// they were kept; whatever of a person was erased) is not guessed: where a rule depends on it, the
// call is undecided. What it refers to must outlive it.
class Replay {
 public:
  // `now`: the rules in force, which say what the name of a rule in a record meant.
  Replay(const policy::Policy& now, const policy::Policy& proposed, const Snapshot& snapshot)
      : now_(now), proposed_(proposed), snapshot_(snapshot) {}

  // Newest first. What is no call is passed over.
  void Add(const audit::v1::Record& record);
  access::v1::ReplayPolicyResponse Take();

 private:
  struct Past;
  std::string Read(const audit::v1::Record& record, Past& past) const;
  std::string FindItem(std::string_view kind, const std::string& name, Past& past) const;
  std::string Before(std::string_view effect, std::string_view reason, std::string_view rule) const;
  void Compare(const Past& past);

  const policy::Policy& now_;
  const policy::Policy& proposed_;
  const Snapshot& snapshot_;
  access::v1::ReplayPolicyResponse out_;
  // By subject, item, virtual server, before, after, rule.
  using Key =
      std::tuple<std::string, std::string, std::string, std::string, std::string, std::string>;
  std::map<Key, access::v1::ReplayChange> changes_;
  std::map<std::string, access::v1::ReplaySkipped> skipped_;
};

}  // namespace metamcp::gateway
