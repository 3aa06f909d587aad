#include "common/mcp/meta.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/strings.h"
#include "common/json/splice.h"

namespace metamcp::mcp {
namespace {

using json::Member;
using json::ObjectView;

constexpr std::array<std::string_view, 8> kLevels = {"debug", "info",     "notice", "warning",
                                                     "error", "critical", "alert",  "emergency"};

// Faults found so far: a text for the message, and the key for the metadata.
struct Faults {
  std::vector<std::string> texts;
  std::vector<std::string> keys;

  void Add(std::string_view key, std::string_view what) {
    texts.push_back(StrCat("_meta[\"", key, "\"] ", what));
    keys.emplace_back(key);
  }
  absl::Status status() const {
    if (keys.empty()) return absl::OkStatus();
    return MakeError("INVALID_PARAMS", "mcp", absl::StrJoin(texts, "; "),
                     {{"keys", absl::StrJoin(keys, ",")}});
  }
};

std::string_view Inside(const Member& m) { return m.value.raw.substr(1, m.value.raw.size() - 2); }

std::string Text(const ObjectView& meta, std::string_view key) {
  return meta.String(key).value_or(std::string());
}

// An Implementation needs a name and a version (MCP 2026-07-28, schema).
bool IsImplementation(std::string_view raw) {
  const auto view = json::ScanObject(raw);
  return view.ok() && view->String("name").has_value() && view->String("version").has_value();
}

void ReadShared(const ObjectView& meta, RequestMeta* out, Faults* faults) {
  for (const Member& m : meta.members()) {
    const bool text = m.value.is_string();
    if (m.key == kMetaProgressToken) {
      auto token = jsonrpc::Id::FromRaw(m.value.raw);
      if (token.ok()) {
        out->progress_token = *std::move(token);
      } else {
        faults->Add(m.key, "must be a string or an integer");
      }
    } else if (m.key == kMetaTraceparent && text) {
      out->traceparent = Text(meta, m.key);
    } else if (m.key == kMetaTracestate && text) {
      out->tracestate = Text(meta, m.key);
    } else if (m.key == kMetaBaggage && text) {
      out->baggage = Text(meta, m.key);
    } else if (!IsModernRequestKey(m.key)) {
      out->other.emplace_back(m.key, m.value.raw);
    }
  }
}

void AppendShared(const RequestMeta& meta, json::ObjectWriter* writer) {
  if (meta.progress_token.present()) writer->Add(kMetaProgressToken, meta.progress_token.raw());
  if (!meta.traceparent.empty()) writer->AddString(kMetaTraceparent, meta.traceparent);
  if (!meta.tracestate.empty()) writer->AddString(kMetaTracestate, meta.tracestate);
  if (!meta.baggage.empty()) writer->AddString(kMetaBaggage, meta.baggage);
  for (const auto& [key, raw] : meta.other) writer->Add(key, raw);
}

}  // namespace

bool IsModernRequestKey(std::string_view key) {
  return key == kMetaProtocolVersion || key == kMetaClientInfo || key == kMetaClientCapabilities ||
         key == kMetaLogLevel;
}

bool HasModernClaim(const ObjectView& meta) { return meta.Has(kMetaProtocolVersion); }

std::optional<int> LogSeverity(std::string_view level) {
  const auto* it = std::find(kLevels.begin(), kLevels.end(), level);
  if (it == kLevels.end()) return std::nullopt;
  return static_cast<int>(it - kLevels.begin());
}

absl::StatusOr<RequestMeta> ParseModernMeta(const ObjectView& meta) {
  RequestMeta out;
  Faults faults;
  const Member* version = meta.Find(kMetaProtocolVersion);
  if (version == nullptr) {
    faults.Add(kMetaProtocolVersion, "is missing");
  } else if (!version->value.is_string() || Inside(*version).empty()) {
    faults.Add(kMetaProtocolVersion, "must be a string");
  } else {
    out.protocol_version = Text(meta, kMetaProtocolVersion);
  }
  const Member* capabilities = meta.Find(kMetaClientCapabilities);
  if (capabilities == nullptr) {
    faults.Add(kMetaClientCapabilities, "is missing");
  } else if (!capabilities->value.is_object()) {
    faults.Add(kMetaClientCapabilities, "must be an object");
  } else {
    out.client_capabilities = capabilities->value.raw;
  }
  if (const Member* info = meta.Find(kMetaClientInfo)) {
    if (!IsImplementation(info->value.raw)) {
      faults.Add(kMetaClientInfo, "must be an object with the strings name and version");
    }
    out.client_info = info->value.raw;
  }
  if (meta.Has(kMetaLogLevel)) {
    out.log_level = Text(meta, kMetaLogLevel);
    if (!LogSeverity(out.log_level)) faults.Add(kMetaLogLevel, "must be a log level");
  }
  ReadShared(meta, &out, &faults);
  if (!faults.keys.empty()) return faults.status();
  return out;
}

absl::StatusOr<RequestMeta> ParseLegacyMeta(const ObjectView& meta) {
  RequestMeta out;
  Faults faults;
  ReadShared(meta, &out, &faults);
  if (!faults.keys.empty()) return faults.status();
  return out;
}

std::string BuildModernMeta(const RequestMeta& meta) {
  json::ObjectWriter writer;
  writer.AddString(kMetaProtocolVersion, meta.protocol_version);
  if (!meta.client_info.empty()) writer.Add(kMetaClientInfo, meta.client_info);
  writer.Add(kMetaClientCapabilities,
             meta.client_capabilities.empty() ? "{}" : meta.client_capabilities);
  if (!meta.log_level.empty()) writer.AddString(kMetaLogLevel, meta.log_level);
  AppendShared(meta, &writer);
  return std::move(writer).Build();
}

std::string BuildLegacyMeta(const RequestMeta& meta) {
  json::ObjectWriter writer;
  AppendShared(meta, &writer);
  if (writer.empty()) return "";
  return std::move(writer).Build();
}

std::string WithMeta(const ObjectView& params, std::string_view raw_meta) {
  json::Splicer splicer(params);
  if (raw_meta.empty()) {
    splicer.Remove("_meta");
  } else {
    splicer.Set("_meta", raw_meta);
  }
  return splicer.Build();
}

}  // namespace metamcp::mcp
