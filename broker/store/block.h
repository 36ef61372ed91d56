// broker/store/block.h - a run of messages as bytes; docs/formats/block.md.
//
// Room:     pure. Errors: kCorrupt says which rule the bytes break; kUnsupported an unknown version
//           or codec. No input can make a reader read past its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/store/message.h"

namespace weir::store {

constexpr std::size_t kBlockHeaderBytes = 48;

/// What a segment's footer says of a block.
struct BlockInfo {
  StreamSeq base, last;
  std::uint32_t count = 0;
  std::uint64_t offset = 0;  // of the header, in the file
  std::uint32_t index_bytes = 0, data_bytes = 0;
  Wall first_time, last_time;
  std::uint32_t index_crc = 0;
  std::uint64_t data_hash = 0;
};

class BlockBuilder {
 public:
  /// Sequences rise; the distance to the first one fits 32 bits.
  void add(const Message& m);
  bool empty() const { return count_ == 0; }
  /// Of subjects, headers and payloads added since the last finish().
  std::size_t content_bytes() const { return content_bytes_; }
  /// Header, index and data. Fills `info` except offset. The builder is empty afterwards.
  Bytes finish(GroupId group, BlockInfo& info);

 private:
  BytesBuilder rows_, data_;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> subjects_;
  std::vector<std::string_view> order_;  // keys of subjects_ by number
  std::uint32_t count_ = 0;
  std::size_t content_bytes_ = 0;
  StreamSeq base_, last_;
  Wall first_time_, last_time_;
};

/// The decoded index.
struct BlockIndex {
  struct Row {
    std::uint32_t seq_offset;  // from base
    std::uint32_t subject;     // number in `subjects`
    std::uint32_t header_size, payload_size;
    std::uint32_t record_offset;  // in the records of a decoded Block
    Wall time;
  };
  StreamSeq base;
  std::vector<Row> rows;
  std::vector<std::string_view> subjects;  // into `raw`
  Bytes raw;

  /// Row of exactly `seq`; nullptr if the block has none.
  const Row* find(StreamSeq seq) const;
  /// First row at or after `seq`; rows.size() if none.
  std::size_t lower(StreamSeq seq) const;
  std::size_t memory() const;
};

/// Decoded index and all records in one slice that messages share.
struct Block {
  BlockIndex index;
  Bytes records;
  Message message(const BlockIndex::Row& row) const;
  std::size_t memory() const { return index.memory() + records.size(); }
};

/// `bytes` begin with the header and hold the index at least. Checks against `info`.
Result<BlockIndex> decode_block_index(GroupId group, const BlockInfo& info, ByteSpan bytes);
/// `bytes` are the whole block.
Result<Block> decode_block(GroupId group, const BlockInfo& info, ByteSpan bytes);

}  // namespace weir::store
