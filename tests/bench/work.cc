#include "tests/bench/work.h"

#include <cctype>
#include <fstream>
#include <sstream>

#include "common/base/strings.h"

namespace metamcp::load {
namespace {

constexpr std::string_view kModernMeta =
    R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
    R"("io.modelcontextprotocol/clientInfo":{"name":"metamcp-load","version":"1"},)"
    R"("io.modelcontextprotocol/clientCapabilities":)";
constexpr std::string_view kEverything =
    R"({"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}})";

std::string Fill(std::string_view text, std::string_view nonce) {
  std::string filled;
  size_t at = 0;
  for (size_t hit; (hit = text.find("{n}", at)) != std::string_view::npos; at = hit + 3) {
    filled.append(text.substr(at, hit - at)).append(nonce);
  }
  filled.append(text.substr(at));
  return filled;
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

WorkItem Work::ForTool(std::string_view tool) {
  WorkItem item;
  item.method = "tools/call";
  item.name = tool;
  item.params = StrCat(R"("name":")", tool, R"(","arguments":{"text":"{n}"})");
  const size_t split = tool.find("__");
  if (EndsWith(tool, "who") && split != std::string_view::npos) {
    // "<upstream> <pid> <text>"; the pid is not ours to know.
    item.expect = StrCat(R"("text":")", tool.substr(0, split), " *{n}\"");
  } else if (EndsWith(tool, "who")) {
    item.expect = "{n}\"";
  } else {
    item.expect = R"("text":"{n}")";
  }
  return item;
}

absl::StatusOr<std::vector<WorkItem>> Work::FromFile(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError("cannot read " + path);
  std::vector<WorkItem> items;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    std::istringstream words(line);
    std::string kind, what, expect;
    words >> kind >> what >> expect;
    WorkItem item;
    item.name = what;
    item.expect = expect;
    if (kind == "call") {
      item = ForTool(what);
    } else if (kind == "read") {
      item.method = "resources/read";
      item.params = StrCat(R"("uri":")", what, "\"");
    } else if (kind == "prompt") {
      item.method = "prompts/get";
      item.params = StrCat(R"("name":")", what, "\"");
    } else {
      return absl::InvalidArgumentError("unknown kind of work: " + line);
    }
    items.push_back(item);
  }
  if (items.empty()) return absl::InvalidArgumentError(path + " holds no work");
  return items;
}

Request Work::Make(const WorkItem& item) {
  Request request;
  const uint64_t id = ++next_;
  const std::string nonce = StrCat("n", id, "-", padding_);
  request.method = item.method;
  request.name = item.name;
  request.id_text = StrCat("\"id\":", id);
  request.expect = Fill(item.expect, nonce);
  const std::string params = Fill(item.params, nonce);
  const bool envelope = modern_ && item.method != "initialize";
  const std::string meta =
      envelope ? StrCat(kModernMeta, declares_ ? kEverything : "{}", "}") : std::string();
  request.body =
      StrCat(R"({"jsonrpc":"2.0",)", request.id_text, R"(,"method":")", item.method,
             R"(","params":{)", params, !params.empty() && !meta.empty() ? "," : "", meta, "}}");
  return request;
}

Request Work::Next() { return Make(items_[next_ % items_.size()]); }

Request Work::Initialize() {
  WorkItem item;
  item.method = "initialize";
  item.params =
      StrCat(R"("protocolVersion":"2025-11-25","capabilities":)", declares_ ? kEverything : "{}",
             R"(,"clientInfo":{"name":"metamcp-load","version":"1"})");
  item.expect = R"("protocolVersion":"2025-11-25")";
  return Make(item);
}

std::string Work::Judge(const Request& request, std::string_view answer) {
  const auto shown = [&] { return std::string(answer.substr(0, 300)); };
  const size_t id = answer.find(request.id_text);
  const size_t after = id + request.id_text.size();
  if (id == std::string_view::npos || (after < answer.size() && std::isdigit(answer[after]) != 0)) {
    return "answer to another request than " + request.id_text + ": " + shown();
  }
  if (answer.find("\"error\":") != std::string_view::npos) return "error: " + shown();
  if (answer.find("\"isError\":true") != std::string_view::npos) return "isError: " + shown();
  // One * in the expectation stands for anything.
  const size_t star = request.expect.find('*');
  const std::string_view expect = request.expect;
  const size_t first = answer.find(expect.substr(0, star));
  bool right = first != std::string_view::npos;
  if (right && star != std::string_view::npos) {
    right = answer.find(expect.substr(star + 1), first) != std::string_view::npos;
  }
  return right ? "" : "expected " + request.expect + ", got " + shown();
}

}  // namespace metamcp::load
