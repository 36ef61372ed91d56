#include "broker/base/text.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace weir {

std::optional<std::uint64_t> parse_u64(std::string_view s) {
  std::uint64_t v = 0;
  auto [p, e] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || e != std::errc() || p != s.data() + s.size()) return std::nullopt;
  return v;
}

std::optional<std::int64_t> parse_i64(std::string_view s) {
  std::int64_t v = 0;
  auto [p, e] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (s.empty() || e != std::errc() || p != s.data() + s.size()) return std::nullopt;
  return v;
}

void append_u64_text(std::string& out, std::uint64_t v) {
  char tmp[20];
  auto r = std::to_chars(tmp, tmp + sizeof tmp, v);
  out.append(tmp, r.ptr);
}

namespace {

struct Unit {
  std::string_view name;
  Nanos ns;
};
// Longest names first, so that "ms" is not taken for "m".
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", kMicrosecond},
                                         {"\xc2\xb5s", kMicrosecond},
                                         {"\xce\xbcs", kMicrosecond},
                                         {"ms", kMillisecond},
                                         {"s", kSecond},
                                         {"m", kMinute},
                                         {"h", kHour}}};

const Unit* unit_at(std::string_view s) {
  for (const auto& u : kUnits) {
    if (s.substr(0, u.name.size()) == u.name) return &u;
  }
  return nullptr;
}

}  // namespace

std::optional<Nanos> parse_duration(std::string_view s) {
  bool negative = !s.empty() && s[0] == '-';
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) s.remove_prefix(1);
  if (s == "0") return 0;
  if (s.empty()) return std::nullopt;
  long double total = 0;
  while (!s.empty()) {
    std::size_t n = 0;
    long double value = 0, scale = 1;
    bool point = false, digit = false;
    for (; n < s.size() && ((s[n] >= '0' && s[n] <= '9') || (s[n] == '.' && !point)); ++n) {
      if (s[n] == '.') {
        point = true;
        continue;
      }
      digit = true;
      value = value * 10 + (s[n] - '0');
      if (point) scale *= 10;
    }
    s.remove_prefix(n);
    const Unit* u = unit_at(s);
    if (!digit || !u) return std::nullopt;
    s.remove_prefix(u->name.size());
    total += value / scale * static_cast<long double>(u->ns);
  }
  if (total > 9.2e18L) return std::nullopt;
  auto ns = static_cast<Nanos>(total + 0.5L);
  return negative ? -ns : ns;
}

namespace {
std::string trimmed_fraction(Nanos whole, Nanos part, int digits) {
  std::string s = std::to_string(whole);
  if (part == 0) return s;
  char tmp[24];
  std::snprintf(tmp, sizeof tmp, ".%0*lld", digits, static_cast<long long>(part));
  s += tmp;
  while (s.back() == '0') s.pop_back();
  return s;
}
}  // namespace

std::string format_duration(Nanos d) {
  if (d == 0) return "0s";
  std::string out = d < 0 ? "-" : "";
  if (d < 0) d = -d;
  if (d < kMicrosecond) return out + std::to_string(d) + "ns";
  if (d < kMillisecond) {
    return out + trimmed_fraction(d / kMicrosecond, d % kMicrosecond, 3) + "\xc2\xb5s";
  }
  if (d < kSecond) return out + trimmed_fraction(d / kMillisecond, d % kMillisecond, 6) + "ms";
  if (d >= kHour) out += std::to_string(d / kHour) + "h";
  if (d >= kMinute) out += std::to_string(d / kMinute % 60) + "m";
  return out + trimmed_fraction(d % kMinute / kSecond, d % kSecond, 9) + "s";
}

std::string format_uptime(Nanos d) {
  long long s = d < 0 ? 0 : d / kSecond;
  std::string out;
  if (s >= 86400) out += std::to_string(s / 86400) + "d";
  if (s >= 3600) out += std::to_string(s / 3600 % 24) + "h";
  if (s >= 60) out += std::to_string(s / 60 % 60) + "m";
  return out + std::to_string(s % 60) + "s";
}

namespace {

// Days since 1970-01-01 of a proleptic Gregorian date, and back: the usual era arithmetic.
std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  auto yoe = static_cast<unsigned>(y - era * 400);
  unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
  unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

struct Civil {
  long long year;
  unsigned month, day;
};
Civil civil_from_days(std::int64_t z) {
  z += 719468;
  std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  auto doe = static_cast<unsigned>(z - era * 146097);
  unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  unsigned mp = (5 * doy + 2) / 153;
  unsigned month = mp < 10 ? mp + 3 : mp - 9;
  return {static_cast<long long>(yoe) + era * 400 + (month <= 2), month, doy - (153 * mp + 2) / 5 + 1};
}

std::optional<unsigned> digits(std::string_view& s, std::size_t n) {
  if (s.size() < n) return std::nullopt;
  auto v = parse_u64(s.substr(0, n));
  if (!v) return std::nullopt;
  s.remove_prefix(n);
  return static_cast<unsigned>(*v);
}
bool literal(std::string_view& s, char a, char b = 0) {
  if (s.empty() || (s[0] != a && s[0] != b)) return false;
  s.remove_prefix(1);
  return true;
}

}  // namespace

std::string format_time(Wall t) {
  if (t.ns == 0) return "0001-01-01T00:00:00Z";
  std::int64_t secs = t.ns / kSecond, frac = t.ns % kSecond;
  if (frac < 0) {
    frac += kSecond;
    --secs;
  }
  std::int64_t days = secs / 86400, rest = secs % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  Civil c = civil_from_days(days);
  char tmp[64];
  std::snprintf(tmp, sizeof tmp, "%04lld-%02u-%02uT%02d:%02d:%02d", c.year, c.month, c.day,
                static_cast<int>(rest / 3600), static_cast<int>(rest / 60 % 60), static_cast<int>(rest % 60));
  std::string out = tmp;
  if (frac) {
    std::snprintf(tmp, sizeof tmp, ".%09lld", static_cast<long long>(frac));
    out += tmp;
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

std::optional<Wall> parse_time(std::string_view s) {
  auto y = digits(s, 4);
  if (!y || !literal(s, '-')) return std::nullopt;
  auto mo = digits(s, 2);
  if (!mo || !literal(s, '-')) return std::nullopt;
  auto d = digits(s, 2);
  if (!d || !literal(s, 'T', 't')) return std::nullopt;
  auto h = digits(s, 2);
  if (!h || !literal(s, ':')) return std::nullopt;
  auto mi = digits(s, 2);
  if (!mi || !literal(s, ':')) return std::nullopt;
  auto sec = digits(s, 2);
  if (!sec || *mo < 1 || *mo > 12 || *d < 1 || *d > 31 || *h > 23 || *mi > 59 || *sec > 60)
    return std::nullopt;
  Nanos frac = 0;
  if (literal(s, '.', ',')) {
    Nanos scale = kSecond;
    std::size_t n = 0;
    for (; n < s.size() && s[n] >= '0' && s[n] <= '9'; ++n) {
      if (scale > 1) frac += (s[n] - '0') * (scale /= 10);
    }
    if (n == 0) return std::nullopt;
    s.remove_prefix(n);
  }
  std::int64_t offset = 0;
  if (!literal(s, 'Z', 'z')) {
    if (s.empty() || (s[0] != '+' && s[0] != '-')) return std::nullopt;
    int sign = s[0] == '-' ? -1 : 1;
    s.remove_prefix(1);
    auto oh = digits(s, 2);
    if (!oh || !literal(s, ':')) return std::nullopt;
    auto om = digits(s, 2);
    if (!om) return std::nullopt;
    offset = sign * (static_cast<std::int64_t>(*oh) * 3600 + static_cast<std::int64_t>(*om) * 60);
  }
  if (!s.empty()) return std::nullopt;
  if (*y < 1678 || *y > 2261) return Wall{0};  // outside of what 64-bit nanoseconds hold
  std::int64_t secs = days_from_civil(*y, *mo, *d) * 86400 + *h * 3600 + *mi * 60 + *sec - offset;
  return Wall{secs * kSecond + frac};
}

namespace {
constexpr char kB64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64_encode(std::string_view in) {
  std::string out;
  out.reserve((in.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < in.size(); i += 3) {
    std::uint32_t v = static_cast<std::uint32_t>(static_cast<std::uint8_t>(in[i])) << 16;
    if (i + 1 < in.size()) v |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(in[i + 1])) << 8;
    if (i + 2 < in.size()) v |= static_cast<std::uint8_t>(in[i + 2]);
    out += kB64[v >> 18];
    out += kB64[(v >> 12) & 63];
    out += i + 1 < in.size() ? kB64[(v >> 6) & 63] : '=';
    out += i + 2 < in.size() ? kB64[v & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view in) {
  if (in.size() % 4 != 0) return std::nullopt;
  static const std::array<signed char, 256> kValue = [] {
    std::array<signed char, 256> t{};
    t.fill(-1);
    for (signed char i = 0; i < 64; ++i) t[static_cast<unsigned char>(kB64[i])] = i;
    return t;
  }();
  std::string out;
  for (std::size_t i = 0; i < in.size(); i += 4) {
    std::uint32_t v = 0;
    int pad = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      char c = in[i + k];
      bool is_pad = c == '=' && i + 4 == in.size() && k >= 2;
      if (!is_pad && (pad || kValue[static_cast<unsigned char>(c)] < 0)) return std::nullopt;
      pad += is_pad;
      v = (v << 6) | (is_pad ? 0u : static_cast<std::uint32_t>(kValue[static_cast<unsigned char>(c)]));
    }
    out += static_cast<char>(v >> 16);
    if (pad < 2) out += static_cast<char>(v >> 8);
    if (pad < 1) out += static_cast<char>(v);
  }
  return out;
}

std::string to_lower(std::string_view s) {
  std::string out(s);
  for (auto& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && to_lower(a) == to_lower(b);
}

std::string make_nuid(Prng& prng) {
  constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string out(22, '0');
  for (auto& c : out) c = kDigits[prng.below(kDigits.size())];
  return out;
}

std::string make_id(Prng& prng, char prefix) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out(56, prefix);
  for (std::size_t i = 1; i < out.size(); ++i) out[i] = kDigits[prng.below(kDigits.size())];
  return out;
}

}  // namespace weir
