#include "cli/arazzo/arazzo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/arazzo/expression.h"

namespace metamcp::cli::arazzo {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

// The first example of the specification, with tools for its operations.
constexpr char kPets[] = R"({
  "arazzo": "1.0.1",
  "info": {"title": "Pets", "version": "2.1.0"},
  "sourceDescriptions": [{"name": "pets", "url": "./pets.yaml", "type": "openapi"}],
  "workflows": [{
    "workflowId": "loginUserAndRetrievePet",
    "summary": "Login and find pets",
    "inputs": {"type": "object", "properties": {"username": {"type": "string"},
               "password": {"type": "string"}}},
    "steps": [
      {"stepId": "login-step", "operationId": "loginUser",
       "parameters": [{"name": "username", "in": "query", "value": "$inputs.username"},
                      {"name": "password", "in": "query", "value": "$inputs.password"}],
       "successCriteria": [{"condition": "$statusCode == 200"}],
       "outputs": {"token": "$response.body#/session/token"}},
      {"stepId": "getPets", "operationId": "$sourceDescriptions.pets.findPets",
       "requestBody": {"payload": {"note": "token {$steps.login-step.outputs.token}!",
                                   "status": "available", "odd": "${ env }"}},
       "successCriteria": [
         {"context": "$response.body", "condition": "$[?count(@.pets) > 0]", "type": "jsonpath"},
         {"condition": "$response.body#/state == 'OK' && !$response.body#/late"}],
       "onFailure": [{"name": "again", "type": "retry", "retryAfter": 0.5, "retryLimit": 2}],
       "outputs": {"pets": "$response.body"}}],
    "outputs": {"available": "$steps.getPets.outputs.pets"}}]})";

absl::StatusOr<std::string> ToolFor(const std::string& operation, const std::string& source) {
  if (operation == "unknown") return absl::NotFoundError("there is no tool \"unknown\"");
  return (source.empty() ? std::string("any") : source) + "." + operation;
}

Imported Read(const Json& description) { return Import(description, "", ToolFor); }

TEST(ArazzoTest, StepsBecomeCallsOfTools) {
  const Imported imported = Read(Json::parse(kPets));
  ASSERT_THAT(imported.refused, IsEmpty());
  ASSERT_EQ(imported.documents.size(), 1u);
  const Json& document = imported.documents[0];
  EXPECT_EQ(document["document"]["name"], "loginuserandretrievepet");
  EXPECT_EQ(document["document"]["version"], "2.1.0");
  const Json& login = document["do"][0]["login_step"];
  EXPECT_EQ(login["call"], "any.loginUser@mcp");
  EXPECT_EQ(login["with"]["username"], R"(${ $workflow.input["username"] })");
  const Json& again = document["do"][1]["getPets_again"];
  EXPECT_EQ(again["catch"]["retry"]["delay"]["milliseconds"], 500);
  EXPECT_EQ(again["catch"]["retry"]["limit"]["attempt"]["count"], 3);
  const Json& pets = again["try"][0]["getPets"];
  EXPECT_EQ(pets["call"], "pets.findPets@mcp");
  EXPECT_EQ(pets["with"]["status"], "available");
  EXPECT_EQ(pets["with"]["note"],
            R"(${ "token \($context.steps.login_step["session"]["token"])!" })");
  // What looks like an expression of ours is a text.
  EXPECT_EQ(pets["with"]["odd"], R"(${ "${ env }" })");
  const std::string check = again["try"][1]["getPets_criteria"]["if"];
  EXPECT_THAT(check, HasSubstr("select(((("));
  EXPECT_THAT(check, HasSubstr("ascii_downcase"));
  EXPECT_EQ(document["output"]["as"]["available"], "${ $context.steps.getPets }");
}

TEST(ArazzoTest, WhatIsNotThereIsRefusedByItsName) {
  struct Case {
    const char* pointer;
    const char* value;
    const char* says;
  };
  const Case cases[] = {
      {"/arazzo", R"("2.0.0")", "no description of Arazzo 1.0"},
      {"/workflows/0/dependsOn", R"(["x"])", "workflows/0/dependsOn"},
      {"/workflows/0/steps/0/operationId", R"("unknown")", "there is no tool"},
      {"/workflows/0/steps/0/parameters/0/in", R"("header")", "in: header"},
      {"/workflows/0/steps/0/parameters/0/value", R"("$inputs.nobody")", "no input \"nobody\""},
      {"/workflows/0/steps/0/parameters/0/value", R"("$steps.getPets.outputs.pets")",
       "no step before"},
      {"/workflows/0/steps/0/parameters/0/value", R"("$url")", "the expression $url"},
      {"/workflows/0/steps/0/parameters/0/value", R"("$response.body")", "$response.body"},
      {"/workflows/0/steps/0/successCriteria/0/condition", R"("$statusCode == 404")", "no status"},
      {"/workflows/0/steps/0/successCriteria/0/condition", R"("$response.body ==")", "condition"},
      {"/workflows/0/steps/0/successCriteria/0/type", R"("xpath")", "type xpath"},
      {"/workflows/0/steps/1/successCriteria/0/condition", R"("$..pets")", "JSONPath's .."},
      {"/workflows/0/steps/1/successCriteria/0/condition", R"("$[1:2]")", "JSONPath's [1:2]"},
      {"/workflows/0/steps/1/onFailure/0/type", R"("goto")", "goto is not there"},
      {"/workflows/0/steps/1/onSuccess", R"([{"name":"x","type":"end"}])", "onSuccess"},
      {"/workflows/0/steps/1/requestBody/replacements", "[]", "replacements"},
      {"/workflows/0/steps/1/requestBody/payload", R"("text")", "payload"},
      {"/workflows/0/steps/1/stepId", R"("login_step")", "occurs twice"},
      {"/workflows/0/steps", "[]", "steps"},
      {"/workflows/0/steps/0", "7", "must be an object"}};
  for (const Case& one : cases) {
    Json description = Json::parse(kPets);
    description[Json::json_pointer(one.pointer)] = Json::parse(one.value);
    const Imported imported = Read(description);
    EXPECT_THAT(imported.refused, Contains(HasSubstr(one.says))) << one.pointer;
    EXPECT_TRUE(imported.documents.empty()) << one.pointer;
  }
  EXPECT_FALSE(Read(Json::parse("[]")).refused.empty());
  EXPECT_FALSE(Read(Json()).refused.empty());
  EXPECT_FALSE(Import(Json::parse(kPets), "nobody", ToolFor).refused.empty());
}

TEST(ArazzoTest, AToolMayBeNamedByTheStep) {
  Json description = Json::parse(kPets);
  Json& step = description["workflows"][0]["steps"][0];
  step.erase("operationId");
  step["x-mcp-tool"] = "own.login";
  const Imported imported = Read(description);
  ASSERT_THAT(imported.refused, IsEmpty());
  EXPECT_EQ(imported.documents[0]["do"][0]["login_step"]["call"], "own.login@mcp");
}

TEST(ArazzoTest, ConditionsAsJq) {
  Scope scope;
  scope.inputs = {"n"};
  scope.body = "$b";
  EXPECT_EQ(*SimpleJq("$statusCode == 2e2", scope), "true");
  EXPECT_EQ(*SimpleJq("400 > $statusCode", scope), "true");
  EXPECT_EQ(*SimpleJq("$response.body#/a/0 >= 3", scope), "(($b[\"a\"][0]) >= (3))");
  EXPECT_EQ(*SimpleJq("$inputs.n.x == null || true", scope),
            "((($workflow.input[\"n\"][\"x\"]) == (null)) or true)");
  EXPECT_THAT(*SimpleJq("$response.body#/x == 'It''s'", scope), HasSubstr("\"It's\""));
  for (const char* bad : {"", "(", ")", "&&", "a", "'open", "$response.body#x == 1", "1 = 1",
                          "$statusCode", "!!!", "$response.header.x == 1"}) {
    EXPECT_FALSE(SimpleJq(bad, scope).ok()) << bad;
  }
  EXPECT_FALSE(SimpleJq(std::string(5000, '!') + "true", scope).ok());
  EXPECT_FALSE(SimpleJq(std::string(5000, '(') + "true", scope).ok());
  EXPECT_EQ(*JsonPathJq("$response.body", "$.a['b'][0]", scope),
            "([$b | .[\"a\"]? | .[\"b\"]? | .[0]?] | map(select(. != null)) | length > 0)");
  EXPECT_THAT(*JsonPathJq("$response.body", "$.a[?@.x == 'Y' && length(@.z) > 1]", scope),
              HasSubstr(R"(select((((.["x"]?) == ("Y")) and ((((.["z"]?) | length)) > (1)))))"));
}

}  // namespace
}  // namespace metamcp::cli::arazzo
