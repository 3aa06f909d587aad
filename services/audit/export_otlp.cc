#include "services/audit/export_otlp.h"

#include "common/base/ids.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"

namespace metamcp::audit {
namespace {

// Severity numbers of OpenTelemetry's data model for logs.
constexpr int kInfo = 9;
constexpr int kWarn = 13;

constexpr std::string_view kNames[] = {"name", "client", "target"};

class Attributes {
 public:
  void Text(std::string_view key, std::string_view value) {
    json::ObjectWriter any;
    any.AddString("stringValue", value);
    AddAny(key, std::move(any).Build());
  }
  // OTLP's JSON has integers of 64 bits as strings.
  void Integer(std::string_view key, std::string_view digits) {
    json::ObjectWriter any;
    any.AddString("intValue", digits);
    AddAny(key, std::move(any).Build());
  }
  std::string Build() && { return StrCat("[", list_, "]"); }

 private:
  void AddAny(std::string_view key, std::string any) {
    json::ObjectWriter one;
    one.AddString("key", key).Add("value", any);
    list_ += StrCat(list_.empty() ? "" : ",", std::move(one).Build());
  }
  std::string list_;
};

// A request with one record; `record` lacks nothing but the resource.
std::string Request(const std::string& tenant, const std::string& record) {
  Attributes resource;
  resource.Text("service.name", "meta-mcp-audit");
  resource.Text("metamcp.audit.tenant", tenant);
  return StrCat(R"({"resourceLogs":[{"resource":{"attributes":)", std::move(resource).Build(),
                R"(},"scopeLogs":[{"scope":{"name":"meta-mcp.audit"},"logRecords":[)", record,
                "]}]}]}\n");
}

json::ObjectWriter Begun(int64_t time_us, int severity, std::string_view text,
                         std::string_view event) {
  json::ObjectWriter out;
  const std::string nanos = StrCat(time_us, "000");
  out.AddString("timeUnixNano", nanos).AddString("observedTimeUnixNano", nanos);
  out.AddInt("severityNumber", severity).AddString("severityText", text);
  out.AddString("eventName", event);
  return out;
}

std::string Body(std::string_view text) {
  json::ObjectWriter body;
  body.AddString("stringValue", text);
  return std::move(body).Build();
}

class Otlp final : public ExportWriter {
 public:
  std::string Begin(const Head&, const VerifyKey&, const std::string&) override { return ""; }
  std::string Record(const RecordRow& row, const std::string& personal) override {
    const auto view = json::ScanObject(row.record);
    if (!view.ok()) return "";
    Attributes attributes;
    attributes.Text("event.name", StrCat("audit.", row.action));
    for (const json::Member& member : view->members()) {
      // In the body, where the hash is of.
      if (member.key == "personal") continue;
      const std::string key = StrCat("metamcp.audit.", member.key);
      const std::string_view raw = view->Raw(member.key);
      if (const auto text = view->String(member.key)) {
        attributes.Text(key, *text);
      } else if (json::RawInt64(raw)) {
        attributes.Integer(key, raw);
      } else {
        attributes.Text(key, raw);
      }
    }
    attributes.Text("metamcp.audit.hash", HexEncode(row.hash));
    if (const auto opened = json::ScanObject(personal); opened.ok()) {
      for (const std::string_view name : kNames) {
        if (const auto text = opened->String(name)) {
          attributes.Text(StrCat("metamcp.audit.", name), *text);
        }
      }
    }
    const bool fine = row.outcome == "ok" || row.outcome == "input_required";
    json::ObjectWriter out = Begun(row.time_us, fine ? kInfo : kWarn, fine ? "INFO" : "WARN",
                                   StrCat("audit.", row.action));
    out.Add("body", Body(row.record)).Add("attributes", std::move(attributes).Build());
    if (row.trace.size() == 32) out.AddString("traceId", row.trace);
    return Request(row.tenant, std::move(out).Build());
  }
  std::string Note(const CheckpointRow& row) override {
    Attributes attributes;
    attributes.Text("event.name", "audit.checkpoint");
    attributes.Integer("metamcp.audit.seq", std::to_string(row.size));
    json::ObjectWriter out = Begun(row.time_us, kInfo, "INFO", "audit.checkpoint");
    out.Add("body", Body(row.note)).Add("attributes", std::move(attributes).Build());
    return Request(row.tenant, std::move(out).Build());
  }
  std::string End(const Head&) override { return ""; }
};

}  // namespace

std::unique_ptr<ExportWriter> NewOtlpWriter() { return std::make_unique<Otlp>(); }

}  // namespace metamcp::audit
