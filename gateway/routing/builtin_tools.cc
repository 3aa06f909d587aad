#include "gateway/routing/builtin_tools.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::gateway {
namespace {

constexpr std::string_view kSearch =
    R"({"name":"search_tools","title":"Search tools",)"
    R"("description":"Finds tools by words, best first. There are more tools than are listed here: )"
    R"(search for what you want to do, read a tool's arguments with describe_tool, and call it with )"
    R"(call_tool.","inputSchema":{"type":"object","properties":{"query":{"type":"string",)"
    R"("description":"What you want to do, in a few words."},"server":{"type":"string",)"
    R"("description":"Only tools of this server."},"limit":{"type":"integer","minimum":1,)"
    R"("maximum":50,"default":10}},"required":["query"]},"annotations":{"readOnlyHint":true,)"
    R"("openWorldHint":false}})";
constexpr std::string_view kDescribe =
    R"({"name":"describe_tool","title":"Describe a tool",)"
    R"("description":"Returns the whole definition of a tool: description, input schema, )"
    R"(annotations.","inputSchema":{"type":"object","properties":{"name":{"type":"string",)"
    R"("description":"A name from search_tools."}},"required":["name"]},"annotations":)"
    R"({"readOnlyHint":true,"openWorldHint":false}})";
constexpr std::string_view kCall =
    R"({"name":"call_tool","title":"Call a tool",)"
    R"("description":"Calls a tool that search_tools found and returns its result.","inputSchema":)"
    R"({"type":"object","properties":{"name":{"type":"string","description":"A name from )"
    R"(search_tools."},"arguments":{"type":"object","description":"As the tool's input schema says.",)"
    R"("additionalProperties":true},"max_output":{"type":"integer","minimum":100,"description":)"
    R"("Characters of the result at most; a longer one is cut, and says so."}},"required":["name"]}})";
constexpr std::string_view kSuggest =
    R"({"name":"suggest_workflow","title":"Suggest a workflow",)"
    R"("description":"Proposes a workflow over the tools that there are for a task in plain words. )"
    R"(Nothing is run. The answer holds the workflow, what it would change, what it asks for and )"
    R"(questions where no tool fits.","inputSchema":{"type":"object","properties":{"task":)"
    R"({"type":"string","description":"What is to be done."},"refinements":{"type":"array","items":)"
    R"({"type":"string"},"description":"What to change about an earlier proposal."}},"required":)"
    R"(["task"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}})";

constexpr std::string_view kFill =
    R"({"name":"meta-mcp.fill","title":"Ask a model","description":"Has a model fill a slot of a )"
    R"(workflow.","inputSchema":{"type":"object","properties":{"prompt":{"type":"string"},"input":{},)"
    R"("schema":{}},"required":["prompt"],"additionalProperties":false},"annotations":)"
    R"({"readOnlyHint":true,"openWorldHint":false}})";

EntryPtr MakeEntry(std::string_view definition) {
  auto entry = std::make_shared<ExposedEntry>();
  entry->kind = catalog::v1::ITEM_KIND_TOOL;
  entry->definition = std::string(definition);
  const auto view = json::ScanObject(entry->definition);
  entry->name = view->String("name").value_or("");
  entry->qualified_name = entry->name;
  entry->builtin = true;
  return entry;
}

// Characters, not bytes.
size_t Length(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// The first `characters` of a text.
std::string_view Head(std::string_view text, size_t characters) {
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (begins && characters-- == 0) break;
  }
  return text.substr(0, i);
}

std::string TextBlock(std::string_view text) {
  json::ObjectWriter block;
  block.AddString("type", "text");
  block.AddString("text", text);
  return std::move(block).Build();
}

}  // namespace

std::vector<EntryPtr> BuiltinEntries(bool search, bool suggest) {
  static const auto* all = new std::vector<EntryPtr>{MakeEntry(kSearch), MakeEntry(kDescribe),
                                                     MakeEntry(kCall), MakeEntry(kSuggest)};
  std::vector<EntryPtr> out;
  if (search) out.insert(out.end(), all->begin(), all->begin() + 3);
  if (suggest) out.push_back(all->back());
  return out;
}

EntryPtr FillEntry() {
  static const auto* entry = new EntryPtr(MakeEntry(kFill));
  return *entry;
}

std::optional<BuiltinCall> ReadBuiltinCall(const ServerView& view, std::string_view params) {
  const auto object = json::ScanObject(params);
  if (!object.ok()) return std::nullopt;
  const auto name = object->String("name");
  const EntryPtr entry = name ? view.Find(catalog::v1::ITEM_KIND_TOOL, *name) : nullptr;
  if (entry == nullptr || !entry->builtin) return std::nullopt;
  BuiltinCall call;
  call.name = *name;
  if (object->Has("arguments")) call.arguments = std::string(object->Raw("arguments"));
  return call;
}

std::string TextResult(std::string_view text, std::string_view structured, bool is_error) {
  json::ObjectWriter result;
  result.AddString("resultType", "complete");
  const std::string block = TextBlock(text);
  result.Add("content", StrCat("[", block, "]"));
  if (!structured.empty()) result.Add("structuredContent", structured);
  if (is_error) result.AddBool("isError", true);
  return std::move(result).Build();
}

std::string CutResult(std::string result, size_t characters_max) {
  // Most results are short, and no text is shorter as JSON.
  if (result.size() <= characters_max) return result;
  const auto view = json::ScanObject(result);
  if (!view.ok()) return result;
  const auto content = json::ScanArray(view->Raw("content"));
  if (!content.ok()) return result;
  size_t left = characters_max, whole = 0, dropped = 0;
  bool cut = false;
  std::vector<std::string> kept;
  for (const json::Value& value : *content) {
    const auto block = json::ScanObject(value.raw);
    const auto text =
        block.ok() && block->String("type") == "text" ? block->String("text") : std::nullopt;
    const size_t size = text ? Length(*text) : value.raw.size();
    whole += size;
    if (size <= left) {
      kept.emplace_back(value.raw);
      left -= size;
    } else if (text) {
      cut = true;
      if (left == 0) continue;
      json::Splicer splicer(*block);
      splicer.SetString("text", Head(*text, left));
      kept.push_back(splicer.Build());
      left = 0;
    } else {
      ++dropped;
    }
  }
  const bool structured = Length(view->Raw("structuredContent")) > characters_max;
  if (!cut && dropped == 0 && !structured) return result;
  std::string remark =
      StrCat("[cut: the first ", characters_max - left, " of ", whole, " characters are shown");
  if (dropped > 0) remark += StrCat(", ", dropped, " other parts are left out");
  if (structured) remark += ", the structured content is left out";
  kept.push_back(TextBlock(remark + "; ask for less, or for more with max_output]"));
  json::Splicer splicer(*view);
  splicer.Set("content", json::JoinArray(kept));
  // What is left of it would not agree with the text.
  splicer.Remove("structuredContent");
  return splicer.Build();
}

bool HasOutputSchema(const ServerView& view, std::string_view params) {
  const auto object = json::ScanObject(params);
  const auto name = object.ok() ? object->String("name") : std::nullopt;
  const EntryPtr entry = name ? view.Find(catalog::v1::ITEM_KIND_TOOL, *name) : nullptr;
  if (entry == nullptr) return false;
  const auto definition = json::ScanObject(entry->definition);
  return definition.ok() && definition->Has("outputSchema");
}

}  // namespace metamcp::gateway
