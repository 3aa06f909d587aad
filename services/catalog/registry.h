#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/async/async_lock.h"
#include "common/async/sink.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "services/catalog/model.h"
#include "services/catalog/persistence.h"

namespace metamcp::catalog {

struct RegistryOptions {
  std::string tenant = "default";
  // Changes that come within this time are stored and published together.
  std::chrono::milliseconds coalesce{20};
  std::chrono::milliseconds retry{500};  // after the store failed
  // How often Follow looks whether another process has written; 0: never.
  std::chrono::milliseconds follow{0};
  std::function<int64_t()> now_us;  // NowMicros if empty
  PinPolicy pins;
};

// Whose definitions are approved: those of qualified names, or all.
struct ApproveOptions {
  std::vector<std::string> names;
  bool all = false;
  std::string fingerprint;  // that the one name must have now; empty: any
};

// A tool whose definition is watched.
struct PinnedItem {
  std::string name;  // qualified
  std::string upstream;
  ItemPtr now;
  PinPtr pin;  // null: nobody has approved any definition
  ShownItem shown;
};

// The writing side of the catalog: checks a change, stores it, then shows it. What operators and
// configuration write is stored before the answer; what providers report is served at once and
// stored by Run within the coalescing time. Watchers hear of a revision only after it was stored.
//
// Several processes may share a store: each writes only on top of the revision that it has read,
// and reads again before a write, and now and then, where another one has moved on. The same
// happens where the store leaves open whether a write took effect. Writes are not cancelled half
// way. Thread: one; all coroutines run on `executor`.
class Registry {
 public:
  Registry(boost::asio::any_io_executor executor, Persistence& persistence,
           RegistryOptions options = {});
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Reads the stored catalog. Call once, before anything else.
  Awaitable<absl::Status> Load();

  // Stores and publishes what is reported, until cancelled or stopped. Spawn it once.
  Awaitable<void> Run();
  // Takes over what other processes write, until cancelled or stopped. Spawn it once if
  // RegistryOptions::follow is set.
  Awaitable<void> Follow();
  // Ends Run also where it is in the middle of a write, which cancellation does not reach.
  void RequestStop();
  // Where other processes share the store: until what is pending now is stored, or the store has
  // failed, and what the others have written is known. At once where there are none.
  Awaitable<void> Share();
  // Stores what is pending. For shutdown and tests.
  Awaitable<absl::Status> Flush();

  // The newest stored revision that is known here, and how many objects wait to be stored.
  int64_t stored_head() const { return stored_head_; }
  size_t pending() const { return pending_upstreams_.size() + pending_items_.size(); }

  Model& model() { return model_; }
  const std::string& tenant() const { return options_.tenant; }

  // --- Operators. `actor` is recorded as creator or changer. Errors: INVALID_ARGUMENT
  // ARGUMENT_INVALID; ALREADY_EXISTS; NOT_FOUND; ABORTED ETAG_MISMATCH (an empty etag matches);
  // FAILED_PRECONDITION OBJECT_READ_ONLY for objects of the configuration file; the store's.
  using Actor = std::string;
  Awaitable<absl::StatusOr<pb::Upstream>> CreateUpstream(pb::Upstream wanted,
                                                         std::string request_id, Actor actor);
  Awaitable<absl::StatusOr<pb::Upstream>> UpdateUpstream(std::string name, pb::Upstream wanted,
                                                         Actor actor);
  Awaitable<absl::Status> DeleteUpstream(std::string name, std::string etag);
  Awaitable<absl::StatusOr<pb::Upstream>> SetUpstreamEnabled(std::string name, bool enabled,
                                                             Actor actor);
  Awaitable<absl::StatusOr<pb::VirtualServer>> CreateServer(pb::VirtualServer wanted,
                                                            std::string request_id, Actor actor);
  Awaitable<absl::StatusOr<pb::VirtualServer>> UpdateServer(std::string name,
                                                            pb::VirtualServer wanted, Actor actor);
  Awaitable<absl::Status> DeleteServer(std::string name, std::string etag);
  Awaitable<absl::StatusOr<pb::VirtualServer>> SetServerEnabled(std::string name, bool enabled,
                                                                Actor actor);

  // The upstream of one of our own services, made where `create` says so. Errors: NOT_FOUND.
  Awaitable<absl::StatusOr<pb::Upstream>> RegisterProvider(std::string service,
                                                           std::string display_name, bool create);

  // Reconciles the objects of origin "file"; all or nothing. Nothing is written, and the revision
  // stays, when nothing differs. Errors: INVALID_ARGUMENT; ALREADY_EXISTS for two equal slugs or a
  // name that an object of another origin has.
  Awaitable<absl::StatusOr<pb::ApplyConfigResponse>> ApplyConfig(pb::ApplyConfigRequest request);

  // --- Approved definitions (pins/registry_pins.cc). The policy takes effect at once; what is new
  // then is approved at first sight where the policy says so.
  void SetPinPolicy(PinPolicy policy);
  // Ordered by name; empty where nothing is watched.
  std::vector<PinnedItem> ListPins() const;
  // Approves what is not approved yet and returns the names. Errors: NOT_FOUND, ABORTED
  // ETAG_MISMATCH, INVALID_ARGUMENT, the store's.
  Awaitable<absl::StatusOr<std::vector<std::string>>> ApprovePins(ApproveOptions wanted,
                                                                  Actor actor);

  // --- Providers. Errors: NOT_FOUND; INVALID_ARGUMENT for an unknown kind.
  Awaitable<absl::StatusOr<int64_t>> Report(pb::ReportRequest request);

  // --- Watchers. Rises with each publication.
  uint64_t generation() const { return generation_; }
  // Returns when generation() is no longer `seen`, or the caller is cancelled.
  Awaitable<void> WaitForPublication(uint64_t seen);

 private:
  // What a report changes, worked out before the model is touched.
  struct ReportPlan {
    std::vector<AnalyzedItem> changed;
    std::map<pb::ItemKind, std::set<std::string>> kept;  // original names of each reported kind
  };
  template <typename T>
  struct Reused {
    bool found = false;
    T object;
  };

  int64_t Now() const { return options_.now_us(); }
  void Install(StoredCatalog stored);
  void InstallUpstreams(std::vector<StoredCatalog::At<UpstreamPtr>> stored);
  void InstallItems(std::vector<StoredCatalog::At<AnalyzedItem>> stored);
  void InstallPins(std::vector<StoredPin> stored, int64_t revision);
  void PinFirstSights(const std::string& upstream);
  void WarnOfChange(const std::string& upstream, const ItemEntry& entry) const;
  void TakePendingPins(ChangeSet* changes);
  absl::StatusOr<std::vector<ItemPtr>> FindPinned(const ApproveOptions& wanted) const;
  void InstallServers(std::vector<StoredCatalog::At<VirtualServerPtr>> stored);
  Awaitable<absl::Status> Settle();
  Awaitable<absl::StatusOr<int64_t>> Commit(ChangeSet changes);
  Awaitable<absl::Status> FlushLocked();
  ChangeSet TakePending();
  void ReturnPending(const ChangeSet& changes);
  void Changed();
  void Publish();

  Awaitable<absl::StatusOr<pb::Upstream>> RegisterLocked(std::string service,
                                                         std::string display_name, bool create);
  void FillNew(common::v1::ObjectMeta* meta, const Actor& actor) const;
  void FillChanged(const common::v1::ObjectMeta& old, const Actor& actor,
                   common::v1::ObjectMeta* meta) const;
  void ShowUpstream(UpstreamPtr record, int64_t revision);
  void DropUpstream(const std::string& name, int64_t revision);
  std::optional<std::string> FindRequest(const std::string& request_id) const;
  void Remember(const std::optional<CreateRequest>& request);
  Awaitable<absl::StatusOr<pb::Upstream>> StoreUpstream(UpstreamPtr record,
                                                        std::optional<CreateRequest> request);
  Awaitable<absl::StatusOr<pb::VirtualServer>> StoreServer(VirtualServerPtr record,
                                                           std::optional<CreateRequest> request);

  struct ConfigPlan;
  Awaitable<absl::StatusOr<pb::ApplyConfigResponse>> ApplyConfigLocked(
      pb::ApplyConfigRequest request);
  absl::StatusOr<ConfigPlan> PlanConfig(pb::ApplyConfigRequest request) const;
  absl::Status PlanUpstream(pb::Upstream wanted, ConfigPlan* plan) const;
  absl::Status PlanServer(pb::VirtualServer wanted, ConfigPlan* plan) const;
  void PlanRemovals(ConfigPlan* plan) const;

  Awaitable<absl::StatusOr<ReportPlan>> PlanReport(const pb::ReportRequest& request);
  std::optional<AnalyzedItem> PlanItem(const Model::UpstreamSlot& slot, pb::ItemKind kind,
                                       const pb::Item& item, const std::string& name,
                                       size_t* work) const;
  void ApplyReport(const pb::ReportRequest& request, ReportPlan plan);
  bool ApplyItems(const std::string& upstream, ReportPlan plan);

  const boost::asio::any_io_executor executor_;
  Persistence& persistence_;
  RegistryOptions options_;
  Model model_;
  AsyncLock write_lock_;   // around each use of the store
  AsyncLock report_lock_;  // reports in order of arrival
  Signal work_signal_;
  Signal publication_;
  bool work_ = false;
  bool in_doubt_ = false;
  bool loaded_ = false;
  int64_t stored_head_ = 0;  // the store's newest revision, as far as it is known here
  bool stopping_ = false;
  uint64_t generation_ = 1;

  // Shown but not stored yet.
  std::set<std::string> pending_upstreams_;       // names
  std::map<std::string, ItemPtr> pending_items_;  // by id; null: removed
  std::set<std::string> pending_pins_;            // ids of items
  std::vector<std::pair<std::string, std::string>>
      requests_;  // request id, object id; oldest first
};

}  // namespace metamcp::catalog
