#include "broker/api/json_value.h"

#include <nlohmann/json.hpp>

namespace weir::api {
namespace {

/// Builds the tree from parse events. Open containers are pointers into their parents: a parent
/// cannot grow while a child of it is open, so they stay valid.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return add(JsonValue(JsonValue::Null{})) != nullptr; }
  bool boolean(bool v) override { return add(JsonValue(bool{v})) != nullptr; }
  bool number_integer(number_integer_t v) override { return add(JsonValue(std::int64_t{v})) != nullptr; }
  bool number_unsigned(number_unsigned_t v) override { return add(JsonValue(std::uint64_t{v})) != nullptr; }
  bool number_float(number_float_t v, const string_t&) override {
    return add(JsonValue(double{v})) != nullptr;
  }
  bool string(string_t& v) override { return add(JsonValue(std::move(v))) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(JsonValue(JsonValue::Object{})); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(JsonValue(JsonValue::Array{})); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (error.empty()) error = "syntax error at byte " + std::to_string(position);
    return false;
  }

  JsonValue root;
  std::string error;

 private:
  JsonValue* add(JsonValue v) {
    if (++values_ > kJsonValuesMax) {
      error = "too many values";
      return nullptr;
    }
    if (open_.empty()) {
      root = std::move(v);
      return &root;
    }
    if (auto* array = open_.back()->array()) return &array->emplace_back(std::move(v));
    auto* object = open_.back()->object();
    return &object->emplace_back(std::move(key_), std::move(v)).second;
  }
  bool open(JsonValue v) {
    if (open_.size() >= kJsonDepthMax) {
      error = "exceeded max depth";
      return false;
    }
    auto* added = add(std::move(v));
    if (added) open_.push_back(added);
    return added != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<JsonValue*> open_;
  std::string key_;
  std::size_t values_ = 0;
};

}  // namespace

std::string_view JsonValue::kind() const {
  constexpr std::string_view kNames[] = {"null",   "bool",   "number", "number",
                                         "number", "string", "array",  "object"};
  return kNames[v_.index()];
}

const JsonValue* JsonValue::find(std::string_view name) const {
  const JsonValue* found = nullptr;
  if (const auto* members = object()) {
    for (const auto& [key, value] : *members) {
      if (key == name) found = &value;
    }
  }
  return found;
}

std::variant<JsonValue, JsonError> parse_json(std::string_view text) {
  if (text.size() > kJsonBytesMax) return JsonError{"text too long"};
  // A text of blanks only is a common mistake of scripts; say what is wrong.
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return JsonError{"unexpected end of JSON input"};
  }
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return JsonError{builder.error.empty() ? "syntax error" : std::move(builder.error)};
  }
  return std::move(builder.root);
}

}  // namespace weir::api
