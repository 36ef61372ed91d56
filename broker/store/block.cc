#include "broker/store/block.h"

#include <xxhash.h>

#include <algorithm>
#include <limits>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/varint.h"

namespace weir::store {
namespace {

constexpr std::string_view kMagic = "WBLK";
constexpr std::uint8_t kVersion = 1;

Error corrupt(const char* what) {
  return {Code::kCorrupt, what};
}

Status check_header(GroupId group, const BlockInfo& info, ByteSpan bytes) {
  if (bytes.size() < kBlockHeaderBytes) return corrupt("block is shorter than its header");
  const std::uint8_t* p = bytes.data();
  if (get_u32(p + 44) != crc32c(bytes.first(44))) return corrupt("block header fails its checksum");
  if (as_text(bytes.first(4)) != kMagic) return corrupt("not a block");
  if (p[4] != kVersion) return {Code::kUnsupported, "block version " + std::to_string(p[4])};
  if (p[5] != 0) return {Code::kUnsupported, "block codec " + std::to_string(p[5])};
  if (get_u32(p + 8) != group.v) return corrupt("block of another group");
  if (get_u32(p + 12) != info.count || get_u64(p + 16) != info.base.v ||
      get_u32(p + 24) != info.index_bytes || get_u32(p + 28) != info.data_bytes ||
      get_u64(p + 32) != info.data_hash || get_u32(p + 40) != info.index_crc) {
    return corrupt("block is not the one that the footer names");
  }
  return ok();
}

}  // namespace

void BlockBuilder::add(const Message& m) {
  auto it = subjects_.find(m.subject());
  if (it == subjects_.end()) {
    it = subjects_.emplace(m.subject(), static_cast<std::uint32_t>(subjects_.size())).first;
    order_.push_back(it->first);
  }
  if (count_ == 0) {
    base_ = m.seq;
    first_time_ = m.time;
    last_time_ = Wall();
  } else {
    CHECK(m.seq > last_ && m.seq - base_ <= std::numeric_limits<std::uint32_t>::max());
  }
  rows_.append_varint(count_ == 0 ? 0 : m.seq - last_);
  rows_.append_varint(zigzag(m.time - last_time_));
  rows_.append_varint(it->second);
  rows_.append_varint(m.headers().size());
  rows_.append_varint(m.payload().size());
  data_.append(m.headers());
  data_.append(m.payload());
  last_ = m.seq;
  last_time_ = m.time;
  ++count_;
  content_bytes_ += m.record.size();
}

Bytes BlockBuilder::finish(GroupId group, BlockInfo& info) {
  CHECK(count_ != 0, "a block holds at least one message");
  std::size_t table = kVarintMax;
  for (auto s : order_) table += s.size() + kVarintMax;
  BytesBuilder out(kBlockHeaderBytes + table + rows_.size() + data_.size());
  out.grow(kBlockHeaderBytes);
  out.append_varint(order_.size());
  for (auto s : order_) out.append_string(s);
  out.append(rows_.text());
  std::size_t index_bytes = out.size() - kBlockHeaderBytes;
  out.append(data_.text());

  info.base = base_;
  info.last = last_;
  info.count = count_;
  info.index_bytes = static_cast<std::uint32_t>(index_bytes);
  info.data_bytes = static_cast<std::uint32_t>(data_.size());
  info.first_time = first_time_;
  info.last_time = last_time_;
  info.index_crc = crc32c({out.data() + kBlockHeaderBytes, index_bytes});
  info.data_hash = XXH3_64bits(data_.data(), data_.size());

  std::uint8_t* p = out.data();
  std::memset(p, 0, kBlockHeaderBytes);
  std::memcpy(p, kMagic.data(), kMagic.size());
  p[4] = kVersion;
  put_u32(p + 8, group.v);
  put_u32(p + 12, count_);
  put_u64(p + 16, base_.v);
  put_u32(p + 24, info.index_bytes);
  put_u32(p + 28, info.data_bytes);
  put_u64(p + 32, info.data_hash);
  put_u32(p + 40, info.index_crc);
  put_u32(p + 44, crc32c({p, 44}));

  rows_.clear();
  data_.clear();
  order_.clear();
  subjects_.clear();
  count_ = 0;
  content_bytes_ = 0;
  return out.freeze();
}

std::size_t BlockIndex::lower(StreamSeq seq) const {
  if (seq <= base) return 0;
  std::uint64_t offset = seq - base;
  if (offset < rows.size() && rows[offset].seq_offset == offset) return offset;  // no gaps before it
  auto it =
      std::partition_point(rows.begin(), rows.end(), [&](const Row& r) { return r.seq_offset < offset; });
  return static_cast<std::size_t>(it - rows.begin());
}

const BlockIndex::Row* BlockIndex::find(StreamSeq seq) const {
  std::size_t i = lower(seq);
  return i < rows.size() && base + rows[i].seq_offset == seq ? &rows[i] : nullptr;
}

std::size_t BlockIndex::memory() const {
  return sizeof(*this) + rows.size() * sizeof(Row) + subjects.size() * sizeof(subjects[0]) + raw.size();
}

Message Block::message(const BlockIndex::Row& row) const {
  Message m;
  m.seq = index.base + row.seq_offset;
  m.time = row.time;
  m.subject_size = static_cast<std::uint32_t>(index.subjects[row.subject].size());
  m.header_size = row.header_size;
  m.record = records.sub(row.record_offset, std::size_t{m.subject_size} + row.header_size + row.payload_size);
  return m;
}

Result<BlockIndex> decode_block_index(GroupId group, const BlockInfo& info, ByteSpan bytes) {
  RETURN_IF_ERROR(check_header(group, info, bytes));
  if (bytes.size() - kBlockHeaderBytes < info.index_bytes) return corrupt("block index is cut off");
  ByteSpan raw = bytes.subspan(kBlockHeaderBytes, info.index_bytes);
  if (crc32c(raw) != info.index_crc) return corrupt("block index fails its checksum");
  BlockIndex out;
  out.base = info.base;
  out.raw = Bytes::copy_of(raw);
  Reader r(out.raw.span());
  std::uint64_t subjects = r.varint();
  if (subjects > info.count) return corrupt("block has more subjects than messages");
  out.subjects.reserve(subjects);
  for (std::uint64_t i = 0; i < subjects; ++i) out.subjects.push_back(r.string());
  if (!r.ok() || info.count > r.left() / 5 + 1) return corrupt("block index is too short");
  out.rows.reserve(info.count);
  std::uint64_t seq = 0, data = 0, record = 0;
  std::uint64_t time = 0;
  for (std::uint32_t i = 0; i < info.count; ++i) {
    std::uint64_t step = r.varint();
    time += static_cast<std::uint64_t>(unzigzag(r.varint()));
    std::uint64_t subject = r.varint();
    std::uint64_t headers = r.varint();
    std::uint64_t payload = r.varint();
    if (!r.ok() || (i == 0) != (step == 0) || step > info.last.v - info.base.v - seq ||
        subject >= out.subjects.size() || headers > info.data_bytes - data ||
        payload > info.data_bytes - data - headers) {
      return corrupt("block index breaks its rules");
    }
    seq += step;
    if (record + out.subjects[subject].size() + headers + payload > 0xffff'ffffu) {
      return corrupt("block is too large");
    }
    out.rows.push_back({static_cast<std::uint32_t>(seq), static_cast<std::uint32_t>(subject),
                        static_cast<std::uint32_t>(headers), static_cast<std::uint32_t>(payload),
                        static_cast<std::uint32_t>(record), Wall{static_cast<std::int64_t>(time)}});
    data += headers + payload;
    record += out.subjects[subject].size() + headers + payload;
  }
  if (!r.done() || data != info.data_bytes || seq != info.last - info.base) {
    return corrupt("block index contradicts its header");
  }
  return out;
}

Result<Block> decode_block(GroupId group, const BlockInfo& info, ByteSpan bytes) {
  Block out;
  ASSIGN_OR_RETURN(out.index, decode_block_index(group, info, bytes));
  if (bytes.size() != kBlockHeaderBytes + std::size_t{info.index_bytes} + info.data_bytes) {
    return corrupt("block has the wrong size");
  }
  ByteSpan data = bytes.subspan(kBlockHeaderBytes + std::size_t{info.index_bytes});
  if (XXH3_64bits(data.data(), data.size()) != info.data_hash) return corrupt("block data fails its hash");
  const auto& last = out.index.rows.back();
  BytesBuilder records(last.record_offset + out.index.subjects[last.subject].size() + last.header_size +
                       last.payload_size);
  for (const auto& row : out.index.rows) {
    std::size_t body = std::size_t{row.header_size} + row.payload_size;
    records.append(out.index.subjects[row.subject]);
    records.append(data.first(body));
    data = data.subspan(body);
  }
  out.records = records.freeze();
  return out;
}

}  // namespace weir::store
