#include "common/config/import.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/atomic_file.h"
#include "common/config/fields.h"
#include "common/config/json_tree.h"
#include "common/config/load.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

constexpr std::string_view kOwnName = "meta-mcp";

std::string VariableName(std::string_view input) {
  std::string out;
  for (const char c : input) out.push_back(absl::ascii_isalnum(c) ? absl::ascii_toupper(c) : '_');
  if (out.empty() || absl::ascii_isdigit(out[0])) out.insert(0, "INPUT_");
  return out;
}

class Importer {
 public:
  explicit Importer(std::string file) : file_(std::move(file)) {}

  absl::StatusOr<ImportResult> Run(std::string_view text) {
    JsonTree tree = ParseJsonc(text, file_);
    if (!tree.errors.empty()) {
      return MakeError("CONFIG_INVALID", "config", FormatErrors(tree.errors));
    }
    ReadBlocks(tree.root);
    if (const JsonNode* mcp = tree.root.Find("mcp")) ReadBlocks(*mcp);
    if (const JsonNode* projects = tree.root.Find("projects")) {
      for (const JsonMember& project : projects->members) ReadBlocks(project.value);
    }
    return std::move(result_);
  }

 private:
  void Note(Position at, std::string message, std::string mend) {
    Problem note;
    note.file = file_;
    note.at = at;
    note.message = std::move(message);
    note.mend = std::move(mend);
    result_.notes.push_back(std::move(note));
  }

  void ReadBlocks(const JsonNode& node) {
    for (const std::string_view key : {"mcpServers", "servers"}) {
      const JsonNode* block = node.Find(key);
      if (block == nullptr) continue;
      for (const JsonMember& member : block->members) ReadServer(member);
    }
  }

  void ReadServer(const JsonMember& member) {
    if (Slug(member.key) == kOwnName) {
      Note(member.at, StrCat("\"", member.key, "\" is this gateway and is left out"), "");
      return;
    }
    JsonNode entry = member.value;
    RewriteReferences(member, &entry);
    JsonNode block = ObjectNode();
    AddMember(&block, member.key, WithoutUnknownKeys(member, std::move(entry)));
    JsonNode root = ObjectNode();
    AddMember(&root, "mcpServers", std::move(block));
    LoadOptions options;
    options.resolve = false;
    const CheckResult check = CheckConfig(ToJson(root), file_, options);
    if (!check.errors.empty()) {
      Note(member.at, StrCat("\"", member.key, "\" is left out: ", check.errors[0].message),
           check.errors[0].mend);
      return;
    }
    // Places within the rebuilt text mean nothing to the reader of the original.
    for (const Problem& note : check.loaded.notes) Note(member.at, note.message, note.mend);
    Add(member, check.loaded.config.mcp_servers.begin()->second);
  }

  void RewriteReferences(const JsonMember& member, JsonNode* node) {
    for (JsonNode& item : node->items) RewriteReferences(member, &item);
    for (JsonMember& m : node->members) RewriteReferences(member, &m.value);
    if (node->kind != JsonNode::Kind::kString) return;
    std::string& text = node->text;
    text = absl::StrReplaceAll(Av(text), {{"${userHome}", "${HOME}"}});
    constexpr std::string_view kInput = "${input:";
    for (size_t begin = text.find(kInput); begin != std::string::npos;
         begin = text.find(kInput, begin)) {
      const size_t end = text.find('}', begin);
      if (end == std::string::npos) break;
      const size_t name = begin + kInput.size();
      const std::string variable = VariableName(std::string_view(text).substr(name, end - name));
      Note(node->at,
           StrCat("\"", member.key, "\" asks for an input; it is read from ${", variable, "} now"),
           StrCat("set ", variable, " where meta-mcp starts"));
      const std::string reference = StrCat("${", variable, "}");
      text.replace(begin, end + 1 - begin, reference);
      begin += reference.size();
    }
    if (absl::StrContains(text, "${workspaceFolder")) {
      Note(node->at, StrCat("\"", member.key, "\" depends on the editor's folder"),
           "write the folder instead of ${workspaceFolder}");
    }
  }

  // What other clients' newer versions invent must not keep a server out.
  JsonNode WithoutUnknownKeys(const JsonMember& member, JsonNode entry) {
    if (entry.kind != JsonNode::Kind::kObject) return entry;
    std::vector<JsonMember> kept;
    for (JsonMember& m : entry.members) {
      JsonNode server = ObjectNode();
      AddMember(&server, "command", StringNode("x"));
      if (m.key != "command") AddMember(&server, m.key, m.value);
      JsonNode block = ObjectNode();
      AddMember(&block, "x", std::move(server));
      JsonNode root = ObjectNode();
      AddMember(&root, "mcpServers", std::move(block));
      const CheckResult check = CheckConfig(ToJson(root), file_, LoadOptions());
      const bool unknown =
          std::any_of(check.errors.begin(), check.errors.end(), [](const Problem& p) {
            return absl::StartsWith(p.message, "found the unknown key") ||
                   absl::EndsWith(p.message, "which is not in this version");
          });
      if (unknown) {
        Note(m.at, StrCat("\"", member.key, "\": the key \"", m.key, "\" is left out"), "");
      } else {
        kept.push_back(std::move(m));
      }
    }
    entry.members = std::move(kept);
    return entry;
  }

  void Add(const JsonMember& member, const ServerConfig& server) {
    ImportedServer imported;
    imported.name = member.key;
    imported.server = server;
    imported.file = file_;
    imported.at = member.at;
    result_.servers.push_back(std::move(imported));
  }

  const std::string file_;
  ImportResult result_;
};

// Drops repeated servers and renames different ones of one name.
ImportResult Unite(std::vector<ImportedServer> all, std::vector<Problem> notes) {
  ImportResult out;
  out.notes = std::move(notes);
  for (ImportedServer& server : all) {
    const auto taken = [&out](const std::string& name) {
      return std::find_if(out.servers.begin(), out.servers.end(),
                          [&name](const ImportedServer& s) { return Slug(s.name) == Slug(name); });
    };
    const auto first = taken(server.name);
    if (first != out.servers.end()) {
      if (first->server == server.server) continue;
      std::string name;
      for (int i = 2; name.empty() || taken(name) != out.servers.end(); ++i) {
        name = StrCat(server.name, "-", i);
      }
      Problem note;
      note.file = server.file;
      note.at = server.at;
      note.message = StrCat("another \"", server.name, "\" is imported as \"", name, "\"");
      out.notes.push_back(std::move(note));
      if (server.server.display_name == server.name) server.server.display_name = name;
      server.name = name;
    }
    out.servers.push_back(std::move(server));
  }
  return out;
}

}  // namespace

absl::StatusOr<ImportResult> ImportText(std::string_view text, const std::string& file) {
  METAMCP_ASSIGN_OR_RETURN(ImportResult result, Importer(file).Run(text));
  return Unite(std::move(result.servers), std::move(result.notes));
}

absl::StatusOr<ImportResult> ImportFileBlocking(const std::string& path) {
  METAMCP_ASSIGN_OR_RETURN(const std::string text, ReadTextBlocking(path));
  return ImportText(text, path);
}

absl::StatusOr<ImportResult> ImportClientBlocking(Client client, const ClientPlaces& places) {
  std::vector<ImportedServer> all;
  std::vector<Problem> notes;
  bool found = false;
  for (const std::string& path : ClientFiles(client, places)) {
    auto result = ImportFileBlocking(path);
    if (result.status().code() == absl::StatusCode::kNotFound) continue;
    found = true;
    if (!result.ok()) {
      Problem note;
      note.message = std::string(Sv(result.status().message()));
      notes.push_back(std::move(note));
      continue;
    }
    std::move(result->servers.begin(), result->servers.end(), std::back_inserter(all));
    std::move(result->notes.begin(), result->notes.end(), std::back_inserter(notes));
  }
  if (!found) {
    return MakeError("NOT_FOUND", "config",
                     StrCat("there is no configuration of ", ClientName(client), "; looked for ",
                            ClientFiles(client, places)[0]));
  }
  return Unite(std::move(all), std::move(notes));
}

}  // namespace metamcp::config
