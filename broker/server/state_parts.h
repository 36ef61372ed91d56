// broker/server/state_parts.h - an encoded cut goes over in parts: who gives it keeps it meanwhile, who gets
// it puts it together.
//
// Room:    pure; time is passed in. Format: docs/formats/state-transfer.md.
// Why:     a cut may be larger than a frame, and all of it has to be of one moment.
// Limits:  KeptCuts::Limits; kCutBytesMax for what is put together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/server/state_page.h"

namespace weir::server {

/// Cuts that others are getting, one for each asker and group.
class KeptCuts {
 public:
  struct Limits {
    std::size_t cuts = 16;
    std::size_t bytes = 512u << 20;  // none is begun beyond it; the last one may reach over
    Nanos idle = 30 * kSecond;       // without a question; longer than an asker waits for an answer
  };
  /// `first`: of the numbers of the cuts, other ones after each start. Not 0.
  explicit KeptCuts(std::uint64_t first) : KeptCuts(first, Limits()) {}
  KeptCuts(std::uint64_t first, const Limits& limits) : limits_(limits), next_cut_(first) {}

  /// The first part of `cut`, which is not empty. It is kept if there are more, instead of what the asker had
  /// of that group. Errors: kUnavailable, too many are under way.
  Result<StatePart> begin(NodeId asker, GroupId group, Bytes cut, std::size_t part_bytes, Mono now);
  /// The part at `offset`; with the last one it is over. nullopt: that cut is not here (any more).
  std::optional<StatePart> next(NodeId asker, const StateRequest& q, std::size_t part_bytes, Mono now);
  void drop(NodeId asker, GroupId group);
  /// The stream's host is gone.
  void drop(GroupId group);
  /// Those that nobody asked for lately.
  void drop_idle(Mono now);
  bool empty() const { return cuts_.empty(); }
  std::size_t count() const { return cuts_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    std::uint64_t cut = 0;
    std::uint32_t crc = 0;
    Bytes bytes;
    Mono asked;
  };
  using Key = std::pair<GroupId, NodeId>;
  using At = std::map<Key, Kept>::iterator;
  At erase(At at);
  static StatePart part_of(const Kept& kept, std::size_t offset, std::size_t part_bytes);

  const Limits limits_;
  std::uint64_t next_cut_;
  std::map<Key, Kept> cuts_;
  std::size_t bytes_ = 0;  // of all
};

/// The parts of one cut as they come.
class CutParts {
 public:
  /// The next one in order. Errors: kInvalid: it is not that, or what came is not what was sent.
  Status add(const StatePart& part);
  void reset() { *this = CutParts(); }
  bool begun() const { return cut_ != 0; }
  bool complete() const { return begun() && bytes_.size() == total_; }
  std::uint64_t cut() const { return cut_; }
  std::uint64_t size() const { return bytes_.size(); }
  /// All of it; only when complete().
  Bytes take();

 private:
  std::uint64_t cut_ = 0;
  std::uint64_t total_ = 0;
  std::uint32_t crc_ = 0;
  std::uint32_t crc_so_far_ = 0;
  BytesBuilder bytes_;  // grows with what comes, not with what is announced
};

}  // namespace weir::server
