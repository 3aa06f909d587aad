#include <fstream>
#include <istream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/call.h"
#include "cli/commands.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"
#include "common/json/scan.h"

namespace metamcp::cli {
namespace {

// What a person sees of one content block.
std::string BlockText(const nlohmann::json& block) {
  const std::string type = TextOf(block, "type");
  if (type == "text") return Printable(TextOf(block, "text"));
  if (type == "resource_link") return StrCat("[resource ", OneLine(TextOf(block, "uri")), "]");
  if (type == "resource") {
    const nlohmann::json& resource = ObjectOf(block, "resource");
    const std::string text = TextOf(resource, "text");
    return text.empty() ? StrCat("[resource ", OneLine(TextOf(resource, "uri")), "]")
                        : Printable(text);
  }
  return StrCat("[", OneLine(type), " ", OneLine(TextOf(block, "mimeType")), ", ",
                TextOf(block, "data").size() * 3 / 4, " bytes; --output json shows it]");
}

struct CallOptions {
  std::string name, arguments, virtual_server;
  int64_t timeout_ms = 0;
};

absl::Status CallTool(CommandContext& ctx, const CallOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string arguments, ReadArguments(ctx, o.arguments));
  CallSpec spec;
  spec.method = "tools/call";
  spec.target = o.name;
  spec.arguments = arguments;
  spec.virtual_server = o.virtual_server;
  spec.timeout_ms = o.timeout_ms;
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallGateway(ctx, spec));
  const nlohmann::json& result = ObjectOf(reply, "result");
  const bool failed = BoolOf(reply, "isError") || BoolOf(result, "isError");
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(result));
  } else {
    for (const nlohmann::json& block : ArrayOf(result, "content")) {
      *ctx.out << BlockText(block) << "\n";
    }
    if (ArrayOf(result, "content").empty() && result.contains("structuredContent")) {
      ctx.PrintJson(json::DumpJson(result["structuredContent"]));
    }
    if (failed) ctx.Note(StrCat("error: the tool ", OneLine(o.name), " says that it failed."));
  }
  if (failed) ctx.exit_code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadArguments(CommandContext& ctx, const std::string& given) {
  if (given.empty()) return std::string("{}");
  std::string text = given;
  std::string source = "the arguments";
  if (given == "-") {
    text.assign(std::istreambuf_iterator<char>(*ctx.in), {});
    source = "standard input";
  } else if (given[0] == '@') {
    source = given.substr(1);
    std::ifstream file(source, std::ios::binary);
    if (!file) return UsageError(StrCat("cannot read ", source), "Check the path behind '@'.");
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  const auto parsed = json::ScanValue(text);
  if (!parsed.ok()) {
    return UsageError(StrCat(source, ": ", Sv(parsed.status().message())),
                      "Give a JSON object, for example '{\"path\": \"/tmp\"}', @file or -.");
  }
  if (!parsed->is_object()) {
    return UsageError(
        StrCat(source, ": found ", json::KindName(parsed->kind), ", expected a JSON object"));
  }
  return std::string(parsed->raw);
}

absl::StatusOr<nlohmann::json> CallGateway(CommandContext& ctx, const CallSpec& spec) {
  std::string body = StrCat("{\"method\":", json::JsonQuote(spec.method),
                            ",\"target\":", json::JsonQuote(spec.target));
  if (!spec.arguments.empty()) body += StrCat(",\"arguments\":", spec.arguments);
  if (!spec.virtual_server.empty()) {
    body += StrCat(",\"virtualServer\":", json::JsonQuote(spec.virtual_server));
  }
  if (spec.timeout_ms > 0) body += StrCat(",\"timeoutMs\":", spec.timeout_ms);
  body += "}";
  RestRequest request("POST", ApiPath({"call"}), body);
  // A little longer than the gateway waits, so that its own answer arrives.
  request.timeout =
      std::chrono::milliseconds((spec.timeout_ms > 0 ? spec.timeout_ms : 600'000) + 10'000);
  return CallJson(ctx, request);
}

void AddCallCommand(Command& group) {
  CommandContext& ctx = group.context();
  auto o = std::make_shared<CallOptions>();
  Command call = group.Sub("call", "Calls a tool and prints its answer");
  call.Example("meta-mcp tool call everything__echo '{\"message\": \"hello\"}'")
      .Example("meta-mcp tool call git.git_status @arguments.json --output json")
      .More("Exit code 1 when the tool says that it failed.");
  call.Argument("NAME", &o->name, "exposed or qualified name")
      .OptionalArgument("JSON", &o->arguments, "arguments: a JSON object, @file, or - for stdin")
      .Option("--virtual", &o->virtual_server, "through this virtual server", "NAME")
      .Integer("--timeout", &o->timeout_ms, 1, 86'400'000, "wait at most", "MS");
  call.Run([&ctx, o] { return CallTool(ctx, *o); });
}

}  // namespace metamcp::cli
