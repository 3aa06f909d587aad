#include "common/config/text_edit.h"

#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/config/render.h"

namespace metamcp::config {
namespace {

std::string Set(std::string_view text, const std::vector<std::string>& path) {
  JsonNode value = ObjectNode();
  AddMember(&value, "x", IntegerNode(1));
  const auto out = SetMember(text, "f", path, value);
  return out.ok() ? *out : StrCat("ERROR ", Sv(out.status().message()));
}

std::string Remove(std::string_view text, const std::vector<std::string>& path) {
  const auto out = RemoveMember(text, "f", path);
  return out.ok() ? *out : StrCat("ERROR ", Sv(out.status().message()));
}

struct EditCase {
  std::string_view before;
  std::vector<std::string> path;
  std::string_view after;
};

TEST(TextEditTest, AddsKeepingTheRest) {
  const EditCase kCases[] = {
      {"", {"s", "n"}, "{\n  \"s\": {\n    \"n\": { \"x\": 1 }\n  }\n}\n"},
      {"{}", {"n"}, "{\n  \"n\": { \"x\": 1 }\n}"},
      {"{\n  // keep\n}\n", {"n"}, "{\n  // keep\n  \"n\": { \"x\": 1 }\n}\n"},
      {"{\"a\": 1}", {"n"}, "{\"a\": 1, \"n\": { \"x\": 1 }}"},
      {"{\"a\": 1,}", {"n"}, "{\"a\": 1, \"n\": { \"x\": 1 },}"},
      {"{\n\t\"a\": 1 // one\n\t// end\n}",
       {"n"},
       "{\n\t\"a\": 1, // one\n\t\"n\": { \"x\": 1 }\n\t// end\n}"},
      {"{\n  \"a\": 1, // one\n}", {"n"}, "{\n  \"a\": 1, // one\n  \"n\": { \"x\": 1 },\n}"},
      {"{\r\n  \"a\": 1\r\n}", {"n"}, "{\r\n  \"a\": 1,\r\n  \"n\": { \"x\": 1 }\r\n}"},
      {"{\n  \"a\": 1 }", {"n"}, "{\n  \"a\": 1,\n  \"n\": { \"x\": 1 } }"},
      {"{\"n\": /* c */ [1] /* d */}", {"n"}, "{\"n\": /* c */ { \"x\": 1 } /* d */}"},
      {"{\"s\": 1}", {"s", "n"}, "ERROR f:1:7: found a number for s, expected an object"},
      {"{",
       {"n"},
       "ERROR f:1:2: found the end of the file, expected '}' for the '{' of line 1; "
       "add '}'"},
  };
  for (const EditCase& c : kCases) EXPECT_EQ(Set(c.before, c.path), c.after) << c.before;
}

TEST(TextEditTest, RemovesKeepingTheRest) {
  const EditCase kCases[] = {
      {"{\"a\": 1, \"b\": 2, \"c\": 3}", {"b"}, "{\"a\": 1, \"c\": 3}"},
      {"{\"a\": 1, \"b\": 2}", {"b"}, "{\"a\": 1 }"},
      {"{\"a\": 1}", {"a"}, "{}"},
      {"{\n  // first\n  \"a\": 1, // one\n  \"b\": 2 // two\n  // end\n}",
       {"b"},
       "{\n  // first\n  \"a\": 1 // one\n  // end\n}"},
      {"{\n  \"a\": 1, // one\n  \"b\": 2,\n}", {"a"}, "{\n  \"b\": 2,\n}"},
      {"{\n  \"s\": {\n    \"a\": {\n      \"x\": 1\n    },\n    \"b\": 2\n  }\n}",
       {"s", "a"},
       "{\n  \"s\": {\n    \"b\": 2\n  }\n}"},
      {"{}", {"a"}, "ERROR f: has no \"a\""},
  };
  for (const EditCase& c : kCases) EXPECT_EQ(Remove(c.before, c.path), c.after) << c.before;
}

// Whatever the layout, an addition followed by its removal gives the same content again.
TEST(TextEditTest, EveryLayoutSurvivesAddAndRemove) {
  for (const std::string_view space : {"", " ", "\n", "\n  ", " /* c */ ", " // c\n", "\r\n\t"}) {
    for (const std::string_view trail : {"", ","}) {
      const std::string text = StrCat("{", space, "\"a\"", space, ":", space, "{", space, "\"b\"",
                                      space, ":", space, "1", space, trail, space, "}", space, "}");
      const std::string added = Set(text, {"a", "n"});
      EXPECT_EQ(ToJson(ParseJsonc(added, "f").root), "{\"a\":{\"b\":1,\"n\":{\"x\":1}}}") << added;
      const std::string removed = Remove(added, {"a", "n"});
      EXPECT_EQ(ToJson(ParseJsonc(removed, "f").root), "{\"a\":{\"b\":1}}") << removed;
      EXPECT_TRUE(ParseJsonc(removed, "f").errors.empty()) << removed;
    }
  }
}

}  // namespace
}  // namespace metamcp::config
