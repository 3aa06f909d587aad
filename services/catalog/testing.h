#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "services/catalog/registry.h"

// Fakes and shorthands for the catalog's tests.
namespace metamcp::catalog {

// A store in memory that keeps what a real one would. Faults: call `fail_call` (counted from 1)
// fails with `fault`, before or after it took effect.
class MemoryPersistence final : public Persistence {
 public:
  Awaitable<absl::StatusOr<StoredCatalog>> Load() override;
  Awaitable<absl::StatusOr<int64_t>> Head() override;
  Awaitable<absl::StatusOr<int64_t>> Apply(ChangeSet changes) override;

  int calls = 0;
  int applies = 0;
  int fail_call = 0;
  bool fail_after_effect = false;
  absl::Status fault = absl::UnavailableError("the store is gone");
  // Runs once inside Apply, before it takes effect: what other coroutines do meanwhile.
  std::function<void()> during_apply;

  int64_t revision = 0;
  std::string separator = "__";
  std::map<std::string, StoredCatalog::At<UpstreamPtr>> upstreams;  // by id
  std::map<std::string, StoredCatalog::At<ItemPtr>> items;          // by id
  std::map<std::string, StoredCatalog::At<VirtualServerPtr>> servers;
  std::map<std::string, StoredPin> pins;  // by item id
  std::vector<Tombstone> tombstones;
  std::vector<CreateRequest> requests;

 private:
  bool FailsNow();
  void Write(const ChangeSet& changes);
};

// Runs `op` on `io` until it is done and returns its result.
template <typename T>
T Await(boost::asio::io_context& io, Awaitable<T> op) {
  std::optional<T> result;
  std::exception_ptr thrown;
  boost::asio::co_spawn(io, std::move(op), [&](std::exception_ptr e, T value) {
    thrown = e;
    if (!e) result.emplace(std::move(value));
  });
  io.restart();
  while (!result && !thrown) {
    METAMCP_CHECK(io.run_one() > 0);  // else it waits for something that never comes
  }
  if (thrown) std::rethrow_exception(thrown);
  return std::move(*result);
}

// A definition with the given members beside name (or uri) and, for tools, an object schema.
std::string ToolJson(const std::string& name, const std::string& properties = "{}",
                     const std::string& more = "");

pb::Upstream MakeUpstream(const std::string& name, int priority = 0);
pb::Item MakeTool(const std::string& name, const std::string& more = "");
pb::Item MakeItem(pb::ItemKind kind, const std::string& name, const std::string& definition);
pb::ItemList ListOf(pb::ItemKind kind, const std::vector<pb::Item>& items);

// Exposed names (ordered) of one kind in one view.
std::vector<std::string> ExposedNames(Model& model, const std::string& view,
                                      pb::ItemKind kind = pb::ITEM_KIND_TOOL);

// A registry on a memory store with shorthands that must succeed.
class Fixture {
 public:
  Fixture();
  ~Fixture();

  std::string AddUpstream(const pb::Upstream& upstream);  // returns the id
  void Report(const std::string& upstream_id, const std::vector<pb::Item>& tools);
  void ReportList(const std::string& upstream_id, const pb::ItemList& list);
  void AddServer(const std::string& name, const pb::VirtualServerSpec& spec);
  void Flush();
  // Starts over with what is stored.
  void Restart();
  // Another registry on the same store, as another process would have.
  std::unique_ptr<Registry> MakeRegistry();

  boost::asio::io_context io;
  MemoryPersistence store;
  int64_t now = 1'000'000;
  std::unique_ptr<Registry> registry;
};

}  // namespace metamcp::catalog
