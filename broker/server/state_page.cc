// Bytes: docs/formats/state-transfer.md.
#include "broker/server/state_page.h"

#include "broker/base/varint.h"

namespace weir::server {

using store::Message;

namespace {
// A page of this build has at most 20,000 messages; the limit is there so that a page cannot cost a large
// multiple of its own size.
constexpr std::uint64_t kMessagesMax = 1'000'000;

Error later_format(const char* what, std::uint8_t format) {
  return {Code::kUnsupported, std::string(what) + ": format " + std::to_string(format)};
}
bool known(std::uint8_t format) {
  return format == kStateFormat || format == kStateFormatWhole;
}
}  // namespace

Bytes encode_state_request(const StateRequest& r) {
  BytesBuilder out;
  out.append_u8(r.format);
  out.append_varint(r.group.v);
  out.append_varint(r.from.v);
  if (r.format == kStateFormatWhole) return out.freeze();
  out.append_varint(r.cut);
  out.append_varint(r.offset);
  return out.freeze();
}

Result<StateRequest> decode_state_request(ByteSpan bytes) {
  Reader r(bytes);
  StateRequest q;
  q.format = r.u8();
  if (r.ok() && !known(q.format)) return later_format("state request", q.format);
  std::uint64_t group = r.varint();
  q.group = GroupId(static_cast<std::uint32_t>(group));
  q.from = StreamSeq(r.varint());
  if (q.format == kStateFormat) {
    q.cut = r.varint();
    q.offset = r.varint();
  }
  if (!r.done() || group > UINT32_MAX || (q.cut == 0 && q.offset != 0))
    return {Code::kInvalid, "state request: malformed"};
  return q;
}

namespace {
void put_messages(const std::vector<Message>& messages, BytesBuilder& out) {
  out.append_varint(messages.size());
  for (const Message& m : messages) {
    out.append_varint(m.seq.v);
    out.append_varint(zigzag(m.time.ns));
    out.append_varint(m.subject_size);
    out.append_varint(m.header_size);
    out.append_varint(m.record.size());
  }
}

void put_part(const std::optional<StatePart>& part, BytesBuilder& out) {
  out.append_u8(part ? 1 : 0);
  if (!part) return;
  out.append_varint(part->cut);
  out.append_varint(part->total);
  out.append_u32(part->crc);
  out.append_varint(part->offset);
  out.append_varint(part->bytes.size());
}
}  // namespace

Result<std::vector<Bytes>> encode_state_page(const StatePage& page, std::uint8_t format) {
  std::vector<Bytes> slices;
  BytesBuilder head;
  head.append_u8(format);
  if (format == kStateFormatWhole) {
    head.append_u8(page.whole ? 1 : 0);
    put_messages(page.messages, head);
    slices.push_back(head.freeze());
    if (page.whole) {
      ASSIGN_OR_RETURN(Bytes cut, encode_state_cut(*page.whole));
      slices.push_back(std::move(cut));
    }
  } else {
    put_messages(page.messages, head);
    put_part(page.part, head);
    slices.push_back(head.freeze());
  }
  for (const Message& m : page.messages) slices.push_back(m.record);
  if (format == kStateFormat && page.part) slices.push_back(page.part->bytes);
  return slices;
}

namespace {
/// Without their records, whose sizes go to `sizes`; none is above `limit`.
Status read_messages(Reader& r, std::size_t limit, StatePage& page, std::vector<std::uint64_t>& sizes) {
  std::uint64_t count = r.varint();
  if (!r.ok() || count > kMessagesMax) return {Code::kInvalid, "state page: count"};
  for (std::uint64_t i = 0; i < count; ++i) {
    Message m;
    m.seq = StreamSeq(r.varint());
    m.time = Wall{unzigzag(r.varint())};
    std::uint64_t subject = r.varint(), header = r.varint(), size = r.varint();
    bool rises = page.messages.empty() ? m.seq.v > 0 : m.seq > page.messages.back().seq;
    if (!r.ok() || !rises || m.seq > kStateSeqMax || size > limit || subject == 0 || subject > size ||
        header > size - subject) {
      return {Code::kInvalid, "state page: message"};
    }
    m.subject_size = static_cast<std::uint32_t>(subject);
    m.header_size = static_cast<std::uint32_t>(header);
    sizes.push_back(size);
    page.messages.push_back(std::move(m));
  }
  return ok();
}

/// Without its bytes; returns how many there have to be.
Result<std::size_t> read_part(Reader& r, StatePage& page) {
  std::uint8_t there = r.u8();
  if (!r.ok() || there > 1) return {Code::kInvalid, "state page: flag"};
  if (there == 0) return std::size_t{0};
  StatePart& p = page.part.emplace();
  p.cut = r.varint();
  p.total = r.varint();
  p.crc = r.u32();
  p.offset = r.varint();
  std::uint64_t size = r.varint();
  bool fits = p.total <= kCutBytesMax && p.offset < p.total && size > 0 && size <= p.total - p.offset;
  if (!r.ok() || p.cut == 0 || !fits) return {Code::kInvalid, "state page: part"};
  return static_cast<std::size_t>(size);
}

Status read_whole(Reader& r, bool final, StatePage& page) {
  return final ? read_state_cut(r, page.whole.emplace()) : ok();
}
}  // namespace

Result<StatePage> decode_state_page(const Bytes& bytes) {
  Reader r(bytes.span());
  std::uint8_t format = r.u8();
  if (r.ok() && !known(format)) return later_format("state page", format);
  bool whole = format == kStateFormatWhole;
  std::uint8_t final = whole ? r.u8() : 0;
  if (final > 1) return {Code::kInvalid, "state page: flag"};
  StatePage page;
  std::vector<std::uint64_t> sizes;
  std::size_t part = 0;
  RETURN_IF_ERROR(read_messages(r, bytes.size(), page, sizes));
  if (whole) {
    RETURN_IF_ERROR(read_whole(r, final == 1, page));
  } else {
    ASSIGN_OR_RETURN(part, read_part(r, page));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::string_view record = r.bytes(sizes[i]);
    if (!r.ok()) return {Code::kInvalid, "state page: cut short"};
    page.messages[i].record = bytes.sub_of(record);
  }
  if (page.part) page.part->bytes = bytes.sub_of(r.bytes(part));
  if (!r.done()) return {Code::kInvalid, "state page: cut short, or bytes at the end"};
  return page;
}

Status fill_from_page(store::MessageStore& store, StatePage& page) {
  for (Message& m : page.messages) {
    if (m.seq <= store.state().last_seq) return {Code::kInvalid, "state page: sequences go back"};
    m.record = Bytes::copy_of(m.record.span());
    store.append(std::move(m));
  }
  bool stuck = page.messages.empty() && !page.part && !page.whole;
  return stuck ? Status(Error(Code::kInvalid, "state page: empty")) : ok();
}

}  // namespace weir::server
