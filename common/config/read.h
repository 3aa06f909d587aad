#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "common/config/fields.h"
#include "common/config/json_tree.h"
#include "common/config/load.h"

// From tree to structs. Internal to this folder.
namespace metamcp::config {

// What reading one file needs and fills.
struct ReadContext {
  ReadContext(std::string file_in, const LoadOptions& options_in, CheckResult* out_in)
      : file(std::move(file_in)), options(options_in), out(out_in) {}

  void Error(Position at, std::string message, std::string mend);
  void Note(Position at, std::string message, std::string mend);
  Config& config() { return out->loaded.config; }

  std::string file;
  const LoadOptions& options;
  CheckResult* out;
  // String nodes whose text came from a variable: they may stand for numbers and booleans too.
  std::set<const JsonNode*> expanded;
};

// Takes a member that no field names, by its path; returns false if it does not know it either.
using ExtraMember = std::function<bool(const std::string& path, const JsonMember& member)>;

// Reads `node` into `object` by `fields`. `prefix` is the path of `node` within the struct ("" or
// "tools."), `where` the path of the struct in the file ("mcpServers.git"). An unknown key is an
// error that names the nearest known one. `on_set` hears of every field that was set.
struct ObjectReader {
  ObjectReader(ReadContext& context_in, std::span<const Field> fields_in, void* object_in)
      : context(context_in), fields(fields_in), object(object_in) {}

  void Read(const JsonNode& node, const std::string& prefix, const std::string& where);

  ReadContext& context;
  std::span<const Field> fields;
  void* object;
  ExtraMember extra;                                          // may be empty
  std::function<void(const Field&, const JsonNode&)> on_set;  // may be empty
  std::vector<std::string_view> more_keys;                    // known to `extra`, for mends
};

// Sets one field from a value of the file; reports what does not fit.
bool SetFromNode(ReadContext& context, const Field& field, const JsonNode& node,
                 const std::string& where, void* object);

// Sets one field from text (environment, flag, expanded variable). Returns what is wrong, or "".
std::string SetFromText(const Field& field, std::string_view text, void* object);

// "true or false", "a whole number from 1 to 10 (ms)".
std::string Expected(const Field& field);

// mcpServers, and VS Code's `servers`.
void ReadServers(ReadContext& context, const JsonNode& node);
// After all servers are known: fallbacks.
void CheckServerLinks(ReadContext& context, const JsonNode& node);
void ReadVirtualServers(ReadContext& context, const JsonNode& node);
void ReadKeys(ReadContext& context, const JsonNode& node);
// Of an entry of auth that has both.
void CheckTenantAndRoles(ReadContext& context, const JsonNode& item, const std::string& tenant,
                         const std::string& where);
void ReadIssuers(ReadContext& context, const JsonNode& node);
// After the environment is known: what cannot be used of `auth`.
void CheckAuth(const AuthConfig& auth, CheckResult* out);
// auth.certificates and auth.basic.users.
void ReadCertificates(ReadContext& context, const JsonNode& node);
void ReadBasicUsers(ReadContext& context, const JsonNode& node);
// After the environment is known: gateway.tls, and what needs it.
void CheckGatewayTls(CheckResult* out);
void ReadAiProviders(ReadContext& context, const JsonNode& node);
void ReadLimitRules(ReadContext& context, const JsonNode& node);
void ReadSandboxProfiles(ReadContext& context, const JsonNode& node);
void CheckSandboxRules(ReadContext& context, const SandboxRules& rules, Position at,
                       const std::string& where);
// After all settings are known: names of profiles.
void CheckSandboxLinks(ReadContext& context, const JsonNode& root);
// After all settings are known: ai.order.
void CheckAiOrder(ReadContext& context, const JsonNode& root);

// After all settings are known: the rules of policy.file and policy.rules. Blocks on the file
// system where options.resolve is set.
void ReadPolicy(const std::string& file, const LoadOptions& options, CheckResult* out);

// Turns a tree of schema version 0 ({"mcp_servers": [...], "ai_api": ..., "storage_path": ...})
// into one of version 1, places kept. Returns what could not be carried over.
std::vector<Problem> UpgradeTree(const std::string& file, JsonNode* root);
bool IsVersion0(const JsonNode& root);

}  // namespace metamcp::config
