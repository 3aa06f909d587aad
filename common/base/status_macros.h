#pragma once

// Early return on a failed absl::Status or absl::StatusOr. The CO_ twins are for coroutines,
// where a plain return is not allowed.

#define METAMCP_CONCAT_INNER(a, b) a##b
#define METAMCP_CONCAT(a, b) METAMCP_CONCAT_INNER(a, b)

#define METAMCP_RETURN_IF_ERROR(expr)                                                        \
  do {                                                                                       \
    if (::absl::Status metamcp_status = (expr); !metamcp_status.ok()) return metamcp_status; \
  } while (false)

#define METAMCP_CO_RETURN_IF_ERROR(expr)                                                        \
  do {                                                                                          \
    if (::absl::Status metamcp_status = (expr); !metamcp_status.ok()) co_return metamcp_status; \
  } while (false)

#define METAMCP_ASSIGN_IMPL(ret, tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) ret tmp.status();               \
  lhs = std::move(tmp).value()

#define METAMCP_ASSIGN_OR_RETURN(lhs, expr) \
  METAMCP_ASSIGN_IMPL(return, METAMCP_CONCAT(metamcp_sor_, __LINE__), lhs, expr)

#define METAMCP_CO_ASSIGN_OR_RETURN(lhs, expr) \
  METAMCP_ASSIGN_IMPL(co_return, METAMCP_CONCAT(metamcp_sor_, __LINE__), lhs, expr)
