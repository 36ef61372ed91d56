// broker/store/message.h - one stored message, as everybody above the store sees it.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"

namespace weir::store {

/// Subject, header block and payload lie one after the other in `record`, so that a delivery can
/// send headers and payload as one slice. Copying a Message copies one reference.
struct Message {
  StreamSeq seq;
  Wall time;  // log time of the entry that stored it
  Bytes record;
  std::uint32_t subject_size = 0;
  std::uint32_t header_size = 0;  // of the whole "NATS/1.0\r\n...\r\n\r\n" block, 0 without

  std::string_view subject() const { return record.text().substr(0, subject_size); }
  std::string_view headers() const { return record.text().substr(subject_size, header_size); }
  std::string_view payload() const { return record.text().substr(subject_size + header_size); }
  /// Headers and payload, sharing the block.
  Bytes body() const { return record.sub(subject_size, record.size() - subject_size); }
};

}  // namespace weir::store
