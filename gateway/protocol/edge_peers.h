#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/call_context.h"
#include "common/cluster/members.h"
#include "metamcp/catalog/v1/directory_service.metamcp.h"
#include "metamcp/gateway/v1/edge_peer_service.metamcp.h"

namespace metamcp::gateway {

// The other gateways of the cluster, for what arrived here and belongs there; and the directory in
// which all of them read what has become of a session. Single-threaded.
class EdgePeers {
 public:
  using SessionMark = catalog::v1::SessionMark;
  // How a member is reached.
  using Dial = std::function<absl::StatusOr<std::shared_ptr<v1::EdgePeerService>>(
      const cluster::Member& member)>;

  // `members` and `directory` must outlive this. Without a directory nothing outlives the process.
  EdgePeers(cluster::Members& members, catalog::v1::DirectoryService* directory, Dial dial);

  // Names this process in session ids, event ids and ids of questions.
  const std::string& self() const { return members_.self(); }
  // Whether what is not here may be elsewhere.
  bool clustered() const { return members_.clustered(); }

  // Errors of both: SESSION_NOT_FOUND where `request.target` is gone; PEER_UNAVAILABLE where it
  // does not answer; the peer's own.
  Awaitable<absl::StatusOr<v1::DeliverResponse>> Deliver(std::shared_ptr<const Principal> who,
                                                         v1::DeliverRequest request);
  Awaitable<absl::Status> Attach(std::shared_ptr<const Principal> who, v1::AttachRequest request,
                                 Sink<v1::AttachResponse>& sink);

  // Passes a message to every other gateway until one takes it, or to `all`. Returns what those
  // who took it say.
  Awaitable<std::vector<v1::DeliverResponse>> DeliverToOthers(std::shared_ptr<const Principal> who,
                                                              v1::DeliverRequest request,
                                                              bool all = false);

  // Stores marks and tells every other gateway. OK once they are stored; who could not be told
  // reads them within seconds. Errors: DATABASE_UNAVAILABLE and the directory's.
  Awaitable<absl::Status> Publish(std::vector<SessionMark> marks);

  // Calls `take` for every mark that is new since the last time. Errors: the directory's.
  Awaitable<absl::Status> ReadMarks(std::function<void(const SessionMark&)> take);

  // The latest use of each handle that another gateway knows.
  Awaitable<std::map<std::string, int64_t>> LastUsed(std::vector<std::string> handles);

 private:
  using Peer = std::shared_ptr<v1::EdgePeerService>;
  Awaitable<absl::StatusOr<Peer>> Reach(std::string instance);
  std::vector<cluster::Member> Others() const;

  cluster::Members& members_;
  catalog::v1::DirectoryService* const directory_;
  const Dial dial_;
  int64_t marks_head_ = 0;
};

}  // namespace metamcp::gateway
