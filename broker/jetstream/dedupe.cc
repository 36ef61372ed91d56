#include "broker/jetstream/dedupe.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/limits.h"
#include "broker/base/state_hash.h"
#include "broker/base/varint.h"
#include "broker/jetstream/coding.h"

namespace weir::jetstream {
namespace {
constexpr std::uint8_t kPageVersion = 1;
}

std::optional<StreamSeq> DedupeTable::find(std::string_view id) const {
  auto it = index_.find(id);
  if (it == index_.end()) return std::nullopt;
  return it->second->seq;
}

std::uint64_t DedupeTable::hash_of(const Entry& e) {
  std::uint64_t id = crc32c(as_span(e.id));
  return mix64(mix64(id << 32 ^ e.seq.v) + static_cast<std::uint64_t>(e.at.ns));
}

void DedupeTable::add(std::string_view id, StreamSeq seq, Wall at) {
  if (entries_.size() >= limits::kDedupeEntriesMax) pop_front();
  CHECK(add_new(id, seq, at), "message id added twice");
}

bool DedupeTable::add_new(std::string_view id, StreamSeq seq, Wall at) {
  entries_.push_back({std::string(id), seq, at});
  const Entry& e = entries_.back();
  if (!index_.emplace(e.id, &e).second) {
    entries_.pop_back();
    return false;
  }
  hash_ += hash_of(e);
  return true;
}

void DedupeTable::pop_front() {
  hash_ -= hash_of(entries_.front());
  index_.erase(entries_.front().id);
  entries_.pop_front();
  ++first_;
}

void DedupeTable::expire(Wall upto) {
  while (!entries_.empty() && entries_.front().at <= upto) pop_front();
}

void DedupeTable::encode_page(std::uint64_t page, std::string& out) const {
  std::uint64_t from = std::max(page * kDedupePageEntries, first_);
  std::uint64_t end = std::min((page + 1) * kDedupePageEntries, next_number());
  std::uint64_t count = end > from ? end - from : 0;
  out.push_back(static_cast<char>(kPageVersion));
  put_varint(out, from);
  put_varint(out, count);
  for (std::uint64_t n = from; n < from + count; ++n) {
    const Entry& e = entries_[n - first_];
    put_string(out, e.id);
    put_varint(out, e.seq.v);
    put_signed(out, e.at.ns);
  }
}

void DedupeTable::restore_begin(std::uint64_t first_number, std::uint64_t next_number) {
  entries_.clear();
  index_.clear();
  // One allocation: growing step by step costs a large table as much as filling it.
  std::uint64_t count = next_number - std::min(first_number, next_number);
  index_.reserve(std::min<std::uint64_t>(count, limits::kDedupeEntriesMax));
  first_ = first_number;
  hash_ = 0;
}

Status DedupeTable::restore_page(std::uint64_t page, std::string_view bytes) {
  Error bad{Code::kCorrupt, "checkpoint: dedupe page " + std::to_string(page)};
  Reader r(bytes);
  if (r.u8() != kPageVersion) return bad;
  std::uint64_t number = r.varint();
  std::uint64_t count = r.varint();
  if (!r.ok() || number / kDedupePageEntries != page || count > kDedupePageEntries) return bad;
  for (std::uint64_t i = 0; i < count; ++i, ++number) {
    std::string_view id = r.string();
    StreamSeq seq(r.varint());
    Wall at{unzigzag(r.varint())};
    if (!r.ok() || id.empty()) return bad;
    if (number < first_) continue;
    bool in_order = number == next_number() && (entries_.empty() || entries_.back().at <= at);
    if (!in_order || size() >= limits::kDedupeEntriesMax || !add_new(id, seq, at)) return bad;
  }
  if (!r.done()) return bad;
  return ok();
}

}  // namespace weir::jetstream
