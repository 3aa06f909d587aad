#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/auth/authenticator.h"
#include "common/base/key_ring.h"
#include "metamcp/access/v1/access_service.metamcp.h"

namespace metamcp::gateway {

// What a gateway holds of who may come in: the API keys in force, who is kept out, and the teams,
// followed from the service that owns them. Until it was heard, API keys cannot be told and are
// answered with DATABASE_UNAVAILABLE; when it is not heard any more, what was known holds.
// Thread: the io thread.
class AccessMirror final : public auth::AccessSource {
 public:
  using Gone = std::vector<std::shared_ptr<const Principal>>;
  // `on_gone` is told whose keys have ended or changed, and who is kept out from now on. Both
  // references must outlive this.
  AccessMirror(access::v1::AccessService& service, const KeyRing& keys,
               std::function<void(const Gone&)> on_gone);

  // Follows, and reports what was seen, until cancelled.
  Awaitable<void> Follow();
  Awaitable<void> Report();

  absl::StatusOr<std::shared_ptr<const Principal>> FindKey(std::string_view secret) override;
  absl::StatusOr<std::shared_ptr<const Principal>> Complete(
      std::shared_ptr<const Principal> principal) override;
  bool StillKnown(const Principal& principal) const override;
  std::shared_ptr<const Principal> AsNow(const Principal& principal) const override;

  void Apply(const access::v1::WatchAccessResponse& message);
  // What is to be reported now; it is forgotten here.
  access::v1::ReportUseRequest TakeSeen();

 private:
  struct Entry {
    std::string id;
    std::string kid;
    std::shared_ptr<const Principal> principal;
  };
  using Keys = std::unordered_map<std::string, Entry>;  // by MAC
  struct Merged {
    std::shared_ptr<const Principal> from, to;
  };
  static bool Same(const Principal& a, const Principal& b);
  void AddKey(const access::v1::LiveKey& live, Keys& keys, Gone& gone);
  void See(const Principal& principal);

  access::v1::AccessService& service_;
  const KeyRing& ring_;
  const std::function<void(const Gone&)> on_gone_;
  bool ready_ = false;
  Keys keys_;
  std::set<std::string> kids_;  // that MACs are under
  std::set<std::string, std::less<>> disabled_;
  std::map<std::string, std::vector<std::string>> teams_;  // by member
  std::map<std::string, Merged> merged_;                   // by subject
  std::map<std::string, access::v1::KeyUse> uses_;         // not reported yet, by id
  std::map<std::string, access::v1::User> seen_;           // likewise, by subject
  std::map<std::string, int64_t> seen_at_;                 // when somebody was seen last
};

}  // namespace metamcp::gateway
