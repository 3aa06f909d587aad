#include "common/config/connect.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"
#include "common/config/json_tree.h"
#include "common/config/render.h"
#include "common/config/text_edit.h"

namespace metamcp::config {
namespace {

std::string Container(Client client) {
  return client == Client::kVsCode ? "servers" : "mcpServers";
}

// The entry in the words of `client`.
JsonNode EntryNode(Client client, const ConnectOptions& options) {
  JsonNode node = ObjectNode();
  const bool stdio = client == Client::kClaudeDesktop || options.url.empty();
  // Cursor tells the transports apart by the keys alone.
  if (client == Client::kClaudeCode || client == Client::kVsCode) {
    AddMember(&node, "type", StringNode(stdio ? "stdio" : "http"));
  }
  if (stdio) {
    AddMember(&node, "command", StringNode(options.command));
    JsonNode args;
    args.kind = JsonNode::Kind::kArray;
    for (const std::string& arg : options.args) args.items.push_back(StringNode(arg));
    AddMember(&node, "args", std::move(args));
    return node;
  }
  AddMember(&node, "url", StringNode(options.url));
  if (!options.headers.empty()) {
    JsonNode headers = ObjectNode();
    for (const auto& [key, value] : options.headers) AddMember(&headers, key, StringNode(value));
    AddMember(&node, "headers", std::move(headers));
  }
  return node;
}

// The file's text, or nothing where there is none.
absl::StatusOr<std::string> ReadOrEmpty(const std::string& path) {
  auto text = ReadTextBlocking(path);
  if (text.status().code() == absl::StatusCode::kNotFound) return std::string();
  return text;
}

absl::StatusOr<ConnectResult> Save(const std::string& path, const std::string& before,
                                   const std::string& after) {
  ConnectResult result;
  result.file = path;
  if (before == after) return result;
  if (!before.empty()) {
    METAMCP_ASSIGN_OR_RETURN(result.backup, BackupBlocking(path));
  }
  METAMCP_RETURN_IF_ERROR(ReplaceTextBlocking(path, after));
  result.changed = true;
  return result;
}

const JsonNode* FindEntry(const JsonNode& root, Client client, const std::string& entry) {
  const JsonNode* block = root.Find(Container(client));
  return block == nullptr ? nullptr : block->Find(entry);
}

}  // namespace

std::string ClientSnippet(Client client, const ConnectOptions& options) {
  JsonNode entries = ObjectNode();
  AddMember(&entries, options.entry, EntryNode(client, options));
  JsonNode root = ObjectNode();
  AddMember(&root, Container(client), std::move(entries));
  return ToJson(root);
}

absl::StatusOr<ConnectResult> ConnectClientBlocking(Client client, const ClientPlaces& places,
                                                    const ConnectOptions& options) {
  const std::string path = ClientFiles(client, places)[0];
  METAMCP_ASSIGN_OR_RETURN(const FileLock lock, FileLock::AcquireBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string before, ReadOrEmpty(path));
  const JsonNode entry = EntryNode(client, options);
  const JsonTree tree = ParseJsonc(before, path);
  const JsonNode* existing = FindEntry(tree.root, client, options.entry);
  if (existing != nullptr && ToJson(*existing) == ToJson(entry)) {
    return Save(path, before, before);
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string after,
                           SetMember(before, path, {Container(client), options.entry}, entry));
  return Save(path, before, after);
}

absl::StatusOr<ConnectResult> DisconnectClientBlocking(Client client, const ClientPlaces& places,
                                                       const ConnectOptions& options) {
  const std::string path = ClientFiles(client, places)[0];
  METAMCP_ASSIGN_OR_RETURN(const FileLock lock, FileLock::AcquireBlocking(path));
  METAMCP_ASSIGN_OR_RETURN(const std::string before, ReadOrEmpty(path));
  const JsonTree tree = ParseJsonc(before, path);
  if (before.empty() ||
      (tree.errors.empty() && FindEntry(tree.root, client, options.entry) == nullptr)) {
    return Save(path, before, before);
  }
  METAMCP_ASSIGN_OR_RETURN(const std::string after,
                           RemoveMember(before, path, {Container(client), options.entry}));
  return Save(path, before, after);
}

}  // namespace metamcp::config
