#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/json/scan.h"
#include "gateway/routing/call_chain.h"

namespace metamcp::gateway {

// What a call is for, found out from its request.
struct CallChain::Target {
  std::string name;  // as the client wrote it
  EntryPtr entry;    // null for guessed resources
  // Those of the entry, or what was found without one; not copied, as every call has some.
  std::span<const catalog::v1::Route> routes;
  std::vector<catalog::v1::Route> guessed;
  json::ObjectView params;
  std::string arguments;       // that a stage has put in place of the client's, or empty
  std::string original_uri;    // of a resource, as its upstream knows it
  std::string ref_member;      // of completion: "name" or "uri"
  std::string provider_state;  // of a resumed call
  std::string instance;        // of a request about a task
  bool again = false;          // of a resumed call: it is sent as if for the first time
  std::string bound_upstream;  // id that must serve a resumed call
  std::string approval;        // of a call resumed after a person was asked about it
  bool login = false;          // resumed after its user was asked to log in
  std::string bound_owner;     // instance that holds it, or empty
  std::string asked_in;        // traceparent of the call that it resumes, or empty
  bool repeatable = true;      // may be sent to another route after it may have been received
};

}  // namespace metamcp::gateway
