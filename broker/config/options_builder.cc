#include "broker/config/options_builder.h"

#include "broker/base/text.h"

namespace weir::config {
namespace {

std::string quoted(std::string_view s) {
  return '"' + std::string(s) + '"';
}

bool means_off(const Value& v) {
  switch (v.kind) {
    case Value::Kind::kBool: return !v.boolean;
    case Value::Kind::kInteger: return v.integer == 0;
    case Value::Kind::kString: return v.text.empty();
    default: return false;
  }
}

}  // namespace

bool names_match(std::string_view names, std::string_view key) {
  while (true) {
    auto bar = names.find('|');
    if (names.substr(0, bar) == key) return true;
    if (bar == std::string_view::npos) return false;
    names.remove_prefix(bar + 1);
  }
}

std::string Builder::lower_key(const Member& m) const {
  return to_lower(m.key);
}

void Builder::unknown(const Member& m) {
  if (!m.used_as_variable) error(m.at, "unknown field " + quoted(m.key));
}

bool Builder::begin_key(const Member& m, std::string_view names, KeyClass cls, Feature feature) {
  path_.emplace_back(names.substr(0, names.find('|')));
  if (in_list_ == 0) {
    std::string path;
    for (const std::string& part : path_) path += (path.empty() ? "" : ".") + part;
    options.positions[path] = m.at;
  }
  bool refused = cls == KeyClass::kFeature && !is_built(feature) && !means_off(m.value);
  if (refused && unbuilt_ == 0) options.unsupported.push_back({m.at, feature, to_lower(m.key)});
  if (cls == KeyClass::kNoEffect && unbuilt_ == 0) {
    warn(m.at, quoted(m.key) + " is accepted for compatibility and has no effect");
  }
  hides_.push_back(refused);
  unbuilt_ += refused ? 1 : 0;
  return true;
}

void Builder::end_key() {
  unbuilt_ -= hides_.back() ? 1 : 0;
  hides_.pop_back();
  path_.pop_back();
}

void Builder::wrong_type(const Member& m, std::string_view wanted) {
  error(m.value.at,
        quoted(m.key) + " must be " + std::string(wanted) + ", not " +
            (m.value.is(Value::Kind::kInteger) || m.value.is(Value::Kind::kArray) ? "an " : "a ") +
            std::string(kind_name(m.value.kind)));
}

bool Builder::want(const Member& m, Value::Kind kind) {
  if (m.value.is(kind)) return true;
  std::string_view article = kind == Value::Kind::kInteger || kind == Value::Kind::kArray ? "an " : "a ";
  wrong_type(m, std::string(article) + std::string(kind_name(kind)));
  return false;
}

bool Builder::boolean(const Member& m, bool& out) {
  if (!want(m, Value::Kind::kBool)) return false;
  out = m.value.boolean;
  return true;
}

bool Builder::integer(const Member& m, std::int64_t& out, std::int64_t min, std::int64_t max) {
  if (!want(m, Value::Kind::kInteger)) return false;
  if (m.value.integer < min || m.value.integer > max) {
    error(m.value.at, quoted(m.key) + " is out of range: " + std::to_string(m.value.integer) +
                          " is not between " + std::to_string(min) + " and " + std::to_string(max));
    return false;
  }
  out = m.value.integer;
  return true;
}

bool Builder::storage_size(const Member& m, std::int64_t& out) {
  if (m.value.is(Value::Kind::kInteger)) return integer(m, out, -1, kInt64Max);
  if (!m.value.is(Value::Kind::kString)) {
    wrong_type(m, "a size");
    return false;
  }
  std::string_view s = m.value.text;
  if (s.empty()) {
    out = 0;
    return true;
  }
  constexpr std::string_view kUnits = "KMGT";
  auto unit = kUnits.find(s.back());
  auto digits = parse_i64(s.substr(0, s.size() - 1));
  std::int64_t bytes = 0;
  bool good = unit != std::string_view::npos && digits && *digits >= 0 &&
              !__builtin_mul_overflow(*digits, std::int64_t{1} << (10 * (unit + 1)), &bytes);
  if (!good) {
    error(m.value.at, quoted(m.key) + ": " + quoted(s) +
                          " is not a size; a size in quotes is digits and one of K, M, G, T");
    return false;
  }
  out = bytes;
  return true;
}

bool Builder::text(const Member& m, std::string& out) {
  if (!want(m, Value::Kind::kString)) return false;
  out = m.value.text;
  return true;
}

bool Builder::text_list(const Member& m, std::vector<std::string>& out) {
  std::vector<std::string> list;
  if (m.value.is(Value::Kind::kString)) {
    list.push_back(m.value.text);
  } else if (m.value.is(Value::Kind::kArray)) {
    for (const Value& item : m.value.items) {
      std::string s;
      if (!text(Member{m.key, item.at, item, false}, s)) return false;
      list.push_back(std::move(s));
    }
  } else {
    wrong_type(m, "a string or a list of strings");
    return false;
  }
  out = std::move(list);
  return true;
}

bool Builder::text_map(const Member& m, std::map<std::string, std::string>& out) {
  if (!want(m, Value::Kind::kMap)) return false;
  std::map<std::string, std::string> map;
  for (const Member& entry : m.value.members) {
    if (!text(entry, map[entry.key])) return false;
  }
  out = std::move(map);
  return true;
}

bool Builder::seconds(const Member& m, Nanos& out) {
  Nanos ns = 0;
  if (__builtin_mul_overflow(m.value.integer, kSecond, &ns)) {
    error(m.value.at, quoted(m.key) + " is out of range");
    return false;
  }
  out = ns;
  return true;
}

bool Builder::duration(const Member& m, Nanos& out) {
  if (m.value.is(Value::Kind::kInteger)) {
    warn(m.value.at, quoted(m.key) + " should be a duration such as \"10s\"; a bare number means seconds");
    return seconds(m, out);
  }
  if (!m.value.is(Value::Kind::kString)) {
    wrong_type(m, "a duration");
    return false;
  }
  auto parsed = parse_duration(m.value.text);
  if (!parsed) {
    error(m.value.at, "error parsing " + to_lower(m.key) + ": invalid duration " + quoted(m.value.text));
    return false;
  }
  if (*parsed < 0) {
    error(m.value.at, quoted(m.key) + " must not be negative");
    return false;
  }
  out = *parsed;
  return true;
}

bool Builder::timeout(const Member& m, Nanos& out) {
  if (m.value.is(Value::Kind::kInteger) && m.value.integer >= 0) return seconds(m, out);
  if (m.value.is(Value::Kind::kFloat)) {
    double ns = m.value.real * static_cast<double>(kSecond);
    if (!(ns >= 0 && ns < 9e18)) {
      error(m.value.at, quoted(m.key) + " is out of range");
      return false;
    }
    out = static_cast<Nanos>(ns);
    return true;
  }
  if (m.value.is(Value::Kind::kInteger)) {
    error(m.value.at, quoted(m.key) + " must not be negative");
    return false;
  }
  return duration(m, out);
}

bool Builder::port(const Member& m, int& out) {
  std::int64_t number = 0;
  if (!integer(m, number, -1, 65535)) return false;
  out = static_cast<int>(number);
  return true;
}

bool Builder::endpoint(const Member& m, std::string& host, int& out) {
  if (m.value.is(Value::Kind::kInteger)) return port(m, out);
  if (!m.value.is(Value::Kind::kString)) {
    wrong_type(m, "a port or \"host:port\"");
    return false;
  }
  std::string_view s = m.value.text;
  auto colon = s.rfind(':');
  std::string_view name = s.substr(0, colon == std::string_view::npos ? 0 : colon);
  bool bracketed = name.size() >= 2 && name.front() == '[' && name.back() == ']';
  if (bracketed) name = name.substr(1, name.size() - 2);
  if (colon == std::string_view::npos || (!bracketed && name.find(':') != std::string_view::npos)) {
    error(m.value.at, "could not parse address string " + quoted(s));
    return false;
  }
  auto number = parse_i64(s.substr(colon + 1));
  if (!number || *number < -1 || *number > 65535) {
    error(m.value.at, "could not parse port " + quoted(s.substr(colon + 1)));
    return false;
  }
  host = std::string(name);
  out = static_cast<int>(*number);
  return true;
}

bool Builder::write_timeout(const Member& m, WriteTimeout& out) {
  std::string s;
  if (!text(m, s)) return false;
  if (s == "default") {
    out = WriteTimeout::kDefault;
  } else if (s == "close") {
    out = WriteTimeout::kClose;
  } else if (s == "retry") {
    out = WriteTimeout::kRetry;
  } else {
    error(m.value.at, quoted(m.key) + " must be 'default', 'close' or 'retry'");
    return false;
  }
  return true;
}

}  // namespace weir::config
