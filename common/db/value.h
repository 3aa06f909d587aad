#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"

namespace metamcp::db {

// Raw bytes, kept apart from text, which must be UTF-8.
struct Blob {
  Blob() = default;
  explicit Blob(std::string bytes_in) : bytes(std::move(bytes_in)) {}
  bool operator==(const Blob&) const = default;

  std::string bytes;
};

// One SQL value: NULL, a 64-bit integer, a double, text (UTF-8 without NUL) or a blob. Booleans are
// the integers 0 and 1; an empty std::optional is NULL.
class Value {
 public:
  using Variant = std::variant<std::monostate, int64_t, double, std::string, Blob>;

  Value() = default;
  Value(std::nullopt_t) {}
  Value(double number) : v_(number) {}
  Value(std::string text) : v_(std::move(text)) {}
  Value(std::string_view text) : v_(std::string(text)) {}
  Value(const char* text) : v_(std::string(text)) {}
  Value(Blob blob) : v_(std::move(blob)) {}
  template <typename Int, typename = std::enable_if_t<std::is_integral_v<Int>>>
  Value(Int number) : v_(static_cast<int64_t>(number)) {}
  template <typename T>
  Value(const std::optional<T>& maybe) : v_(maybe ? Value(*maybe).v_ : Variant()) {}
  bool operator==(const Value&) const = default;

  bool is_null() const { return std::holds_alternative<std::monostate>(v_); }
  const Variant& variant() const { return v_; }
  // "null", "integer", "double", "text" or "blob".
  std::string_view type_name() const;

 private:
  Variant v_;
};

// One value bound to `:name`.
struct Param {
  Param(std::string_view name_in, Value value_in) : name(name_in), value(std::move(value_in)) {}

  std::string name;  // without the colon
  Value value;
};

// Parameters by name: {{"id", id}, {"name", name}}.
using Params = std::vector<Param>;

// One row of a result; owns its values.
class Row {
 public:
  using Columns = std::shared_ptr<const std::vector<std::string>>;
  Row(Columns columns, std::vector<Value> values)
      : columns_(std::move(columns)), values_(std::move(values)) {}

  // Returns the value of `column`, or INTERNAL when the result has no such column.
  absl::StatusOr<const Value*> Find(std::string_view column) const;

  // Returns the value of `column` as T: int64_t, bool (an integer 0 or 1), double (or an integer),
  // std::string (text), Blob, or std::optional of one of these, which takes NULL.
  // Errors: INTERNAL for a missing column, a NULL without std::optional, or another type: the SQL
  // and its reader disagree, which is a defect.
  template <typename T>
  absl::StatusOr<T> Get(std::string_view column) const;

  size_t size() const { return values_.size(); }
  const Value& operator[](size_t i) const { return values_[i]; }

 private:
  Columns columns_;
  std::vector<Value> values_;
};

using Rows = std::vector<Row>;

namespace value_internal {
absl::Status WrongType(std::string_view column, const Value& value, std::string_view wanted);
absl::Status Convert(std::string_view column, const Value& value, int64_t* out);
absl::Status Convert(std::string_view column, const Value& value, bool* out);
absl::Status Convert(std::string_view column, const Value& value, double* out);
absl::Status Convert(std::string_view column, const Value& value, std::string* out);
absl::Status Convert(std::string_view column, const Value& value, Blob* out);
template <typename T>
absl::Status Convert(std::string_view column, const Value& value, std::optional<T>* out) {
  out->reset();
  return value.is_null() ? absl::OkStatus() : Convert(column, value, &out->emplace());
}
}  // namespace value_internal

template <typename T>
absl::StatusOr<T> Row::Get(std::string_view column) const {
  METAMCP_ASSIGN_OR_RETURN(const Value* value, Find(column));
  T out{};
  METAMCP_RETURN_IF_ERROR(value_internal::Convert(column, *value, &out));
  return out;
}

}  // namespace metamcp::db
