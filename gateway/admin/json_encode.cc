#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"
#include "common/json/scan.h"
#include "gateway/admin/json_codec.h"
#include "metamcp/common/v1/options.pb.h"

namespace metamcp::gateway::admin {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsRawJson(const FieldDescriptor* field) {
  return field->options().GetExtension(common::v1::raw_json);
}

bool IsSensitive(const FieldDescriptor* field) {
  return field->options().GetExtension(common::v1::sensitive);
}

std::string ShortEnumName(const EnumValueDescriptor* value) {
  // ItemKind -> ITEM_KIND_
  std::string prefix;
  for (const char c : value->type()->name()) {
    if (std::isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix.push_back('_');
    prefix.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  prefix.push_back('_');
  std::string name = value->name();
  if (name.compare(0, prefix.size(), prefix) == 0) name.erase(0, prefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::vector<std::string> ShortEnumNames(const EnumDescriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) names.push_back(ShortEnumName(type->value(i)));
  return names;
}

namespace {

// The largest integer below which a double holds every integer (RFC 8259, section 6).
constexpr uint64_t kSafeInteger = (uint64_t{1} << 53) - 1;

class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(*out) {}

  void Object(const Message& message) {
    out_.push_back('{');
    bool first = true;
    const auto* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (IsAbsent(message, field)) continue;
      if (!first) out_.push_back(',');
      first = false;
      json::AppendJsonQuoted(field->json_name(), &out_);
      out_.push_back(':');
      Field(message, field);
    }
    out_.push_back('}');
  }

 private:
  static bool IsAbsent(const Message& message, const FieldDescriptor* field) {
    if (field->is_repeated()) return false;
    if (field->has_presence()) return !message.GetReflection()->HasField(message, field);
    return IsRawJson(field) && message.GetReflection()->GetString(message, field).empty();
  }

  void Field(const Message& message, const FieldDescriptor* field) {
    if (field->is_map()) {
      Map(message, field);
    } else if (field->is_repeated()) {
      out_.push_back('[');
      const int size = message.GetReflection()->FieldSize(message, field);
      for (int i = 0; i < size; ++i) {
        if (i > 0) out_.push_back(',');
        Single(message, field, i);
      }
      out_.push_back(']');
    } else {
      Single(message, field, -1);
    }
  }

  void Map(const Message& message, const FieldDescriptor* field) {
    // Sorted by key, so that the same object always has the same text.
    std::vector<std::pair<std::string, const Message*>> entries;
    const FieldDescriptor* key = field->message_type()->map_key();
    const FieldDescriptor* value = field->message_type()->map_value();
    const Reflection* reflection = message.GetReflection();
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const Message& entry = reflection->GetRepeatedMessage(message, field, i);
      std::string text;
      Encoder(&text).Scalar(entry, key, -1);
      if (text.front() != '"') text = json::JsonQuote(text);
      entries.emplace_back(std::move(text), &entry);
    }
    std::sort(entries.begin(), entries.end());
    out_.push_back('{');
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.push_back(',');
      out_ += entries[i].first;
      out_.push_back(':');
      if (IsSensitive(field)) {
        json::AppendJsonQuoted(kMask, &out_);
      } else {
        Single(*entries[i].second, value, -1);
      }
    }
    out_.push_back('}');
  }

  void Single(const Message& message, const FieldDescriptor* field, int index) {
    if (IsSensitive(field)) {
      Masked(message, field, index);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const Reflection* r = message.GetReflection();
      Object(index < 0 ? r->GetMessage(message, field)
                       : r->GetRepeatedMessage(message, field, index));
    } else {
      Scalar(message, field, index);
    }
  }

  void Masked(const Message& message, const FieldDescriptor* field, int index) {
    const bool empty_text =
        field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && Text(message, field, index).empty();
    json::AppendJsonQuoted(empty_text ? std::string_view() : kMask, &out_);
  }

  static std::string Text(const Message& message, const FieldDescriptor* field, int index) {
    const Reflection* r = message.GetReflection();
    return index < 0 ? r->GetString(message, field) : r->GetRepeatedString(message, field, index);
  }

#define METAMCP_GET(Type)                            \
  (index < 0 ? reflection->Get##Type(message, field) \
             : reflection->GetRepeated##Type(message, field, index))

  void Scalar(const Message& message, const FieldDescriptor* field, int index) {
    const Reflection* reflection = message.GetReflection();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        out_ += METAMCP_GET(Bool) ? "true" : "false";
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        return Signed(METAMCP_GET(Int32));
      case FieldDescriptor::CPPTYPE_INT64:
        return Signed(METAMCP_GET(Int64));
      case FieldDescriptor::CPPTYPE_UINT32:
        return Unsigned(METAMCP_GET(UInt32));
      case FieldDescriptor::CPPTYPE_UINT64:
        return Unsigned(METAMCP_GET(UInt64));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return Double(static_cast<double>(METAMCP_GET(Float)));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Double(METAMCP_GET(Double));
      case FieldDescriptor::CPPTYPE_ENUM:
        return json::AppendJsonQuoted(ShortEnumName(METAMCP_GET(Enum)), &out_);
      default:
        return Bytes(field, Text(message, field, index));
    }
  }
#undef METAMCP_GET

  void Signed(int64_t value) {
    const uint64_t size =
        value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    out_ += size <= kSafeInteger ? StrCat(value) : StrCat("\"", value, "\"");
  }
  void Unsigned(uint64_t value) {
    out_ += value <= kSafeInteger ? StrCat(value) : StrCat("\"", value, "\"");
  }
  void Double(double value) {
    if (!std::isfinite(value)) {
      out_ += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
      return;
    }
    char text[32];
    for (const int digits : {15, 17}) {  // the shorter one where it reads back the same
      std::snprintf(text, sizeof text, "%.*g", digits, value);
      if (std::strtod(text, nullptr) == value) break;
    }
    out_ += text;
  }
  void Bytes(const FieldDescriptor* field, const std::string& value) {
    if (IsRawJson(field)) {
      // What is stored should be JSON; if it is not, the answer as a whole still must be.
      if (json::ScanValue(value).ok()) {
        out_ += value;
      } else {
        json::AppendJsonQuoted(value, &out_);
      }
    } else if (field->type() == FieldDescriptor::TYPE_BYTES) {
      json::AppendJsonQuoted(absl::Base64Escape(value), &out_);
    } else {
      json::AppendJsonQuoted(value, &out_);
    }
  }

  std::string& out_;
};

}  // namespace

std::string EncodeMessage(const Message& message) {
  std::string out;
  Encoder(&out).Object(message);
  return out;
}

}  // namespace metamcp::gateway::admin
