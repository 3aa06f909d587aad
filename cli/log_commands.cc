// The log lines that processes keep, and how much they write.

#include <charconv>
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

struct LogOptions {
  std::string text, level, event, trace, since, until, duration;
  int64_t limit = 100;
};

// What a line says beside what every line has.
std::string RestOf(const nlohmann::json& line) {
  std::string out;
  for (const auto& [key, value] : line.items()) {
    if (key == "ts" || key == "level" || key == "service" || key == "event") continue;
    out += StrCat(out.empty() ? "" : " ", key, "=",
                  value.is_string() ? value.get<std::string>() : json::DumpJson(value));
  }
  return OneLine(out);
}

absl::Status Search(CommandContext& ctx, const LogOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const std::string since, MomentUs(o.since));
  METAMCP_ASSIGN_OR_RETURN(const std::string until, MomentUs(o.until));
  METAMCP_ASSIGN_OR_RETURN(
      const nlohmann::json reply,
      CallJson(ctx, RestRequest("GET", ApiPath({"telemetry", "logs"},
                                               {{"text", o.text},
                                                {"level", o.level},
                                                {"event", o.event},
                                                {"trace", o.trace},
                                                {"sinceUs", since},
                                                {"untilUs", until},
                                                {"limit", std::to_string(o.limit)}}))));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  for (const nlohmann::json& source : ArrayOf(reply, "sources")) {
    const std::string error = TextOf(source, "error");
    if (error.empty()) continue;
    ctx.Note(StrCat("note: ", TextOf(source, "service"), " (", TextOf(source, "instance"),
                    ") is not in this: ", error));
  }
  Table table({"TIME", "LEVEL", "INSTANCE", "EVENT", "WHAT"});
  const nlohmann::json& lines = ArrayOf(reply, "lines");
  for (auto it = lines.rbegin(); it != lines.rend(); ++it) {
    const nlohmann::json& line = ObjectOf(*it, "line");
    table.Row({TimeText(NumberOf(*it, "timeUs")), TextOf(line, "level"), TextOf(*it, "instance"),
               TextOf(line, "event"), Shorten(RestOf(line), 160)});
  }
  ctx.PrintTable(table, "No kept line fits.");
  return absl::OkStatus();
}

// "90s", "10m", "2h" in seconds; 0 for empty.
absl::StatusOr<int64_t> Seconds(const std::string& text) {
  if (text.empty()) return 0;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const int64_t factor = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (error == std::errc() && factor > 0 && number > 0 && number * factor <= 86'400) {
    return number * factor;
  }
  return UsageError(StrCat("\"", text, "\" is no time of at most a day"), "Write 90s, 10m or 2h.");
}

absl::Status SetLevel(CommandContext& ctx, const LogOptions& o) {
  METAMCP_ASSIGN_OR_RETURN(const int64_t seconds, Seconds(o.duration));
  RestRequest request("POST", ApiPath({"telemetry", "log-level"}));
  const nlohmann::json body = {{"level", o.level}, {"seconds", seconds}};
  request.body = json::DumpJson(body);
  METAMCP_ASSIGN_OR_RETURN(const nlohmann::json reply, CallJson(ctx, std::move(request)));
  if (ctx.json()) {
    ctx.PrintJson(json::DumpJson(reply));
    return absl::OkStatus();
  }
  Table table({"SERVICE", "INSTANCE", "LEVEL"});
  for (const nlohmann::json& source : ArrayOf(reply, "sources")) {
    const std::string error = TextOf(source, "error");
    table.Row({TextOf(source, "service"), TextOf(source, "instance"),
               error.empty() ? o.level : StrCat("as before: ", error)});
  }
  ctx.PrintTable(table, "");
  return absl::OkStatus();
}

}  // namespace

void AddLogCommands(Command& root) {
  auto& ctx = root.context();
  auto search = std::make_shared<LogOptions>();
  root.Sub("logs", "Searches the log lines that all processes keep in memory.")
      .More(
          "How much they keep: telemetry.logKeepBytes. Those of one server: 'meta-mcp server "
          "logs'.")
      .OptionalArgument("TEXT", &search->text, "Part of the line as it was written")
      .Choice("--level", &search->level, {"debug", "info", "warning", "error"},
              "At least this level")
      .Option("--event", &search->event, "This event; a final * stands for any end", "EVENT")
      .Option("--trace", &search->trace, "Lines of this trace", "ID")
      .Option("--since", &search->since, "From this time on", "TIME")
      .Option("--until", &search->until, "Before this time", "TIME")
      .Integer("--limit", &search->limit, 1, 5000, "Newest lines, at most")
      .Example("meta-mcp logs --level warning --since 15m")
      .Example("meta-mcp logs --event 'call.*'")
      .Run([search, &ctx] { return Search(ctx, *search); });
  auto level = std::make_shared<LogOptions>();
  root.Sub("log-level", "Sets the level of the log of all processes, while they run.")
      .More(
          "Needs the role admin. Without --for it holds until a restart, or until the "
          "configuration "
          "is read again.")
      .ChoiceArgument("LEVEL", &level->level, {"debug", "info", "warning", "error"},
                      "The new level")
      .Option("--for", &level->duration, "Then the level before again: 90s, 10m, 2h", "TIME")
      .Example("meta-mcp log-level debug --for 10m")
      .Run([level, &ctx] { return SetLevel(ctx, *level); });
}

}  // namespace metamcp::cli
