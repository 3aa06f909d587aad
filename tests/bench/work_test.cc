#include "tests/bench/work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metamcp::load {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Request Make(std::string_view tool) { return Work(true, 0, {Work::ForTool(tool)}).Next(); }

TEST(WorkTest, TakesTheRightAnswerOnly) {
  const Request request = Make("echo");
  EXPECT_THAT(request.body, HasSubstr(R"("text":"n1-")"));
  const auto answer = [](std::string_view id, std::string_view text) {
    return std::string(R"({"jsonrpc":"2.0","id":)") + std::string(id) +
           R"(,"result":{"content":[{"type":"text","text":")" + std::string(text) + "\"}]}}";
  };
  EXPECT_THAT(Work::Judge(request, answer("1", "n1-")), IsEmpty());
  EXPECT_THAT(Work::Judge(request, answer("12", "n1-")), HasSubstr("another request"));
  EXPECT_THAT(Work::Judge(request, answer("1", "n2-")), HasSubstr("expected"));
  EXPECT_THAT(Work::Judge(request, R"({"id":1,"error":{"code":1,"message":"n1-"}})"),
              HasSubstr("error"));
}

TEST(WorkTest, KnowsWhichUpstreamMustAnswer) {
  const Request request = Make("alpha__who");
  EXPECT_THAT(Work::Judge(request, R"({"id":1,"result":{"text":"alpha 77 n1-"}})"), IsEmpty());
  EXPECT_THAT(Work::Judge(request, R"({"id":1,"result":{"text":"beta 77 n1-"}})"),
              HasSubstr("expected"));
  EXPECT_THAT(Work::Judge(request, R"({"id":1,"result":{"text":"alpha 77 n9-"}})"),
              HasSubstr("expected"));
}

}  // namespace
}  // namespace metamcp::load
