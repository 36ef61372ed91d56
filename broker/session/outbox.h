// broker/session/outbox.h - bytes on their way to one client.
//
// Room:     pure. Small pieces are copied into one growing block, large payloads are shared slices,
//           so that a turn ends in one gathering write per connection.
// Thread:   the shard.
// Limits:   the owner compares pending_bytes() plus what the connection holds with max_pending and
//           closes a slow consumer.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/limits.h"

namespace weir::session {

class Outbox {
 public:
  /// Where protocol lines are built in place.
  BytesBuilder& line() { return tail_; }

  /// Appends a payload whose bytes the caller keeps: copies.
  void append(std::string_view bytes) { tail_.append(bytes); }

  /// Appends a slice: shared when large, copied when that is cheaper.
  void append(const Bytes& slice) {
    if (slice.size() <= limits::kCopyPayloadBytesMax) {
      tail_.append(slice.span());
      return;
    }
    seal();
    sealed_bytes_ += slice.size();
    sealed_.push_back(slice);
  }

  bool empty() const { return sealed_.empty() && tail_.empty(); }
  std::size_t pending_bytes() const { return sealed_bytes_ + tail_.size(); }

  /// Everything so far, in order; the outbox is empty afterwards.
  std::vector<Bytes> take() {
    seal();
    sealed_bytes_ = 0;
    return std::exchange(sealed_, {});
  }

 private:
  void seal() {
    if (tail_.empty()) return;
    sealed_bytes_ += tail_.size();
    sealed_.push_back(tail_.freeze());
  }
  std::vector<Bytes> sealed_;
  std::size_t sealed_bytes_ = 0;
  BytesBuilder tail_;
};

}  // namespace weir::session
