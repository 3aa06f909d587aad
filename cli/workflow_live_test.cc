#include "cli/workflow_live.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace metamcp::cli {
namespace {

nlohmann::json MakeRun(int steps) {
  nlohmann::json run = {
      {"workflow", "notes"}, {"version", "1.0.0"}, {"state", "running"}, {"createdUs", 1'000'000}};
  run["steps"] = nlohmann::json::array();
  for (int i = 0; i < steps; ++i) {
    run["steps"].push_back({{"path", "/do/" + std::to_string(i)},
                            {"name", "step" + std::to_string(i)},
                            {"state", i + 1 == steps ? "started" : "done"},
                            {"tool", "s.t"},
                            {"startedUs", 2'000'000},
                            {"endedUs", i + 1 == steps ? 0 : 2'300'000}});
  }
  return run;
}

TEST(LiveFrameTest, ShowsEachStepAsItIsNow) {
  RecordProperty("req", "M-FR-006.4");
  const std::string frame = LiveFrame(MakeRun(2), 80, 24, 4'500'000, false);
  EXPECT_EQ(frame,
            "notes 1.0.0 is running, 1 of 2 steps, 3.5 s\n"
            "  ✓ step0  s.t  0.3 s\n"
            "  ▸ step1  s.t  2.5 s\n");
}

TEST(LiveFrameTest, NeverTallerOrWiderThanTheTerminal) {
  nlohmann::json run = MakeRun(500);
  run["steps"][499]["name"] = std::string(300, 'x') + "\x1b[2J\nline";
  const std::string frame = LiveFrame(run, 40, 10, 4'500'000, false);
  std::istringstream lines(frame);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_LE(DisplayWidth(line), 40u) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
  }
  EXPECT_LE(count, 10);
  EXPECT_NE(frame.find("earlier"), std::string::npos);
}

TEST(LiveFrameTest, OnlyTheLatestAttemptOfAStepIsShown) {
  nlohmann::json run = MakeRun(1);
  nlohmann::json failed = run["steps"][0];
  failed["state"] = "failed";
  failed["error"] = {{"title", "No such file"}};
  failed["attempt"] = 2;
  run["steps"].push_back(failed);
  run["steps"].push_back({{"path", "/do/9#timeout"}, {"state", "mark"}});
  const std::string frame = LiveFrame(run, 80, 24, 4'500'000, true);
  EXPECT_NE(frame.find("attempt 2  No such file"), std::string::npos) << frame;
  EXPECT_NE(frame.find("\x1b[31m✗\x1b[0m"), std::string::npos);
  EXPECT_NE(frame.find("0 of 1 steps"), std::string::npos);
}

TEST(LiveViewTest, DrawsOverItselfOnATerminalOnly) {
  RecordProperty("req", "M-NFR-005.5");
  std::ostringstream out;
  CommandContext ctx;
  ctx.out = &out;
  ctx.out_is_terminal = true;
  nlohmann::json run = MakeRun(1);
  run["endedUs"] = 3'000'000;
  run["steps"][0]["endedUs"] = 2'500'000;
  LiveView view(ctx);
  view.Show(run);
  const size_t first = out.str().size();
  view.Show(run);
  EXPECT_EQ(out.str().size(), first);
  run["state"] = "completed";
  view.Show(run);
  EXPECT_NE(out.str().find("\x1b[2F\x1b[J"), std::string::npos);
  ctx.global.plain = true;
  LiveView plain(ctx);
  const size_t before = out.str().size();
  plain.Show(run);
  EXPECT_FALSE(plain.on());
  EXPECT_EQ(out.str().size(), before);
}

}  // namespace
}  // namespace metamcp::cli
