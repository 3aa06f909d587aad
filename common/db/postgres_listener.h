#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace metamcp::db {

// Starts a thread with a connection of its own that LISTENs on `channels` (checked names) and
// reconnects when it is lost. Returns once the first LISTEN is in force. `url` is a completed one.
absl::StatusOr<std::unique_ptr<Listener>> ListenOnPostgres(std::string url,
                                                           std::vector<std::string> channels,
                                                           Database::Callback callback);

}  // namespace metamcp::db
