// The templates that come with the program.
#include "common/base/check.h"
#include "services/workflow/face/templates.h"

namespace metamcp::workflow {
namespace {

constexpr char kTemplates[] = R"json([
{
  "name": "approve-then-run",
  "title": "Run a tool after an approval",
  "description": "Shows a person what is about to happen and calls the tool only when approved.",
  "parameters": {
    "name": {"description": "name of the workflow", "schema": {"type": "string"}, "default": "approve-then-run"},
    "question": {"description": "what the person is asked", "schema": {"type": "string"}, "default": "May this be done?", "slot": true},
    "tool": {"description": "the tool, for example filesystem.write_file", "schema": {"type": "string", "pattern": "."}, "slot": true},
    "arguments": {"description": "its arguments; may refer to ${input.…}", "schema": {"type": "object"}, "default": {}, "slot": true},
    "separate": {"description": "whoever starts the run may not approve it", "schema": {"type": "boolean"}, "default": false}
  },
  "workflow": {
    "name": "{{name}}",
    "summary": "Calls {{tool}} when a person has approved it",
    "steps": [
      {"id": "approve", "approval": {"title": "{{question}}", "show": {"tool": "{{tool}}", "arguments": "{{arguments}}"}, "separate": "{{separate}}"}},
      {"id": "act", "tool": "{{tool}}", "arguments": "{{arguments}}", "dependsOn": ["approve"]}
    ],
    "output": "${steps.act}"
  }
},
{
  "name": "for-each",
  "title": "Call a tool for every element of a list",
  "description": "Runs one tool for each element of the input's list and returns all results; one that fails does not stop the others.",
  "parameters": {
    "name": {"description": "name of the workflow", "schema": {"type": "string"}, "default": "for-each"},
    "tool": {"description": "the tool", "schema": {"type": "string", "pattern": "."}, "slot": true},
    "arguments": {"description": "its arguments; ${item} is the element", "schema": {"type": "object"}, "slot": true}
  },
  "workflow": {
    "name": "{{name}}",
    "summary": "Calls {{tool}} for every element of a list",
    "input": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
    "steps": [
      {"id": "each", "tool": "{{tool}}", "arguments": "{{arguments}}", "forEach": "${input.items}", "onError": "continue"}
    ],
    "output": {"results": "${steps.each}"}
  }
},
{
  "name": "collect-to-file",
  "title": "Read several sources and write one file",
  "description": "Calls a reading tool for each source, joins the results and writes them to a file.",
  "parameters": {
    "name": {"description": "name of the workflow", "schema": {"type": "string"}, "default": "collect-to-file"},
    "sources": {"description": "what is read, for example paths", "schema": {"type": "array", "minItems": 1}, "slot": true},
    "readTool": {"description": "the tool that reads one source", "schema": {"type": "string"}, "default": "filesystem.read_text_file"},
    "readArgument": {"description": "its argument that names the source", "schema": {"type": "string"}, "default": "path"},
    "writeTool": {"description": "the tool that writes the file", "schema": {"type": "string"}, "default": "filesystem.write_file"},
    "target": {"description": "path of the file that is written", "schema": {"type": "string", "pattern": "."}, "slot": true}
  },
  "workflow": {
    "name": "{{name}}",
    "summary": "Reads several sources and writes one file",
    "steps": [
      {"id": "read", "tool": "{{readTool}}", "arguments": {"{{readArgument}}": "${item}"}, "forEach": "{{sources}}"},
      {"id": "write", "tool": "{{writeTool}}", "arguments": {"path": "{{target}}", "content": "${steps.read | map(if type == \"object\" and has(\"content\") then .content else . end | if type == \"string\" then . else tojson end) | join(\"\\n\")}"}}
    ],
    "output": {"file": "{{target}}"}
  }
},
{
  "name": "scheduled",
  "title": "Call a tool at fixed times",
  "description": "Starts by itself at the times that a cron line names; times that were missed are made up for once.",
  "parameters": {
    "name": {"description": "name of the workflow", "schema": {"type": "string"}, "default": "scheduled"},
    "cron": {"description": "minute hour day month weekday, in UTC or behind CRON_TZ=Area/City", "schema": {"type": "string"}, "default": "0 6 * * *", "slot": true},
    "missed": {"description": "once, skip or all", "schema": {"enum": ["once", "skip", "all"]}, "default": "once"},
    "tool": {"description": "the tool", "schema": {"type": "string", "pattern": "."}, "slot": true},
    "arguments": {"description": "its arguments", "schema": {"type": "object"}, "default": {}, "slot": true}
  },
  "workflow": {
    "name": "{{name}}",
    "summary": "Calls {{tool}} at {{cron}}",
    "schedule": {"cron": "{{cron}}", "missed": "{{missed}}"},
    "steps": [{"id": "act", "tool": "{{tool}}", "arguments": "{{arguments}}"}],
    "output": "${steps.act}"
  }
},
{
  "name": "do-and-undo",
  "title": "Two changes that belong together",
  "description": "Makes two changes; where the second one fails, the first is undone.",
  "parameters": {
    "name": {"description": "name of the workflow", "schema": {"type": "string"}, "default": "do-and-undo"},
    "first": {"description": "the first change: {tool, arguments}", "schema": {"type": "object", "required": ["tool", "arguments"]}, "slot": true},
    "undo": {"description": "what undoes it: {tool, arguments}", "schema": {"type": "object", "required": ["tool", "arguments"]}, "slot": true},
    "second": {"description": "the tool of the second change", "schema": {"type": "string", "pattern": "."}, "slot": true},
    "secondArguments": {"description": "its arguments; may refer to ${steps.first}", "schema": {"type": "object"}, "default": {}, "slot": true}
  },
  "workflow": {
    "name": "{{name}}",
    "summary": "Makes two changes, or none",
    "steps": [
      {"id": "first", "tool": "{{first.tool}}", "arguments": "{{first.arguments}}", "compensate": "{{undo}}"},
      {"id": "second", "tool": "{{second}}", "arguments": "{{secondArguments}}", "dependsOn": ["first"], "onError": "rollback"}
    ],
    "output": {"first": "${steps.first}", "second": "${steps.second}"}
  }
}
])json";

}  // namespace

const std::vector<TemplateSpec>& BuiltinTemplates() {
  static const std::vector<TemplateSpec> kAll = [] {
    auto read = ReadTemplates(kTemplates);
    METAMCP_CHECK(read.ok());
    return *std::move(read);
  }();
  return kAll;
}

}  // namespace metamcp::workflow
