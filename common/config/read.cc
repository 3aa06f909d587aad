#include "common/config/read.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/names.h"
#include "common/base/strings.h"

namespace metamcp::config {
namespace {

constexpr size_t kErrorsMax = 50;
constexpr int kStarsMax = 16;  // matching costs the product of stars and length

Problem MakeProblem(const std::string& file, Position at, std::string message, std::string mend) {
  Problem problem;
  problem.file = file;
  problem.at = at;
  problem.message = std::move(message);
  problem.mend = std::move(mend);
  return problem;
}

bool IsChoice(std::string_view choices, std::string_view text) {
  for (const absl::string_view choice : absl::StrSplit(Av(choices), '|')) {
    if (Sv(choice) == text) return true;
  }
  return false;
}

// host:port with a host that is a name, an IPv4 address, or an IPv6 address in brackets.
bool IsAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  int number = -1;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 0 || number > 65535) {
    return false;
  }
  const bool bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  const std::string_view inner = bracketed ? host.substr(1, host.size() - 2) : host;
  return std::all_of(inner.begin(), inner.end(), [bracketed](char c) {
    return bracketed ? absl::ascii_isxdigit(c) || c == ':' || c == '.' || c == '%'
                     : absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

// One gRPC target; what stands behind unix: is the system's to judge.
bool IsTarget(std::string_view text) {
  constexpr std::string_view kDns = "dns:///";
  if (text.substr(0, 6) == "unix:/") return true;
  if (text.substr(0, kDns.size()) == kDns) text.remove_prefix(kDns.size());
  return IsAddress(text);
}

bool AreTargets(std::string_view text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (!IsTarget(text.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

bool IsUrl(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://", "ws://", "wss://"}) {
    if (text.size() > scheme.size() && text.substr(0, scheme.size()) == scheme) return true;
  }
  return text.find("${") != std::string_view::npos;
}

bool FitsText(const Field& field, std::string_view text) {
  switch (field.type) {
    case FieldType::kChoice:
      return text.empty() || IsChoice(field.choices, text);
    case FieldType::kAddress:
      return text.empty() || IsAddress(text);
    case FieldType::kTargets:
      return text.empty() || AreTargets(text);
    case FieldType::kUrl:
      return text.empty() || IsUrl(text);
    default:
      return true;
  }
}

std::string Found(const JsonNode& node) {
  if (node.kind == JsonNode::Kind::kBool) return node.boolean ? "true" : "false";
  if (node.kind == JsonNode::Kind::kNumber) return node.text.substr(0, 40);
  return std::string(KindName(node.kind));
}

std::string FoundText(const Field& field, std::string_view text) {
  if (field.secret) return "another value";
  return StrCat("\"", text.substr(0, 60), "\"");
}

std::string MendFor(const Field& field, std::string_view text) {
  if (field.type != FieldType::kChoice) return "";
  std::vector<std::string> choices;
  for (const absl::string_view c : absl::StrSplit(Av(field.choices), '|')) choices.emplace_back(c);
  const std::string nearest = Nearest(text, choices);
  return nearest.empty() ? "" : StrCat("did you mean \"", nearest, "\"?");
}

// Reads a list of strings; numbers are taken as written, as people write ports.
bool ReadStrings(const JsonNode& node, std::vector<std::string>* out) {
  if (node.kind != JsonNode::Kind::kArray) return false;
  out->clear();
  for (const JsonNode& item : node.items) {
    if (item.kind != JsonNode::Kind::kString && item.kind != JsonNode::Kind::kNumber) return false;
    out->push_back(item.text);
  }
  return true;
}

template <typename Map, typename Convert>
bool ReadMap(const JsonNode& node, const Convert& convert, Map* out) {
  if (node.kind != JsonNode::Kind::kObject) return false;
  out->clear();
  for (const JsonMember& member : node.members) {
    typename Map::mapped_type value;
    if (!convert(member.value, &value)) return false;
    out->emplace(member.key, std::move(value));
  }
  return true;
}

bool TextValue(const JsonNode& node, std::string* out) {
  if (node.kind == JsonNode::Kind::kBool) {
    *out = node.boolean ? "true" : "false";
    return true;
  }
  *out = node.text;
  return node.kind == JsonNode::Kind::kString || node.kind == JsonNode::Kind::kNumber;
}

// Sets the slot from a node of the right JSON type and range; false when it does not fit.
bool Assign(const Field& field, const JsonNode& node, void* object) {
  const Slot slot = field.slot(object);
  if (field.type == FieldType::kJson || field.type == FieldType::kJsonObject) {
    if (field.type == FieldType::kJsonObject && node.kind != JsonNode::Kind::kObject) return false;
    **std::get_if<std::string*>(&slot) = ToJson(node);
    return true;
  }
  if (const auto* text = std::get_if<std::string*>(&slot)) {
    if (node.kind != JsonNode::Kind::kString || !FitsText(field, node.text)) return false;
    **text = node.text;
    return true;
  }
  if (const auto* number = std::get_if<int64_t*>(&slot)) {
    if (!node.is_integer || node.integer < field.min || node.integer > field.max) return false;
    **number = node.integer;
    return true;
  }
  if (const auto* flag = std::get_if<bool*>(&slot)) {
    if (node.kind != JsonNode::Kind::kBool) return false;
    **flag = node.boolean;
    return true;
  }
  if (const auto* list = std::get_if<std::vector<std::string>*>(&slot)) {
    return ReadStrings(node, *list);
  }
  if (const auto* map = std::get_if<std::map<std::string, std::string>*>(&slot)) {
    return ReadMap(node, TextValue, *map);
  }
  if (const auto* map = std::get_if<std::map<std::string, int64_t>*>(&slot)) {
    const auto convert = [&field](const JsonNode& value, int64_t* out) {
      *out = value.integer;
      return value.is_integer && value.integer >= field.min && value.integer <= field.max;
    };
    return ReadMap(node, convert, *map);
  }
  return false;
}

// What the catalog would refuse later, without knowing the place.
bool FitsSize(ReadContext& context, const Field& field, const JsonNode& node,
              const std::string& where) {
  const auto text_fits = [&](const JsonNode& text) {
    const auto size = static_cast<int64_t>(text.text.size());
    if (field.bytes_max > 0 && size > field.bytes_max) {
      context.Error(
          text.at,
          StrCat("found ", size, " bytes for ", where, ", expected at most ", field.bytes_max),
          "shorten it");
      return false;
    }
    if (!field.filled || text.kind != JsonNode::Kind::kString) return true;
    const bool empty = text.text.empty();
    if (!empty && std::count(text.text.begin(), text.text.end(), '*') <= kStarsMax) return true;
    context.Error(
        text.at,
        StrCat("found ", empty ? "an empty text" : StrCat("more than ", kStarsMax, " stars"),
               " in ", where),
        empty ? "remove it" : "write fewer stars");
    return false;
  };
  if (node.kind == JsonNode::Kind::kString) return text_fits(node);
  if (node.kind != JsonNode::Kind::kArray) return true;
  const auto count = static_cast<int64_t>(node.items.size());
  if (field.items_max > 0 && count > field.items_max) {
    context.Error(
        node.at,
        StrCat("found ", count, " elements for ", where, ", expected at most ", field.items_max),
        "");
    return false;
  }
  return std::all_of(node.items.begin(), node.items.end(), text_fits);
}

}  // namespace

void ReadContext::Error(Position at, std::string message, std::string mend) {
  if (out->errors.size() >= kErrorsMax) return;
  out->errors.push_back(MakeProblem(file, at, std::move(message), std::move(mend)));
}

void ReadContext::Note(Position at, std::string message, std::string mend) {
  if (out->loaded.notes.size() >= kErrorsMax) return;
  out->loaded.notes.push_back(MakeProblem(file, at, std::move(message), std::move(mend)));
}

std::string Expected(const Field& field) {
  switch (field.type) {
    case FieldType::kString:
      return "a string";
    case FieldType::kBoolean:
      return "true or false";
    case FieldType::kStrings:
      return "an array of strings";
    case FieldType::kStringMap:
      return "an object of strings";
    case FieldType::kIntegerMap:
      return field.max == INT64_MAX
                 ? "an object of whole numbers"
                 : StrCat("an object of whole numbers from ", field.min, " to ", field.max);
    case FieldType::kChoice:
      return StrCat("one of ", absl::StrReplaceAll(Av(field.choices), {{"|", ", "}}));
    case FieldType::kAddress:
      return "host:port, such as \"127.0.0.1:8931\"";
    case FieldType::kTargets:
      return "host:port or dns:///host:port, several by commas";
    case FieldType::kUrl:
      return "a URL that begins with http:// or https://";
    case FieldType::kJsonObject:
      return "an object";
    case FieldType::kJson:
      return "a value";
    case FieldType::kNested:
      return "an object";
    case FieldType::kInteger:
      break;
  }
  const std::string unit = field.unit.empty() ? "" : StrCat(" (", field.unit, ")");
  if (field.max == INT64_MAX) return StrCat("a whole number, at least ", field.min, unit);
  return StrCat("a whole number from ", field.min, " to ", field.max, unit);
}

std::string SetFromText(const Field& field, std::string_view text, void* object) {
  const std::string wrong =
      StrCat("found ", FoundText(field, text), ", expected ", Expected(field));
  JsonNode node;
  const Slot slot = field.slot(object);
  if (std::holds_alternative<std::string*>(slot)) {
    node.kind = JsonNode::Kind::kString;
    node.text = std::string(text);
  } else if (std::holds_alternative<std::vector<std::string>*>(slot)) {
    node.kind = JsonNode::Kind::kArray;
    for (const absl::string_view part : absl::StrSplit(Av(text), ',', absl::SkipWhitespace())) {
      JsonNode item;
      item.kind = JsonNode::Kind::kString;
      item.text = std::string(absl::StripAsciiWhitespace(part));
      node.items.push_back(std::move(item));
    }
  } else if (std::holds_alternative<std::map<std::string, std::string>*>(slot)) {
    // "name=value,name=value"
    node.kind = JsonNode::Kind::kObject;
    for (const absl::string_view part : absl::StrSplit(Av(text), ',', absl::SkipWhitespace())) {
      const std::pair<absl::string_view, absl::string_view> halves =
          absl::StrSplit(part, absl::MaxSplits('=', 1));
      JsonMember member;
      member.key = std::string(absl::StripAsciiWhitespace(halves.first));
      member.value.kind = JsonNode::Kind::kString;
      member.value.text = std::string(absl::StripAsciiWhitespace(halves.second));
      if (member.key.empty() || part.find('=') == absl::string_view::npos) return wrong;
      node.members.push_back(std::move(member));
    }
  } else if (std::holds_alternative<bool*>(slot)) {
    node.kind = JsonNode::Kind::kBool;
    node.boolean = text == "true" || text == "1";
    if (!node.boolean && text != "false" && text != "0") return wrong;
  } else if (std::holds_alternative<int64_t*>(slot)) {
    node.kind = JsonNode::Kind::kNumber;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), node.integer);
    node.is_integer = error == std::errc() && end == text.data() + text.size();
  }
  return Assign(field, node, object) ? "" : wrong;
}

bool SetFromNode(ReadContext& context, const Field& field, const JsonNode& node,
                 const std::string& where, void* object) {
  if (node.kind == JsonNode::Kind::kNull) {
    context.Error(node.at, StrCat("found null for ", where, ", expected ", Expected(field)),
                  "remove the key for the default");
    return false;
  }
  if (!FitsSize(context, field, node, where)) return false;
  const bool scalar = field.type == FieldType::kInteger || field.type == FieldType::kBoolean;
  if (scalar && node.kind == JsonNode::Kind::kString && context.expanded.contains(&node)) {
    const std::string wrong = SetFromText(field, node.text, object);
    if (!wrong.empty()) context.Error(node.at, StrCat(wrong, " for ", where), "");
    return wrong.empty();
  }
  if (Assign(field, node, object)) return true;
  if (node.kind == JsonNode::Kind::kString &&
      std::holds_alternative<std::string*>(field.slot(object))) {
    context.Error(node.at,
                  StrCat("found ", FoundText(field, node.text), " for ", where, ", expected ",
                         Expected(field)),
                  MendFor(field, node.text));
  } else {
    std::string mend;
    if (scalar && node.kind == JsonNode::Kind::kString) mend = "remove the double quotes";
    if (field.type == FieldType::kStrings && node.kind == JsonNode::Kind::kString) {
      mend = "put it in brackets: [\"...\"]";
    }
    context.Error(node.at,
                  StrCat("found ", Found(node), " for ", where, ", expected ", Expected(field)),
                  mend);
  }
  return false;
}

void ObjectReader::Read(const JsonNode& node, const std::string& prefix, const std::string& where) {
  if (node.kind != JsonNode::Kind::kObject) {
    context.Error(node.at, StrCat("found ", Found(node), " for ", where, ", expected an object"),
                  "write { ... }");
    return;
  }
  for (const JsonMember& member : node.members) {
    const std::string path = prefix + member.key;
    const std::string place = where.empty() ? member.key : StrCat(where, ".", member.key);
    const Field* field =
        member.key.find('.') == std::string::npos ? FindField(fields, path) : nullptr;
    if (field != nullptr && field->type != FieldType::kNested) {
      if (SetFromNode(context, *field, member.value, place, object) && on_set) {
        on_set(*field, member.value);
      }
      continue;
    }
    const bool group = std::any_of(fields.begin(), fields.end(), [&path](const Field& f) {
      return f.path.size() > path.size() && f.path.substr(0, path.size()) == path &&
             f.path[path.size()] == '.';
    });
    if (extra && extra(path, member)) continue;
    if (group) {
      Read(member.value, path + ".", place);
      continue;
    }
    std::vector<std::string_view> known;
    for (const Field& f : fields) {
      if (f.path.substr(0, prefix.size()) != prefix) continue;
      const std::string_view rest = f.path.substr(prefix.size());
      known.push_back(rest.substr(0, rest.find('.')));
    }
    for (const std::string_view key : more_keys) {
      if (key.substr(0, prefix.size()) == prefix) known.push_back(key.substr(prefix.size()));
    }
    const std::string nearest = Nearest(member.key, known);
    context.Error(member.at,
                  StrCat("found the unknown key \"", member.key, "\"",
                         where.empty() ? "" : StrCat(" in ", where)),
                  nearest.empty() ? "see docs/configuration.md for the known keys, or remove it"
                                  : StrCat("did you mean \"", nearest, "\"?"));
  }
}

}  // namespace metamcp::config
