#include "broker/jetstream/filter_index.h"

#include <algorithm>

namespace weir::jetstream {

void FilterIndex::set(ConsumerId id, const std::vector<std::string>& filters) {
  remove(id);
  if (filters.empty()) {
    everything_.insert(std::lower_bound(everything_.begin(), everything_.end(), id), id);
    return;
  }
  if (!list_) list_ = std::make_unique<List>();
  auto& entries = filtered_[id];
  for (const std::string& f : filters) {
    if (auto entry = list_->insert(f, {}, id)) entries.push_back(*entry);
  }
}

bool FilterIndex::remove(ConsumerId id) {
  auto at = std::lower_bound(everything_.begin(), everything_.end(), id);
  if (at != everything_.end() && *at == id) {
    everything_.erase(at);
    return true;
  }
  auto it = filtered_.find(id);
  if (it == filtered_.end()) return false;
  for (subject::EntryId entry : it->second) list_->remove(entry);
  filtered_.erase(it);
  if (filtered_.empty()) list_.reset();
  return true;
}

void FilterIndex::clear() {
  everything_.clear();
  filtered_.clear();
  list_.reset();
}

const std::vector<FilterIndex::ConsumerId>& FilterIndex::match(std::string_view literal) {
  if (!list_) return everything_;
  const auto& plain = list_->match(literal).plain;
  if (plain.empty()) return everything_;
  found_.assign(plain.begin(), plain.end());
  std::sort(found_.begin(), found_.end());
  found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
  if (everything_.empty()) return found_;
  auto filtered = static_cast<std::ptrdiff_t>(found_.size());
  found_.insert(found_.end(), everything_.begin(), everything_.end());
  std::inplace_merge(found_.begin(), found_.begin() + filtered, found_.end());
  return found_;
}

bool FilterIndex::wants(std::string_view literal) const {
  return !everything_.empty() || (list_ && list_->has_interest(literal));
}

}  // namespace weir::jetstream
