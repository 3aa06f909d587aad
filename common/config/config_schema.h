#pragma once

#include <string>

// Texts generated from the tables of fields.h; docs/ holds copies, which a test compares.
namespace metamcp::config {

// JSON Schema (draft 2020-12) of config.json, for editors.
std::string GenerateConfigSchema();

// docs/configuration.md.
std::string GenerateConfigDocs();

}  // namespace metamcp::config
