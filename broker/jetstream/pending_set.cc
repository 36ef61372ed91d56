#include "broker/jetstream/pending_set.h"

#include <algorithm>
#include <limits>

#include "broker/base/check.h"
#include "broker/base/state_hash.h"

namespace weir::jetstream {

namespace {

constexpr unsigned kDeliveryBits = 22;
constexpr std::uint64_t kDeltaMax = std::numeric_limits<std::uint32_t>::max();

std::uint64_t pack(std::uint64_t stamp, std::uint64_t deliveries) {
  return std::min(stamp, PendingSet::kStampMax) << kDeliveryBits |
         std::min(deliveries, PendingSet::kDeliveriesMax);
}

}  // namespace

PendingEntry PendingSet::Chunk::get(std::uint32_t i) const {
  const Slot& s = slots[i];
  return {StreamSeq(sseq_base + s.sseq), ConsumerSeq(cseq_base + s.cseq), s.word >> kDeliveryBits,
          s.word & kDeliveriesMax};
}

std::uint64_t PendingSet::Chunk::hash_of(std::uint32_t i) const {
  const Slot& s = slots[i];
  return mix64(mix64((sseq_base + s.sseq) * 3 + cseq_base + s.cseq) ^ s.word);
}

std::uint32_t PendingSet::Chunk::lower(std::uint64_t seq) const {
  if (seq <= sseq_base + slots[begin].sseq) return begin;
  if (seq > last()) return end;
  auto delta = static_cast<std::uint32_t>(seq - sseq_base);
  // Without gaps the place follows from the distance; try that before searching.
  std::uint64_t guess = std::uint64_t{begin} + (delta - slots[begin].sseq);
  if (guess < end && slots[guess].sseq == delta) return static_cast<std::uint32_t>(guess);
  const Slot* at = std::lower_bound(slots.get() + begin, slots.get() + end, delta,
                                    [](const Slot& s, std::uint32_t d) { return s.sseq < d; });
  return static_cast<std::uint32_t>(at - slots.get());
}

void PendingSet::Chunk::grow() {
  std::uint32_t more = capacity == 0 ? 4 : std::min(kChunk, capacity * 4);
  auto bigger = std::make_unique<Slot[]>(more);
  std::copy(slots.get(), slots.get() + end, bigger.get());
  slots = std::move(bigger);
  capacity = more;
}

PendingSet::PendingSet(const PendingSet& o) : size_(o.size_), redelivered_(o.redelivered_), hash_(o.hash_) {
  for (const auto& c : o.chunks_) {
    auto copy = std::make_unique<Chunk>();
    copy->sseq_base = c->sseq_base;
    copy->cseq_base = c->cseq_base;
    copy->begin = c->begin;
    copy->end = c->end;
    copy->capacity = c->capacity;
    copy->slots = std::make_unique<Slot[]>(c->capacity);
    std::copy(c->slots.get() + c->begin, c->slots.get() + c->end, copy->slots.get() + c->begin);
    chunks_.push_back(std::move(copy));
  }
}

PendingSet& PendingSet::operator=(const PendingSet& o) {
  if (this != &o) *this = PendingSet(o);
  return *this;
}

PendingEntry PendingSet::front() const {
  CHECK(size_ > 0, "front of an empty set");
  return chunks_.front()->get(chunks_.front()->begin);
}

PendingEntry PendingSet::back() const {
  CHECK(size_ > 0, "back of an empty set");
  return chunks_.back()->get(chunks_.back()->end - 1);
}

std::size_t PendingSet::chunk_of(StreamSeq seq) const {
  // Acks mostly hit the first chunk or the last ones.
  if (!chunks_.empty() && seq.v <= chunks_.front()->last()) return 0;
  auto at = std::lower_bound(chunks_.begin(), chunks_.end(), seq.v,
                             [](const auto& c, std::uint64_t s) { return c->last() < s; });
  return static_cast<std::size_t>(at - chunks_.begin());
}

std::optional<PendingEntry> PendingSet::at_or_after(StreamSeq seq) const {
  std::size_t at = chunk_of(seq);
  if (at == chunks_.size()) return std::nullopt;
  return chunks_[at]->get(chunks_[at]->lower(seq.v));
}

std::optional<PendingEntry> PendingSet::find(StreamSeq seq) const {
  auto e = at_or_after(seq);
  if (e && e->sseq != seq) e.reset();
  return e;
}

void PendingSet::append(const PendingEntry& e) {
  if (size_ > 0) {
    PendingEntry last = back();
    CHECK(e.sseq > last.sseq && e.cseq > last.cseq, "pending entries go forward");
  }
  Chunk* c = chunks_.empty() ? nullptr : chunks_.back().get();
  if (c == nullptr || c->end == kChunk || e.sseq.v - c->sseq_base > kDeltaMax ||
      e.cseq.v - c->cseq_base > kDeltaMax) {
    chunks_.push_back(std::make_unique<Chunk>());
    c = chunks_.back().get();
    c->sseq_base = e.sseq.v;
    c->cseq_base = e.cseq.v;
  }
  if (c->end == c->capacity) c->grow();
  c->slots[c->end++] = {static_cast<std::uint32_t>(e.sseq.v - c->sseq_base),
                        static_cast<std::uint32_t>(e.cseq.v - c->cseq_base), pack(e.stamp, e.deliveries)};
  hash_ += c->hash_of(c->end - 1);
  ++size_;
  if (e.deliveries > 1) ++redelivered_;
}

bool PendingSet::update(StreamSeq seq, std::uint64_t stamp, std::uint64_t deliveries) {
  std::size_t at = chunk_of(seq);
  if (at == chunks_.size()) return false;
  Chunk& c = *chunks_[at];
  std::uint32_t i = c.lower(seq.v);
  PendingEntry e = c.get(i);
  if (e.sseq != seq) return false;
  if (e.deliveries > 1) --redelivered_;
  if (deliveries > 1) ++redelivered_;
  hash_ -= c.hash_of(i);
  c.slots[i].word = pack(stamp, deliveries);
  hash_ += c.hash_of(i);
  return true;
}

bool PendingSet::erase(StreamSeq seq) {
  std::size_t at = chunk_of(seq);
  if (at == chunks_.size()) return false;
  Chunk& c = *chunks_[at];
  std::uint32_t i = c.lower(seq.v);
  PendingEntry e = c.get(i);
  if (e.sseq != seq) return false;
  if (e.deliveries > 1) --redelivered_;
  --size_;
  hash_ -= c.hash_of(i);
  // The shorter side moves, so acks in either order cost nothing.
  if (i - c.begin < c.end - i) {
    std::copy_backward(c.slots.get() + c.begin, c.slots.get() + i, c.slots.get() + i + 1);
    ++c.begin;
  } else {
    std::copy(c.slots.get() + i + 1, c.slots.get() + c.end, c.slots.get() + i);
    --c.end;
  }
  if (c.begin == c.end) chunks_.erase(at);
  return true;
}

void PendingSet::clear() {
  chunks_.clear();
  size_ = redelivered_ = hash_ = 0;
}

}  // namespace weir::jetstream
