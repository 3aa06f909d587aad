#include "services/workflow/face/access.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/auth/authenticator.h"
#include "common/json/dom.h"

namespace metamcp::workflow {
namespace {

bool InTeam(const Principal& who, std::string_view team) {
  return std::find(who.teams.begin(), who.teams.end(), team) != who.teams.end();
}

// The three roles of ours include each other; others are only themselves.
bool HasThatRole(const Principal& who, std::string_view role) {
  const bool ranked = role == "viewer" || role == "operator" || role == "admin";
  if (ranked) return auth::HasRole(who, role);
  return std::find(who.roles.begin(), who.roles.end(), role) != who.roles.end();
}

bool IsNamed(const Principal& who, std::string_view starter, const Sharing& workflow,
             std::string_view name) {
  const size_t colon = name.find(':');
  const std::string_view kind = name.substr(0, colon == std::string_view::npos ? 0 : colon);
  const std::string_view rest = name.substr(colon == std::string_view::npos ? 0 : colon + 1);
  if (kind == "role") return HasThatRole(who, rest);
  if (kind == "team") return InTeam(who, rest);
  if (kind == "user") return who.subject == rest;
  if (name == "owner") return who.subject == workflow.owner;
  if (name == "starter") return who.subject == starter;
  return who.subject == name;
}

}  // namespace

bool IsVisibility(std::string_view text) {
  return text == "private" || text == "team" || text == "public";
}

bool IsAdmin(const Principal& who) { return auth::HasRole(who, "admin"); }

bool MayChange(const Principal& who, const Sharing& workflow) {
  return IsAdmin(who) || (!who.subject.empty() && who.subject == workflow.owner);
}

bool MaySee(const Principal& who, const Sharing& workflow) {
  if (MayChange(who, workflow) || workflow.visibility == "public") return true;
  if (workflow.visibility != "team") return false;
  return workflow.team.empty() || InTeam(who, workflow.team);
}

bool MayHandleRun(const Principal& who, std::string_view starter, const Sharing& workflow) {
  return MayChange(who, workflow) || (!who.subject.empty() && who.subject == starter);
}

Approvers ReadApprovers(std::string_view detail) {
  Approvers out;
  const auto parsed = json::ParseJson(detail);
  if (!parsed.ok() || !parsed->is_object()) return out;
  if (const auto it = parsed->find("separate"); it != parsed->end()) out.separate = *it == true;
  const auto it = parsed->find("approvers");
  if (it == parsed->end()) return out;
  if (it->is_string()) out.who.push_back(it->get<std::string>());
  for (const auto& one : it->is_array() ? *it : nlohmann::json::array()) {
    if (one.is_string()) out.who.push_back(one.get<std::string>());
  }
  // An expression that came to nothing must not open the approval to others.
  if (out.who.empty()) out.who.emplace_back("role:admin");
  return out;
}

bool MayApprove(const Principal& who, std::string_view starter, const Sharing& workflow,
                const Approvers& approvers) {
  if (approvers.separate && who.subject == starter) return false;
  if (!approvers.who.empty()) {
    return std::any_of(approvers.who.begin(), approvers.who.end(), [&](const std::string& name) {
      return IsNamed(who, starter, workflow, name);
    });
  }
  if (who.subject == starter && !who.subject.empty()) return true;
  // A second person is asked for: an operator who is not the starter is one.
  if (approvers.separate) return auth::HasRole(who, "operator");
  return MayHandleRun(who, starter, workflow) && auth::HasRole(who, "operator");
}

}  // namespace metamcp::workflow
