#include "cli/workflow_live.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "cli/rest_json.h"
#include "common/base/strings.h"

namespace metamcp::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kLines = 24;

struct Look {
  const char* sign;
  const char* color;
};

Look LookOf(const std::string& state) {
  if (state == "done") return {"✓", "32"};
  if (state == "failed" || state == "unknown") return {"✗", "31"};
  if (state == "waiting") return {"…", "33"};
  if (state == "skipped" || state == "cancelled") return {"-", "2"};
  return {"▸", "36"};
}

std::string Seconds(int64_t us) {
  const int64_t tenths = std::max<int64_t>(us, 0) / 100'000;
  if (tenths < 600) return StrCat(tenths / 10, ".", tenths % 10, " s");
  return StrCat(tenths / 600, " min ", tenths / 10 % 60, " s");
}

// The newest attempt of each step, in the order of their beginnings.
std::vector<const nlohmann::json*> Latest(const nlohmann::json& run) {
  std::map<std::string, size_t> places;
  std::vector<const nlohmann::json*> out;
  for (const nlohmann::json& step : ArrayOf(run, "steps")) {
    if (TextOf(step, "state") == "mark") continue;
    const auto [it, is_new] = places.emplace(TextOf(step, "path"), out.size());
    if (is_new) {
      out.push_back(&step);
    } else {
      out[it->second] = &step;
    }
  }
  return out;
}

std::string StepLine(const nlohmann::json& step, size_t columns, int64_t now_us, bool color) {
  const std::string state = TextOf(step, "state");
  const Look look = LookOf(state);
  const int64_t began = NumberOf(step, "startedUs");
  const int64_t ended = NumberOf(step, "endedUs");
  std::string text = TextOf(step, "name");
  if (const std::string tool = TextOf(step, "tool"); !tool.empty()) text += StrCat("  ", tool);
  if (began > 0) text += StrCat("  ", Seconds((ended > 0 ? ended : now_us) - began));
  if (NumberOf(step, "attempt") > 1) text += StrCat("  attempt ", NumberOf(step, "attempt"));
  if (state == "waiting" || state == "unknown") text += StrCat("  ", state);
  if (state == "failed") text += StrCat("  ", TextOf(ObjectOf(step, "error"), "title"));
  text = Shorten(OneLine(text), columns - 4);
  if (!color) return StrCat("  ", look.sign, " ", text);
  return StrCat("  \x1b[", look.color, "m", look.sign, "\x1b[0m ", text);
}

}  // namespace

std::string LiveFrame(const nlohmann::json& run, size_t columns, size_t lines_max, int64_t now_us,
                      bool color) {
  columns = std::max<size_t>(columns, 20);
  const std::vector<const nlohmann::json*> steps = Latest(run);
  const auto over = std::count_if(steps.begin(), steps.end(), [](const nlohmann::json* step) {
    const std::string state = TextOf(*step, "state");
    return state == "done" || state == "skipped";
  });
  const int64_t ended = NumberOf(run, "endedUs");
  std::string out =
      Shorten(OneLine(StrCat(TextOf(run, "workflow"), " ", TextOf(run, "version"), " is ",
                             TextOf(run, "state"), ", ", over, " of ", steps.size(), " steps, ",
                             Seconds((ended > 0 ? ended : now_us) - NumberOf(run, "createdUs")))),
              columns) +
      "\n";
  const size_t room = std::max<size_t>(lines_max, 4) - 2;
  const size_t first = steps.size() > room ? steps.size() - room + 1 : 0;
  if (first > 0) out += StrCat("  … ", first, " earlier\n");
  for (size_t i = first; i < steps.size(); ++i) {
    out += StepLine(*steps[i], columns, now_us, color) + "\n";
  }
  return out;
}

LiveView::LiveView(CommandContext& ctx)
    : ctx_(ctx), on_(ctx.out_is_terminal && !ctx.global.plain && !ctx.json()) {}

void LiveView::Show(const nlohmann::json& run) {
  if (!on_) return;
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const std::string frame = LiveFrame(run, known ? size.ws_col : kColumns,
                                      known ? size.ws_row : kLines, NowUs(), ctx_.color());
  if (frame == shown_) return;
  const auto lines = std::count(shown_.begin(), shown_.end(), '\n');
  // Back to the first line of the frame before, and everything below it away.
  if (lines > 0) *ctx_.out << "\x1b[" << lines << "F\x1b[J";
  *ctx_.out << frame;
  ctx_.out->flush();
  shown_ = frame;
}

}  // namespace metamcp::cli
