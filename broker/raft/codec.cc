#include "broker/raft/codec.h"

#include <limits>

#include "broker/base/check.h"
#include "broker/base/varint.h"
#include "broker/raft/confchange.h"

namespace weir::raft {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeadSizeBytes = 4;
constexpr std::uint8_t kReject = 1, kForce = 2, kAsleep = 4, kHasSnapshot = 8, kHasHint = 16;
constexpr std::uint8_t kAnswerMax = static_cast<std::uint8_t>(FetchAnswer::kCompacted);

Error bad(const char* what) {
  return {Code::kInvalid, std::string("raft message: ") + what};
}

std::uint8_t flags_of(const Message& m) {
  unsigned f = (m.reject ? kReject : 0u) | (m.force ? kForce : 0u) | (m.asleep ? kAsleep : 0u) |
               (m.snapshot ? kHasSnapshot : 0u) | (m.hint != EntryId{} ? kHasHint : 0u);
  return static_cast<std::uint8_t>(f);
}

void put_entries(const std::vector<Entry>& entries, BytesBuilder& head, std::vector<Bytes>& payloads) {
  head.append_varint(entries.size());
  if (entries.empty()) return;
  head.append_varint(entries.front().index.v);
  RaftIndex expected = entries.front().index;
  for (const Entry& e : entries) {
    CHECK(e.index == expected, "entries of a message are not consecutive");
    ++expected;
    head.append_varint(e.term.v);
    head.append_u8(static_cast<std::uint8_t>(e.type));
    head.append_varint(e.payload.size());
    if (!e.payload.empty()) payloads.push_back(e.payload);
  }
}

void put_snapshot(const SnapshotMeta& s, BytesBuilder& head) {
  head.append_varint(s.index.v);
  head.append_varint(s.term.v);
  head.append_string(encode_conf(s.conf).text());
}

Status get_snapshot(Reader& in, Message& m) {
  SnapshotMeta s;
  s.index = RaftIndex(in.varint());
  s.term = Term(in.varint());
  std::string_view conf = in.string();
  if (!in.ok()) return bad("cut short in its snapshot");
  ASSIGN_OR_RETURN(s.conf, decode_conf(as_span(conf)));
  m.snapshot = std::move(s);
  return ok();
}

// `body` = what follows the head.
Status get_entries(Reader& in, const Bytes& body, Message& m) {
  std::uint64_t count = in.varint();
  if (!in.ok() || count > kMessageEntriesMax) return bad("too many entries");
  std::size_t used = 0;
  if (count > 0) {
    std::uint64_t first = in.varint();
    if (!in.ok() || first == 0 || first > std::numeric_limits<std::uint64_t>::max() - count) {
      return bad("entries of an impossible index");
    }
    // Each entry takes three bytes of the head at least: memory follows what was really sent.
    if (count > in.left() / 3) return bad("fewer entries than it says");
    m.entries.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      Entry e;
      e.index = RaftIndex(first + i);
      e.term = Term(in.varint());
      std::uint8_t type = in.u8();
      std::uint64_t size = in.varint();
      if (!in.ok()) return bad("cut short in its entries");
      if (type > static_cast<std::uint8_t>(EntryType::kConfig)) return bad("entry of an unknown type");
      if (size > body.size() - used) return bad("payload of an entry is cut short");
      e.type = static_cast<EntryType>(type);
      if (size > 0) e.payload = body.sub(used, static_cast<std::size_t>(size));
      used += static_cast<std::size_t>(size);
      m.entries.push_back(std::move(e));
    }
  }
  if (used != body.size()) return bad("bytes behind the last entry");
  return ok();
}

}  // namespace

void encode_message(const Message& m, BytesBuilder& head, std::vector<Bytes>& payloads) {
  head.append_u8(kVersion);
  std::size_t size_at = head.size();
  head.append_u32(0);
  head.append_u8(static_cast<std::uint8_t>(m.type));
  head.append_u8(flags_of(m));
  head.append_u8(static_cast<std::uint8_t>(m.answer));
  head.append_u64(m.from.v);
  head.append_u64(m.to.v);
  for (std::uint64_t v : {m.term.v, m.index.v, m.log_term.v, m.commit.v, m.context}) head.append_varint(v);
  if (m.hint != EntryId{}) {
    head.append_varint(m.hint.index.v);
    head.append_varint(m.hint.term.v);
  }
  if (m.snapshot) put_snapshot(*m.snapshot, head);
  put_entries(m.entries, head, payloads);
  std::size_t size = head.size() - size_at - kHeadSizeBytes;
  put_u32(head.data() + size_at, static_cast<std::uint32_t>(size));
}

Result<Message> decode_message(const Bytes& bytes) {
  Reader outer(bytes.span());
  if (outer.u8() != kVersion) return bad("unknown version");
  std::size_t head_size = outer.u32();
  Reader in(outer.bytes(head_size));
  if (!outer.ok()) return bad("head is cut short");
  Message m;
  std::uint8_t type = in.u8();
  std::uint8_t flags = in.u8();
  std::uint8_t answer = in.u8();
  m.from = NodeId(in.u64());
  m.to = NodeId(in.u64());
  m.term = Term(in.varint());
  m.index = RaftIndex(in.varint());
  m.log_term = Term(in.varint());
  m.commit = RaftIndex(in.varint());
  m.context = in.varint();
  if (!in.ok()) return bad("head is cut short");
  if (type == 0 || type > kMessageTypeMax) return bad("unknown type");
  if (answer > kAnswerMax) return bad("unknown answer");
  m.type = static_cast<MessageType>(type);
  m.answer = static_cast<FetchAnswer>(answer);
  m.reject = flags & kReject;
  m.force = flags & kForce;
  m.asleep = flags & kAsleep;
  if (flags & kHasHint) {
    m.hint.index = RaftIndex(in.varint());
    m.hint.term = Term(in.varint());
  }
  if (flags & kHasSnapshot) RETURN_IF_ERROR(get_snapshot(in, m));
  std::size_t head_end = 1 + kHeadSizeBytes + head_size;
  RETURN_IF_ERROR(get_entries(in, bytes.sub(head_end, bytes.size() - head_end), m));
  return m;  // what is left of the head belongs to a later version
}

}  // namespace weir::raft
