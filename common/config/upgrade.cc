#include "common/base/strings.h"
#include "common/config/read.h"

namespace metamcp::config {
namespace {

JsonNode TextNode(std::string text, Position at) {
  JsonNode node;
  node.kind = JsonNode::Kind::kString;
  node.text = std::move(text);
  node.at = at;
  return node;
}

JsonMember MakeMember(std::string key, Position at, JsonNode value) {
  JsonMember member;
  member.key = std::move(key);
  member.at = at;
  member.value = std::move(value);
  return member;
}

class Upgrader {
 public:
  Upgrader(std::string file, JsonNode* root) : file_(std::move(file)), root_(root) {}

  std::vector<Problem> Run() {
    JsonNode version;
    version.kind = JsonNode::Kind::kNumber;
    version.text = "1";
    version.is_integer = true;
    version.integer = 1;
    version.at = root_->at;
    std::vector<JsonMember> old = std::move(root_->members);
    root_->members.clear();
    root_->members.push_back(MakeMember("version", root_->at, std::move(version)));
    for (JsonMember& member : old) {
      if (member.key == "version") continue;
      if (member.key == "mcp_servers") {
        root_->members.push_back(
            MakeMember("mcpServers", member.at, UpgradeServers(std::move(member.value))));
      } else if (member.key == "storage_path") {
        UpgradeStorage(member);
      } else if (member.key == "ai_api") {
        Say(member.at, "ai_api is dropped: write its provider as an entry of ai.providers");
      } else {
        root_->members.push_back(std::move(member));
      }
    }
    return std::move(problems_);
  }

 private:
  void Say(Position at, std::string message) {
    Problem problem;
    problem.file = file_;
    problem.at = at;
    problem.message = std::move(message);
    problems_.push_back(std::move(problem));
  }

  void UpgradeStorage(const JsonMember& member) {
    JsonNode database;
    database.kind = JsonNode::Kind::kObject;
    database.at = member.value.at;
    database.members.push_back(
        MakeMember("url", member.at,
                   TextNode(StrCat("sqlite:", HomePath(member.value.text)), member.value.at)));
    root_->members.push_back(MakeMember("database", member.at, std::move(database)));
  }

  // The old schema wrote "~/" for the home directory.
  static std::string HomePath(const std::string& path) {
    return path.substr(0, 2) == "~/" ? StrCat("${HOME}", path.substr(1)) : path;
  }

  JsonNode UpgradeServers(JsonNode list) {
    if (list.kind != JsonNode::Kind::kArray) return list;
    JsonNode out;
    out.kind = JsonNode::Kind::kObject;
    out.at = list.at;
    int unnamed = 0;
    for (JsonNode& item : list.items) {
      std::string name;
      Position at = item.at;
      std::vector<JsonMember> kept;
      for (JsonMember& m : item.members) {
        if (m.key == "name") {
          name = m.value.text;
          at = m.value.at;
          continue;
        }
        // In version 0 "url" meant the HTTP+SSE transport of its day.
        if (m.key == "type" && m.value.text == "url") m.value.text = "sse";
        kept.push_back(std::move(m));
      }
      item.members = std::move(kept);
      if (name.empty()) {
        name = StrCat("server-", ++unnamed);
        Say(at, StrCat("a server without a name is now \"", name, "\""));
      }
      while (out.Find(name) != nullptr) {
        Say(at,
            StrCat("the server name \"", name, "\" is there twice; one is now \"", name, "-2\""));
        name += "-2";
      }
      out.members.push_back(MakeMember(name, at, std::move(item)));
    }
    return out;
  }

  const std::string file_;
  JsonNode* root_;
  std::vector<Problem> problems_;
};

}  // namespace

bool IsVersion0(const JsonNode& root) {
  const JsonNode* version = root.Find("version");
  if (version != nullptr && version->kind == JsonNode::Kind::kNumber && version->text != "0") {
    return false;
  }
  return root.Find("mcp_servers") != nullptr || root.Find("ai_api") != nullptr ||
         root.Find("storage_path") != nullptr || version != nullptr;
}

std::vector<Problem> UpgradeTree(const std::string& file, JsonNode* root) {
  return Upgrader(file, root).Run();
}

}  // namespace metamcp::config
