#include "common/config/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/config/load.h"

namespace metamcp::config {
namespace {

Config Read(std::string_view text) {
  LoadOptions options;
  options.resolve = false;
  CheckResult check = CheckConfig(text, "c.json", options);
  EXPECT_EQ(FormatErrors(check.errors), "");
  return std::move(check.loaded.config);
}

TEST(RenderTest, TheDefaultFileIsValidAndMeansTheDefaults) {
  RecordProperty("req", "M-FR-003.6");
  EXPECT_EQ(Read(DefaultConfigText()), Config());
}

TEST(RenderTest, WhatIsRenderedReadsBackEqual) {
  const Config config = Read(R"({
    "gateway": {"pageSize": 5, "cors": {"origins": ["https://a"]}},
    "mcpServers": {
      "My git": {"command": "uvx", "args": ["a", "b\n\"c\""], "env": {"A": "${A}"}, "tags": ["t"]},
      "docs": {"url": "https://h", "headers": {"X": "${X}"}, "tls": {"min": "1.2"},
               "toolTimeoutsMs": {"slow": 9}, "disabled": true, "fallbacks": ["My git"]}},
    "virtualServers": {"v": {"servers": ["docs"], "tools": {"annotations": {"readOnlyHint": true}},
      "overrides": {"docs.a": {"name": "b", "arguments": {"x": {"default": [1, {"y": null}]}}}}}}
  })");
  EXPECT_EQ(Read(ConfigToJson(config)), config);
  RenderOptions all;
  all.with_defaults = true;
  EXPECT_EQ(Read(ConfigToJson(config, all)), config);
}

TEST(RenderTest, PrettyJsonHasTheSameContent) {
  for (const std::string& text :
       {StrCat("\"", std::string(200, 'x'), "\""), StrCat("[\"", std::string(200, 'x'), "\",[]]"),
        StrCat("{\"", std::string(200, 'x'), "\":{}}"), std::string("[{\"a\":[1,{\"b\":{}}]},[]]"),
        std::string("{\"a\":[],\"b\":null}"), std::string("{}")}) {
    const JsonNode node = ParseJsonc(text, "f").root;
    EXPECT_EQ(ToJson(ParseJsonc(ToPrettyJson(node), "f").root), text);
  }
}

TEST(RenderTest, HidesCredentials) {
  Config config;
  config.mcp_servers["a"].command = "x";
  config.mcp_servers["a"].type = "stdio";
  config.mcp_servers["a"].env["TOKEN"] = "planted1";
  config.mcp_servers["a"].headers["Authorization"] = "planted2";
  config.database.url = "postgresql://u:planted3@h/d";
  config.auth.keys.push_back(KeyConfig{"k", "planted4planted4", "default", {"admin"}});
  const std::string text = ConfigToJson(config);
  EXPECT_EQ(text.find("planted"), std::string::npos) << text;
  EXPECT_THAT(text, testing::HasSubstr("\"TOKEN\": \"***\""));
}

}  // namespace
}  // namespace metamcp::config
