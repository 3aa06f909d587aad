#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace metamcp::load {

// One kind of request of the load. {n} stands for the request's nonce.
struct WorkItem {
  std::string method;
  std::string params;  // members of params, without _meta
  std::string name;    // what the Mcp-Name header says; may be empty
  std::string expect;  // must occur in the answer
};

// A request ready to send, and how its answer is known to be right.
struct Request {
  std::string body;
  std::string method;
  std::string name;
  std::string id_text;  // "id":17
  std::string expect;
};

// Makes the requests of a load in turn and judges the answers. Both eras.
class Work {
 public:
  // `declares` makes the client one that can be asked everything.
  Work(bool modern, size_t bytes, std::vector<WorkItem> items, bool declares = false)
      : modern_(modern), declares_(declares), padding_(bytes, 'x'), items_(std::move(items)) {}

  // Items for tools by name: each is called with a text that must come back. A tool whose name
  // ends in "who" must also say the part of its own name in front of "__".
  static WorkItem ForTool(std::string_view tool);
  // From a file with one item per line: `call TOOL`, `read URI EXPECT`, `prompt NAME EXPECT`.
  static absl::StatusOr<std::vector<WorkItem>> FromFile(const std::string& path);

  Request Next();
  Request Initialize();
  // Why `answer` is not the right answer to `request`; empty when it is.
  static std::string Judge(const Request& request, std::string_view answer);
  bool modern() const { return modern_; }

 private:
  Request Make(const WorkItem& item);

  const bool modern_;
  const bool declares_;
  const std::string padding_;
  const std::vector<WorkItem> items_;
  uint64_t next_ = 0;
};

}  // namespace metamcp::load
