#include "broker/base/bytes.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "broker/base/varint.h"

namespace weir {

BytesBlock* BytesBlock::create(std::size_t capacity) {
  CHECK(capacity <= 0xffff'ffffu, "block over 4 GiB");
  void* p = std::malloc(sizeof(BytesBlock) + capacity);
  CHECK(p != nullptr, "out of memory");
  auto* block = new (p) BytesBlock;
  block->capacity = static_cast<std::uint32_t>(capacity);
  return block;
}

void BytesBlock::destroy(BytesBlock* block) {
  std::free(block);
}

Bytes Bytes::copy_of(std::string_view text) {
  if (text.empty()) return {};
  BytesBuilder b(text.size());
  b.append(text);
  return b.freeze();
}

void BytesBuilder::reserve(std::size_t capacity) {
  if (block_ && capacity <= block_->capacity) return;
  auto* bigger = BytesBlock::create(capacity);
  if (size_) std::memcpy(bigger->data(), block_->data(), size_);
  if (block_) BytesBlock::destroy(block_);
  block_ = bigger;
}

void BytesBuilder::reserve_more(std::size_t n) {
  std::size_t doubled = block_ ? std::min<std::size_t>(std::size_t{block_->capacity} * 2, UINT32_MAX) : 128;
  reserve(std::max(size_ + n, doubled));
}

void BytesBuilder::append_u32(std::uint32_t v) {
  put_u32(grow(4), v);
}
void BytesBuilder::append_u64(std::uint64_t v) {
  put_u64(grow(8), v);
}

void BytesBuilder::append_varint(std::uint64_t v) {
  std::uint8_t tmp[kVarintMax];
  std::size_t n = put_varint(tmp, v);
  std::memcpy(grow(n), tmp, n);
}

Bytes BytesBuilder::freeze() {
  Bytes b;
  if (size_ == 0) return b;
  b.block_ = std::exchange(block_, nullptr);
  b.data_ = b.block_->data();
  b.size_ = std::exchange(size_, 0);
  return b;
}

}  // namespace weir
