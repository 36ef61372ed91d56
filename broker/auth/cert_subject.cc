#include "broker/auth/cert_subject.h"

#include <algorithm>
#include <string>
#include <vector>

#include "broker/base/text.h"

namespace weir::auth {
namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// "CN=a\,b, O=c" -> {"cn=a\,b", "o=c"}, in order.
std::vector<std::string> parts_of(std::string_view subject) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0, i = 0; i <= subject.size(); ++i) {
    if (i < subject.size() && subject[i] == '\\') {
      ++i;
      continue;
    }
    if (i < subject.size() && subject[i] != ',') continue;
    std::string_view part = trimmed(subject.substr(begin, i - begin));
    begin = i + 1;
    auto equals = std::min(part.find('='), part.size());
    parts.push_back(to_lower(trimmed(part.substr(0, equals))) + std::string(part.substr(equals)));
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

}  // namespace

bool same_subject(std::string_view a, std::string_view b) {
  return !trimmed(a).empty() && parts_of(a) == parts_of(b);
}

}  // namespace weir::auth
