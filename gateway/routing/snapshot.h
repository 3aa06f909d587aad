#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "common/auth/roles.h"
#include "common/mcp/headers.h"
#include "common/mcp/version.h"
#include "gateway/routing/uri_template.h"
#include "metamcp/catalog/v1/catalog.pb.h"

namespace metamcp::gateway {

using catalog::v1::ItemKind;

// Program version, in serverInfo and `--version`.
inline constexpr std::string_view kProgramVersion = "0.1.0";

// What a call needs to know of an upstream.
struct UpstreamInfo {
  std::string id;
  std::string name;  // slug
  std::string state;
  std::string detail;
  bool enabled = true;
  bool reachable = false;
  bool trusted = true;
  bool has_items = false;  // of any kind, known now or from before
  bool has_completions = false;
  bool has_subscribe = false;
  bool tasks = false;      // its tools may run as tasks
  bool exchanges = false;  // it is reached with tokens that callers' own are exchanged for
  bool listed = false;     // its lists have been read
  int attempts = 0;        // to connect that failed since it last worked
  // When this gateway first heard of it.
  std::chrono::steady_clock::time_point seen_at;
  std::string extensions;  // raw object of the extensions it declares; empty: none
  std::string provider;
  std::string service;  // which of our own services serves it; empty: a connector
  int64_t timeout_ms = 0;
  std::map<std::string, int64_t> tool_timeouts_ms;
  auth::Ownership ownership;
};

// One exposed item. Immutable; shared between snapshots while it does not change.
struct ExposedEntry {
  ItemKind kind{};
  std::string name;  // exposed name, URI or URI template
  std::string qualified_name;
  std::vector<catalog::v1::Route> routes;
  // The exposed definition in the shape of 2026-07-28.
  std::string definition;
  // Argument rules by original name; empty for most.
  std::map<std::string, catalog::v1::ArgumentOverride> arguments;
  // The UI resource of a tool (MCP Apps): the upstream's URI, and the one that clients see.
  std::string ui_uri;
  std::string ui_exposed;
  // Legacy clients see this tool's structured output inside {"result": …}.
  bool wraps_output = false;
  // x-mcp-header mirrors of the exposed schema (what clients send) and of the upstream's own.
  std::vector<mcp::ParamHeader> front_headers;
  std::vector<mcp::ParamHeader> back_headers;
  // Answered by the gateway itself (builtin_tools.h); it has no routes then.
  bool builtin = false;
};
using EntryPtr = std::shared_ptr<const ExposedEntry>;

// What one virtual server exposes. Immutable after construction, except for the cache of list
// bytes, which is filled on the io thread.
class ServerView {
 public:
  struct Parts {
    std::string name, title, instructions, metrics_label;
    auth::Ownership ownership;
    bool active = true;
    std::vector<EntryPtr> entries;
    std::vector<std::shared_ptr<const UpstreamInfo>> upstreams;
    // Rules for URIs that no item names: globs, and qualified names that are switched off.
    std::vector<std::string> resources_include, resources_exclude;
    std::set<std::string, std::less<>> disabled_items;
    // Tools that wait for an approval, by exposed and by qualified name, with why.
    std::map<std::string, std::string, std::less<>> quarantined;
    bool search = false;   // tools are found by search_tools, not listed
    bool suggest = false;  // suggest_workflow is listed
    size_t max_output = 0;
  };
  explicit ServerView(Parts parts);

  const std::string& name() const { return parts_.name; }
  const std::string& title() const { return parts_.title; }
  // Raw Implementation object of the gateway as this virtual server.
  const std::string& server_info() const { return server_info_; }
  const std::string& metrics_label() const { return parts_.metrics_label; }
  bool active() const { return parts_.active; }
  const auth::Ownership& ownership() const { return parts_.ownership; }
  // Instructions of the virtual server, else of its upstreams under headings.
  const std::string& instructions() const { return parts_.instructions; }

  // The entry by exposed or qualified name (tools, prompts) or exact URI (resources).
  EntryPtr Find(ItemKind kind, std::string_view name) const;

  // Why a tool of that name waits for an approval; null where none does.
  const std::string* FindQuarantined(std::string_view name) const {
    const auto it = parts_.quarantined.find(name);
    return it == parts_.quarantined.end() ? nullptr : &it->second;
  }

  // Where a resource URI is read: exact, else the template with the longest literal part. `entry`
  // is null where only an upstream could be guessed (the only one, or the only one that offers
  // this scheme). What the virtual server leaves out is not found by either.
  struct ResourceRoute {
    EntryPtr entry;
    std::vector<catalog::v1::Route> routes;
    std::string original_uri;  // as the upstream knows it
  };
  std::optional<ResourceRoute> RouteResource(std::string_view uri) const;

  // Whether it has tools of the gateway's own.
  bool has_builtins() const { return parts_.search || parts_.suggest; }
  // Characters that a result may have; 0: any number.
  size_t max_output() const { return parts_.max_output; }

  // All entries of a kind, in the order of lists.
  const std::vector<EntryPtr>& Entries(ItemKind kind) const;

  // The same virtual server with only those entries that `keep` takes; for lists, not for calls.
  std::shared_ptr<const ServerView> Filtered(
      const std::function<bool(const EntryPtr&)>& keep,
      const std::function<bool(const UpstreamInfo&)>& keep_upstream) const;

  // All of a kind, listed or (mode search) only found.
  std::vector<EntryPtr> AllEntries(ItemKind kind) const;

  // Changes when a client of this kind's list would see a difference.
  uint64_t ListHash(ItemKind kind) const {
    const auto it = hashes_.find(kind);
    return it == hashes_.end() ? 0 : it->second;
  }

  const std::vector<std::shared_ptr<const UpstreamInfo>>& upstreams() const {
    return parts_.upstreams;
  }
  std::shared_ptr<const UpstreamInfo> FindUpstream(std::string_view id) const;

  // Whether an upstream that nothing is known of yet may still report what it offers, being first
  // heard of less than `wait` ago. One that is known to hang or fail is not waited for.
  bool AwaitsFirstLists(std::chrono::steady_clock::duration wait) const;

  // Raw object of the extensions to declare to clients; empty: none. One upstream's are all passed
  // through; of several only what can be told apart.
  const std::string& extensions() const { return extensions_; }
  // Whether tools of this virtual server may run as tasks.
  bool tasks() const { return tasks_; }
  // Where a method goes that MCP does not know: to the only upstream, if it declares an extension
  // that may have methods; else null.
  std::shared_ptr<const UpstreamInfo> ExtensionUpstream(std::string_view method) const;

  // Bytes of one page of a list, made on first use: the members of the result without braces, for
  // example `"tools":[…]`. `first` is the index of the page's first entry.
  const std::string& ListPage(ItemKind kind, mcp::Revision revision, size_t first,
                              size_t page_size) const;

 private:
  void AddBuiltins();
  EntryPtr MatchTemplate(std::string_view uri, std::string* original) const;
  std::optional<catalog::v1::Route> GuessRoute(std::string_view uri) const;
  bool LeavesOut(const std::string& upstream_id, std::string_view original_uri) const;

  Parts parts_;
  std::string server_info_;
  std::string extensions_;
  bool passes_methods_ = false;  // of extensions
  bool tasks_ = false;
  std::map<std::string, catalog::v1::Route, std::less<>> ui_routes_;  // of MCP Apps, by exposed URI
  std::map<int, std::vector<EntryPtr>> by_kind_;
  std::unordered_map<std::string, EntryPtr> index_;  // "<kind>:<name>"
  std::vector<std::pair<UriTemplate, EntryPtr>> templates_;
  std::map<int, uint64_t> hashes_;
  std::set<std::string> offering_;  // ids of upstreams with entries
  mutable std::map<std::tuple<int, int, size_t>, std::string> pages_;
};

// All virtual servers at one catalog revision. Immutable.
struct Snapshot {
  int64_t revision = 0;
  std::map<std::string, std::shared_ptr<const ServerView>, std::less<>> views;

  std::shared_ptr<const ServerView> Find(std::string_view virtual_server) const {
    const auto it = views.find(virtual_server);
    return it == views.end() ? nullptr : it->second;
  }
};

}  // namespace metamcp::gateway
