// broker/store/subject_index.h - live subjects of one stream with count, first and last sequence.
//
// Room:     pure. Thread: one shard. Owner: StoreCore.
// Order:    visits go in byte order of the subjects.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "broker/store/filter.h"
#include "broker/store/message_store.h"

namespace weir::store {

class SubjectIndex {
 public:
  using Visit = std::function<bool(std::string_view, const SubjectState&)>;

  /// The state of `subject`, made (count 0) if it is new. Valid until the next change of the index.
  SubjectState& upsert(std::string_view subject);
  /// nullptr if it is not there. Valid until the next change of the index.
  SubjectState* find(std::string_view subject);
  const SubjectState* find(std::string_view subject) const;
  void erase(std::string_view subject);
  void clear() { map_.clear(); }
  std::size_t size() const { return map_.size(); }

  /// Matching subjects in byte order until `visit` returns false; false then. `visit` must not
  /// change the index.
  bool visit(const SubjectMatcher& matcher, const Visit& visit) const;

 private:
  std::map<std::string, SubjectState, std::less<>> map_;
};

}  // namespace weir::store
