#include "gateway/admin/json_codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/strings.h"
#include "metamcp/catalog/v1/catalog_service.pb.h"
#include "metamcp/connector/v1/connector_service.pb.h"

namespace metamcp::gateway::admin {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(JsonCodecTest, RawJsonPassesByteForByteInsideMapsAndLists) {
  catalog::v1::VirtualServerSpec spec;
  const std::string text =
      R"({"overrides":{"gh.search":{"arguments":{"n":{)"
      R"("defaultValue":1.50,"fixed_value":[1e2,{"a":12345678901234567890}]}},)"
      R"("annotations":{"readOnlyHint":true}}}})";
  ASSERT_TRUE(DecodeObject(text, "", spec).ok());
  const auto& argument = spec.overrides().at("gh.search").arguments().at("n");
  EXPECT_EQ(argument.default_value(), "1.50");
  EXPECT_EQ(argument.fixed_value(), R"([1e2,{"a":12345678901234567890}])");
  const std::string out = EncodeMessage(spec);
  EXPECT_THAT(out, HasSubstr(R"("defaultValue":1.50)"));
  EXPECT_THAT(out, HasSubstr(R"("fixedValue":[1e2,{"a":12345678901234567890}])"));

  catalog::v1::ListItemsResponse list;
  list.add_items()->set_definition(R"({"name":"x"})");
  list.add_items();
  EXPECT_THAT(EncodeMessage(list), HasSubstr(R"("definition":{"name":"x"})"));
}

TEST(JsonCodecTest, NullOfRawJsonIsAValueAndElsewhereAbsent) {
  catalog::v1::ArgumentOverride argument;
  ASSERT_TRUE(DecodeObject(R"({"defaultValue":null,"rename":null})", "", argument).ok());
  EXPECT_EQ(argument.default_value(), "null");
  EXPECT_EQ(argument.rename(), "");
}

TEST(JsonCodecTest, StoredBytesThatAreNoJsonDoNotBreakTheAnswer) {
  catalog::v1::Item item;
  item.set_definition("{\"a\": ");
  const auto parsed = nlohmann::json::parse(EncodeMessage(item), nullptr, false);
  ASSERT_FALSE(parsed.is_discarded());
  EXPECT_EQ(parsed["definition"], "{\"a\": ");
}

TEST(JsonCodecTest, SecretsAreMasked) {
  catalog::v1::Upstream upstream;
  (*upstream.mutable_spec()->mutable_env())["TOKEN"] = "hunter2";
  (*upstream.mutable_spec()->mutable_headers())["Authorization"] = "Bearer hunter2";
  const std::string out = EncodeMessage(upstream);
  EXPECT_EQ(out.find("hunter2"), std::string::npos);
  EXPECT_THAT(out, HasSubstr(R"("env":{"TOKEN":"***"})"));
  // What was read can be written: the catalog puts back what it has behind the mask.
  catalog::v1::Upstream back;
  ASSERT_TRUE(DecodeObject(out, "", back).ok());
  EXPECT_EQ(back.spec().env().at("TOKEN"), "***");
}

TEST(JsonCodecTest, LongIntegersKeepTheirValue) {
  catalog::v1::Item item;
  for (const int64_t value :
       {int64_t{0}, int64_t{-1}, (int64_t{1} << 53) - 1, int64_t{1} << 53,
        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    item.set_version(value);
    const std::string out = EncodeMessage(item);
    const bool safe = value < (int64_t{1} << 53) && value > -(int64_t{1} << 53);
    EXPECT_THAT(out, HasSubstr(safe ? StrCat("\"version\":", value, ",")
                                    : StrCat("\"version\":\"", value, "\",")));
    catalog::v1::Item back;
    ASSERT_TRUE(DecodeObject(out, "", back).ok());
    EXPECT_EQ(back.version(), value);
  }
  catalog::v1::Item back;
  EXPECT_FALSE(DecodeObject(R"({"version":9223372036854775808})", "", back).ok());
  EXPECT_FALSE(DecodeObject(R"({"version":"1.0"})", "", back).ok());
  EXPECT_FALSE(DecodeObject(R"({"version":""})", "", back).ok());
  EXPECT_FALSE(DecodeObject(R"({"version":true})", "", back).ok());
}

TEST(JsonCodecTest, DefaultsArePrintedAndAbsentObjectsAreNot) {
  const auto out = nlohmann::json::parse(EncodeMessage(catalog::v1::Upstream()));
  EXPECT_EQ(out["enabled"], false);
  EXPECT_FALSE(out.contains("spec"));
  const auto spec = nlohmann::json::parse(EncodeMessage(catalog::v1::UpstreamSpec()));
  EXPECT_EQ(spec["type"], "");
  EXPECT_EQ(spec["timeoutMs"], 0);
  EXPECT_EQ(spec["args"], nlohmann::json::array());
  EXPECT_EQ(spec["env"], nlohmann::json::object());
}

TEST(JsonCodecTest, EnumsAreShort) {
  catalog::v1::ItemSummary item;
  item.set_kind(catalog::v1::ITEM_KIND_PROMPT);
  EXPECT_THAT(EncodeMessage(item), HasSubstr(R"("kind":"prompt")"));
  for (const std::string text : {"tool", "ITEM_KIND_TOOL"}) {
    ASSERT_TRUE(DecodeObject(StrCat("{\"kind\":\"", text, "\"}"), "", item).ok()) << text;
    EXPECT_EQ(item.kind(), catalog::v1::ITEM_KIND_TOOL);
  }
  EXPECT_FALSE(DecodeObject(R"({"kind":1})", "", item).ok());
  EXPECT_FALSE(DecodeObject(R"({"kind":"Tool"})", "", item).ok());
}

TEST(JsonCodecTest, DoublesReadBackTheSame) {
  connector::v1::DiagnoseStep step;
  for (const double value : {0.1, 1.0 / 3, 1e300, -2.5, 5e-324}) {
    step.set_ms(value);
    connector::v1::DiagnoseStep back;
    ASSERT_TRUE(DecodeObject(EncodeMessage(step), "", back).ok());
    EXPECT_EQ(back.ms(), value);
  }
  connector::v1::DiagnoseStep back;
  EXPECT_FALSE(DecodeObject(R"({"ms":1e999})", "", back).ok());
  EXPECT_FALSE(DecodeObject(R"({"ms":"1"})", "", back).ok());
}

TEST(JsonCodecTest, EveryFieldOfTheCatalogComesBack) {
  catalog::v1::VirtualServer server;
  server.mutable_meta()->set_name("dev");
  server.mutable_meta()->add_tags("a\"\n\u00e9");
  server.set_enabled(true);
  auto& spec = *server.mutable_spec();
  spec.add_servers("gh*");
  spec.mutable_tools()->add_include("x");
  spec.mutable_tools()->set_annotations(R"({"readOnlyHint":true})");
  (*spec.mutable_overrides())["gh.x"].set_disabled(true);
  catalog::v1::VirtualServer back;
  ASSERT_TRUE(DecodeObject(EncodeMessage(server), "", back).ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(server, back));
}

TEST(JsonCodecTest, UnknownFieldsNameTheirPlaceAndTheNearest) {
  catalog::v1::VirtualServerSpec spec;
  const absl::Status status =
      DecodeObject(R"({"overrides":{"a.b":{"arguments":{"n":{"hiden":true}}}}})", "", spec);
  EXPECT_THAT(Message(status), HasSubstr("did you mean hidden?"));
  EXPECT_THAT(Message(status), HasSubstr(R"(overrides["a.b"].arguments["n"].hiden)"));
  // A hostile key does not fill the answer.
  const std::string huge = StrCat("{\"", std::string(10'000, 'x'), "\":1}");
  EXPECT_LT(Message(DecodeObject(huge, "", spec)).size(), 200u);
}

}  // namespace
}  // namespace metamcp::gateway::admin
