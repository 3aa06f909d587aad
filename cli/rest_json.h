#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/context.h"

// Reading what the admin REST API answers. Include <nlohmann/json.hpp> only in .cc files.
namespace metamcp::cli {

// Members that are absent or of another type are empty, zero or false. 64-bit numbers may be
// strings, as the JSON form of protos has them.
std::string TextOf(const nlohmann::json& object, std::string_view key);
int64_t NumberOf(const nlohmann::json& object, std::string_view key);
bool BoolOf(const nlohmann::json& object, std::string_view key);
// The member, or an empty object.
const nlohmann::json& ObjectOf(const nlohmann::json& object, std::string_view key);
// The member, or an empty array.
const nlohmann::json& ArrayOf(const nlohmann::json& object, std::string_view key);
// Strings of an array, joined by ", ".
std::string JoinedOf(const nlohmann::json& object, std::string_view key);

using Query = std::vector<std::pair<std::string, std::string>>;
// "/api/v1/a/b?x=y": parts after the prefix and values are percent-encoded, empty values left out.
std::string ApiPath(std::initializer_list<std::string_view> parts, const Query& query = {});

// Sends and parses. Errors: as RestClient::Call; PARSE_ERROR when the answer is no JSON.
absl::StatusOr<nlohmann::json> CallJson(CommandContext& ctx, const RestRequest& request);

// Reads every page of a list; returns {"<key>": [...]}.
absl::StatusOr<nlohmann::json> ListAll(CommandContext& ctx, std::string_view collection,
                                       std::string_view key, const Query& query = {});

// "2026-11-20 16:05:03" in UTC, empty for 0.
std::string TimeText(int64_t us);
// "3 s", "5 min", "2 h" since then.
std::string AgeText(int64_t us, int64_t now_us);
int64_t NowUs();

}  // namespace metamcp::cli
