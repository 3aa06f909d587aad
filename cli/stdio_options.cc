#include "cli/stdio_options.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "cli/endpoint.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"

namespace metamcp::cli {
namespace {

// Well below the time after which a gateway without clients ends.
constexpr std::chrono::seconds kPresence{20};

std::string Variable(const CommandContext& ctx, std::string_view name) {
  const auto it = ctx.env.find(name);
  return it == ctx.env.end() ? std::string() : it->second;
}

// The number in a variable; nothing where it is not set.
absl::StatusOr<std::optional<double>> Number(const CommandContext& ctx, std::string_view name,
                                             std::string_view what, double max) {
  const std::string text = Variable(ctx, name);
  if (text.empty()) return std::optional<double>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !(value > 0 && value <= max)) {
    return UsageError(StrCat(name, " must be ", what, " from 1 to ", static_cast<int64_t>(max)));
  }
  return std::optional<double>(value);
}

std::vector<std::string> Urls(const CommandContext& ctx) {
  if (ctx.remote()) return {ctx.global.url};
  std::string text = Variable(ctx, "MCP_SERVER_URL");
  if (!text.empty()) return {text};
  std::vector<std::string> out;
  text = Variable(ctx, "MCP_SERVER_CATALOG_URLS");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string one = text.substr(begin, end - begin);
    absl::StripAsciiWhitespace(&one);
    if (!one.empty()) out.push_back(std::move(one));
    begin = end + 1;
  }
  return out;
}

bool PathEnds(const http::Url& url, std::string_view end) {
  const std::string_view path = std::string_view(url.target).substr(0, url.target.find('?'));
  return path.size() >= end.size() && path.substr(path.size() - end.size()) == end;
}

// How a URL is spoken to: by its scheme, or by the path that gateways have for a transport.
TranslateOptions::Source SourceOf(const std::string& text) {
  TranslateOptions::Source source;
  source.type = "http";
  source.url = text;
  const auto url = http::ParseUrl(text);
  if (!url.ok()) return source;
  const bool ws = url->scheme == "ws" || url->scheme == "wss";
  if (ws || PathEnds(*url, "/ws")) {
    source.type = "ws";
    if (!ws) source.url = StrCat("ws", text.substr(4));
  } else if (PathEnds(*url, "/sse")) {
    source.type = "sse";
  }
  return source;
}

std::string AuthorizationOf(const CommandContext& ctx) {
  std::string token = ctx.global.token;
  for (const char* name : {"META_MCP_TOKEN", "MCP_AUTH", "MCP_AUTH_TOKEN"}) {
    if (token.empty()) token = Variable(ctx, name);
  }
  if (token.empty() || token.find(' ') != std::string::npos) return token;
  return StrCat("Bearer ", token);
}

}  // namespace

absl::StatusOr<StdioPlan> PlanStdio(const CommandContext& ctx, const std::string& virtual_server) {
  StdioPlan plan;
  const std::vector<std::string> urls = Urls(ctx);
  METAMCP_ASSIGN_OR_RETURN(const auto timeout,
                           Number(ctx, "MCP_TOOL_CALL_TIMEOUT", "seconds", 86'400));
  METAMCP_ASSIGN_OR_RETURN(const auto concurrency, Number(ctx, "CONCURRENCY", "requests", 10'000));
  const auto timeout_ms = static_cast<int64_t>(timeout.value_or(0) * 1000);
  plan.bridge.authorization = AuthorizationOf(ctx);
  plan.bridge.request_timeout = std::chrono::milliseconds(timeout_ms);
  if (concurrency) plan.bridge.in_flight_max = static_cast<size_t>(*concurrency);
  if (urls.empty()) {
    plan.bridge.unix_socket = ctx.SocketPath();
    METAMCP_ASSIGN_OR_RETURN(plan.bridge.url, EndpointUrl("http://localhost", virtual_server));
    plan.bridge.presence = kPresence;
    return plan;
  }
  if (urls.size() == 1 && SourceOf(urls[0]).type == "http") {
    METAMCP_ASSIGN_OR_RETURN(plan.bridge.url, EndpointUrl(urls[0], virtual_server));
    const RestTarget target = ctx.Target();
    plan.bridge.ca_file = target.ca_file;
    plan.bridge.cert_file = target.cert_file;
    plan.bridge.key_file = target.key_file;
    return plan;
  }
  if (!virtual_server.empty()) {
    return UsageError("--virtual goes with the URL of one gateway",
                      "Name the virtual server in the URL: .../servers/NAME/sse.");
  }
  TranslateOptions translate;
  for (const std::string& url : urls) {
    TranslateOptions::Source source = SourceOf(url);
    if (source.type == "http") {
      METAMCP_ASSIGN_OR_RETURN(source.url, EndpointUrl(url, ""));
    }
    translate.sources.push_back(std::move(source));
  }
  translate.authorization = plan.bridge.authorization;
  translate.timeout_ms = timeout_ms;
  translate.concurrency = static_cast<int64_t>(concurrency.value_or(0));
  translate.env = ctx.env;
  translate.service = "stdio";
  plan.translate = std::move(translate);
  return plan;
}

}  // namespace metamcp::cli
