#include "broker/cluster/route_url.h"

#include "broker/base/text.h"

namespace weir::cluster {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What is no escape stays as it is.
std::string unescape(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    int high = s[i] == '%' && i + 2 < s.size() ? hex_digit(s[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(s[i + 2]) : -1;
    if (low < 0) {
      out += s[i];
      continue;
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

Status read_host_port(std::string_view s, env::Endpoint& at) {
  std::string_view port;
  if (!s.empty() && s.front() == '[') {
    auto end = s.find(']');
    if (end == std::string_view::npos) return Error(Code::kInvalid, "route: ']' is missing");
    at.host = std::string(s.substr(1, end - 1));
    s = s.substr(end + 1);
    if (!s.empty() && s.front() != ':') return Error(Code::kInvalid, "route: text behind ']'");
    if (!s.empty()) port = s.substr(1);
  } else {
    auto colon = s.rfind(':');
    at.host = std::string(s.substr(0, colon));
    if (colon != std::string_view::npos) port = s.substr(colon + 1);
    if (at.host.find(':') != std::string::npos) {
      return Error(Code::kInvalid, "route: an IPv6 address needs brackets");
    }
  }
  if (at.host.empty()) return Error(Code::kInvalid, "route: no host");
  at.port = kRoutePortDefault;
  if (port.empty()) return ok();
  auto number = parse_u64(port);
  if (!number || *number == 0 || *number > 65535) return Error(Code::kInvalid, "route: no port number");
  at.port = static_cast<std::uint16_t>(*number);
  return ok();
}

}  // namespace

Result<RouteUrl> parse_route_url(std::string_view text) {
  RouteUrl url;
  auto scheme = text.find("://");
  if (scheme != std::string_view::npos) {
    if (text.substr(0, scheme).find_first_of(":/@") != std::string_view::npos)
      return Error(Code::kInvalid, "route: not a URL: its scheme is to be a word, like nats://");
    text = text.substr(scheme + 3);
  }
  text = text.substr(0, text.find('/'));
  auto at = text.rfind('@');
  if (at != std::string_view::npos) {
    std::string_view who = text.substr(0, at);
    auto colon = who.find(':');
    url.user = unescape(who.substr(0, colon));
    if (colon != std::string_view::npos) url.password = unescape(who.substr(colon + 1));
    text = text.substr(at + 1);
  }
  RETURN_IF_ERROR(read_host_port(text, url.at));
  return url;
}

}  // namespace weir::cluster
