#include "common/db/value.h"

#include "common/base/error.h"
#include "common/base/strings.h"

namespace metamcp::db {

std::string_view Value::type_name() const {
  static constexpr std::string_view kNames[] = {"null", "integer", "double", "text", "blob"};
  return kNames[v_.index()];
}

absl::StatusOr<const Value*> Row::Find(std::string_view column) const {
  for (size_t i = 0; i < columns_->size(); ++i) {
    if ((*columns_)[i] == column) return &values_[i];
  }
  return MakeError("INTERNAL", "database", StrCat("the result has no column \"", column, "\""));
}

namespace value_internal {

absl::Status WrongType(std::string_view column, const Value& value, std::string_view wanted) {
  return MakeError("INTERNAL", "database",
                   StrCat("column \"", column, "\" is ", value.type_name(), ", not ", wanted));
}

absl::Status Convert(std::string_view column, const Value& value, int64_t* out) {
  const auto* number = std::get_if<int64_t>(&value.variant());
  if (number == nullptr) return WrongType(column, value, "integer");
  *out = *number;
  return absl::OkStatus();
}

absl::Status Convert(std::string_view column, const Value& value, bool* out) {
  const auto* number = std::get_if<int64_t>(&value.variant());
  if (number == nullptr || (*number != 0 && *number != 1)) {
    return WrongType(column, value, "0 or 1");
  }
  *out = *number == 1;
  return absl::OkStatus();
}

absl::Status Convert(std::string_view column, const Value& value, double* out) {
  if (const auto* number = std::get_if<double>(&value.variant())) {
    *out = *number;
  } else if (const auto* whole = std::get_if<int64_t>(&value.variant())) {
    *out = static_cast<double>(*whole);
  } else {
    return WrongType(column, value, "double");
  }
  return absl::OkStatus();
}

absl::Status Convert(std::string_view column, const Value& value, std::string* out) {
  const auto* text = std::get_if<std::string>(&value.variant());
  if (text == nullptr) return WrongType(column, value, "text");
  *out = *text;
  return absl::OkStatus();
}

absl::Status Convert(std::string_view column, const Value& value, Blob* out) {
  const auto* blob = std::get_if<Blob>(&value.variant());
  if (blob == nullptr) return WrongType(column, value, "blob");
  *out = *blob;
  return absl::OkStatus();
}

}  // namespace value_internal
}  // namespace metamcp::db
