#include "gateway/transport/duplex_front.h"

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/strings.h"

namespace metamcp::gateway {
namespace {

std::string Context(const Principal& principal, std::string_view virtual_server) {
  return StrCat("duplex|", principal.tenant, "|", principal.subject, "|", virtual_server);
}

}  // namespace

DuplexFront::DuplexFront(FrontDeps deps, ModernFront& modern, LegacyFront& legacy, TaskGroup& tasks,
                         Options options)
    : deps_(std::move(deps)),
      modern_(modern),
      legacy_(legacy),
      tasks_(tasks),
      options_(options),
      instance_(deps_.peers != nullptr ? deps_.peers->self() : HexEncode(RandomBytes(8))) {}

absl::StatusOr<DuplexFront::Opened> DuplexFront::Open(std::string transport,
                                                      std::string virtual_server,
                                                      std::shared_ptr<const Principal> principal) {
  if (draining_) return MakeError("SHUTTING_DOWN", "gateway", "the gateway stops");
  const std::string who = StrCat(principal->tenant, "|", principal->subject);
  const auto held = per_principal_.find(who);
  if (held != per_principal_.end() && held->second >= options_.connections_per_principal_max) {
    return MakeError("RATE_LIMITED", "gateway",
                     StrCat("\"", principal->subject, "\" has ", held->second,
                            " open connections, as many as it may"));
  }
  Opened out;
  const std::string name = StrCat(instance_, ".", ++next_);
  out.key = deps_.keys.Seal(SealPurpose::kSession, name, Context(*principal, virtual_server));
  DuplexConnection::Options options;
  options.transport = std::move(transport);
  options.virtual_server = std::move(virtual_server);
  options.principal = std::move(principal);
  options.json_depth_max = options_.json_depth_max;
  options.on_end = [this, name, who] {
    connections_.erase(name);
    const auto it = per_principal_.find(who);
    if (--it->second == 0) per_principal_.erase(it);
  };
  out.connection =
      std::make_shared<DuplexConnection>(deps_, modern_, legacy_, tasks_, std::move(options));
  connections_[name] = out.connection;
  ++per_principal_[who];
  return out;
}

std::string DuplexFront::HolderOf(std::string_view key, std::string_view virtual_server,
                                  const Principal& principal) const {
  const auto name = deps_.keys.Open(SealPurpose::kSession, key, Context(principal, virtual_server));
  return name ? name->substr(0, name->find('.')) : std::string();
}

absl::StatusOr<std::shared_ptr<DuplexConnection>> DuplexFront::Find(
    std::string_view key, std::string_view virtual_server, const Principal& principal) const {
  const auto name = deps_.keys.Open(SealPurpose::kSession, key, Context(principal, virtual_server));
  if (!name) {
    return MakeError("SESSION_NOT_FOUND", "gateway",
                     "this URL names no stream of yours; open a new one");
  }
  const auto found = connections_.find(*name);
  auto connection = found == connections_.end() ? nullptr : found->second.lock();
  if (connection != nullptr) return connection;
  const bool ours = name->substr(0, name->find('.')) == instance_;
  return MakeError("SESSION_NOT_FOUND", "gateway",
                   ours ? "the stream of this URL has ended; open a new one"
                        : "the stream of this URL was opened at another gateway process, or before "
                          "this one was started; open a new one here");
}

void DuplexFront::CloseWhere(const std::function<bool(const Principal&)>& who) {
  // Closing changes the list.
  std::vector<std::shared_ptr<DuplexConnection>> theirs;
  for (const auto& [name, weak] : connections_) {
    auto connection = weak.lock();
    if (connection != nullptr && who(*connection->principal())) {
      theirs.push_back(std::move(connection));
    }
  }
  for (const auto& connection : theirs) connection->Close(DuplexConnection::End::kRevoked);
}

void DuplexFront::Drain() {
  draining_ = true;
  const auto all = connections_;
  for (const auto& [name, weak] : all) {
    if (const auto connection = weak.lock()) connection->Drain();
  }
}

}  // namespace metamcp::gateway
