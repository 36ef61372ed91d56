// Bytes: docs/formats/state-transfer.md.
#include "broker/server/state_cut.h"

namespace weir::server {

namespace {
constexpr std::uint64_t kEditsMax = 4'000'000;
constexpr std::size_t kRangesAtOnce = 100'000;

Error too_large() {
  return {Code::kLimit, "the state of the stream is too large to be given to another replica"};
}

Status read_ranges(Reader& r, StateCut& cut) {
  std::uint64_t ranges = r.varint();
  // Each takes two bytes or more.
  if (!r.ok() || ranges > kCutRangesMax || ranges > r.left() / 2)
    return {Code::kInvalid, "state cut: ranges"};
  cut.live.reserve(static_cast<std::size_t>(ranges));
  StreamSeq at;
  for (std::uint64_t i = 0; i < ranges; ++i) {
    std::uint64_t gap = r.varint(), more = r.varint();
    std::uint64_t room = cut.last_seq - at;  // ranges never go beyond it
    if (!r.ok() || gap == 0 || gap > room || more > room - gap) return {Code::kInvalid, "state cut: ranges"};
    StreamSeq first = at + gap;
    at = first + more;
    cut.live.push_back({first, at});
  }
  return ok();
}

Status read_machine(Reader& r, StateCut& cut) {
  std::uint64_t edits = r.varint();
  if (!r.ok() || edits > kEditsMax) return {Code::kInvalid, "state cut: keys"};
  for (std::uint64_t i = 0; i < edits && r.ok(); ++i) {
    std::string key(r.string());
    cut.machine.push_back({std::move(key), std::string(r.string())});
  }
  return r.ok() ? ok() : Status(Error(Code::kInvalid, "state cut: cut short"));
}
}  // namespace

Result<Bytes> encode_state_cut(const StateCut& cut) {
  if (cut.live.size() > kCutRangesMax || cut.machine.size() > kEditsMax) return too_large();
  BytesBuilder out;
  out.append_string(replica::encode_position(cut.position));
  out.append_varint(cut.last_seq.v);
  out.append_varint(zigzag(cut.last_time.ns));
  out.append_varint(cut.live.size());
  StreamSeq at;
  for (const auto& range : cut.live) {
    out.append_varint(range.first - at);
    out.append_varint(range.last - range.first);
    at = range.last;
  }
  out.append_varint(cut.machine.size());
  for (const auto& edit : cut.machine) {
    std::string_view value = edit.value ? std::string_view(*edit.value) : std::string_view();
    // Looked at before: a block that grows beyond 4 GiB is the end of the process.
    if (out.size() + edit.key.size() + value.size() > kCutBytesMax) return too_large();
    out.append_string(edit.key);
    out.append_string(value);
  }
  if (out.size() > kCutBytesMax) return too_large();
  return out.freeze();
}

Status read_state_cut(Reader& r, StateCut& cut) {
  ASSIGN_OR_RETURN(cut.position, replica::decode_position(r.string()));
  cut.last_seq = StreamSeq(r.varint());
  cut.last_time = Wall{unzigzag(r.varint())};
  if (!r.ok() || cut.last_seq > kStateSeqMax) return {Code::kInvalid, "state cut: last sequence"};
  RETURN_IF_ERROR(read_ranges(r, cut));
  return read_machine(r, cut);
}

Result<StateCut> decode_state_cut(ByteSpan bytes) {
  Reader r(bytes);
  StateCut cut;
  RETURN_IF_ERROR(read_state_cut(r, cut));
  if (!r.done()) return {Code::kInvalid, "state cut: bytes at the end"};
  return cut;
}

namespace {
using Theirs = std::vector<store::LiveRange>::const_iterator;

/// Removes what of `mine` is not in the ranges from `theirs` on, which goes on to where `mine` ends.
Status cut_range(store::MessageStore& store, const store::LiveRange& mine, Theirs& theirs, Theirs end) {
  for (StreamSeq seq = mine.first; seq <= mine.last;) {
    while (theirs != end && theirs->last < seq) ++theirs;
    bool live = theirs != end && theirs->first <= seq;
    if (live) {
      seq = theirs->last + 1;
      continue;
    }
    ASSIGN_OR_RETURN(auto gone, store.remove(seq));
    if (gone.messages != 1) return {Code::kCorrupt, "a message vanished while a state was fetched"};
    ++seq;
  }
  return ok();
}
}  // namespace

Status cut_store(store::MessageStore& store, const StateCut& cut) {
  auto theirs = cut.live.begin();
  for (StreamSeq from(0);;) {
    std::vector<store::LiveRange> mine = store.live_ranges(from, kRangesAtOnce);
    if (mine.empty()) break;
    for (const auto& range : mine) RETURN_IF_ERROR(cut_range(store, range, theirs, cut.live.end()));
    from = mine.back().last + 1;
  }
  std::uint64_t wanted = 0;
  for (const auto& r : cut.live) wanted += (r.last - r.first) + 1;
  if (store.state().messages != wanted) return {Code::kInvalid, "state cut: messages are missing"};
  if (store.state().last_seq > cut.last_seq) return {Code::kInvalid, "state cut: last sequence"};
  if (store.state().last_seq < cut.last_seq) store.skip_to(cut.last_seq, cut.last_time);
  return ok();
}

}  // namespace weir::server
