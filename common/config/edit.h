#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/config/config.h"

// Changes to config.json as the command line makes them. Each is atomic, keeps comments, order and
// formatting, keeps two editors apart, and checks the result before it replaces the file. All of it
// blocks. Errors of all: CONFIG_INVALID when the file has errors already or would get some;
// PERMISSION_DENIED when it is read-only.
namespace metamcp::config {

// Adds a server, making the file where there is none. Errors: ALREADY_EXISTS when a server has that
// name or that slug.
absl::Status AddServerBlocking(const std::string& path, const std::string& name,
                               const ServerConfig& server);

// Removes a server by name or slug. Errors: NOT_FOUND, naming the nearest.
absl::Status RemoveServerBlocking(const std::string& path, const std::string& name);

// Disables or enables a server by name or slug. Errors: NOT_FOUND, naming the nearest.
absl::Status SetServerDisabledBlocking(const std::string& path, const std::string& name,
                                       bool disabled);

// The same for virtual servers. Errors of the first: ALREADY_EXISTS.
absl::Status AddVirtualServerBlocking(const std::string& path, const std::string& name,
                                      const VirtualServerConfig& server);
absl::Status RemoveVirtualServerBlocking(const std::string& path, const std::string& name);
absl::Status SetVirtualServerDisabledBlocking(const std::string& path, const std::string& name,
                                              bool disabled);

// Writes DefaultConfigText(). Errors: ALREADY_EXISTS.
absl::Status CreateConfigBlocking(const std::string& path);

struct MigrateResult {
  bool changed = false;
  std::string backup;  // where the old file is
  std::string notes;   // one line each: what could not be carried over
};

// Brings a file of schema version 0 to version 1, after a copy to "<path>.bak-<UTC time>". A file
// that is current is left alone. Errors: NOT_FOUND.
absl::StatusOr<MigrateResult> MigrateConfigBlocking(const std::string& path);

}  // namespace metamcp::config
