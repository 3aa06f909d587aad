#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/ai/plan/plan.h"

// What is known while a plan is made. Internal to this folder.
namespace metamcp::ai {

// What steps may run for: a list, and what its elements are.
struct Collection {
  std::string expression;  // jq: "input.files"
  std::string noun;
  Role role = Role::kPath;
};

// What a step gives to later ones.
struct Made {
  std::string id;
  const Tool* tool = nullptr;  // null: a model
  bool loops = false;
  std::string filter;  // only lines with this word count
  Action action = Action::kNone;
};

struct Draft {
  Plan plan;
  std::optional<Collection> collection;
  std::vector<Made> made;
  std::vector<std::string> paths;  // literals so far, newest last
  std::vector<std::string> urls;
  bool reads_only_last = true;

  // "${input.NAME}" for an argument that a person gives; adds it to the inputs.
  Json Ask(const std::string& name, const Json& schema);
  // jq: the text that the step gave, within a loop that of the current round.
  std::string TextOf(const Made& step, bool in_loop) const;
  // jq: the lines that count, a list of texts.
  std::string LinesOf(const Made& step, bool in_loop) const;
  // jq: the result of an earlier step that has a member of that name; empty where none has.
  std::string MemberOf(const std::string& name, bool in_loop) const;
  // jq: one text over everything that was found, with the list's elements as headings.
  std::string SummaryExpression() const;
  // The newest step that gave something to pass on; null where none did.
  const Made* Source() const;
};

std::string Expression(std::string_view jq);
// A text as a jq string.
std::string Quoted(std::string_view text);

struct Binding {
  Json arguments = Json::object();
  double sure = 1;    // how much of it was known
  size_t unused = 0;  // values of the clause that no argument took
};

// What an argument is called as an input of the workflow.
std::string InputName(const std::string& name, const Clause& clause, const Tool& tool);

// Fills the arguments of a tool from the clause, what went before and, where nothing is known, new
// inputs. `looped`: the step runs for the draft's collection.
Binding Bind(Draft* draft, const Clause& clause, const Tool& tool, bool looped);

// Whether a step of this tool runs for a list; then it is the draft's collection.
bool Loops(Draft* draft, const Clause& clause, const Tool& tool);
// A name for the workflow, from what it does.
std::string NameOf(const std::vector<Clause>& clauses);
double ConfidenceOf(const Plan& plan);
bool IsFileNoun(std::string_view noun);
// Letters, digits and _, at most 32, not beginning with a digit.
std::string Identifier(std::string_view text);

// Whether the tool takes one value where the clause speaks of many.
bool TakesOne(const Tool& tool, Role role);
bool TakesMany(const Tool& tool, Role role);

}  // namespace metamcp::ai
