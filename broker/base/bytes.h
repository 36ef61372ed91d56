// broker/base/bytes.h - refcounted immutable byte slices and their builder.
//
// Room:    pure.
// Thread:  the count is not atomic: a Bytes and all its copies stay on one shard. A worker thread
//          may read the memory while the shard holds a reference, never touch the count.
// Units:   sizes in bytes.
// Cost:    copying a slice is one increment; sub() shares the same block. A 10-byte slice keeps its
//          whole block alive, so long-lived small values are copied out by their owners.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "broker/base/check.h"

namespace weir {

using ByteSpan = std::span<const std::uint8_t>;

inline std::string_view as_text(ByteSpan s) {
  return {reinterpret_cast<const char*>(s.data()), s.size()};
}
inline ByteSpan as_span(std::string_view s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}

/// Memory block behind slices. Created by BytesBuilder only.
struct BytesBlock {
  std::uint32_t refs = 1;
  std::uint32_t capacity = 0;
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }

  static BytesBlock* create(std::size_t capacity);
  static void destroy(BytesBlock* block);
};

class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes& o) : block_(o.block_), data_(o.data_), size_(o.size_) {
    if (block_) ++block_->refs;
  }
  Bytes(Bytes&& o) noexcept
      : block_(std::exchange(o.block_, nullptr)),
        data_(std::exchange(o.data_, nullptr)),
        size_(std::exchange(o.size_, 0)) {}
  Bytes& operator=(Bytes o) noexcept {
    std::swap(block_, o.block_);
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~Bytes() {
    if (block_ && --block_->refs == 0) BytesBlock::destroy(block_);
  }

  /// Copies `text` into a block of its own.
  static Bytes copy_of(std::string_view text);
  static Bytes copy_of(ByteSpan span) { return copy_of(as_text(span)); }

  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteSpan span() const { return {data_, size_}; }
  std::string_view text() const { return as_text(span()); }

  /// Slice [offset, offset + size) of this one, same block.
  Bytes sub(std::size_t offset, std::size_t size) const {
    CHECK(offset <= size_ && size <= size_ - offset);
    Bytes b(*this);
    b.data_ += offset;
    b.size_ = size;
    return b;
  }
  /// Slice of this one that covers `part`, which must point into it.
  Bytes sub_of(std::string_view part) const {
    if (part.empty()) return {};
    auto* p = reinterpret_cast<const std::uint8_t*>(part.data());
    CHECK(p >= data_ && p + part.size() <= data_ + size_, "not a part of this slice");
    return sub(static_cast<std::size_t>(p - data_), part.size());
  }
  /// Bytes that the block behind this slice occupies (for memory accounting).
  std::size_t block_size() const { return block_ ? block_->capacity : 0; }

 private:
  friend class BytesBuilder;
  BytesBlock* block_ = nullptr;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Grows one block, then freezes it into a Bytes without a copy.
class BytesBuilder {
 public:
  BytesBuilder() = default;
  explicit BytesBuilder(std::size_t capacity) { reserve(capacity); }
  BytesBuilder(BytesBuilder&& o) noexcept
      : block_(std::exchange(o.block_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  BytesBuilder& operator=(BytesBuilder&& o) noexcept {
    std::swap(block_, o.block_);
    std::swap(size_, o.size_);
    return *this;
  }
  BytesBuilder(const BytesBuilder&) = delete;
  BytesBuilder& operator=(const BytesBuilder&) = delete;
  ~BytesBuilder() {
    if (block_) BytesBlock::destroy(block_);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::uint8_t* data() { return block_ ? block_->data() : nullptr; }
  std::string_view text() const {
    return block_ ? std::string_view(reinterpret_cast<const char*>(block_->data()), size_)
                  : std::string_view();
  }

  void reserve(std::size_t capacity);
  /// Appends `n` uninitialised bytes; the pointer is valid until the next append.
  std::uint8_t* grow(std::size_t n) {
    if (!block_ || size_ + n > block_->capacity) reserve_more(n);
    auto* p = block_->data() + size_;
    size_ += n;
    return p;
  }
  void append(std::string_view s) {
    if (!s.empty()) std::memcpy(grow(s.size()), s.data(), s.size());
  }
  void append(ByteSpan s) { append(as_text(s)); }
  void append_u8(std::uint8_t v) { *grow(1) = v; }
  void append_u32(std::uint32_t v);         // little-endian
  void append_u64(std::uint64_t v);         // little-endian
  void append_varint(std::uint64_t v);      // LEB128, see varint.h
  void append_string(std::string_view s) {  // varint length, then bytes
    append_varint(s.size());
    append(s);
  }
  void clear() { size_ = 0; }

  /// The bytes so far; the builder is empty afterwards.
  Bytes freeze();

 private:
  void reserve_more(std::size_t n);
  BytesBlock* block_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace weir
