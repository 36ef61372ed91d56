#include "broker/api/json_reader.h"

#include "broker/base/text.h"

namespace weir::api {

ObjectReader::ObjectReader(const JsonValue& value, DecodeErrors& errors, Strictness strictness)
    : errors_(errors), strictness_(strictness) {
  members_ = value.object();
  if (members_) {
    known_.resize(members_->size());
  } else if (!value.is_null()) {
    errors_.set("cannot unmarshal " + std::string(value.kind()) + " into an object");
  }
}

std::string ObjectReader::clip(std::string_view s) {
  constexpr std::size_t kMax = 64;
  if (s.size() <= kMax) return std::string(s);
  return std::string(s.substr(0, kMax)) + "...";
}

const JsonValue* ObjectReader::raw(std::string_view name) {
  if (!members_) return nullptr;
  const JsonValue* found = nullptr;
  for (std::size_t i = 0; i < members_->size(); ++i) {
    const auto& [key, value] = (*members_)[i];
    if (key != name && !iequals(key, name)) continue;
    known_[i] = true;
    if (!value.is_null()) found = &value;
  }
  return errors_.ok() ? found : nullptr;
}

void ObjectReader::mismatch(std::string_view name, const JsonValue& v, std::string_view type) {
  errors_.set("cannot unmarshal " + std::string(v.kind()) + " into field " + std::string(name) + " of type " +
              std::string(type));
}

void ObjectReader::field(std::string_view name, std::string& out) {
  const auto* v = raw(name);
  if (!v) return;
  if (const auto* s = v->string()) {
    out = *s;
  } else {
    mismatch(name, *v, "string");
  }
}

void ObjectReader::field(std::string_view name, bool& out) {
  const auto* v = raw(name);
  if (!v) return;
  if (const auto* b = v->boolean()) {
    out = *b;
  } else {
    mismatch(name, *v, "bool");
  }
}

std::optional<std::int64_t> json_i64(const JsonValue& v) {
  if (const auto* n = v.negative()) return *n;
  if (const auto* u = v.unsigned_()) {
    if (*u <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return static_cast<std::int64_t>(*u);
    }
  }
  return std::nullopt;
}

bool ObjectReader::integer(std::string_view name, std::int64_t min, std::int64_t max, std::int64_t& out) {
  const auto* v = raw(name);
  if (!v) return false;
  auto n = json_i64(*v);
  if (!n || *n < min || *n > max) {
    mismatch(name, *v, "integer");
    return false;
  }
  out = *n;
  return true;
}

void ObjectReader::field(std::string_view name, std::int64_t& out) {
  integer(name, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), out);
}

void ObjectReader::field(std::string_view name, std::int32_t& out) {
  std::int64_t n = 0;
  constexpr auto kMin = std::numeric_limits<std::int32_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int32_t>::max();
  if (integer(name, kMin, kMax, n)) out = static_cast<std::int32_t>(n);
}

void ObjectReader::field(std::string_view name, std::uint64_t& out) {
  const auto* v = raw(name);
  if (!v) return;
  if (const auto* u = v->unsigned_()) {
    out = *u;
  } else {
    mismatch(name, *v, "unsigned integer");
  }
}

void ObjectReader::field(std::string_view name, double& out) {
  const auto* v = raw(name);
  if (!v) return;
  if (const auto* d = v->real()) {
    out = *d;
  } else if (auto n = json_i64(*v)) {
    out = static_cast<double>(*n);
  } else {
    mismatch(name, *v, "number");
  }
}

void ObjectReader::field(std::string_view name, std::vector<std::string>& out) {
  const auto* v = raw(name);
  if (!v) return;
  const auto* items = v->array();
  if (!items) return mismatch(name, *v, "list of strings");
  out.clear();
  for (const auto& item : *items) {
    const auto* s = item.string();
    if (!s && !item.is_null()) return mismatch(name, item, "string");
    out.push_back(s ? *s : std::string());
  }
}

void ObjectReader::field(std::string_view name, std::vector<std::int64_t>& out) {
  const auto* v = raw(name);
  if (!v) return;
  const auto* items = v->array();
  if (!items) return mismatch(name, *v, "list of integers");
  out.clear();
  for (const auto& item : *items) {
    auto n = json_i64(item);
    if (!n) return mismatch(name, item, "integer");
    out.push_back(*n);
  }
}

void ObjectReader::field(std::string_view name, Metadata& out) {
  const auto* v = raw(name);
  if (!v) return;
  const auto* members = v->object();
  if (!members) return mismatch(name, *v, "map of strings");
  for (const auto& [key, value] : *members) {
    const auto* s = value.string();
    if (!s && !value.is_null()) return mismatch(name, value, "string");
    out[key] = s ? *s : std::string();
  }
}

void ObjectReader::field(std::string_view name, std::optional<Wall>& out) {
  const auto* v = raw(name);
  if (!v) return;
  const auto* s = v->string();
  if (!s) return mismatch(name, *v, "time");
  auto t = parse_time(*s);
  if (!t) {
    errors_.set("parsing time \"" + clip(*s) + "\": not RFC 3339");
    return;
  }
  if (t->ns != 0) out = *t;
}

void ObjectReader::finish() {
  if (strictness_ != Strictness::kStrict || !members_) return;
  for (std::size_t i = 0; i < known_.size(); ++i) {
    if (!known_[i]) {
      errors_.set("unknown field \"" + clip((*members_)[i].first) + "\"");
      return;
    }
  }
}

}  // namespace weir::api
