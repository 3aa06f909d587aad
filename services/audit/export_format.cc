#include "services/audit/export_format.h"

#include <array>
#include <ctime>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/key_ring.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "common/json/splice.h"
#include "services/audit/export_otlp.h"

namespace metamcp::audit {
namespace {

class JsonLines final : public ExportWriter {
 public:
  std::string Begin(const Head& head, const VerifyKey& key, const std::string& note) override {
    json::ObjectWriter out;
    out.AddString("format", "meta-mcp-audit/1");
    out.AddString("tenant", head.tenant).AddString("origin", head.origin());
    out.AddInt("first", head.base_seq + 1);
    out.AddString("previous", HexEncode(head.base_hash));
    out.AddString("removed", Base64Encode(head.base_frontier.Encode()));
    if (!note.empty()) out.AddString("checkpoint", note);
    out.AddString("key", key.Pem());
    return std::move(out).Build() + "\n";
  }
  std::string Record(const RecordRow& row, const std::string& personal) override {
    json::ObjectWriter out;
    out.AddString("type", "record").AddInt("seq", row.seq).AddString("hash", HexEncode(row.hash));
    out.Add("record", row.record);
    if (!personal.empty()) out.Add("personal", personal);
    return std::move(out).Build() + "\n";
  }
  std::string Note(const CheckpointRow& row) override {
    json::ObjectWriter out;
    out.AddString("type", "checkpoint").AddString("note", row.note);
    return std::move(out).Build() + "\n";
  }
  std::string End(const Head& head) override {
    json::ObjectWriter out;
    out.AddString("type", "end").AddInt("seq", head.seq).AddString("hash", HexEncode(head.hash));
    return std::move(out).Build() + "\n";
  }
};

// Members of a record as text; empty where it has none.
std::string TextOf(const json::ObjectView& view, std::string_view key) {
  if (auto text = view.String(key)) return *std::move(text);
  return std::string(view.Raw(key));
}

std::string TimeText(int64_t us) {
  const std::time_t seconds = us / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string micros = std::to_string(us % 1'000'000);
  return StrCat(std::string_view(text.data(), size), ".", std::string(6 - micros.size(), '0'),
                micros, "Z");
}

constexpr const char* kColumns[] = {
    "seq",           "timeUs",   "action", "outcome",    "reason",       "code",
    "subject",       "kind",     "via",    "roles",      "item",         "upstream",
    "virtualServer", "provider", "policy", "durationUs", "requestBytes", "resultBytes",
    "trace",         "source",   "count",  "id"};

class Csv final : public ExportWriter {
 public:
  std::string Begin(const Head&, const VerifyKey&, const std::string&) override {
    std::string out = "time";
    for (const char* column : kColumns) out += StrCat(",", column);
    return out + ",name,client,target\r\n";
  }
  std::string Record(const RecordRow& row, const std::string& personal) override {
    const auto view = json::ScanObject(row.record);
    if (!view.ok()) return "";
    std::string out = TimeText(row.time_us);
    for (const char* column : kColumns) out += StrCat(",", Quoted(TextOf(*view, column)));
    const auto opened = json::ScanObject(personal);
    for (const char* column : {"name", "client", "target"}) {
      out += StrCat(",", opened.ok() ? Quoted(TextOf(*opened, column)) : "");
    }
    return out + "\r\n";
  }
  std::string Note(const CheckpointRow&) override { return ""; }
  std::string End(const Head&) override { return ""; }

 private:
  // RFC 4180. What a spreadsheet would take for a formula is led by an apostrophe.
  static std::string Quoted(std::string text) {
    const bool formula =
        !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
    const bool number = !text.empty() && text.find_first_not_of("-0123456789") == std::string::npos;
    if (formula && !number) text.insert(0, "'");
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  }
};

class Cef final : public ExportWriter {
 public:
  std::string Begin(const Head&, const VerifyKey&, const std::string&) override { return ""; }
  std::string Record(const RecordRow& row, const std::string& personal) override {
    const auto view = json::ScanObject(row.record);
    if (!view.ok()) return "";
    const bool fine = row.outcome == "ok" || row.outcome == "input_required";
    std::string out = StrCat("CEF:0|Meta-MCP|meta-mcp|1|", Header(row.action), "|",
                             Header(row.item.empty() ? row.action : row.item), "|",
                             fine                      ? 3
                             : row.outcome == "denied" ? 7
                                                       : 5,
                             "|");
    out += StrCat("rt=", row.time_us / 1000, " externalId=", row.seq);
    const auto add = [&out](std::string_view key, std::string_view value) {
      if (!value.empty()) out += StrCat(" ", key, "=", Value(value));
    };
    add("suid", row.subject);
    if (const auto opened = json::ScanObject(personal); opened.ok()) {
      add("suser", TextOf(*opened, "name"));
      add("requestClientApplication", TextOf(*opened, "client"));
      add("request", TextOf(*opened, "target"));
    }
    add("outcome", row.outcome);
    add("reason", TextOf(*view, "reason"));
    add("dhost", row.upstream);
    add("in", TextOf(*view, "requestBytes"));
    add("out", TextOf(*view, "resultBytes"));
    add("cs1Label", "virtualServer");
    add("cs1", row.virtual_server);
    add("cs2Label", "trace");
    add("cs2", row.trace);
    add("cs3Label", "hash");
    add("cs3", HexEncode(row.hash));
    add("cs4Label", "policy");
    add("cs4", TextOf(*view, "policy"));
    return out + "\n";
  }
  std::string Note(const CheckpointRow&) override { return ""; }
  std::string End(const Head&) override { return ""; }

 private:
  static std::string Escaped(std::string_view text, char special) {
    std::string out;
    for (const char c : text) {
      if (c == '\n' || c == '\r') {
        out += c == '\n' ? "\\n" : "\\r";
        continue;
      }
      if (c == '\\' || c == special) out.push_back('\\');
      out.push_back(c);
    }
    return out;
  }
  static std::string Header(std::string_view text) { return Escaped(text, '|'); }
  static std::string Value(std::string_view text) { return Escaped(text, '='); }
};

}  // namespace

absl::StatusOr<std::unique_ptr<ExportWriter>> MakeExportWriter(std::string_view format) {
  if (format.empty() || format == "jsonl") return std::unique_ptr<ExportWriter>(new JsonLines());
  if (format == "csv") return std::unique_ptr<ExportWriter>(new Csv());
  if (format == "cef") return std::unique_ptr<ExportWriter>(new Cef());
  if (format == "otlp") return NewOtlpWriter();
  return MakeError("ARGUMENT_INVALID", "audit", "format is jsonl, csv, cef or otlp");
}

}  // namespace metamcp::audit
