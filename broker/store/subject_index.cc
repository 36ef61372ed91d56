#include "broker/store/subject_index.h"

namespace weir::store {

SubjectState& SubjectIndex::upsert(std::string_view subject) {
  auto it = map_.lower_bound(subject);
  if (it == map_.end() || it->first != subject) it = map_.emplace_hint(it, subject, SubjectState{});
  return it->second;
}

SubjectState* SubjectIndex::find(std::string_view subject) {
  auto it = map_.find(subject);
  return it == map_.end() ? nullptr : &it->second;
}

const SubjectState* SubjectIndex::find(std::string_view subject) const {
  auto it = map_.find(subject);
  return it == map_.end() ? nullptr : &it->second;
}

void SubjectIndex::erase(std::string_view subject) {
  auto it = map_.find(subject);
  if (it != map_.end()) map_.erase(it);
}

bool SubjectIndex::visit(const SubjectMatcher& matcher, const Visit& visit) const {
  if (matcher.only_literals()) {
    for (const auto& p : matcher.patterns()) {
      if (const SubjectState* s = find(p); s != nullptr && !visit(p, *s)) return false;
    }
    return true;
  }
  for (auto it = map_.lower_bound(matcher.prefix()); it != map_.end(); ++it) {
    if (!std::string_view(it->first).starts_with(matcher.prefix())) break;
    if (matcher.matches(it->first) && !visit(it->first, it->second)) return false;
  }
  return true;
}

}  // namespace weir::store
