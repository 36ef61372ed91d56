#include "broker/proto/peer_body.h"

#include "broker/base/varint.h"

namespace weir::proto {
namespace {

constexpr std::string_view kMagic = "WEIRPEER";
constexpr std::size_t kListMax = 1024;        // tags, urls, addresses, connections
constexpr std::size_t kTextMax = 4096;        // any one text
constexpr std::size_t kErrorTextMax = 16384;  // of an answer

class FieldWriter {
 public:
  explicit FieldWriter(std::size_t capacity = 128) : out_(capacity) {}
  void raw(std::string_view s) { out_.append(s); }
  void text(std::uint64_t tag, std::string_view s) {
    if (s.empty()) return;
    out_.append_varint(tag);
    out_.append_string(s);
  }
  void number(std::uint64_t tag, std::uint64_t v) {
    if (v == 0) return;
    std::uint8_t b[kVarintMax];
    std::size_t n = put_varint(b, v);
    text(tag, as_text(ByteSpan(b, n)));
  }
  /// Also when it is 0.
  void present(std::uint64_t tag, std::uint64_t v) {
    v == 0 ? text(tag, std::string_view("\0", 1)) : number(tag, v);
  }
  void id(std::uint64_t tag, NodeId v) {
    if (v.v == 0) return;
    std::uint8_t b[8];
    put_u64(b, v.v);
    text(tag, as_text(ByteSpan(b, 8)));
  }
  Bytes done() { return out_.freeze(); }

 private:
  BytesBuilder out_;
};

// Walks the fields of a body. A value of the wrong shape fails the whole.
class FieldReader {
 public:
  explicit FieldReader(ByteSpan body) : in_(body) {}
  /// False at the end or after a failure.
  bool next() {
    if (!in_.ok() || in_.left() == 0) return false;
    tag = in_.varint();
    value = in_.string();
    return in_.ok();
  }
  std::uint64_t number() {
    Reader r(value);
    std::uint64_t v = r.varint();
    if (!r.done()) in_.fail();
    return v;
  }
  std::uint32_t number32() {
    std::uint64_t v = number();
    if (v > 0xffff'ffffu) in_.fail();
    return static_cast<std::uint32_t>(v);
  }
  NodeId id() {
    Reader r(value);
    NodeId v(r.u64());
    if (!r.done()) in_.fail();
    return v;
  }
  std::string text(std::size_t max = kTextMax) {
    if (value.size() > max) in_.fail();
    return std::string(value.substr(0, max));
  }
  /// An empty one says nothing.
  void add_text(std::vector<std::string>& list) {
    if (value.empty()) return;
    if (list.size() >= kListMax) in_.fail();
    if (in_.ok()) list.push_back(text());
  }
  void fail() { in_.fail(); }
  bool ok() const { return in_.ok(); }

  std::uint64_t tag = 0;
  std::string_view value;

 private:
  Reader in_;
};

Error damaged(const char* what) {
  return {Code::kInvalid, std::string(what) + " is damaged"};
}

void read_holds(FieldReader& in, std::vector<std::uint64_t>& holds) {
  Reader r(in.value);
  while (r.left() >= 8 && holds.size() < kListMax) holds.push_back(r.u64());
  if (!r.done()) in.fail();
}

void read_info_field(FieldReader& in, NodeInfo& info) {
  switch (in.tag) {
    case 1: info.id = in.id(); break;
    case 2: info.server_id = in.text(); break;
    case 3: info.name = in.text(); break;
    case 4: info.version = in.text(); break;
    case 5: info.cluster_id = in.text(); break;
    case 6: info.boot = in.number(); break;
    case 7: info.jetstream = in.number() != 0; break;
    case 8: info.domain = in.text(); break;
    case 9: in.add_text(info.tags); break;
    case 10: in.add_text(info.client_urls); break;
    case 11: info.route_url = in.text(); break;
    case 12: info.lame_duck = in.number() != 0; break;
    default: break;
  }
}

void read_hello_field(FieldReader& in, PeerHello& h) {
  switch (in.tag) {
    case 1: h.version_min = in.number32(); break;
    case 2: h.version_max = in.number32(); break;
    case 3: h.features = in.number(); break;
    case 4: {
      auto info = decode_info(as_span(in.value));
      info ? void(h.info = std::move(*info)) : in.fail();
      break;
    }
    case 5: h.cluster_name = in.text(); break;
    case 6: h.user = in.text(); break;
    case 7: h.password = in.text(); break;
    case 8: h.token = in.number(); break;
    case 9: h.stamp = in.number(); break;
    case 10: read_holds(in, h.holds); break;
    case 11: h.epoch = in.number(); break;
    default: break;
  }
}

}  // namespace

Bytes encode_info(const NodeInfo& info) {
  FieldWriter w(512);
  w.id(1, info.id);
  w.text(2, info.server_id);
  w.text(3, info.name);
  w.text(4, info.version);
  w.text(5, info.cluster_id);
  w.number(6, info.boot);
  w.number(7, info.jetstream);
  w.text(8, info.domain);
  for (const auto& s : info.tags) w.text(9, s);
  for (const auto& s : info.client_urls) w.text(10, s);
  w.text(11, info.route_url);
  w.number(12, info.lame_duck);
  return w.done();
}

Result<NodeInfo> decode_info(ByteSpan body) {
  NodeInfo info;
  FieldReader in(body);
  while (in.next()) read_info_field(in, info);
  if (!in.ok()) return damaged("what a node says of itself");
  if (info.id.v == 0 || node_of(info.id) != info.id)
    return Error(Code::kInvalid, "a node without a proper id");
  return info;
}

Bytes encode_hello(const PeerHello& h) {
  FieldWriter w(1024);
  w.raw(kMagic);
  w.number(1, h.version_min);
  w.number(2, h.version_max);
  w.number(3, h.features);
  w.text(4, encode_info(h.info).text());
  w.text(5, h.cluster_name);
  w.text(6, h.user);
  w.text(7, h.password);
  w.number(8, h.token);
  w.number(9, h.stamp);
  BytesBuilder holds(h.holds.size() * 8 + 1);
  for (std::uint64_t token : h.holds) holds.append_u64(token);
  w.text(10, holds.text());
  if (h.epoch) w.present(11, *h.epoch);
  return w.done();
}

Result<PeerHello> decode_hello(ByteSpan body) {
  if (body.size() < kMagic.size() || as_text(body.first(kMagic.size())) != kMagic) {
    return Error(Code::kInvalid, "this is no hello of a Weir node");
  }
  PeerHello h;
  h.version_min = h.version_max = 0;
  FieldReader in(body.subspan(kMagic.size()));
  while (in.next()) read_hello_field(in, h);
  if (!in.ok()) return damaged("hello");
  if (h.info.id.v == 0) return Error(Code::kInvalid, "hello without a node");
  if (h.version_min == 0 || h.version_max < h.version_min) {
    return Error(Code::kInvalid, "hello without protocol versions");
  }
  return h;
}

Bytes encode_ready(const PeerReady& ready) {
  FieldWriter w;
  w.present(1, ready.epoch);
  return w.done();
}

Result<PeerReady> decode_ready(ByteSpan body) {
  PeerReady ready;
  FieldReader in(body);
  bool found = false;
  while (in.next()) {
    if (in.tag != 1) continue;
    ready.epoch = in.number();
    found = true;
  }
  if (!in.ok() || !found) return damaged("ready");
  return ready;
}

Bytes encode_refuse(const PeerRefuse& refuse) {
  FieldWriter w;
  w.present(1, static_cast<std::uint64_t>(refuse.why));
  w.text(2, refuse.text);
  w.id(3, refuse.node);
  return w.done();
}

Result<PeerRefuse> decode_refuse(ByteSpan body) {
  PeerRefuse refuse;
  FieldReader in(body);
  while (in.next()) {
    if (in.tag == 1) {
      std::uint64_t v = in.number();
      refuse.why =
          v <= static_cast<std::uint64_t>(Refusal::kStopping) ? static_cast<Refusal>(v) : Refusal::kOther;
    }
    if (in.tag == 2) refuse.text = in.text();
    if (in.tag == 3) refuse.node = in.id();
  }
  if (!in.ok()) return damaged("refusal");
  for (char& c : refuse.text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';  // it goes to our log
  }
  return refuse;
}

Bytes encode_gossip(const std::vector<PeerAddress>& addresses) {
  FieldWriter w(1024);
  for (const PeerAddress& a : addresses) {
    FieldWriter one;
    one.id(1, a.node);
    one.text(2, a.url);
    w.text(1, one.done().text());
  }
  return w.done();
}

Result<std::vector<PeerAddress>> decode_gossip(ByteSpan body) {
  std::vector<PeerAddress> list;
  FieldReader in(body);
  while (in.next()) {
    if (in.tag != 1) continue;
    PeerAddress a;
    FieldReader one(as_span(in.value));
    while (one.next()) {
      if (one.tag == 1) a.node = one.id();
      if (one.tag == 2) a.url = one.text();
    }
    if (!one.ok() || list.size() >= kListMax) return damaged("gossip");
    list.push_back(std::move(a));
  }
  if (!in.ok()) return damaged("gossip");
  return list;
}

Bytes encode_ping(std::uint64_t number) {
  BytesBuilder b(8);
  b.append_u64(number);
  return b.freeze();
}

Result<std::uint64_t> decode_ping(ByteSpan body) {
  Reader in(body);
  std::uint64_t number = in.u64();
  if (!in.ok()) return damaged("ping");
  return number;
}

// ---- questions and answers: u8 length of the head, head, body -----------------------------------

Bytes encode_ask_head(const AskHead& head) {
  BytesBuilder b(1 + 8 + 2);
  b.append_u8(8 + 2);
  b.append_u64(head.id);
  b.append_u8(static_cast<std::uint8_t>(head.method));
  b.append_u8(static_cast<std::uint8_t>(head.method >> 8));
  return b.freeze();
}

Result<Ask> decode_ask(const Bytes& frame) {
  Reader in(frame.span());
  std::size_t n = in.u8();
  Reader head(in.bytes(n));
  Ask ask;
  ask.head.id = head.u64();
  unsigned low = head.u8(), high = head.u8();
  ask.head.method = static_cast<std::uint16_t>(low | high << 8);
  if (!in.ok() || !head.ok()) return damaged("question");
  ask.body = frame.sub(1 + n, frame.size() - 1 - n);
  return ask;
}

namespace {

// Numbers of codes on the wire: never changed, whatever happens to the enum.
constexpr struct {
  Code code;
  std::uint8_t wire;
} kCodes[] = {{Code::kInvalid, 1}, {Code::kNotFound, 2},    {Code::kExists, 3},
              {Code::kLimit, 4},   {Code::kCorrupt, 5},     {Code::kNoSpace, 6},
              {Code::kIo, 7},      {Code::kUnavailable, 8}, {Code::kUnsupported, 9}};

std::uint8_t wire_of(Code code) {
  for (auto& c : kCodes) {
    if (c.code == code) return c.wire;
  }
  return 8;
}
Code code_of(std::uint8_t wire) {
  for (auto& c : kCodes) {
    if (c.wire == wire) return c.code;
  }
  return Code::kUnavailable;
}

}  // namespace

Bytes encode_answer_head(const AnswerHead& head) {
  BytesBuilder b(64);
  b.append_u8(8 + 1);
  b.append_u64(head.id);
  b.append_u8(head.error ? wire_of(head.error->code) : 0);
  if (head.error) b.append(std::string_view(head.error->detail).substr(0, kErrorTextMax));
  return b.freeze();
}

Result<Answer> decode_answer(const Bytes& frame) {
  Reader in(frame.span());
  std::size_t n = in.u8();
  Reader head(in.bytes(n));
  Answer answer;
  answer.head.id = head.u64();
  std::uint8_t status = head.u8();
  if (!in.ok() || !head.ok()) return damaged("answer");
  Bytes rest = frame.sub(1 + n, frame.size() - 1 - n);
  if (status == 0) {
    answer.body = std::move(rest);
  } else {
    answer.head.error = Error(code_of(status), std::string(rest.text().substr(0, kErrorTextMax)));
  }
  return answer;
}

}  // namespace weir::proto
