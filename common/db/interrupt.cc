#include "common/db/interrupt.h"

#include <utility>

namespace metamcp::db {

void Interrupt::Fire(absl::Status why) {
  std::lock_guard lock(mu_);
  if (!why_.ok() || why.ok()) return;
  why_ = std::move(why);
  // Under the lock, so that Disarm waits for it: afterwards the connection may serve another.
  if (abort_) abort_();
  abort_ = nullptr;
}

absl::Status Interrupt::status() const {
  std::lock_guard lock(mu_);
  return why_;
}

absl::Status Interrupt::Arm(std::function<void()> abort) {
  std::lock_guard lock(mu_);
  if (why_.ok()) abort_ = std::move(abort);
  return why_;
}

absl::Status Interrupt::Disarm() {
  std::lock_guard lock(mu_);
  abort_ = nullptr;
  return why_;
}

}  // namespace metamcp::db
