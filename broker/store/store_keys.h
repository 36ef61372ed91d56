// broker/store/store_keys.h - what a file store keeps in the catalog; docs/formats/segment.md.
//
// Room:     pure. Errors: kCorrupt says which rule a value breaks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/store/segment_reader.h"

namespace weir::store {

struct StoreKeys {
  explicit StoreKeys(GroupId group, std::uint32_t generation = 0);
  std::string prefix;     // "g/<group>/s/"; of a generation "g/<group>/s<generation>/"
  std::string state;      // "g/<group>/s/state"
  std::string destroyed;  // "x/<group>" or "x/<group>.<generation>"
  std::string file(std::uint64_t n) const { return numbered('f', n); }
  std::string dead(std::uint64_t n) const { return numbered('d', n); }
  std::string unlink(std::uint64_t n) const { return numbered('x', n); }
  std::string numbered(char kind, std::uint64_t n) const;
  /// The generation that a key of `group` belongs to: one below its `prefix`, or its `destroyed`.
  static std::optional<std::uint32_t> generation_of(GroupId group, std::string_view key);
  /// Kind and number of a key below `prefix`; kind 0 if it is none.
  std::pair<char, std::uint64_t> parse(std::string_view key) const;
};

struct SavedState {
  StreamSeq last_seq;
  Wall last_time;
  std::uint64_t next_file = 1;
};

std::string encode_saved_state(const SavedState& s);
Result<SavedState> decode_saved_state(std::string_view value);
/// All but the dead set.
std::string encode_segment_entry(const Segment& s);
Result<Segment> decode_segment_entry(std::string_view value);
std::string encode_dead(std::uint64_t live, std::uint64_t live_bytes, SeqSet& dead);
/// Fills dead, live and live_bytes of `s`.
Status decode_dead(std::string_view value, Segment& s);

}  // namespace weir::store
