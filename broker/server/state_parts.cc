#include "broker/server/state_parts.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"

namespace weir::server {

// ---- who gives it --------------------------------------------------------------------------------

StatePart KeptCuts::part_of(const Kept& kept, std::size_t offset, std::size_t part_bytes) {
  std::size_t size = std::min(kept.bytes.size() - offset, std::max<std::size_t>(part_bytes, 1));
  return {kept.cut, kept.bytes.size(), kept.crc, offset, kept.bytes.sub(offset, size)};
}

KeptCuts::At KeptCuts::erase(At at) {
  bytes_ -= at->second.bytes.size();
  return cuts_.erase(at);
}

Result<StatePart> KeptCuts::begin(NodeId asker, GroupId group, Bytes cut, std::size_t part_bytes, Mono now) {
  CHECK(!cut.empty(), "a cut without bytes");
  drop(asker, group);
  drop_idle(now);
  Kept kept{next_cut_, crc32c(cut.span()), std::move(cut), now};
  StatePart first = part_of(kept, 0, part_bytes);
  if (first.bytes.size() < kept.bytes.size()) {
    if (cuts_.size() >= limits_.cuts || bytes_ >= limits_.bytes)
      return {Code::kUnavailable, "other replicas are being given their states"};
    bytes_ += kept.bytes.size();
    cuts_.emplace(Key(group, asker), std::move(kept));
  }
  ++next_cut_;
  return first;
}

std::optional<StatePart> KeptCuts::next(NodeId asker, const StateRequest& q, std::size_t part_bytes,
                                        Mono now) {
  auto at = cuts_.find(Key(q.group, asker));
  if (at == cuts_.end() || at->second.cut != q.cut || q.offset >= at->second.bytes.size())
    return std::nullopt;
  StatePart part = part_of(at->second, static_cast<std::size_t>(q.offset), part_bytes);
  at->second.asked = now;
  if (part.offset + part.bytes.size() == part.total) erase(at);
  return part;
}

void KeptCuts::drop(NodeId asker, GroupId group) {
  if (auto at = cuts_.find(Key(group, asker)); at != cuts_.end()) erase(at);
}

void KeptCuts::drop(GroupId group) {
  for (auto at = cuts_.lower_bound(Key(group, NodeId(0))); at != cuts_.end() && at->first.first == group;)
    at = erase(at);
}

void KeptCuts::drop_idle(Mono now) {
  for (auto at = cuts_.begin(); at != cuts_.end();)
    at = now - at->second.asked >= limits_.idle ? erase(at) : std::next(at);
}

// ---- who gets it ---------------------------------------------------------------------------------

Status CutParts::add(const StatePart& part) {
  bool follows = begun() ? part.cut == cut_ && part.total == total_ && part.crc == crc_ : part.cut != 0;
  bool fits = part.total <= kCutBytesMax && part.offset == bytes_.size() && !part.bytes.empty() &&
              part.bytes.size() <= part.total - part.offset;
  if (!follows || part.offset > part.total || !fits)
    return {Code::kInvalid, "state part: it does not follow the one before"};
  cut_ = part.cut;
  total_ = part.total;
  crc_ = part.crc;
  crc_so_far_ = crc32c(part.bytes.span(), crc_so_far_);
  bytes_.append(part.bytes.span());
  if (complete() && crc_so_far_ != crc_)
    return {Code::kInvalid, "state part: what came is not what was sent"};
  return ok();
}

Bytes CutParts::take() {
  CHECK(complete(), "a cut that is not complete");
  Bytes all = bytes_.freeze();
  reset();
  return all;
}

}  // namespace weir::server
