#include "broker/jetstream/interest_set.h"

#include "broker/base/check.h"
#include "broker/subject/subject.h"

namespace weir::jetstream {
namespace {
template <class Map>
void drop(Map& map, const std::string& filter) {
  auto it = map.find(filter);
  CHECK(it != map.end(), "interest removed that was never added");
  if (--it->second == 0) map.erase(it);
}
}  // namespace

void InterestSet::add(const std::vector<std::string>& filters) {
  if (filters.empty()) ++everything_;
  for (const std::string& f : filters) {
    if (!subject::has_wildcards(f))
      ++literals_[f];
    else
      ++wildcards_[f];
  }
}

void InterestSet::remove(const std::vector<std::string>& filters) {
  if (filters.empty()) --everything_;
  for (const std::string& f : filters) {
    if (!subject::has_wildcards(f))
      drop(literals_, f);
    else
      drop(wildcards_, f);
  }
}

bool InterestSet::wants(std::string_view literal) const {
  if (everything_ > 0 || literals_.contains(literal)) return true;
  for (const auto& [filter, count] : wildcards_)
    if (subject::matches(filter, literal)) return true;
  return false;
}

void InterestSet::clear() {
  everything_ = 0;
  literals_.clear();
  wildcards_.clear();
}

}  // namespace weir::jetstream
