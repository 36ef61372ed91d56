// Words that start with a digit or a minus sign: integers, sizes, floats, datetimes, or strings that
// only look like numbers (addresses, durations, names).
#include <charconv>
#include <limits>
#include <optional>

#include "broker/base/text.h"
#include "broker/config/conf_lexer.h"

namespace weir::config {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool all_digits(std::string_view s) {
  for (char c : s) {
    if (!is_digit(c)) return false;
  }
  return !s.empty();
}

/// 1 for no suffix; nullopt when `suffix` is none. "k" is decimal, "kb", "ki" and "kib" are binary.
std::optional<std::int64_t> multiplier(std::string_view suffix) {
  if (suffix.empty()) return 1;
  std::string lower = to_lower(suffix);
  constexpr std::string_view kPowers = "kmgtpe";
  auto power = kPowers.find(lower[0]);
  if (power == std::string_view::npos) return std::nullopt;
  std::string_view rest = std::string_view(lower).substr(1);
  bool binary = rest == "b" || rest == "i" || rest == "ib";
  if (!binary && !rest.empty()) return std::nullopt;
  std::int64_t value = 1;
  for (std::size_t i = 0; i <= power; ++i) value *= binary ? 1024 : 1000;
  return value;
}

Value string_value(std::string_view word) {
  Value v;
  v.text = std::string(word);
  return v;
}

Result<Value> integer_value(std::string_view digits, std::int64_t factor) {
  auto parsed = parse_i64(digits);
  std::int64_t product = 0;
  if (!parsed || __builtin_mul_overflow(*parsed, factor, &product)) {
    return {Code::kInvalid, "integer '" + std::string(digits) + "' is out of the range"};
  }
  Value v;
  v.kind = Value::Kind::kInteger;
  v.integer = product;
  return v;
}

/// `YYYY-MM-DDTHH:MM:SSZ` and nothing else.
Result<Value> time_value(std::string_view word) {
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:ddZ";
  bool shaped = word.size() == kShape.size();
  for (std::size_t i = 0; shaped && i < kShape.size(); ++i) {
    shaped = kShape[i] == 'd' ? is_digit(word[i]) : word[i] == kShape[i];
  }
  auto time = shaped ? parse_time(word) : std::nullopt;
  if (!time) return {Code::kInvalid, "All ISO8601 dates must be in full Zulu form."};
  Value v;
  v.kind = Value::Kind::kTime;
  v.integer = time->ns / kSecond;
  v.text = std::string(word);
  return v;
}

Result<Value> float_value(std::string_view word) {
  double real = 0;
  auto [end, ec] = std::from_chars(word.data(), word.data() + word.size(), real);
  if (ec != std::errc() || end != word.data() + word.size()) {
    return {Code::kInvalid, "float '" + std::string(word) + "' is out of the range"};
  }
  Value v;
  v.kind = Value::Kind::kFloat;
  v.real = real;
  return v;
}

}  // namespace

Result<Value> classify_number(std::string_view word) {
  std::size_t start = !word.empty() && word[0] == '-' ? 1 : 0;
  std::size_t end = start;
  while (end < word.size() && is_digit(word[end])) ++end;
  if (end == start) {
    std::string got = end < word.size() ? std::string(1, word[end]) : " ";
    return {Code::kInvalid, "Expected a digit but got '" + got + "'."};
  }
  std::string_view digits = word.substr(0, end);
  std::string_view rest = word.substr(end);
  if (auto factor = multiplier(rest)) return integer_value(digits, *factor);
  if (start == 0 && end == 4 && rest[0] == '-' && rest.size() > 1 && is_digit(rest[1])) {
    return time_value(word);
  }
  if (rest[0] == '.') {
    if (rest.size() == 1) return {Code::kInvalid, "Floats must have a digit after the '.'"};
    if (all_digits(rest.substr(1))) return float_value(word);
  }
  if (start == 1) return {Code::kInvalid, "Unexpected '" + std::string(1, rest[0]) + "' in a number"};
  return string_value(word);
}

}  // namespace weir::config
