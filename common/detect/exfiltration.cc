// Addresses that carry data away when somebody shows or opens them.
#include <algorithm>

#include "common/detect/rules.h"

namespace metamcp::detect {
namespace {

// Where whoever wants to collect requests can do so at once.
constexpr std::string_view kCollectors[] = {
    "webhook.site",   "requestbin.",          "pipedream.net",
    "interact.sh",    "interactsh.",          "oast.",
    "oastify.com",    "burpcollaborator.net", "ngrok.io",
    "ngrok-free.app", "requestcatcher.com",   "beeceptor.com",
    "hookbin.com",    "canarytokens.com",     "dnslog.cn"};

constexpr size_t kUrlMax = 4096;
constexpr size_t kImageValueMin = 20;  // of a query value of an image that is shown by itself
constexpr size_t kDataMin = 100;       // of one run that looks like encoded data
constexpr size_t kLabelMin = 40;       // of one label of a host name
constexpr double kEncoded = 3.5;       // bits of a character

bool IsUrlChar(char c) {
  return c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '<' && c != '>' && c != ')' &&
         c != '`' && c != '\\' && c != '|';
}

size_t UrlSize(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && end - at < kUrlMax && IsUrlChar(text[end])) ++end;
  return end - at;
}

std::string_view HostOf(std::string_view url) {
  const size_t begin = url.find("://") + 3;
  const size_t end = std::min(url.find_first_of("/?#:", begin), url.size());
  return url.substr(begin, end - begin);
}

bool IsCollector(std::string_view host) {
  for (const std::string_view known : kCollectors) {
    for (size_t at = 0; at < host.size(); ++at) {
      if ((at == 0 || host[at - 1] == '.') && HasAt(host, at, known)) return true;
    }
  }
  return false;
}

bool HasLongLabel(std::string_view host) {
  size_t label = 0;
  for (const char c : host) {
    label = c == '.' ? 0 : label + 1;
    if (label >= kLabelMin) return true;
  }
  return false;
}

// A place that whoever shows the address is to fill in.
bool HasHole(std::string_view query) {
  for (const std::string_view hole : {"{{", "${", "{data", "{secret", "[data", "<data", "%7b"}) {
    for (size_t at = 0; at < query.size(); ++at) {
      if (HasAt(query, at, hole)) return true;
    }
  }
  return false;
}

// The longest run of base64 or hex in `text`.
size_t LongestData(std::string_view text, std::string_view* which) {
  size_t longest = 0;
  size_t begin = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    const bool data = at < text.size() && (IsAlnum(text[at]) || text[at] == '+' ||
                                           text[at] == '-' || text[at] == '_' || text[at] == '%');
    if (data) continue;
    if (at - begin > longest) {
      longest = at - begin;
      *which = text.substr(begin, longest);
    }
    begin = at + 1;
  }
  return longest;
}

std::string_view Judge(std::string_view url, bool image) {
  const std::string_view host = HostOf(url);
  if (IsCollector(host)) return "collector";
  if (HasLongLabel(host)) return "data-in-host";
  const size_t mark = std::min(url.find('?'), url.size());
  const std::string_view query = url.substr(mark);
  if (image && HasHole(query)) return "image-with-data";
  std::string_view run;
  const size_t longest = LongestData(url.substr(url.find("://") + 3 + host.size()), &run);
  if (longest >= kDataMin && Entropy(run) >= kEncoded) return "long-data";
  std::string_view value;
  if (image && LongestData(query, &value) >= kImageValueMin && Entropy(value) >= kEncoded) {
    return "image-with-data";
  }
  return "";
}

}  // namespace

void FindExfiltration(std::string_view text, std::vector<Finding>& out) {
  for (size_t at = text.find("http"); at != std::string_view::npos; at = text.find("http", at)) {
    const bool web = HasAt(text, at, "http://") || HasAt(text, at, "https://");
    if (!web) {
      at += 4;
      continue;
    }
    const size_t size = UrlSize(text, at);
    const std::string_view before = text.substr(0, at);
    const size_t open = before.size() >= 2 ? before.size() - 2 : 0;
    // ![…](URL or src="URL
    bool image = before.ends_with("src=\"") || before.ends_with("src='");
    if (before.ends_with("](")) {
      const std::string_view alt = before.substr(open > 256 ? open - 256 : 0);
      const size_t bang = alt.rfind("![");
      image = bang != std::string_view::npos && alt.find('\n', bang) == std::string_view::npos;
    }
    const std::string_view rule = Judge(text.substr(at, size), image);
    if (!rule.empty()) Note(out, Kind::kExfiltration, rule, at, size);
    at += size;
  }
}

}  // namespace metamcp::detect
