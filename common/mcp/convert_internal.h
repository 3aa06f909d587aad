#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/json/splice.h"

// Shared by the convert_*.cc files only.
namespace metamcp::mcp {

// The array with every element replaced by map(element, index).
absl::StatusOr<std::string> MapArray(
    std::string_view array,
    const std::function<absl::StatusOr<std::string>(std::string_view, std::size_t)>& map);

// The object's _meta without `keys`: nullopt if that changes nothing, empty if nothing is left.
std::optional<std::string> MetaWithout(const json::ObjectView& object,
                                       std::initializer_list<std::string_view> keys);
void DropMetaKeys(const json::ObjectView& object, std::initializer_list<std::string_view> keys,
                  json::Splicer* splicer);

}  // namespace metamcp::mcp
