#include "services/catalog/validate.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "services/catalog/exposure.h"

namespace metamcp::catalog {
namespace {

constexpr std::string_view kSecretMask = "***";
constexpr size_t kTextBytesMax = 16 << 10;
constexpr int kListMax = 1000;
constexpr int64_t kTimeoutMsMax = 24 * 3600 * 1000;

absl::Status Invalid(std::string_view message) {
  return MakeError("ARGUMENT_INVALID", "catalog", message);
}

absl::Status CheckOneOf(std::string_view field, const std::string& value,
                        const std::vector<std::string_view>& allowed) {
  if (value.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
    return absl::OkStatus();
  }
  std::string list;
  for (const std::string_view a : allowed) list += StrCat(list.empty() ? "" : ", ", a);
  return Invalid(StrCat(field, " is '", value, "'; expected one of: ", list));
}

absl::Status CheckText(std::string_view field, std::string_view text, size_t max = kTextBytesMax) {
  if (text.size() > max) return Invalid(StrCat(field, " is longer than ", max, " bytes"));
  if (text.find('\0') != std::string_view::npos) return Invalid(StrCat(field, " holds a NUL byte"));
  return absl::OkStatus();
}

absl::Status CheckTimeout(std::string_view field, int64_t ms) {
  if (ms >= 0 && ms <= kTimeoutMsMax) return absl::OkStatus();
  return Invalid(StrCat(field, " must be 0 to ", kTimeoutMsMax, " milliseconds"));
}

bool IsHeaderName(std::string_view name) {  // RFC 9110, section 5.6.2, token
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kOther.find(c) != std::string_view::npos;
  });
}

absl::Status CheckHeaders(const v1::UpstreamSpec& spec) {
  for (const auto& [name, value] : spec.headers()) {
    if (!IsHeaderName(name)) return Invalid(StrCat("spec.headers: '", name, "' is not a name"));
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return Invalid(StrCat("spec.headers: the value of '", name, "' holds a line break"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEnv(const v1::UpstreamSpec& spec) {
  for (const auto& [name, value] : spec.env()) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      return Invalid(StrCat("spec.env: '", name, "' is not a variable name"));
    }
    METAMCP_RETURN_IF_ERROR(CheckText(StrCat("spec.env.", name), value, 128 << 10));
  }
  return absl::OkStatus();
}

absl::Status CheckUrl(const v1::UpstreamSpec& spec) {
  const bool ws = spec.type() == "ws";
  const std::string wanted = ws ? "ws:// or wss://" : "http:// or https://";
  if (spec.url().empty()) {
    return Invalid(StrCat("spec.url is missing; type ", spec.type(), " needs one with ", wanted));
  }
  METAMCP_RETURN_IF_ERROR(CheckText("spec.url", spec.url()));
  if (spec.url().starts_with("${")) return absl::OkStatus();  // known when it is resolved
  const size_t end = spec.url().find("://");
  const std::string scheme =
      end == std::string::npos ? "" : absl::AsciiStrToLower(spec.url().substr(0, end));
  const bool fits =
      ws ? (scheme == "ws" || scheme == "wss") : (scheme == "http" || scheme == "https");
  if (!fits) return Invalid(StrCat("spec.url must begin with ", wanted));
  if (spec.url().size() == end + 3) return Invalid("spec.url has no host");
  return absl::OkStatus();
}

absl::Status CheckTransport(const v1::UpstreamSpec& spec) {
  if (spec.type().empty()) return Invalid("spec.type is missing; expected stdio, http, sse or ws");
  METAMCP_RETURN_IF_ERROR(CheckOneOf("spec.type", spec.type(), {"stdio", "http", "sse", "ws"}));
  if (spec.type() != "stdio") {
    if (!spec.command().empty()) {
      return Invalid(StrCat("spec.command is for type stdio, not ", spec.type()));
    }
    return CheckUrl(spec);
  }
  if (!spec.url().empty()) return Invalid("spec.url is for types http, sse and ws, not stdio");
  if (spec.command().empty()) {
    return Invalid("spec.command is missing; type stdio needs the program to start");
  }
  METAMCP_RETURN_IF_ERROR(CheckText("spec.command", spec.command()));
  if (spec.args_size() > kListMax) return Invalid("spec.args has too many elements");
  for (const auto& arg : spec.args()) {
    METAMCP_RETURN_IF_ERROR(CheckText("spec.args", arg, 128 << 10));
  }
  return CheckText("spec.cwd", spec.cwd());
}

// Sizes only: what the rules mean is the connector's to judge, on its machine.
absl::Status CheckSandbox(const v1::UpstreamSpec& spec) {
  if (!spec.has_sandbox()) return absl::OkStatus();
  if (spec.type() != "stdio") return Invalid("spec.sandbox is for type stdio");
  const v1::UpstreamSandbox& sandbox = spec.sandbox();
  METAMCP_RETURN_IF_ERROR(CheckText("spec.sandbox.profile", sandbox.profile(), 128));
  for (const auto* list : {&sandbox.read(), &sandbox.write(), &sandbox.network(), &sandbox.env()}) {
    if (list->size() > 256) return Invalid("spec.sandbox has a list of more than 256 elements");
    for (const std::string& text : *list) {
      METAMCP_RETURN_IF_ERROR(CheckText("spec.sandbox", text, 4096));
    }
  }
  if (sandbox.memory_bytes() < 0 || sandbox.processes() < 0 || sandbox.cpu_s() < 0 ||
      sandbox.files() < 0 || sandbox.file_bytes() < 0) {
    return Invalid("spec.sandbox has a negative number");
  }
  return absl::OkStatus();
}

absl::Status CheckMeta(const common::v1::ObjectMeta& meta) {
  METAMCP_RETURN_IF_ERROR(CheckText("meta.displayName", meta.display_name(), 256));
  if (meta.tags_size() > 64) return Invalid("meta.tags has more than 64 elements");
  for (const std::string& tag : meta.tags()) {
    if (tag.empty()) return Invalid("meta.tags holds an empty tag");
    METAMCP_RETURN_IF_ERROR(CheckText("meta.tags", tag, 128));
  }
  METAMCP_RETURN_IF_ERROR(
      CheckOneOf("meta.visibility", meta.visibility(), {"private", "team", "public"}));
  return CheckOneOf("meta.origin", meta.origin(), {"file", "api", "ui", "federated", "generated"});
}

absl::Status CheckGlobs(std::string_view field,
                        const google::protobuf::RepeatedPtrField<std::string>& globs) {
  if (globs.size() > kListMax) return Invalid(StrCat(field, " has too many patterns"));
  for (const std::string& glob : globs) {
    if (glob.empty()) return Invalid(StrCat(field, " holds an empty pattern"));
    METAMCP_RETURN_IF_ERROR(CheckText(field, glob, 512));
    // Matching costs the product of stars and length for hostile patterns.
    if (std::count(glob.begin(), glob.end(), '*') > 16) {
      return Invalid(StrCat(field, ": '", glob, "' has more than 16 stars"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSelector(const std::string& field, const v1::Selector& selector) {
  METAMCP_RETURN_IF_ERROR(CheckGlobs(field + ".include", selector.include()));
  return CheckGlobs(field + ".exclude", selector.exclude());
}

}  // namespace

absl::Status CheckUpstream(const v1::Upstream& upstream) {
  const v1::UpstreamSpec& spec = upstream.spec();
  METAMCP_RETURN_IF_ERROR(CheckMeta(upstream.meta()));
  METAMCP_RETURN_IF_ERROR(CheckTransport(spec));
  METAMCP_RETURN_IF_ERROR(CheckHeaders(spec));
  METAMCP_RETURN_IF_ERROR(CheckEnv(spec));
  METAMCP_RETURN_IF_ERROR(CheckOneOf("spec.era", spec.era(), {"auto", "legacy", "modern"}));
  METAMCP_RETURN_IF_ERROR(
      CheckOneOf("spec.isolation", spec.isolation(), {"shared", "principal", "session", "call"}));
  METAMCP_RETURN_IF_ERROR(CheckSandbox(spec));
  METAMCP_RETURN_IF_ERROR(CheckTimeout("spec.timeoutMs", spec.timeout_ms()));
  for (const auto& [tool, ms] : spec.tool_timeouts_ms()) {
    METAMCP_RETURN_IF_ERROR(CheckTimeout(StrCat("spec.toolTimeoutsMs.", tool), ms));
  }
  if (spec.concurrency() < 0 || spec.concurrency() > 10'000) {
    return Invalid("spec.concurrency must be 0 to 10000");
  }
  for (const std::string& name : spec.fallbacks()) {
    if (name == upstream.meta().name()) return Invalid("spec.fallbacks names the server itself");
    if (Slug(name) != name) return Invalid(StrCat("spec.fallbacks: '", name, "' is not a slug"));
  }
  return spec.fallbacks_size() > 16 ? Invalid("spec.fallbacks has more than 16 names")
                                    : absl::OkStatus();
}

absl::Status CheckVirtualServer(const v1::VirtualServer& server) {
  const v1::VirtualServerSpec& spec = server.spec();
  METAMCP_RETURN_IF_ERROR(CheckMeta(server.meta()));
  METAMCP_RETURN_IF_ERROR(CheckText("spec.title", spec.title(), 256));
  METAMCP_RETURN_IF_ERROR(CheckText("spec.instructions", spec.instructions()));
  METAMCP_RETURN_IF_ERROR(CheckText("spec.metricsLabel", spec.metrics_label(), 64));
  if (!spec.mode().empty() && spec.mode() != "all" && spec.mode() != "search") {
    return Invalid("spec.mode must be all or search");
  }
  if (spec.max_output() < 0) return Invalid("spec.maxOutput must not be negative");
  METAMCP_RETURN_IF_ERROR(CheckGlobs("spec.servers", spec.servers()));
  METAMCP_RETURN_IF_ERROR(CheckSelector("spec.tools", spec.tools()));
  METAMCP_RETURN_IF_ERROR(CheckSelector("spec.resources", spec.resources()));
  METAMCP_RETURN_IF_ERROR(CheckSelector("spec.prompts", spec.prompts()));
  const bool prefix_ok =
      spec.prefix().size() <= 32 &&
      std::all_of(spec.prefix().begin(), spec.prefix().end(),
                  [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
  if (!prefix_ok) {
    return Invalid("spec.prefix must be slug, none, or at most 32 characters of [A-Za-z0-9_-]");
  }
  if (spec.overrides_size() > 10'000) return Invalid("spec.overrides has more than 10000 entries");
  return ViewSpec::Create(server.meta().name(), true, spec, "__").status();
}

absl::Status CheckSeparator(const std::string& separator) {
  const bool ok = !separator.empty() && separator.size() <= 8 &&
                  std::all_of(separator.begin(), separator.end(), [](unsigned char c) {
                    return absl::ascii_isalnum(c) || c == '_' || c == '-';
                  });
  if (ok) return absl::OkStatus();
  return Invalid("the name separator must be 1 to 8 characters of [A-Za-z0-9_-]");
}

absl::Status Unmask(const v1::UpstreamSpec& stored, v1::UpstreamSpec* wanted) {
  const auto restore = [](std::string_view field, const auto& from, auto& to) -> absl::Status {
    for (auto& [name, value] : to) {
      if (value != kSecretMask) continue;
      const auto it = from.find(name);
      if (it == from.end()) {
        return Invalid(StrCat(field, "[\"", name,
                              "\"] is the mask of answers; send its value, or a ${VAR} reference"));
      }
      value = it->second;
    }
    return absl::OkStatus();
  };
  METAMCP_RETURN_IF_ERROR(restore("spec.env", stored.env(), *wanted->mutable_env()));
  return restore("spec.headers", stored.headers(), *wanted->mutable_headers());
}

absl::Status NormalizeName(common::v1::ObjectMeta* meta) {
  const std::string given = meta->name().empty() ? meta->display_name() : meta->name();
  if (given.empty()) return Invalid("meta.name is missing");
  METAMCP_RETURN_IF_ERROR(CheckText("meta.name", given, 256));
  if (meta->display_name().empty()) meta->set_display_name(given);
  meta->set_name(Slug(given));
  return absl::OkStatus();
}

}  // namespace metamcp::catalog
