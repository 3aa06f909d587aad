#include "services/workflow/engine/run_principal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/strings.h"
#include "common/json/dom.h"

namespace metamcp::workflow {
namespace {

std::vector<std::string> Texts(const nlohmann::json& object, const char* key) {
  std::vector<std::string> out;
  const auto it = object.find(key);
  if (it == object.end() || !it->is_array()) return out;
  for (const auto& one : *it) {
    if (one.is_string()) out.push_back(one.get<std::string>());
  }
  return out;
}

}  // namespace

std::string PrincipalJson(const Principal& principal) {
  nlohmann::json out;
  out["subject"] = principal.subject;
  out["roles"] = principal.roles;
  out["teams"] = principal.teams;
  out["scopes"] = principal.scopes;
  out["method"] = principal.method;
  if (!principal.actors.empty()) out["actors"] = principal.actors;
  return json::DumpJson(out);
}

int RunsAbove(std::string_view principal_json) {
  const auto parsed = json::ParseJson(principal_json);
  if (!parsed.ok() || !parsed->is_object()) return 0;
  const std::vector<std::string> actors = Texts(*parsed, "actors");
  return static_cast<int>(std::count_if(actors.begin(), actors.end(), [](const auto& actor) {
    return actor.rfind(kRunActor, 0) == 0;
  }));
}

std::shared_ptr<const Principal> PrincipalOf(const RunRow& run) {
  auto out = std::make_shared<Principal>();
  out->tenant = run.tenant;
  out->kind = "run";
  out->client = StrCat("workflow ", run.name, " ", run.version);
  const auto parsed = json::ParseJson(run.principal);
  if (parsed.ok() && parsed->is_object()) out->actors = Texts(*parsed, "actors");
  out->actors.push_back(StrCat(kRunActor, run.id));
  if (!parsed.ok() || !parsed->is_object()) return out;
  if (const auto it = parsed->find("subject"); it != parsed->end() && it->is_string()) {
    out->subject = it->get<std::string>();
  }
  out->roles = Texts(*parsed, "roles");
  out->teams = Texts(*parsed, "teams");
  out->scopes = Texts(*parsed, "scopes");
  if (const auto it = parsed->find("method"); it != parsed->end() && it->is_string()) {
    out->method = it->get<std::string>();
  }
  return out;
}

}  // namespace metamcp::workflow
