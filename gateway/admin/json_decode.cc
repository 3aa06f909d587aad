#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/names.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/admin/json_codec.h"

namespace metamcp::gateway::admin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Invalid(std::string_view message) {
  return MakeError("ARGUMENT_INVALID", "gateway", message);
}

std::string Join(std::string_view place, std::string_view key) {
  return place.empty() ? std::string(key) : StrCat(place, ".", key);
}

std::string_view Expected(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "an integer";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "an object";
    default:
      return field->type() == FieldDescriptor::TYPE_BYTES ? "a base64 string" : "a string";
  }
}

absl::Status WrongType(std::string_view place, const FieldDescriptor* field) {
  return Invalid(StrCat(place, " must be ", Expected(field)));
}

absl::Status OutOfRange(std::string_view place, std::string_view text) {
  return Invalid(StrCat(place, ": ", text.substr(0, 40), " is out of range"));
}

// The field of that camelCase or snake_case name.
absl::StatusOr<const FieldDescriptor*> FindField(const Descriptor* type, std::string_view key,
                                                 std::string_view place) {
  std::vector<std::string> known;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->json_name() == key || field->name() == key) return field;
    known.push_back(field->json_name());
  }
  const std::string nearest = Nearest(key.substr(0, 64), known);
  return Invalid(StrCat("unknown field ", Join(place, key.substr(0, 64)),
                        nearest.empty() ? "" : StrCat("; did you mean ", nearest, "?")));
}

absl::StatusOr<const EnumValueDescriptor*> FindEnum(const FieldDescriptor* field,
                                                    std::string_view text, std::string_view place) {
  const auto* type = field->enum_type();
  if (text.empty()) return type->value(0);
  std::string known;
  for (int i = 0; i < type->value_count(); ++i) {
    const std::string name = ShortEnumName(type->value(i));
    if (text == name || text == type->value(i)->name()) return type->value(i);
    known += StrCat(i == 0 ? "" : ", ", name);
  }
  return Invalid(StrCat(place, " must be one of ", known));
}

// Sets scalars, or adds them to a repeated field.
class Setter {
 public:
  Setter(Message& message, const FieldDescriptor* field) : message_(message), field_(field) {}

  // `text` is the value without quotes; a number's or word's own text otherwise.
  absl::Status Set(std::string_view text, std::string_view place) {
    switch (field_->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        if (text != "true" && text != "false") return WrongType(place, field_);
        return Put(&Reflection::SetBool, &Reflection::AddBool, text == "true");
      case FieldDescriptor::CPPTYPE_INT32:
        return Integer<int32_t>(text, place, &Reflection::SetInt32, &Reflection::AddInt32);
      case FieldDescriptor::CPPTYPE_INT64:
        return Integer<int64_t>(text, place, &Reflection::SetInt64, &Reflection::AddInt64);
      case FieldDescriptor::CPPTYPE_UINT32:
        return Integer<uint32_t>(text, place, &Reflection::SetUInt32, &Reflection::AddUInt32);
      case FieldDescriptor::CPPTYPE_UINT64:
        return Integer<uint64_t>(text, place, &Reflection::SetUInt64, &Reflection::AddUInt64);
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Double(text, place);
      case FieldDescriptor::CPPTYPE_ENUM: {
        METAMCP_ASSIGN_OR_RETURN(const auto* value, FindEnum(field_, text, place));
        return Put(&Reflection::SetEnum, &Reflection::AddEnum, value);
      }
      case FieldDescriptor::CPPTYPE_STRING:
        return Text(text, place);
      default:
        return WrongType(place, field_);
    }
  }

  absl::Status Text(std::string_view text, std::string_view place) {
    std::string value(text);
    if (IsRawJson(field_)) {
      const auto scanned = json::ScanValue(text);
      if (!scanned.ok()) {
        return Invalid(StrCat(place, " must be JSON: ", Sv(scanned.status().message())));
      }
    } else if (field_->type() == FieldDescriptor::TYPE_BYTES) {
      if (!absl::Base64Unescape(Av(text), &value)) return WrongType(place, field_);
    }
    if (field_->is_repeated()) {
      message_.GetReflection()->AddString(&message_, field_, std::move(value));
    } else {
      message_.GetReflection()->SetString(&message_, field_, std::move(value));
    }
    return absl::OkStatus();
  }

 private:
  template <typename SetFn, typename AddFn, typename T>
  absl::Status Put(SetFn set, AddFn add, T value) {
    const Reflection* reflection = message_.GetReflection();
    if (field_->is_repeated()) {
      (reflection->*add)(&message_, field_, value);
    } else {
      (reflection->*set)(&message_, field_, value);
    }
    return absl::OkStatus();
  }

  template <typename T, typename SetFn, typename AddFn>
  absl::Status Integer(std::string_view text, std::string_view place, SetFn set, AddFn add) {
    const size_t digits = text.substr(0, 1) == "-" ? 1 : 0;
    if (text.size() == digits ||
        text.find_first_not_of("0123456789", digits) != std::string_view::npos) {
      return WrongType(place, field_);
    }
    T value{};
    if (!absl::SimpleAtoi(Av(text), &value)) return OutOfRange(place, text);
    return Put(set, add, value);
  }

  absl::Status Double(std::string_view text, std::string_view place) {
    double value = 0;
    // "nan" and "inf" are what the number parser would take, too; they are no JSON numbers.
    if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos ||
        !absl::SimpleAtod(Av(text), &value)) {
      return WrongType(place, field_);
    }
    if (!std::isfinite(value)) return OutOfRange(place, text);
    if (field_->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
        return OutOfRange(place, text);
      }
      return Put(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(value));
    }
    return Put(&Reflection::SetDouble, &Reflection::AddDouble, value);
  }

  Message& message_;
  const FieldDescriptor* field_;
};

absl::Status DecodeInto(const json::Value& object, std::string_view place, Message& message);

absl::Status DecodeSingle(const json::Value& value, std::string_view place,
                          const FieldDescriptor* field, Message& message) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    if (!value.is_object()) return WrongType(place, field);
    const Reflection* r = message.GetReflection();
    return DecodeInto(value, place,
                      *(field->is_repeated() ? r->AddMessage(&message, field)
                                             : r->MutableMessage(&message, field)));
  }
  Setter setter(message, field);
  if (IsRawJson(field)) return setter.Text(value.raw, place);
  const bool text_type = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
                         field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
  if (value.is_string()) {
    // 64-bit integers may come as strings, as protobuf's own mapping writes them.
    const bool long_type = field->cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                           field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
    if (!text_type && !long_type) return WrongType(place, field);
    METAMCP_ASSIGN_OR_RETURN(const std::string text, json::JsonUnquote(value.raw));
    return setter.Set(text, place);
  }
  const bool is_bool = field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL;
  if (text_type || value.is_object() || value.is_array() || value.is_bool() != is_bool ||
      value.kind == json::Kind::kNull) {
    return WrongType(place, field);
  }
  return setter.Set(value.raw, place);
}

absl::Status DecodeMap(const json::Value& value, std::string_view place,
                       const FieldDescriptor* field, Message& message) {
  if (!value.is_object()) return Invalid(StrCat(place, " must be an object"));
  METAMCP_ASSIGN_OR_RETURN(const json::ObjectView view, json::ScanObject(value.raw));
  for (const json::Member& member : view.members()) {
    const std::string at = StrCat(place, "[\"", member.key.substr(0, 64), "\"]");
    Message& entry = *message.GetReflection()->AddMessage(&message, field);
    METAMCP_RETURN_IF_ERROR(
        Setter(entry, field->message_type()->map_key()).Set(member.key, StrCat("the key of ", at)));
    METAMCP_RETURN_IF_ERROR(
        DecodeSingle(member.value, at, field->message_type()->map_value(), entry));
  }
  return absl::OkStatus();
}

absl::Status DecodeField(const json::Value& value, std::string_view place,
                         const FieldDescriptor* field, Message& message) {
  if (field->is_map()) return DecodeMap(value, place, field, message);
  if (!field->is_repeated()) return DecodeSingle(value, place, field, message);
  if (!value.is_array()) return Invalid(StrCat(place, " must be an array"));
  METAMCP_ASSIGN_OR_RETURN(const std::vector<json::Value> items, json::ScanArray(value.raw));
  for (size_t i = 0; i < items.size(); ++i) {
    METAMCP_RETURN_IF_ERROR(DecodeSingle(items[i], StrCat(place, "[", i, "]"), field, message));
  }
  return absl::OkStatus();
}

// Bounded by the depth of the message types, not of the text: what no field takes is refused.
absl::Status DecodeInto(const json::Value& object, std::string_view place, Message& message) {
  auto view = json::ScanObject(object.raw);
  if (!view.ok()) {
    return Invalid(StrCat(place.empty() ? "the body" : place, ": ", Sv(view.status().message())));
  }
  std::set<const FieldDescriptor*> seen;
  for (const json::Member& member : view->members()) {
    METAMCP_ASSIGN_OR_RETURN(const FieldDescriptor* field,
                             FindField(message.GetDescriptor(), member.key, place));
    const std::string at = Join(place, field->json_name());
    if (!seen.insert(field).second) return Invalid(StrCat(at, " is given twice"));
    const bool is_null = member.value.kind == json::Kind::kNull;
    if (is_null && !(IsRawJson(field) && !field->is_repeated())) continue;
    METAMCP_RETURN_IF_ERROR(DecodeField(member.value, at, field, message));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeObject(std::string_view text, std::string_view place, Message& message) {
  METAMCP_ASSIGN_OR_RETURN(const json::Value value, json::ScanValue(text));
  if (!value.is_object()) {
    return Invalid(StrCat(place.empty() ? "the body" : place, " must be a JSON object"));
  }
  return DecodeInto(value, place, message);
}

absl::Status SetFromText(std::string_view path, std::string_view value, Message& message) {
  Message* at = &message;
  std::string_view rest = path;
  for (size_t dot; (dot = rest.find('.')) != std::string_view::npos; rest.remove_prefix(dot + 1)) {
    METAMCP_ASSIGN_OR_RETURN(const FieldDescriptor* outer,
                             FindField(at->GetDescriptor(), rest.substr(0, dot), ""));
    if (outer->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || outer->is_repeated()) {
      return Invalid(StrCat(path.substr(0, 64), " is no field"));
    }
    at = at->GetReflection()->MutableMessage(at, outer);
  }
  METAMCP_ASSIGN_OR_RETURN(const FieldDescriptor* field, FindField(at->GetDescriptor(), rest, ""));
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return Invalid(StrCat(path.substr(0, 64), " cannot be given in the address"));
  }
  return Setter(*at, field).Set(value, path);
}

}  // namespace metamcp::gateway::admin
