#include "services/connector/handshake.h"

#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "common/mcp/convert.h"

namespace metamcp::connector {
namespace {

constexpr size_t kInstructionsMax = 64u << 10;
// A client's settings are part of the key of its session with an upstream.
constexpr size_t kExtensionsMax = 16u << 10;

absl::Status Broken(std::string_view what) {
  return MakeError("UPSTREAM_PROTOCOL", "connector", what);
}

bool HasPath(const json::ObjectView& object, std::initializer_list<std::string_view> path) {
  std::string_view text = object.text();
  for (const std::string_view key : path) {
    const auto view = json::ScanObject(text);
    if (!view.ok() || !view->Has(key)) return false;
    text = view->Raw(key);
  }
  return true;
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
  out.extensions = view->Has("extensions");
  if (const auto resources = json::ScanObject(view->Raw("resources")); resources.ok()) {
    out.subscribe = IsTrue(resources->Raw("subscribe"));
  }
  out.capabilities = std::string(view->text());
  if (out.modern()) {
    out.tasks = mcp::ClientHasTasks(out.capabilities);
    return;
  }
  // Tasks of 2025-11-25 are another protocol; inside, both are the extension's.
  out.tasks =
      mcp::HasCoreTasks(out.revision) && HasPath(*view, {"tasks", "requests", "tools", "call"});
  auto modern = mcp::ServerCapabilitiesToModern(out.capabilities);
  if (modern.ok() && out.tasks) modern = mcp::WithTasks(*modern);
  if (modern.ok()) out.capabilities = *std::move(modern);
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
  // Without tasks: the two flavours are not compatible.
  const auto legacy = mcp::ClientCapabilitiesToLegacy(raw_capabilities, mcp::kLatestLegacy);
  if (!legacy.ok()) return out;
  const auto features = mcp::ParseClientFeatures(raw_capabilities, mcp::kLatestModern);
  if (features.ok()) out.features = *features;
  const auto view = json::ScanObject(*legacy);
  if (!view.ok()) return out;
  const json::Member* extensions = view->Find("extensions");
  if (extensions == nullptr || !extensions->value.is_object()) return out;
  if (extensions->value.raw.size() > kExtensionsMax) return out;
  const auto map = json::ScanObject(extensions->value.raw);
  if (map.ok() && !map->empty()) out.extensions = std::string(extensions->value.raw);
  return out;
}

Capset CapsetFor(Capset capset, mcp::Revision peer) {
  if (!mcp::HasElicitation(peer)) capset.features.elicitation_form = false;
  if (!mcp::HasUrlElicitation(peer)) capset.features.elicitation_url = false;
  if (!mcp::HasSamplingTools(peer)) capset.features.sampling_tools = false;
  return capset;
}

Capset GatewayCapset() {
  Capset out;
  out.features.roots = out.features.sampling = true;
  out.features.sampling_tools = out.features.sampling_context = true;
  out.features.elicitation_form = out.features.elicitation_url = true;
  out.extensions = R"({"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}})";
  return out;
}

std::string CapabilitiesText(const Capset& capset) {
  const mcp::ClientFeatures& f = capset.features;
  json::ObjectWriter out;
  if (f.roots) out.Add("roots", "{}");
  if (f.sampling) {
    json::ObjectWriter sampling;
    if (f.sampling_tools) sampling.Add("tools", "{}");
    if (f.sampling_context) sampling.Add("context", "{}");
    out.Add("sampling", std::move(sampling).Build());
  }
  if (f.elicitation_form || f.elicitation_url) {
    json::ObjectWriter elicitation;
    if (f.elicitation_form) elicitation.Add("form", "{}");
    if (f.elicitation_url) elicitation.Add("url", "{}");
    out.Add("elicitation", std::move(elicitation).Build());
  }
  if (!capset.extensions.empty()) out.Add("extensions", capset.extensions);
  return std::move(out).Build();
}

}  // namespace metamcp::connector
