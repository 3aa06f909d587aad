#include "common/http/http_types.h"

#include <algorithm>

namespace metamcp::http {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// What a byte may stand in; looked up for every byte of every header.
struct ByteClass {
  bool token[256] = {};
  bool value[256] = {};
};
constexpr ByteClass MakeByteClass() {
  ByteClass out;
  for (int c = 'a'; c <= 'z'; ++c) out.token[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) out.token[c] = true;
  for (int c = '0'; c <= '9'; ++c) out.token[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) out.token[static_cast<int>(c)] = true;
  for (int c = 0x20; c < 256; ++c) out.value[c] = c != 0x7f;
  out.value[static_cast<int>('\t')] = true;
  return out;
}
constexpr ByteClass kBytes = MakeByteClass();

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

}  // namespace

bool EqualsNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

bool IsHttpToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return kBytes.token[static_cast<unsigned char>(c)];
  });
}

bool IsHeaderValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return kBytes.value[static_cast<unsigned char>(c)]; });
}

HttpHeaders::HttpHeaders(
    std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  for (const auto& [name, value] : fields) Add(name, value);
}

void HttpHeaders::Add(std::string_view name, std::string_view value) {
  Field field{};
  field.name = static_cast<uint32_t>(text_.size());
  field.name_size = static_cast<uint32_t>(name.size());
  field.value = static_cast<uint32_t>(text_.size() + name.size());
  field.value_size = static_cast<uint32_t>(value.size());
  // The arguments may be views into text_ itself, so they are copied before it grows.
  if (text_.capacity() - text_.size() < name.size() + value.size()) {
    std::string grown;
    grown.reserve(std::max<size_t>(512, 2 * (text_.size() + name.size() + value.size())));
    grown.append(text_).append(name).append(value);
    text_ = std::move(grown);
  } else {
    text_.append(name).append(value);
  }
  fields_.push_back(field);
}

void HttpHeaders::Set(std::string_view name, std::string_view value) {
  if (!Has(name)) return Add(name, value);
  const std::string own_name(name), own_value(value);
  Remove(own_name);
  Add(own_name, own_value);
}

void HttpHeaders::Remove(std::string_view name) {
  const auto matches = [&](const Field& f) { return IsNamed(f, name); };
  fields_.erase(std::remove_if(fields_.begin(), fields_.end(), matches), fields_.end());
  if (fields_.empty()) text_.clear();
}

void HttpHeaders::Clear() {
  fields_.clear();
  text_.clear();
}

HttpHeader HttpHeaders::at(size_t index) const {
  const Field& f = fields_[index];
  const std::string_view text(text_);
  return {text.substr(f.name, f.name_size), text.substr(f.value, f.value_size)};
}

bool HttpHeaders::IsNamed(const Field& field, std::string_view name) const {
  return field.name_size == name.size() &&
         EqualsNoCase(std::string_view(text_.data() + field.name, field.name_size), name);
}

std::string_view HttpHeaders::Get(std::string_view name) const {
  for (const Field& f : fields_) {
    if (IsNamed(f, name)) return {text_.data() + f.value, f.value_size};
  }
  return {};
}

bool HttpHeaders::Has(std::string_view name) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const Field& f) { return IsNamed(f, name); });
}

size_t HttpHeaders::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(fields_.begin(), fields_.end(),
                                           [&](const Field& f) { return IsNamed(f, name); }));
}

std::vector<std::string_view> HttpHeaders::GetAll(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const Field& f : fields_) {
    if (IsNamed(f, name)) out.emplace_back(text_.data() + f.value, f.value_size);
  }
  return out;
}

bool HttpHeaders::HasToken(std::string_view name, std::string_view token) const {
  for (const Field& f : fields_) {
    if (!IsNamed(f, name)) continue;
    std::string_view rest(text_.data() + f.value, f.value_size);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (EqualsNoCase(Trim(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::string_view HttpReason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 508:
      return "Loop Detected";
    default:
      return "Unknown";
  }
}

}  // namespace metamcp::http
