// broker/base/text.h - numbers, durations, times, base64 and ids as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "broker/base/time.h"

namespace weir {

/// Decimal digits only, no sign, no blanks; nullopt on anything else or overflow.
std::optional<std::uint64_t> parse_u64(std::string_view s);
/// Optional leading '-'.
std::optional<std::int64_t> parse_i64(std::string_view s);

/// Go duration syntax ("1h2m3.5s", "250ms", "-1s", "0"); units ns us µs ms s m h.
std::optional<Nanos> parse_duration(std::string_view s);
/// As Go prints one: "1h2m3s", "250ms", "1.5s", "0s".
std::string format_duration(Nanos d);
/// Uptime as the monitoring endpoints print it: "1d2h3m4s", "3m4s", "0s".
std::string format_uptime(Nanos d);

/// RFC 3339 with nanoseconds, UTC, trailing zeros cut; zero time is 0001-01-01T00:00:00Z.
std::string format_time(Wall t);
/// Accepts fractions and offsets; "0001-01-01T00:00:00Z" gives Wall{0}.
std::optional<Wall> parse_time(std::string_view s);

std::string base64_encode(std::string_view bytes);
/// Standard alphabet with padding; nullopt on any other character.
std::optional<std::string> base64_decode(std::string_view text);

/// ASCII lower case.
std::string to_lower(std::string_view s);
bool iequals(std::string_view a, std::string_view b);

/// 22 characters of [0-9A-Za-z], the shape of a NUID.
std::string make_nuid(Prng& prng);
/// 56 characters, first `prefix`, rest of [A-Z2-7]: the shape of an nkey public id.
std::string make_id(Prng& prng, char prefix);

/// "1,234,567" is for people; this is plain "1234567".
void append_u64_text(std::string& out, std::uint64_t v);

}  // namespace weir
