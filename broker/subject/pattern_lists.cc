#include "broker/subject/pattern_lists.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "broker/subject/subject.h"

namespace weir::subject {
namespace {

using List = std::span<const std::string>;

constexpr char kText = 't', kStar = '*', kTail = '>';
constexpr std::size_t kWorkMax = 64u << 20;  // shapes times bytes
constexpr std::size_t kFew = 8;              // so many are compared with each of the others at once

/// Patterns of one shape: a sign per token, and their indexes, ascending.
struct Shape {
  std::string signs;
  std::vector<std::size_t> members;
};

std::string signs_of(std::string_view pattern) {
  std::string out;
  for (Tokens t(pattern); t.next();) out += is_star(t.token()) ? kStar : is_tail(t.token()) ? kTail : kText;
  return out;
}

std::vector<Shape> shapes_of(List patterns) {
  std::map<std::string, std::vector<std::size_t>> by_signs;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (is_valid_pattern(patterns[i])) by_signs[signs_of(patterns[i])].push_back(i);
  }
  std::vector<Shape> out;
  for (auto& [signs, members] : by_signs) out.push_back({signs, std::move(members)});
  return out;
}

/// By token: must both patterns have the same text there? What lies behind does not matter.
using Places = std::vector<bool>;

/// nullopt: patterns of these shapes never overlap.
std::optional<Places> places_to_overlap(std::string_view a, std::string_view b) {
  Places out;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i] == kTail || b[i] == kTail) return out;
    out.push_back(a[i] == kText && b[i] == kText);
  }
  if (a.size() != b.size()) return std::nullopt;
  return out;
}

/// nullopt: a pattern of the first shape is never a subset of one of the second.
std::optional<Places> places_to_cover(std::string_view pattern, std::string_view of) {
  Places out;
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (i == pattern.size()) return std::nullopt;
    if (of[i] == kTail) return out;
    if (pattern[i] == kTail || (of[i] == kText && pattern[i] == kStar)) return std::nullopt;
    out.push_back(of[i] == kText);
  }
  if (pattern.size() != of.size()) return std::nullopt;
  return out;
}

/// The texts at `places`. A dot ends each: no token has one.
void texts_at(const Places& places, std::string_view pattern, std::string& out) {
  out.clear();
  Tokens t(pattern);
  for (std::size_t i = 0; i < places.size() && t.next(); ++i) {
    if (!places[i]) continue;
    out += t.token();
    out += '.';
  }
}

/// Finds the patterns that have given texts at the places.
class TextTable {
 public:
  TextTable(List patterns, const Places& places, std::size_t room) : patterns_(patterns), places_(places) {
    lowest_.reserve(room);
  }
  /// Adds the pattern at `index`, or gives the index of the one with the same texts that was added first.
  std::optional<std::size_t> add(std::size_t index) {
    texts_at(places_, patterns_[index], scratch_);
    auto [at, added] = lowest_.try_emplace(scratch_, index);
    return added ? std::nullopt : std::optional(at->second);
  }
  /// The one that was added first of those with the texts of `pattern`.
  std::optional<std::size_t> find(std::string_view pattern) {
    texts_at(places_, pattern, scratch_);
    auto at = lowest_.find(scratch_);
    return at == lowest_.end() ? std::nullopt : std::optional(at->second);
  }

 private:
  List patterns_;
  const Places& places_;
  std::unordered_map<std::string, std::size_t> lowest_;  // looked up only, never walked
  std::string scratch_;
};

template <class T>
void take_lower(std::optional<T>& best, const T& found) {
  if (!best || found < *best) best = found;
}

TextTable table_of(List patterns, const Shape& shape, const Places& places) {
  TextTable table(patterns, places, shape.members.size());
  for (std::size_t i : shape.members) (void)table.add(i);
  return table;
}

}  // namespace

std::optional<std::pair<std::size_t, std::size_t>> first_overlap(List patterns) {
  std::optional<std::pair<std::size_t, std::size_t>> best;
  auto take = [&](std::size_t i, std::size_t j) { take_lower(best, std::minmax({i, j})); };
  const std::vector<Shape> shapes = shapes_of(patterns);
  for (std::size_t a = 0; a < shapes.size(); ++a) {
    // Of one shape: texts differ in every pattern, or two are the same.
    const Places all = *places_to_overlap(shapes[a].signs, shapes[a].signs);
    TextTable same(patterns, all, shapes[a].members.size());
    for (std::size_t i : shapes[a].members) {
      if (auto other = same.add(i)) take(*other, i);
    }
    for (std::size_t b = a + 1; b < shapes.size(); ++b) {
      auto places = places_to_overlap(shapes[a].signs, shapes[b].signs);
      if (!places) continue;
      TextTable table = table_of(patterns, shapes[a], *places);
      for (std::size_t i : shapes[b].members) {
        if (auto other = table.find(patterns[i])) take(*other, i);
      }
    }
  }
  return best;
}

std::optional<std::size_t> first_subset(List patterns) {
  std::optional<std::size_t> best;
  const std::vector<Shape> shapes = shapes_of(patterns);
  for (const Shape& of : shapes) {
    for (const Shape& shape : shapes) {
      auto places = places_to_cover(shape.signs, of.signs);
      if (!places) continue;
      if (&shape == &of) {  // a subset of its like is the same pattern
        TextTable same(patterns, *places, shape.members.size());
        for (std::size_t i : shape.members) {
          if (auto other = same.add(i)) take_lower(best, *other);
        }
        continue;
      }
      TextTable table = table_of(patterns, of, *places);
      for (std::size_t i : shape.members) {
        if (!table.find(patterns[i])) continue;
        take_lower(best, i);
        break;  // later ones are higher
      }
    }
  }
  return best;
}

bool any_overlap(List a, List b) {
  if (a.size() > b.size()) std::swap(a, b);
  if (a.size() <= kFew) {
    return std::any_of(a.begin(), a.end(), [&](const std::string& x) {
      return std::any_of(b.begin(), b.end(), [&](const std::string& y) { return overlaps(x, y); });
    });
  }
  const std::vector<Shape> of_a = shapes_of(a), of_b = shapes_of(b);
  for (const Shape& x : of_a) {
    for (const Shape& y : of_b) {
      auto places = places_to_overlap(x.signs, y.signs);
      if (!places) continue;
      TextTable table = table_of(a, x, *places);
      for (std::size_t i : y.members) {
        if (table.find(b[i])) return true;
      }
    }
  }
  return false;
}

bool takes_long(List patterns) {
  std::size_t bytes = 0;
  for (const std::string& p : patterns) bytes += p.size();
  if (bytes <= kWorkMax / std::max<std::size_t>(patterns.size(), 1)) return false;  // however many shapes
  return bytes > kWorkMax / std::max<std::size_t>(shapes_of(patterns).size(), 1);
}

}  // namespace weir::subject
