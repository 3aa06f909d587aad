#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/principal.h"

namespace metamcp::auth {

// What an operation needs. Each route, RPC and MCP method names one; docs/security.md has them all.
enum class Permission : uint8_t {
  kUse,         // MCP: lists, calls, subscriptions; which items is a matter of teams and policy
  kView,        // see servers, virtual servers, items, runs
  kDevelop,     // write and run own workflows, call tools by REST
  kOperate,     // enable, restart, publish, log in servers, handle sessions
  kAdminister,  // make, change and remove what the gateway serves
  kAudit,       // read the audit, which no other permission includes
};
std::string_view PermissionName(Permission permission);

// The roles in the order of their rights, and the one that stands beside them.
std::span<const std::string_view> Roles();  // viewer, developer, operator, admin, auditor

// The table of who may do what. The role "" is that of a principal without any: it may use MCP. An
// unknown role may nothing.
bool Allows(std::string_view role, Permission permission);

// Whether one of the principal's roles allows it.
bool Allows(const Principal& principal, Permission permission);

// The permission of an operation that names `role` as the least that may call it (http option);
// nothing where it names no role of ours.
std::optional<Permission> PermissionOf(std::string_view role);

// Whose an object is, and with whom it is shared.
struct Ownership {
  std::string owner;
  std::string team;
  // private: its owner; team: who is in `team`, everybody of the tenant where that is empty;
  // public, and empty: everybody of the tenant. Operators and administrators see all.
  std::string visibility;
  bool operator==(const Ownership&) const = default;
};
bool MaySee(const Principal& principal, const Ownership& object);
// True of everybody, so that nobody needs to be asked.
bool IsOpen(const Ownership& object);

}  // namespace metamcp::auth
