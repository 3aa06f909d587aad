#include "cli/rest_json.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/http/url.h"
#include "common/json/dom.h"

namespace metamcp::cli {

std::string TextOf(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* member = json::FindMember(object, key);
  return member != nullptr && member->is_string() ? member->get<std::string>() : std::string();
}

int64_t NumberOf(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* member = json::FindMember(object, key);
  if (member == nullptr) return 0;
  if (member->is_number_integer()) return member->get<int64_t>();
  if (member->is_number()) return static_cast<int64_t>(member->get<double>());
  if (!member->is_string()) return 0;
  return std::strtoll(member->get_ref<const std::string&>().c_str(), nullptr, 10);
}

bool BoolOf(const nlohmann::json& object, std::string_view key) {
  const nlohmann::json* member = json::FindMember(object, key);
  return member != nullptr && member->is_boolean() && member->get<bool>();
}

const nlohmann::json& ObjectOf(const nlohmann::json& object, std::string_view key) {
  static const nlohmann::json kEmpty = nlohmann::json::object();
  const nlohmann::json* member = json::FindMember(object, key);
  return member != nullptr && member->is_object() ? *member : kEmpty;
}

const nlohmann::json& ArrayOf(const nlohmann::json& object, std::string_view key) {
  static const nlohmann::json kEmpty = nlohmann::json::array();
  const nlohmann::json* member = json::FindMember(object, key);
  return member != nullptr && member->is_array() ? *member : kEmpty;
}

std::string JoinedOf(const nlohmann::json& object, std::string_view key) {
  std::string out;
  for (const nlohmann::json& item : ArrayOf(object, key)) {
    if (!item.is_string()) continue;
    if (!out.empty()) out += ", ";
    out += item.get_ref<const std::string&>();
  }
  return out;
}

std::string ApiPath(std::initializer_list<std::string_view> parts, const Query& query) {
  std::string path = "/api/v1";
  for (const std::string_view part : parts) {
    path += "/";
    // "items:search" and the like are ours and keep their colon.
    const size_t colon = part.find(':');
    if (colon == std::string_view::npos) {
      path += http::PercentEncode(part);
    } else {
      path += StrCat(http::PercentEncode(part.substr(0, colon)), ":",
                     http::PercentEncode(part.substr(colon + 1)));
    }
  }
  char separator = '?';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    path += StrCat(std::string(1, separator), name, "=", http::PercentEncode(value));
    separator = '&';
  }
  return path;
}

absl::StatusOr<nlohmann::json> CallJson(CommandContext& ctx, const RestRequest& request) {
  METAMCP_ASSIGN_OR_RETURN(const std::string body, ctx.rest().Call(request));
  return json::ParseJson(body.empty() ? "{}" : body);
}

absl::StatusOr<nlohmann::json> ListAll(CommandContext& ctx, std::string_view collection,
                                       std::string_view key, const Query& query) {
  // Ends a gateway's loop of page tokens.
  constexpr int kPagesMax = 10'000;
  nlohmann::json all = nlohmann::json::array();
  std::string token;
  for (int page = 0; page < kPagesMax; ++page) {
    Query with_page = query;
    with_page.emplace_back("pageSize", "1000");
    with_page.emplace_back("pageToken", token);
    METAMCP_ASSIGN_OR_RETURN(nlohmann::json reply,
                             CallJson(ctx, RestRequest("GET", ApiPath({collection}, with_page))));
    for (const nlohmann::json& item : ArrayOf(reply, key)) all.push_back(item);
    token = TextOf(reply, "nextPageToken");
    if (token.empty()) break;
  }
  nlohmann::json out = nlohmann::json::object();
  out[std::string(key)] = std::move(all);
  return out;
}

std::string TimeText(int64_t us) {
  if (us <= 0) return "";
  const std::time_t seconds = us / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string AgeText(int64_t us, int64_t now_us) {
  if (us <= 0) return "";
  const int64_t s = (now_us - us) / 1'000'000;
  if (s < 0) return "0 s";
  if (s < 120) return StrCat(s, " s");
  if (s < 7200) return StrCat(s / 60, " min");
  if (s < 172'800) return StrCat(s / 3600, " h");
  return StrCat(s / 86'400, " d");
}

int64_t NowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace metamcp::cli
