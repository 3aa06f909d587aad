#include "common/auth/roles.h"

#include <algorithm>

#include "common/auth/authenticator.h"

namespace metamcp::auth {
namespace {

constexpr std::string_view kRoles[] = {"viewer", "developer", "operator", "admin", "auditor"};

struct Row {
  std::string_view role;
  bool use, view, develop, operate, administer, audit;
};
// The one table.
constexpr Row kTable[] = {
    //             use    view   develop operate administer audit
    {"", /*     */ true, false, false, false, false, false},
    {"viewer", /**/ true, true, false, false, false, false},
    {"developer", true, true, true, false, false, false},
    {"operator", true, true, true, true, false, false},
    {"admin", /* */ true, true, true, true, true, false},
    {"auditor", /**/ false, false, false, false, false, true},
};

bool In(const Row& row, Permission permission) {
  switch (permission) {
    case Permission::kUse:
      return row.use;
    case Permission::kView:
      return row.view;
    case Permission::kDevelop:
      return row.develop;
    case Permission::kOperate:
      return row.operate;
    case Permission::kAdminister:
      return row.administer;
    case Permission::kAudit:
      return row.audit;
  }
  return false;
}

bool IsIn(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

std::string_view PermissionName(Permission permission) {
  switch (permission) {
    case Permission::kUse:
      return "use";
    case Permission::kView:
      return "view";
    case Permission::kDevelop:
      return "develop";
    case Permission::kOperate:
      return "operate";
    case Permission::kAdminister:
      return "administer";
    case Permission::kAudit:
      return "audit";
  }
  return "";
}

std::span<const std::string_view> Roles() { return kRoles; }

bool Allows(std::string_view role, Permission permission) {
  for (const Row& row : kTable) {
    if (row.role == role) return In(row, permission);
  }
  return false;
}

bool Allows(const Principal& principal, Permission permission) {
  bool ours = false;
  for (const std::string& role : principal.roles) {
    if (Allows(std::string_view(role), permission)) return true;
    ours = ours || std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
  }
  // Roles of somebody else's making are none of ours.
  return !ours && Allows(std::string_view(), permission);
}

std::optional<Permission> PermissionOf(std::string_view role) {
  if (role == "viewer") return Permission::kView;
  if (role == "developer") return Permission::kDevelop;
  if (role == "operator") return Permission::kOperate;
  if (role == "admin") return Permission::kAdminister;
  if (role == "auditor") return Permission::kAudit;
  return std::nullopt;
}

bool HasRole(const Principal& principal, std::string_view role) {
  const auto permission = PermissionOf(role);
  return permission && Allows(principal, *permission);
}

bool MaySee(const Principal& principal, const Ownership& object) {
  if (IsOpen(object) || Allows(principal, Permission::kOperate)) return true;
  if (!object.owner.empty() && principal.subject == object.owner) return true;
  return object.visibility == "team" && IsIn(principal.teams, object.team);
}

bool IsOpen(const Ownership& object) {
  return object.visibility.empty() || object.visibility == "public" ||
         (object.visibility == "team" && object.team.empty());
}

}  // namespace metamcp::auth
