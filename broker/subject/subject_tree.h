// broker/subject/subject_tree.h - ordered index of literal subjects: subject -> V.
//
// Adaptive radix tree on bytes with path compression. Blocks live in a slab and name each other by
// 32-bit handles, so that a subject of the usual shapes costs 22 to 52 bytes with an 8-byte V.
//
// Room:    pure. V is trivially copyable; alignof(V) <= 4 keeps blocks at 4-byte granules (then keep
//          64-bit numbers in V as halves), 8 makes them 8.
// Thread:  owned by one shard.
// Cost:    find, insert, erase O(subject bytes). visit(): only branches that can match.
// Limits:  kKeyBytesMax per subject; 8 GiB of blocks (16 GiB with 8-byte granules).
// Order:   bytes, shorter first; visits follow it.
// Invariant: a node has two or more ways on (children, own value); only erase at the limit of the
//          address space may leave one. Checked by subject_tree_test.cc against std::map.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "broker/base/check.h"
#include "broker/subject/pattern_walk.h"
#include "broker/subject/slab.h"

namespace weir::subject {

template <class V>
class SubjectTree {
  static_assert(std::is_trivially_copyable_v<V> && alignof(V) <= 8);

 public:
  static constexpr std::size_t kKeyBytesMax = 32 * 1024;

  /// Null when absent. The pointer is valid until the next insert or erase.
  V* find(std::string_view subject);
  const V* find(std::string_view subject) const { return const_cast<SubjectTree*>(this)->find(subject); }
  /// The value there, or a new one that starts as `initial`. Null when the subject is longer than
  /// kKeyBytesMax or the address space is full. Any bytes are accepted; checking them is the caller's.
  V* find_or_insert(std::string_view subject, const V& initial);
  bool erase(std::string_view subject);
  void clear();

  /// f(subject, V&) for all subjects that `pattern` matches, in order, until f returns false. f may
  /// change the value, not the tree; the subject is valid during the call. False when f ended it.
  template <class F>
  bool visit(std::string_view pattern, F&& f);
  template <class F>
  bool for_each(F&& f) {
    return walk(PatternWalk::everything(), f);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Bytes taken from the allocator.
  std::size_t memory_bytes() const { return slab_.memory_bytes(); }
  /// Bytes of live blocks.
  std::size_t used_bytes() const { return slab_.used_bytes(); }

 private:
  using Ref = std::uint32_t;  // slab handle; top bit set for a leaf; 0 = nothing
  static constexpr Ref kLeaf = 0x8000'0000u;
  static constexpr std::size_t kOwn = 0xffff, kNone = 0xfffe;  // beside child numbers
  static constexpr std::size_t kSpareChunks = 64;              // kept for the merges of erase()

  // Node: u16 prefix bytes, u8 class, u8 children - 1, u32 own leaf, u32 child[cap],
  // u8 key[cap] in order (not in the full class, whose child number is the key), prefix.
  static constexpr std::array<std::uint16_t, 16> kCaps = {1,  2,  3,  4,  6,  8,  10, 12,
                                                          16, 20, 26, 32, 48, 64, 96, 256};
  static constexpr std::size_t kFull = kCaps.size() - 1;
  static constexpr std::size_t kHead = 8;
  // Leaf: V, u16 suffix bytes, suffix.
  static constexpr std::size_t kLeafHead = sizeof(V) + 2;

  struct NodeView {
    std::uint8_t* p;
    std::size_t prefix_bytes() const { return load16(p); }
    std::size_t cls() const { return p[2]; }
    std::size_t cap() const { return kCaps[cls()]; }
    bool full() const { return cls() == kFull; }
    std::size_t count() const { return std::size_t{p[3]} + 1; }
    Ref own() const { return load32(p + 4); }
    void set_own(Ref r) { store32(p + 4, r); }
    Ref child(std::size_t i) const { return load32(p + kHead + 4 * i); }
    void set_child(std::size_t i, Ref r) { store32(p + kHead + 4 * i, r); }
    std::uint8_t* keys() const { return p + kHead + 4 * cap(); }
    char key(std::size_t i) const { return static_cast<char>(full() ? i : keys()[i]); }
    std::uint8_t* prefix_data() const { return full() ? keys() : keys() + cap(); }
    std::string_view prefix() const { return {reinterpret_cast<const char*>(prefix_data()), prefix_bytes()}; }
    /// Number of slots to look at when iterating.
    std::size_t slots() const { return full() ? 256 : count(); }
    std::size_t find(char c) const {
      auto byte = static_cast<unsigned char>(c);
      if (full()) return child(byte) ? byte : kNone;
      const void* at = std::memchr(keys(), byte, count());
      return at ? static_cast<std::size_t>(static_cast<const std::uint8_t*>(at) - keys()) : kNone;
    }
  };
  /// Where a reference stands: in the root, or in a node as own leaf or child.
  struct Place {
    Ref node = 0;  // 0 = the root reference
    std::size_t index = 0;
  };
  struct Frame {
    Ref node;
    std::size_t next;  // kOwn first, then slots
    std::size_t key_bytes;
    PatternWalk walk;
  };

  static std::uint16_t load16(const std::uint8_t* p) {
    std::uint16_t v;
    std::memcpy(&v, p, 2);
    return v;
  }
  static Ref load32(const std::uint8_t* p) {
    Ref v;
    std::memcpy(&v, p, 4);
    return v;
  }
  static void store16(std::uint8_t* p, std::size_t v) {
    auto n = static_cast<std::uint16_t>(v);
    std::memcpy(p, &n, 2);
  }
  static void store32(std::uint8_t* p, Ref v) { std::memcpy(p, &v, 4); }
  static bool is_leaf(Ref r) { return (r & kLeaf) != 0; }
  static std::size_t class_for(std::size_t children) {
    std::size_t c = 0;
    while (kCaps[c] < children) ++c;
    return c;
  }
  static std::size_t node_bytes(std::size_t cls, std::size_t prefix) {
    return kHead + 4u * kCaps[cls] + (cls == kFull ? 0 : kCaps[cls]) + prefix;
  }

  NodeView node(Ref r) { return {slab_.at(r)}; }
  std::uint8_t* leaf(Ref r) { return slab_.at(r & ~kLeaf); }
  V* leaf_value(Ref r) { return reinterpret_cast<V*>(leaf(r)); }
  std::string_view leaf_suffix(Ref r) {
    std::uint8_t* p = leaf(r);
    return {reinterpret_cast<const char*>(p + kLeafHead), load16(p + sizeof(V))};
  }
  Ref get(Place place);
  void set(Place place, Ref r);

  Ref make_leaf(const V& value, std::string_view suffix);
  void free_leaf(Ref r);
  Ref make_node(std::size_t cls, std::string_view prefix);
  void free_node(Ref r);
  /// A copy of node `r` with another class and prefix; `r` is freed.
  Ref remake_node(Ref r, std::size_t cls, std::string_view prefix);
  void put_child(Ref r, char key, Ref child);
  void drop_child(Ref r, std::size_t index);
  V* add_child(Place place, std::string_view rest, const V& initial);
  V* split_leaf(Place place, std::string_view rest, const V& initial);
  V* split_node(Place place, std::string_view rest, std::size_t common, const V& initial);
  void after_removal(Place place);
  template <class F>
  bool walk(PatternWalk start, F& f);

  Slab<alignof(V) <= 4 ? 4 : 8> slab_;
  Ref root_ = 0;
  std::size_t size_ = 0;
};

}  // namespace weir::subject

#include "broker/subject/subject_tree_impl.h"
