// Bytes: docs/formats/state-transfer.md.
#include "broker/server/state_page.h"

#include "broker/base/varint.h"

namespace weir::server {

using store::Message;

namespace {
constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kRangesMax = 10'000'000;
// A page of this build has at most 20,000 messages; the limits are there so that a page cannot cost a
// large multiple of its own size.
constexpr std::uint64_t kMessagesMax = 1'000'000;
constexpr std::uint64_t kEditsMax = 4'000'000;
/// No stream comes near it; beyond it the next sequences would begin at 0 again.
constexpr StreamSeq kSeqMax{std::uint64_t{1} << 63};
}  // namespace

Bytes encode_state_request(const StateRequest& r) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_varint(r.group.v);
  out.append_varint(r.from.v);
  return out.freeze();
}

Result<StateRequest> decode_state_request(ByteSpan bytes) {
  Reader r(bytes);
  std::uint8_t format = r.u8();
  std::uint64_t group = r.varint();
  StateRequest q{GroupId(static_cast<std::uint32_t>(group)), StreamSeq(r.varint())};
  if (!r.done() || format != kFormat || group > UINT32_MAX)
    return {Code::kInvalid, "state request: malformed"};
  return q;
}

std::vector<Bytes> encode_state_page(const StatePage& page) {
  BytesBuilder out;
  out.append_u8(kFormat);
  out.append_u8(page.final ? 1 : 0);
  out.append_varint(page.messages.size());
  for (const Message& m : page.messages) {
    out.append_varint(m.seq.v);
    out.append_varint(zigzag(m.time.ns));
    out.append_varint(m.subject_size);
    out.append_varint(m.header_size);
    out.append_varint(m.record.size());
  }
  if (page.final) {
    out.append_string(replica::encode_position(page.position));
    out.append_varint(page.last_seq.v);
    out.append_varint(zigzag(page.last_time.ns));
    out.append_varint(page.live.size());
    StreamSeq at;
    for (const auto& range : page.live) {
      out.append_varint(range.first - at);
      out.append_varint(range.last - range.first);
      at = range.last;
    }
    out.append_varint(page.machine.size());
    for (const auto& edit : page.machine) {
      out.append_string(edit.key);
      out.append_string(edit.value ? std::string_view(*edit.value) : std::string_view());
    }
  }
  std::vector<Bytes> slices;
  slices.push_back(out.freeze());
  for (const Message& m : page.messages) slices.push_back(m.record);
  return slices;
}

namespace {
Status decode_cut(Reader& r, StatePage& page) {
  ASSIGN_OR_RETURN(page.position, replica::decode_position(r.string()));
  page.last_seq = StreamSeq(r.varint());
  page.last_time = Wall{unzigzag(r.varint())};
  std::uint64_t ranges = r.varint();
  if (!r.ok() || ranges > kRangesMax || page.last_seq > kSeqMax) {
    return {Code::kInvalid, "state page: ranges"};
  }
  StreamSeq at;
  for (std::uint64_t i = 0; i < ranges && r.ok(); ++i) {
    std::uint64_t gap = r.varint(), more = r.varint();
    std::uint64_t room = page.last_seq - at;  // ranges never go beyond it
    if (gap == 0 || gap > room || more > room - gap) return {Code::kInvalid, "state page: ranges"};
    StreamSeq first = at + gap;
    at = first + more;
    page.live.push_back({first, at});
  }
  std::uint64_t edits = r.varint();
  if (edits > kEditsMax) return {Code::kInvalid, "state page: keys"};
  for (std::uint64_t i = 0; i < edits && r.ok(); ++i) {
    std::string key(r.string());
    page.machine.push_back({std::move(key), std::string(r.string())});
  }
  return r.ok() ? ok() : Status(Error(Code::kInvalid, "state page: cut short"));
}
}  // namespace

Result<StatePage> decode_state_page(const Bytes& bytes) {
  Reader r(bytes.span());
  std::uint8_t format = r.u8();
  if (r.ok() && format != kFormat)
    return {Code::kUnsupported, "state page: format " + std::to_string(format)};
  StatePage page;
  std::uint8_t final = r.u8();
  if (final > 1) return {Code::kInvalid, "state page: flag"};
  page.final = final == 1;
  std::uint64_t count = r.varint();
  if (!r.ok() || count > kMessagesMax) return {Code::kInvalid, "state page: count"};
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    Message m;
    m.seq = StreamSeq(r.varint());
    m.time = Wall{unzigzag(r.varint())};
    std::uint64_t subject = r.varint(), header = r.varint(), size = r.varint();
    bool rises = page.messages.empty() ? m.seq.v > 0 : m.seq > page.messages.back().seq;
    if (!r.ok() || !rises || m.seq > kSeqMax || size > bytes.size() || subject == 0 || subject > size ||
        header > size - subject) {
      return {Code::kInvalid, "state page: message"};
    }
    m.subject_size = static_cast<std::uint32_t>(subject);
    m.header_size = static_cast<std::uint32_t>(header);
    sizes.push_back(size);
    page.messages.push_back(std::move(m));
  }
  if (page.final) RETURN_IF_ERROR(decode_cut(r, page));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::string_view record = r.bytes(sizes[i]);
    if (!r.ok()) return {Code::kInvalid, "state page: cut short"};
    page.messages[i].record = bytes.sub_of(record);
  }
  if (!r.done()) return {Code::kInvalid, "state page: bytes at the end"};
  return page;
}

Status fill_from_page(store::MessageStore& store, StatePage& page) {
  for (Message& m : page.messages) {
    if (m.seq <= store.state().last_seq) return {Code::kInvalid, "state page: sequences go back"};
    m.record = Bytes::copy_of(m.record.span());
    store.append(std::move(m));
  }
  bool stuck = page.messages.empty() && !page.final;
  return stuck ? Status(Error(Code::kInvalid, "state page: empty")) : ok();
}

Status cut_to_page(store::MessageStore& store, const StatePage& page) {
  std::vector<store::LiveRange> mine = store.live_ranges(StreamSeq(0), kRangesMax);
  auto theirs = page.live.begin();
  std::uint64_t wanted = 0;
  for (const auto& r : page.live) wanted += (r.last - r.first) + 1;
  for (const auto& range : mine) {
    for (StreamSeq seq = range.first; seq <= range.last;) {
      while (theirs != page.live.end() && theirs->last < seq) ++theirs;
      bool live = theirs != page.live.end() && theirs->first <= seq;
      if (live) {
        seq = theirs->last + 1;
        continue;
      }
      ASSIGN_OR_RETURN(auto gone, store.remove(seq));
      if (gone.messages != 1) return {Code::kCorrupt, "a message vanished while a state was fetched"};
      ++seq;
    }
  }
  if (store.state().messages != wanted) return {Code::kInvalid, "state page: messages are missing"};
  if (store.state().last_seq > page.last_seq) return {Code::kInvalid, "state page: last sequence"};
  if (store.state().last_seq < page.last_seq) store.skip_to(page.last_seq, page.last_time);
  return ok();
}

}  // namespace weir::server
