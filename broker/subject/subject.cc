#include "broker/subject/subject.h"

#include <algorithm>

namespace weir::subject {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

}  // namespace

bool is_well_formed(std::string_view subject) {
  bool at_start = true;  // of a token
  for (char c : subject) {
    if (is_space(c) || (c == '.' && at_start)) return false;
    at_start = c == '.';
  }
  return !at_start;
}

bool has_wildcards(std::string_view subject) {
  // Most subjects hold neither sign: two fast scans settle them.
  if (subject.find('*') == std::string_view::npos && subject.find('>') == std::string_view::npos)
    return false;
  Tokens t(subject);
  while (t.next()) {
    if (is_star(t.token()) || is_tail(t.token())) return true;
  }
  return false;
}

bool is_valid_literal(std::string_view subject) {
  return is_well_formed(subject) && !has_wildcards(subject);
}

bool is_valid_pattern(std::string_view subject) {
  if (!is_well_formed(subject)) return false;
  Tokens t(subject);
  while (t.next()) {
    if (is_tail(t.token()) && !t.last()) return false;
  }
  return true;
}

std::size_t token_count(std::string_view subject) {
  if (subject.empty()) return 0;
  return static_cast<std::size_t>(std::count(subject.begin(), subject.end(), '.')) + 1;
}

std::string_view token_at(std::string_view subject, std::size_t index) {
  Tokens t(subject);
  while (t.next()) {
    if (index-- == 0) return t.token();
  }
  return {};
}

bool matches(std::string_view pattern, std::string_view literal) {
  Tokens p(pattern), l(literal);
  while (p.next()) {
    if (!l.next() || l.token().empty()) return false;
    if (is_tail(p.token()) && p.last()) {
      while (l.next()) {
        if (l.token().empty()) return false;
      }
      return true;
    }
    if (!is_star(p.token()) && p.token() != l.token()) return false;
  }
  return l.last();
}

bool subset(std::string_view pattern, std::string_view of) {
  if (!is_valid_pattern(pattern) || !is_valid_pattern(of)) return false;
  Tokens p(pattern), o(of);
  while (o.next()) {
    if (!p.next()) return false;
    if (is_tail(o.token())) return true;
    if (is_tail(p.token())) return false;
    if (is_star(o.token())) continue;
    if (is_star(p.token()) || p.token() != o.token()) return false;
  }
  return p.last();
}

bool overlaps(std::string_view a, std::string_view b) {
  if (!is_valid_pattern(a) || !is_valid_pattern(b)) return false;
  Tokens x(a), y(b);
  while (true) {
    bool more_x = x.next(), more_y = y.next();
    if (!more_x || !more_y) return more_x == more_y;
    if (is_tail(x.token()) || is_tail(y.token())) return true;
    if (!is_star(x.token()) && !is_star(y.token()) && x.token() != y.token()) return false;
  }
}

}  // namespace weir::subject
