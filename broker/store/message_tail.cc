#include "broker/store/message_tail.h"

#include <algorithm>
#include <bit>

#include "broker/base/check.h"

namespace weir::store {

// Chunk numbers are mostly consecutive, so the first guess is the distance from the front.
std::size_t MessageTail::lower_chunk(std::uint64_t number) const {
  if (chunks_.empty() || number <= chunks_.front().number) return 0;
  std::uint64_t guess = number - chunks_.front().number;
  if (guess < chunks_.size() && chunks_[guess].number == number) return guess;
  auto it =
      std::partition_point(chunks_.begin(), chunks_.end(), [&](const Chunk& c) { return c.number < number; });
  return static_cast<std::size_t>(it - chunks_.begin());
}

const MessageTail::Slot* MessageTail::find(StreamSeq seq) const {
  std::size_t i = lower_chunk(seq.v >> kShift);
  if (i == chunks_.size() || chunks_[i].number != seq.v >> kShift) return nullptr;
  unsigned slot = seq.v & kMask;
  return (chunks_[i].live >> slot & 1) ? &chunks_[i].slots[slot] : nullptr;
}

void MessageTail::append(Message message, StreamSeq previous) {
  std::uint64_t number = message.seq.v >> kShift;
  unsigned at = message.seq.v & kMask;
  if (chunks_.empty() || chunks_.back().number != number) {
    CHECK(chunks_.empty() || chunks_.back().number < number, "sequences must rise");
    bool first = chunks_.empty();
    chunks_.emplace_back();
    chunks_.back().number = number;
    if (!first) chunks_.back().slots.reserve(kMask + 1);
    ++dead_;
  }
  Chunk& chunk = chunks_.back();
  CHECK(chunk.live >> at == 0, "sequences must rise");
  if (chunk.live == 0) --dead_;
  if (chunk.slots.size() <= at) chunk.slots.resize(at + 1);
  chunk.live |= std::uint64_t{1} << at;
  chunk.last_time = message.time;
  ++count_;
  bytes_ += message.record.size();
  if (previous.v != 0) {
    if (Slot* p = find(previous)) p->next = message.seq.v;
  }
  Slot& slot = chunk.slots[at];
  slot.record = std::move(message.record);
  slot.time = message.time;
  slot.subject_size = message.subject_size;
  slot.header_size = message.header_size;
  slot.prev = previous.v;
  slot.next = 0;
}

void MessageTail::drop(std::size_t i, unsigned at) {
  Chunk& chunk = chunks_[i];
  --count_;
  bytes_ -= chunk.slots[at].record.size();
  chunk.slots[at].record = Bytes();
  chunk.live &= ~(std::uint64_t{1} << at);
  if (chunk.live == 0) {
    chunk.slots = {};
    ++dead_;
  }
}

// Dead chunks leave the directory in bulk: an erase costs O(1) on average.
void MessageTail::tidy() {
  if (dead_ < 8 && count_ != 0) return;
  if (dead_ * 2 < chunks_.size()) return;
  std::erase_if(chunks_, [](const Chunk& c) { return c.live == 0; });
  dead_ = 0;
  if (chunks_.capacity() > 64 && chunks_.size() * 4 < chunks_.capacity()) chunks_.shrink_to_fit();
}

void MessageTail::erase(StreamSeq seq) {
  Slot* slot = find(seq);
  CHECK(slot != nullptr, "not in the tail");
  if (slot->prev != 0) {
    if (Slot* p = find(StreamSeq(slot->prev))) p->next = slot->next;
  }
  if (slot->next != 0) {
    if (Slot* n = find(StreamSeq(slot->next))) n->prev = slot->prev;
  }
  drop(lower_chunk(seq.v >> kShift), static_cast<unsigned>(seq.v & kMask));
  tidy();
}

void MessageTail::release(StreamSeq upto) {
  for (std::size_t i = 0; i < chunks_.size() && chunks_[i].number <= upto.v >> kShift; ++i) {
    std::uint64_t base = chunks_[i].number << kShift;
    for (std::uint64_t live = chunks_[i].live; live != 0; live &= live - 1) {
      auto at = static_cast<unsigned>(std::countr_zero(live));
      if (base + at > upto.v) break;
      drop(i, at);
    }
  }
  tidy();
}

void MessageTail::clear() {
  *this = MessageTail();
}

Message MessageTail::get(StreamSeq seq) const {
  const Slot* s = find(seq);
  CHECK(s != nullptr, "not in the tail");
  return {seq, s->time, s->record, s->subject_size, s->header_size};
}

std::string_view MessageTail::subject(StreamSeq seq) const {
  const Slot* s = find(seq);
  CHECK(s != nullptr, "not in the tail");
  return s->record.text().substr(0, s->subject_size);
}

Wall MessageTail::time(StreamSeq seq) const {
  const Slot* s = find(seq);
  CHECK(s != nullptr, "not in the tail");
  return s->time;
}

StreamSeq MessageTail::next_same(StreamSeq seq) const {
  const Slot* s = find(seq);
  CHECK(s != nullptr, "not in the tail");
  return StreamSeq(s->next);
}

StreamSeq MessageTail::prev_same(StreamSeq seq) const {
  const Slot* s = find(seq);
  CHECK(s != nullptr, "not in the tail");
  return s->prev != 0 && contains(StreamSeq(s->prev)) ? StreamSeq(s->prev) : StreamSeq();
}

StreamSeq MessageTail::next_live(StreamSeq seq) const {
  std::uint64_t number = seq.v >> kShift;
  for (std::size_t i = lower_chunk(number); i < chunks_.size(); ++i) {
    std::uint64_t live = chunks_[i].live;
    if (chunks_[i].number == number) live &= ~std::uint64_t{0} << (seq.v & kMask);
    if (live != 0) {
      return StreamSeq((chunks_[i].number << kShift) + static_cast<unsigned>(std::countr_zero(live)));
    }
  }
  return {};
}

StreamSeq MessageTail::prev_live(StreamSeq seq) const {
  std::uint64_t number = seq.v >> kShift;
  std::size_t i = lower_chunk(number);
  if (i < chunks_.size() && chunks_[i].number == number) ++i;
  while (i-- > 0) {
    std::uint64_t live = chunks_[i].live;
    if (chunks_[i].number == number) live &= ~std::uint64_t{0} >> (kMask - (seq.v & kMask));
    if (live != 0) {
      return StreamSeq((chunks_[i].number << kShift) + kMask - static_cast<unsigned>(std::countl_zero(live)));
    }
  }
  return {};
}

StreamSeq MessageTail::next_gap(StreamSeq seq) const {
  for (std::size_t i = lower_chunk(seq.v >> kShift);; ++i) {
    if (i == chunks_.size() || chunks_[i].number != seq.v >> kShift) return seq;
    unsigned at = seq.v & kMask;
    auto run = static_cast<unsigned>(std::countr_one(chunks_[i].live >> at));
    if (at + run <= kMask) return seq + run;
    seq = seq + run;
  }
}

StreamSeq MessageTail::seq_at(Wall t) const {
  auto it =
      std::partition_point(chunks_.begin(), chunks_.end(), [&](const Chunk& c) { return c.last_time < t; });
  for (; it != chunks_.end(); ++it) {
    for (std::uint64_t live = it->live; live != 0; live &= live - 1) {
      auto at = static_cast<unsigned>(std::countr_zero(live));
      if (it->slots[at].time >= t) return StreamSeq((it->number << kShift) + at);
    }
  }
  return {};
}

std::uint64_t MessageTail::count_from(StreamSeq from) const {
  std::uint64_t number = from.v >> kShift;
  std::size_t begin = lower_chunk(number);
  auto live_in = [&](const Chunk& c) {
    std::uint64_t live = c.live;
    if (c.number == number) live &= ~std::uint64_t{0} << (from.v & kMask);
    return static_cast<std::uint64_t>(std::popcount(live));
  };
  // The shorter side is counted.
  std::uint64_t n = 0;
  if (begin > chunks_.size() / 2) {
    for (std::size_t i = begin; i < chunks_.size(); ++i) n += live_in(chunks_[i]);
    return n;
  }
  for (std::size_t i = 0; i < begin; ++i) n += static_cast<std::uint64_t>(std::popcount(chunks_[i].live));
  if (begin < chunks_.size()) {
    n += static_cast<std::uint64_t>(std::popcount(chunks_[begin].live)) - live_in(chunks_[begin]);
  }
  return count_ - n;
}

}  // namespace weir::store
