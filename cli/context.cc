#include "cli/context.h"

#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/endpoint.h"
#include "cli/gateway_starter.h"
#include "common/base/error.h"
#include "common/base/error_registry.h"
#include "common/base/strings.h"
#include "common/config/load.h"
#include "common/json/dom.h"
#include "common/json/scan.h"

namespace metamcp::cli {
namespace {

std::string Lookup(const config::Environment& env, std::string_view name) {
  const auto it = env.find(name);
  return it == env.end() ? std::string() : it->second;
}

bool SameTarget(const RestTarget& target, const std::string& key) {
  return key == StrCat(target.name(), " ", target.token);
}

}  // namespace

bool CommandContext::color() const {
  return out_is_terminal && !global.plain && Lookup(env, "NO_COLOR").empty() &&
         Lookup(env, "TERM") != "dumb";
}

std::string CommandContext::DataDir() const {
  if (!global.data_dir.empty()) return global.data_dir;
  const std::string from_env = Lookup(env, "META_MCP_DATA_DIR");
  if (!from_env.empty()) return from_env;
  return StrCat(Lookup(env, "HOME"), "/.meta-mcp");
}

std::string CommandContext::GivenConfig() const {
  return global.config.empty() ? Lookup(env, "META_MCP_CONFIG") : global.config;
}

std::string CommandContext::ConfigPath() const {
  const std::string given = GivenConfig();
  return given.empty() ? StrCat(DataDir(), "/config.json") : given;
}

std::string CommandContext::SocketPath() const {
  config::LoadOptions options;
  options.env = env;
  options.resolve = false;
  // A file with errors says nothing; commands that read it report them.
  const auto loaded = config::LoadConfigBlocking(ConfigPath(), options);
  const std::string configured = loaded.ok() ? loaded->config.gateway.listen_unix : "";
  return configured.empty() ? StrCat(DataDir(), "/serve.sock") : configured;
}

RestTarget CommandContext::Target() const {
  RestTarget target;
  target.token = global.token.empty() ? Lookup(env, "META_MCP_TOKEN") : global.token;
  target.ca_file = global.ca.empty() ? Lookup(env, "META_MCP_CA") : global.ca;
  target.cert_file = global.client_cert;
  target.key_file = global.client_key.empty() ? global.client_cert : global.client_key;
  if (!remote()) {
    target.unix_socket = SocketPath();
    return target;
  }
  target.base_url = BaseUrl(global.url);
  return target;
}

RestClient& CommandContext::rest() {
  const RestTarget target = Target();
  if (!rest_ || !SameTarget(target, rest_key_)) {
    rest_ = make_rest(target);
    rest_key_ = StrCat(target.name(), " ", target.token);
  }
  return *rest_;
}

bool CommandContext::GatewayRuns() {
  if (!remote() && !ListensBlocking(SocketPath())) return false;
  RestRequest request("GET", "/health");
  request.timeout = std::chrono::seconds(10);
  return rest().Send(request).ok();
}

void CommandContext::PrintJson(std::string_view raw) {
  const auto parsed = json::ParseOrderedJson(raw);
  if (!parsed.ok()) {
    *out << raw << "\n";
    return;
  }
  *out << parsed->dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

void CommandContext::PrintTable(const Table& table, std::string_view none) {
  if (table.empty()) {
    *out << none << "\n";
  } else {
    *out << (global.plain ? table.Linear() : table.Aligned(color()));
  }
}

void CommandContext::Say(std::string_view line) {
  if (!json()) *out << line << "\n";
}

void CommandContext::Note(std::string_view line) { *err << line << "\n"; }

std::string CommandContext::Ask(std::string_view question, std::string_view fallback) {
  if (!interactive()) return std::string(fallback);
  *err << question;
  if (!fallback.empty()) *err << " [" << fallback << "]";
  *err << " " << std::flush;
  std::string answer;
  if (!std::getline(*in, answer)) return std::string(fallback);
  const size_t begin = answer.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return std::string(fallback);
  return answer.substr(begin, answer.find_last_not_of(" \t\r") - begin + 1);
}

bool CommandContext::Confirm(std::string_view question, bool fallback) {
  const std::string answer = Ask(StrCat(question, " (y/n)"), fallback ? "y" : "n");
  return !answer.empty() && (answer[0] == 'y' || answer[0] == 'Y');
}

absl::Status Fail(std::string_view reason, std::string_view message, std::string_view hint) {
  std::map<std::string, std::string> metadata;
  if (!hint.empty()) metadata["hint"] = hint;
  return MakeError(reason, "cli", message, std::move(metadata));
}

absl::Status UsageError(std::string_view message, std::string_view hint) {
  return Fail("ARGUMENT_INVALID", message, hint);
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitDone;
  const auto info = GetErrorInfo(status);
  if (info && info->reason == "GATEWAY_UNREACHABLE") return kExitUnreachable;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitDenied;
    default:
      return kExitFailed;
  }
}

void PrintError(CommandContext& ctx, const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  const std::string reason = info ? info->reason : "INTERNAL";
  std::string hint;
  if (info) {
    const auto it = info->metadata.find("hint");
    if (it != info->metadata.end()) hint = it->second;
  }
  const ErrorEntry* entry = FindError(reason);
  if (hint.empty() && entry != nullptr) hint = entry->hint;
  if (ctx.json()) {
    nlohmann::ordered_json error;
    error["reason"] = reason;
    error["message"] = status.message();
    error["hint"] = hint;
    error["source"] = info ? info->domain : "cli";
    nlohmann::ordered_json root;
    root["error"] = std::move(error);
    *ctx.err << json::DumpJson(root) << "\n";
    return;
  }
  *ctx.err << "error: " << Printable(Sv(status.message())) << "\n";
  if (info && !info->domain.empty() && info->domain != "cli" && info->domain != "config") {
    *ctx.err << "  who: " << OneLine(info->domain) << " (" << OneLine(reason) << ")\n";
  }
  if (!hint.empty()) *ctx.err << "  what to do: " << OneLine(hint) << "\n";
}

}  // namespace metamcp::cli
