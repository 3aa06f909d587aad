// The audit: reading, exporting, erasing. What proves it is in audit_verify_command.cc, holds are
// in audit_hold_commands.cc.

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/rest_json.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::cli {
namespace {

constexpr std::chrono::hours kFollowFor{24 * 7};

struct AuditOptions {
  std::string subject, action, item, upstream, virtual_server, outcome, trace, since, until;
  std::string format = "jsonl", file;
  std::vector<std::string> by;
  int64_t limit = 20;
  int64_t from = 0;
  bool follow = false;
  bool personal = false;
  bool yes = false;
};

std::string WhoOf(const nlohmann::json& record) {
  const std::string name = TextOf(ObjectOf(record, "personal"), "name");
  return name.empty() ? TextOf(ObjectOf(record, "record"), "subject") : name;
}

std::vector<std::string> CellsOf(const nlohmann::json& one) {
  const nlohmann::json& record = ObjectOf(one, "record");
  std::string item = TextOf(record, "item");
  if (item.empty()) item = TextOf(ObjectOf(one, "personal"), "target");
  return {StrCat(NumberOf(one, "seq")),
          TimeText(NumberOf(record, "timeUs")),
          WhoOf(one),
          TextOf(record, "action"),
          Shorten(OneLine(item), 48),
          TextOf(record, "upstream"),
          TextOf(record, "outcome"),
          TextOf(record, "reason")};
}

const std::vector<std::string> kHeaders = {"SEQ",  "TIME",     "WHO",     "ACTION",
                                           "ITEM", "UPSTREAM", "OUTCOME", "REASON"};

void PrintRecords(CommandContext& ctx, const nlohmann::json& reply, bool newest_last) {
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return;
  }
  Table table(kHeaders);
  std::vector<nlohmann::json> records(ArrayOf(reply, "records").begin(),
                                      ArrayOf(reply, "records").end());
  if (newest_last) std::reverse(records.begin(), records.end());
  for (const nlohmann::json& one : records) table.Row(CellsOf(one));
  ctx.PrintTable(table, "Nothing is recorded that fits.");
}

absl::StatusOr<nlohmann::json> Find(CommandContext& ctx, const AuditOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const std::string until, MomentUs(o.until));
  return CallJson(
      ctx, RestRequest("GET", ApiPath({"audit", "records"}, {{"pageSize", std::to_string(o.limit)},
                                                             {"subject", o.subject},
                                                             {"action", o.action},
                                                             {"item", o.item},
                                                             {"upstream", o.upstream},
                                                             {"virtualServer", o.virtual_server},
                                                             {"outcome", o.outcome},
                                                             {"trace", o.trace},
                                                             {"sinceUs", since},
                                                             {"untilUs", until}})));
}

absl::Status Search(CommandContext& ctx, const AuditOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Find(ctx, o));
  PrintRecords(ctx, reply, false);
  return absl::OkStatus();
}

void PrintEvent(CommandContext& ctx, std::string_view data) {
  const auto event = json::ParseJson(data);
  if (!event.ok()) return;
  const nlohmann::json& one = ObjectOf(*event, "record");
  if (ctx.json()) {
    *ctx.out << json::DumpJson(one) << std::endl;
    return;
  }
  std::string line;
  for (const std::string& cell : CellsOf(one)) {
    line += StrCat(line.empty() ? "" : "  ", cell.empty() ? "-" : OneLine(cell));
  }
  *ctx.out << line << std::endl;
}

absl::Status Follow(CommandContext& ctx, int64_t after) {
  RestRequest request("GET", ApiPath({"audit", "tail"}, {{"afterSeq", std::to_string(after)}}));
  request.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kFollowFor);
  request.headers.emplace_back("Accept", "text/event-stream");
  std::string rest;
  return ctx.rest().Stream(request, [&ctx, &rest](std::string_view piece) {
    rest += piece;
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      const std::string line = rest.substr(0, end);
      rest.erase(0, end + 1);
      constexpr std::string_view kData = "data:";
      if (line.compare(0, kData.size(), kData) == 0) {
        PrintEvent(ctx, std::string_view(line).substr(kData.size()));
      }
    }
    return true;
  });
}

absl::Status Tail(CommandContext& ctx, const AuditOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, Find(ctx, o));
  PrintRecords(ctx, reply, true);
  if (!o.follow) return absl::OkStatus();
  const nlohmann::json& records = ArrayOf(reply, "records");
  return Follow(ctx, records.empty() ? 0 : NumberOf(records.front(), "seq"));
}

absl::Status Export(CommandContext& ctx, const AuditOptions& o) {
  std::ofstream file;
  if (!o.file.empty()) {
    file.open(o.file, std::ios::binary | std::ios::trunc);
    if (!file) return UsageError(StrCat("cannot write ", o.file));
  }
  std::ostream& out = o.file.empty() ? *ctx.out : file;
  int64_t next = o.from;
  do {
    METAMCP_ASSIGN_OR_RETURN(
        const nlohmann::json part,
        CallJson(ctx, RestRequest("GET", ApiPath({"audit", "export"},
                                                 {{"format", o.format},
                                                  {"limit", "5000"},
                                                  {"fromSeq", std::to_string(next)},
                                                  {"personal", o.personal ? "true" : ""}}))));
    out << TextOf(part, "lines");
    next = NumberOf(part, "nextSeq");
  } while (next > 0);
  out.flush();
  if (!out) return Fail("INTERNAL", StrCat("could not write ", o.file));
  if (!o.file.empty()) ctx.Say(StrCat("Written to ", o.file, "."));
  return absl::OkStatus();
}

absl::Status Erase(CommandContext& ctx, const AuditOptions& o) {
  if (!o.yes && !ctx.Confirm(StrCat("Destroy the key of what is recorded of ", o.subject,
                                    "? Nobody can undo it."),
                             false)) {
    return UsageError("nothing was erased", "Say yes, or give --yes.");
  }
  nlohmann::json body;
  body["subject"] = o.subject;
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("POST", ApiPath({"audit", "erase"}), json::DumpJson(body))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
  } else {
    ctx.Say(StrCat("The key is destroyed; the records of ", TextOf(reply, "pseudonym"),
                   " stay without a name."));
  }
  return absl::OkStatus();
}

absl::Status Subject(CommandContext& ctx, const AuditOptions& o) {
  nlohmann::json all = nlohmann::json::object();
  all["records"] = nlohmann::json::array();
  std::string token;
  do {
    METAMCP_ASSIGN_OR_RETURN(
        const nlohmann::json part,
        CallJson(ctx, RestRequest("GET", ApiPath({"audit", "subject"}, {{"subject", o.subject},
                                                                        {"pageSize", "1000"},
                                                                        {"pageToken", token}}))));
    all["pseudonym"] = TextOf(part, "pseudonym");
    for (const nlohmann::json& one : ArrayOf(part, "records")) all["records"].push_back(one);
    token = TextOf(part, "nextPageToken");
  } while (!token.empty());
  PrintRecords(ctx, all, true);
  return absl::OkStatus();
}

absl::Status Usage(CommandContext& ctx, const AuditOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const std::string until, MomentUs(o.until));
  std::vector<std::string> by = o.by;
  if (by.empty()) by = {"upstream", "item"};
  Query query = {{"sinceUs", since},
                 {"untilUs", until},
                 {"upstream", o.upstream},
                 {"item", o.item},
                 {"virtualServer", o.virtual_server},
                 {"subject", o.subject}};
  for (const std::string& one : by) query.emplace_back("by", one);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"audit", "usage"}, query))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  std::vector<std::string> headers = by;
  for (const char* column : {"CALLS", "FAILED", "AVERAGE", "SENT", "RECEIVED"}) {
    headers.emplace_back(column);
  }
  for (std::string& header : headers) {
    for (char& c : header) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  Table table(headers);
  for (const nlohmann::json& one : ArrayOf(reply, "usage")) {
    std::vector<std::string> cells;
    for (const std::string& column : by) {
      const bool time = column == "hour" || column == "day";
      cells.push_back(time ? TimeText(NumberOf(one, "timeUs"))
                           : TextOf(one, column == "virtual_server" ? "virtualServer" : column));
    }
    const int64_t calls = NumberOf(one, "calls");
    cells.push_back(StrCat(calls));
    cells.push_back(StrCat(NumberOf(one, "failures")));
    cells.push_back(StrCat(calls > 0 ? NumberOf(one, "durationUs") / calls / 1000 : 0, " ms"));
    cells.push_back(StrCat(NumberOf(one, "bytesIn")));
    cells.push_back(StrCat(NumberOf(one, "bytesOut")));
    table.Row(std::move(cells));
  }
  ctx.PrintTable(table, "No calls are recorded.");
  return absl::OkStatus();
}

absl::Status Key(CommandContext& ctx) {
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply,
                           CallJson(ctx, RestRequest("GET", ApiPath({"audit", "key"}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
  } else {
    *ctx.out << TextOf(reply, "pem");
  }
  return absl::OkStatus();
}

void AddFilters(Command& command, const std::shared_ptr<AuditOptions>& o) {
  command.Option("--subject", &o->subject, "who", "NAME")
      .Option("--item", &o->item, "tool or prompt, by its exposed name", "NAME")
      .Option("--upstream", &o->upstream, "server", "NAME")
      .Option("--virtual", &o->virtual_server, "virtual server", "NAME")
      .Option("--since", &o->since, "a time, or 90s, 15m, 3h, 7d ago", "TIME")
      .Option("--until", &o->until, "the same", "TIME");
}

void AddReadCommands(Command& group) {
  CommandContext& ctx = group.context();
  auto tailed = std::make_shared<AuditOptions>();
  Command tail = group.Sub("tail", "Shows the newest records");
  tail.Example("meta-mcp audit tail").Example("meta-mcp audit tail --follow");
  tail.Integer("-n,--limit", &tailed->limit, 1, 1000, "records")
      .Flag("-f,--follow", &tailed->follow, "go on with new ones");
  tail.Run([&ctx, tailed] { return Tail(ctx, *tailed); });

  auto asked = std::make_shared<AuditOptions>();
  asked->limit = 100;
  Command query = group.Sub("query", "Finds records, newest first");
  query.Example("meta-mcp audit query --subject bob --outcome denied --since 7d");
  AddFilters(query, asked);
  query.Option("--action", &asked->action, "tools/call, admin, auth.refused, …", "ACTION")
      .Option("--outcome", &asked->outcome, "ok, tool_error, error, denied, failed, …", "OUTCOME")
      .Option("--trace", &asked->trace, "trace id", "HEX")
      .Integer("--limit", &asked->limit, 1, 1000, "records");
  query.Run([&ctx, asked] { return Search(ctx, *asked); });

  auto counted = std::make_shared<AuditOptions>();
  Command usage = group.Sub("usage", "Counts calls by who, what and when");
  usage.Example("meta-mcp audit usage --by subject --by day --since 30d");
  AddFilters(usage, counted);
  usage.List("--by", &counted->by, "subject, upstream, item, virtual_server, hour, day", "COLUMN");
  usage.Run([&ctx, counted] { return Usage(ctx, *counted); });
}

}  // namespace

void AddAuditCommands(Command& root) {
  CommandContext& ctx = root.context();
  Command group = root.Sub("audit", "Who did what, proved");
  AddReadCommands(group);
  AddAuditVerifyCommand(group);
  auto o = std::make_shared<AuditOptions>();
  Command exported = group.Sub("export", "Writes all records");
  exported.Example("meta-mcp audit export --file audit.jsonl")
      .Example("meta-mcp audit export --format cef --from 1200");
  exported.Choice("--format", &o->format, {"jsonl", "csv", "cef", "otlp"}, "jsonl can be verified")
      .Option("--file", &o->file, "instead of standard output", "FILE")
      .Integer("--from", &o->from, 0, INT64_MAX, "first record", "SEQ")
      .Flag("--personal", &o->personal, "with personal fields in clear");
  exported.Run([&ctx, o] { return Export(ctx, *o); });

  Command subject =
      group.Sub("subject", "Shows all that is recorded of one subject, for that person");
  subject.Example("meta-mcp audit subject bob --output json");
  subject.Argument("NAME", &o->subject, "who");
  subject.Run([&ctx, o] { return Subject(ctx, *o); });

  Command erase = group.Sub("erase", "Destroys the key of a subject's personal fields");
  erase.Example("meta-mcp audit erase bob");
  erase.Argument("NAME", &o->subject, "who").Flag("--yes", &o->yes, "do not ask");
  erase.Run([&ctx, o] { return Erase(ctx, *o); });

  Command key = group.Sub("key", "Prints the public key that checkpoints are verified with");
  key.Example("meta-mcp audit key > audit-public.pem");
  key.Run([&ctx] { return Key(ctx); });
  AddAuditHoldCommands(group);
}

}  // namespace metamcp::cli
