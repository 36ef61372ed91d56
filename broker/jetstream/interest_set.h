// broker/jetstream/interest_set.h - does any consumer of this stream want a subject?
//
// Room:    pure. Used for interest retention only: a message nobody wants is not stored.
// Thread:  one shard. Owner: StreamMachine, rebuilt from the consumers after a restore.
// Cost:    literal filters one hash look-up; distinct wildcard filters one match each.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir::jetstream {

class InterestSet {
 public:
  /// Filters of one consumer; empty = it wants everything.
  void add(const std::vector<std::string>& filters);
  /// Exactly what was added before.
  void remove(const std::vector<std::string>& filters);
  /// True if a consumer's filter stands for this subject.
  bool wants(std::string_view literal) const;
  void clear();

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::uint64_t everything_ = 0;  // consumers without a filter
  // Looked up only, never walked.
  std::unordered_map<std::string, std::uint64_t, Hash, std::equal_to<>> literals_;
  std::map<std::string, std::uint64_t> wildcards_;
};

}  // namespace weir::jetstream
