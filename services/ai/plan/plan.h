#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/ai/plan/rank.h"
#include "services/ai/plan/refine.h"

namespace metamcp::ai {

struct Alternative {
  std::string tool;
  double score = 0;
};

struct PlanStep {
  std::string id;
  std::string title;  // the part of the task that it does
  std::string tool;
  std::string effect;  // see Tool::effect
  Json arguments = Json::object();
  std::string for_each;  // expression of the list it runs for; empty: once
  std::vector<std::string> depends_on;
  std::string prompt;  // of a step that a model does, which has no tool
  double confidence = 0;
  std::vector<Alternative> alternatives;
};

// A part of the task that no tool fits.
struct Gap {
  std::string id;
  std::string text;
  std::string question;
  std::vector<Alternative> nearest;
};

// A proposal. Pure data; nothing of it has happened.
struct Plan {
  std::string name;
  std::string summary;
  Json input = Json::object();  // properties by name
  std::vector<PlanStep> steps;
  std::vector<Gap> gaps;
  std::vector<std::string> notes;
  Json output;  // null: the results of all steps
  double confidence = 0;
  std::vector<std::string> considered;  // tools, best first
};

// "high", "medium" or "low".
std::string_view ConfidenceName(double confidence);

// The flat form of workflows.
Json ToFlat(const Plan& plan);

struct PlanRequest {
  std::string task;
  std::vector<Clause> clauses;
  std::vector<std::vector<Tool>> candidates;   // for each clause
  std::map<std::string, std::string> choices;  // tool by step id, chosen by a person
  std::vector<Preference> preferences;
  bool model = false;  // a model can fill slots
};

// Makes a plan without asking anybody. Every argument is a value of the task, what an earlier step
// gives, or an input of the workflow, so that a plan is always complete. Deterministic.
Plan MakePlan(const PlanRequest& request);

}  // namespace metamcp::ai
