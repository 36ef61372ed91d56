#include "broker/store/store_keys.h"

#include "broker/base/text.h"
#include "broker/base/varint.h"

namespace weir::store {
namespace {

constexpr std::uint8_t kVersion = 1;

Error corrupt(const char* what) {
  return {Code::kCorrupt, what};
}

std::string text(BytesBuilder& b) {
  return std::string(b.text());
}

}  // namespace

StoreKeys::StoreKeys(GroupId g, std::uint32_t generation)
    : prefix("g/" + std::to_string(g.v) + "/s"), destroyed("x/" + std::to_string(g.v)) {
  if (generation != 0) {
    prefix += std::to_string(generation);
    destroyed += "." + std::to_string(generation);
  }
  prefix += "/";
  state = prefix + "state";
}

std::optional<std::uint32_t> StoreKeys::generation_of(GroupId group, std::string_view key) {
  StoreKeys first(group);
  if (key == first.destroyed) return 0;
  std::string stem(first.prefix, 0, first.prefix.size() - 1);
  std::string_view rest;
  if (key.starts_with(stem)) {
    rest = key.substr(stem.size());
    rest = rest.substr(0, rest.find('/'));
    if (rest.empty()) return 0;
  } else if (key.starts_with(first.destroyed + ".")) {
    rest = key.substr(first.destroyed.size() + 1);
  }
  auto n = parse_u64(rest);
  if (!n || *n > UINT32_MAX) return std::nullopt;
  return static_cast<std::uint32_t>(*n);
}

std::string StoreKeys::numbered(char kind, std::uint64_t n) const {
  return prefix + kind + segment_file_name(n).substr(0, 16);
}

std::pair<char, std::uint64_t> StoreKeys::parse(std::string_view key) const {
  if (!key.starts_with(prefix) || key.size() != prefix.size() + 17) return {0, 0};
  key.remove_prefix(prefix.size());
  std::uint64_t n = 0;
  for (char c : key.substr(1)) {
    bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return {0, 0};
    n = n << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return {key[0], n};
}

std::string encode_saved_state(const SavedState& s) {
  BytesBuilder b;
  b.append_u8(kVersion);
  b.append_varint(s.last_seq.v);
  b.append_varint(zigzag(s.last_time.ns));
  b.append_varint(s.next_file);
  return text(b);
}

Result<SavedState> decode_saved_state(std::string_view value) {
  Reader r(value);
  if (r.u8() != kVersion) return Error{Code::kUnsupported, "state of an unknown version"};
  SavedState s;
  s.last_seq = StreamSeq(r.varint());
  s.last_time = Wall{unzigzag(r.varint())};
  s.next_file = r.varint();
  if (!r.done()) return corrupt("state breaks its rules");
  return s;
}

std::string encode_segment_entry(const Segment& s) {
  BytesBuilder b;
  b.append_u8(kVersion);
  for (std::uint64_t v : {s.base.v, s.last.v, s.messages, s.bytes}) b.append_varint(v);
  for (Wall t : {s.first_time, s.last_time}) b.append_varint(zigzag(t.ns));
  for (std::uint64_t v : {s.file_bytes, s.footer.offset, std::uint64_t{s.footer.bytes}}) b.append_varint(v);
  b.append_u64(s.footer.hash);
  return text(b);
}

Result<Segment> decode_segment_entry(std::string_view value) {
  Reader r(value);
  if (r.u8() != kVersion) return Error{Code::kUnsupported, "segment entry of an unknown version"};
  Segment s;
  s.base = StreamSeq(r.varint());
  s.last = StreamSeq(r.varint());
  s.messages = r.varint();
  s.bytes = r.varint();
  s.first_time = Wall{unzigzag(r.varint())};
  s.last_time = Wall{unzigzag(r.varint())};
  s.file_bytes = r.varint();
  s.footer.offset = r.varint();
  std::uint64_t footer_bytes = r.varint();
  s.footer.bytes = static_cast<std::uint32_t>(footer_bytes);
  s.footer.hash = r.u64();
  if (!r.done() || s.base.v == 0 || s.last < s.base || s.last - s.base >= kSegmentSpanMax ||
      s.messages == 0 || s.messages > s.last - s.base + 1 || footer_bytes > 0xffff'ffffu ||
      s.footer.offset > s.file_bytes || footer_bytes > s.file_bytes - s.footer.offset) {
    return corrupt("segment entry breaks its rules");
  }
  s.live = s.messages;
  s.live_bytes = s.bytes;
  return s;
}

std::string encode_dead(std::uint64_t live, std::uint64_t live_bytes, SeqSet& dead) {
  BytesBuilder b;
  b.append_u8(kVersion);
  b.append_varint(live);
  b.append_varint(live_bytes);
  return text(b) + dead.encode();
}

Status decode_dead(std::string_view value, Segment& s) {
  Reader r(value);
  if (r.u8() != kVersion) return Error{Code::kUnsupported, "dead set of an unknown version"};
  s.live = r.varint();
  s.live_bytes = r.varint();
  if (!r.ok()) return corrupt("dead set breaks its rules");
  ASSIGN_OR_RETURN(s.dead, SeqSet::decode(r.bytes(r.left())));
  std::uint64_t size = s.dead.size();
  if (s.live == 0 || s.live > s.messages || s.live_bytes > s.bytes || size != s.dead.count(0, s.span()) ||
      size + s.live != std::uint64_t{s.span()} + 1) {
    return corrupt("dead set contradicts its segment");
  }
  return ok();
}

}  // namespace weir::store
