#include "surveyor/lag_ring.h"

#include <algorithm>

namespace weir::surveyor {

void LagRing::add(const StreamStateRow& s) {
  first_.reset();
  if (s.messages > 0 && s.first_ts.ns > 0) first_ = Point{s.first_seq, s.first_ts};
  if (!points_.empty() && s.last_seq < points_.back().seq) points_.clear();
  if (s.last_ts.ns <= 0 || s.last_seq == 0) return;
  if (!points_.empty() && (s.last_seq == points_.back().seq || s.last_ts < points_.back().at)) return;
  if (points_.size() == kPoints) points_.pop_front();
  points_.push_back({s.last_seq, s.last_ts});
}

std::optional<Wall> LagRing::published_at(std::uint64_t seq) const {
  auto above = std::lower_bound(points_.begin(), points_.end(), seq,
                                [](const Point& p, std::uint64_t v) { return p.seq < v; });
  if (above == points_.end()) return std::nullopt;
  if (first_ && seq <= first_->seq) return std::min(first_->at, above->at);
  std::optional<Point> below;
  if (above != points_.begin()) below = *std::prev(above);
  if (first_ && first_->seq < above->seq && (!below || below->seq < first_->seq)) below = first_;
  // Nothing known below: the message is at least as old as the point above it.
  if (!below || above->at < below->at) return above->at;
  double share = static_cast<double>(seq - below->seq) / static_cast<double>(above->seq - below->seq);
  return below->at + static_cast<Nanos>(share * static_cast<double>(above->at - below->at));
}

}  // namespace weir::surveyor
