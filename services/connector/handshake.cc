#include "services/connector/handshake.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::connector {
namespace {

constexpr size_t kInstructionsMax = 64u << 10;

absl::Status Broken(std::string_view what) {
  return MakeError("UPSTREAM_PROTOCOL", "connector", what);
}

bool IsTrue(std::string_view raw) { return raw == "true"; }

void ReadCapabilities(std::string_view raw, Negotiated& out) {
  const auto view = json::ScanObject(raw.empty() ? "{}" : raw);
  if (!view.ok()) {
    out.capabilities = "{}";
    return;
  }
  out.tools = view->Has("tools");
  out.prompts = view->Has("prompts");
  out.resources = view->Has("resources");
  out.logging = view->Has("logging");
  out.completions = view->Has("completions");
  if (const auto resources = json::ScanObject(view->Raw("resources")); resources.ok()) {
    out.subscribe = IsTrue(resources->Raw("subscribe"));
  }
  // Tasks of 2025-11-25 are another protocol than the extension of the same name.
  json::Splicer splicer(*view);
  if (!out.modern() && view->Has("tasks")) splicer.Remove("tasks");
  out.capabilities = splicer.Build();
}

}  // namespace

absl::StatusOr<Negotiated> ReadInitializeResult(std::string_view result) {
  const auto view = json::ScanObject(result);
  if (!view.ok()) return Broken("the answer to initialize is not an object");
  const auto version = view->String("protocolVersion");
  if (!version) return Broken("the answer to initialize has no protocolVersion");
  const auto revision = mcp::ParseRevision(*version);
  if (!revision || mcp::IsModern(*revision)) {
    return Broken(StrCat("the upstream wants protocol version '", version->substr(0, 40),
                         "', which is not supported"));
  }
  Negotiated out;
  out.revision = *revision;
  out.server_info = std::string(view->Raw("serverInfo"));
  out.instructions = view->String("instructions").value_or("").substr(0, kInstructionsMax);
  ReadCapabilities(view->Raw("capabilities"), out);
  // 2024-11-05 has the method but no capability for it.
  if (!mcp::HasCompletionsCapability(out.revision)) out.completions = true;
  return out;
}

absl::StatusOr<Negotiated> ReadDiscoverResult(std::string_view result) {
  const auto view = json::ScanObject(result);
  if (!view.ok()) return Broken("the answer to server/discover is not an object");
  const auto versions = json::ScanArray(view->Raw("supportedVersions"));
  if (!versions.ok()) return Broken("the answer to server/discover has no supportedVersions");
  Negotiated out;
  bool common = false;
  for (const json::Value& value : *versions) {
    const auto name =
        value.is_string() ? json::JsonUnquote(value.raw) : absl::StatusOr<std::string>("");
    const auto revision = name.ok() ? mcp::ParseRevision(*name) : std::nullopt;
    if (revision && mcp::IsModern(*revision)) {
      out.revision = *revision;
      common = true;
    }
  }
  if (!common) return Broken("the upstream supports no protocol version that we do");
  if (const auto meta = json::ScanObject(view->Raw("_meta")); meta.ok()) {
    out.server_info = std::string(meta->Raw("io.modelcontextprotocol/serverInfo"));
  }
  out.instructions = view->String("instructions").value_or("").substr(0, kInstructionsMax);
  ReadCapabilities(view->Raw("capabilities"), out);
  return out;
}

EraVerdict JudgeDiscover(const Session::Answer& answer) {
  if (!answer.error) {
    return ReadDiscoverResult(answer.result).ok() ? EraVerdict::kModern : EraVerdict::kLegacy;
  }
  const auto data = json::ScanObject(answer.error->data);
  if (answer.error->code == -32022 && data.ok() && data->Has("supported")) {
    return data->Raw("supported").find("\"2026-07-28\"") != std::string_view::npos
               ? EraVerdict::kModern
               : EraVerdict::kLegacy;
  }
  // Codes that only a modern server gives this meaning; others use them for anything, so the data
  // must fit as well.
  if (answer.error->code == -32021 && data.ok() && data->Has("requiredCapabilities")) {
    return EraVerdict::kModern;
  }
  return EraVerdict::kLegacy;
}

Capset ReadCapset(std::string_view raw_capabilities) {
  Capset out;
  if (raw_capabilities.empty() || raw_capabilities == "{}") return out;
  const auto view = json::ScanObject(raw_capabilities);
  if (!view.ok()) return out;
  out.roots = view->Has("roots");
  out.sampling = view->Has("sampling");
  out.elicitation = view->Has("elicitation");
  return out;
}

std::string LegacyCapabilities(const Capset& capset) {
  json::ObjectWriter out;
  if (capset.roots) out.Add("roots", "{}");
  if (capset.sampling) out.Add("sampling", "{}");
  if (capset.elicitation) out.Add("elicitation", R"({"form":{},"url":{}})");
  return std::move(out).Build();
}

}  // namespace metamcp::connector
