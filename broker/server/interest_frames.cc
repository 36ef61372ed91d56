#include "broker/server/interest_frames.h"

#include "broker/base/varint.h"
#include "broker/subject/subject.h"

namespace weir::server {

namespace {

enum : std::uint8_t { kBegin = 1, kEnd = 2 };
enum : std::uint8_t { kAccount = 1, kPlainOn = 2, kPlainOff = 3, kQueue = 4 };
enum : std::uint8_t { kForPlain = 1, kHasReply = 2, kHasQueues = 4, kHasHeaders = 8, kShownAs = 16 };
constexpr std::uint8_t kMessageFlags = kForPlain | kHasReply | kHasQueues | kHasHeaders | kShownAs;
constexpr std::string_view kHeaderStart = "NATS/1.0";

Error invalid(const char* what) {
  return {Code::kInvalid, what};
}

/// Fits between the blanks of a protocol line: what the client parser lets through, no less, since a
/// client's odd subject is no fault of the node that sends it on.
bool is_word(std::string_view s) {
  return !s.empty() && s.find_first_of(" \t\r\n") == std::string_view::npos;
}

/// One change; nullptr or what is wrong. `account` is the one that was named last.
const char* read_change(Reader& r, std::uint8_t op, std::string_view& account, InterestFrame& into) {
  if (op == kAccount) {
    account = r.string();
    return r.ok() && account.empty() ? "account without a name" : nullptr;
  }
  if (op != kPlainOn && op != kPlainOff && op != kQueue) return "unknown operation";
  if (account.empty()) return "subscription before its account";
  InterestChange c{account, r.string(), {}, op == kPlainOn ? 1u : 0u};
  if (op == kQueue) {
    c.queue = r.string();
    std::uint64_t weight = r.varint();
    if (!r.ok()) return "cut short";
    if (!is_word(c.queue)) return "bad queue name";
    if (weight > 0xffff'ffffu) return "bad number of members";
    c.weight = static_cast<std::uint32_t>(weight);
  }
  if (!r.ok()) return "cut short";
  if (!subject::is_valid_pattern(c.subject)) return "bad subject";
  into.changes.push_back(c);
  return nullptr;
}

bool read_queues(Reader& r, MessageFrame& m) {
  std::uint64_t n = r.varint();
  if (n == 0 || n > r.left()) return false;  // a name takes more than a byte
  for (std::uint64_t i = 0; i < n; ++i) {
    m.queues.push_back(r.string());
    if (!is_word(m.queues.back())) return false;
  }
  return true;
}

}  // namespace

void InterestWriter::add(const InterestChange& c) {
  if (out_.empty()) {
    out_.append_u8(kInterestFormat);
    out_.append_u8(0);  // flags
    account_.clear();
  }
  if (account_ != c.account) {
    account_ = c.account;
    out_.append_u8(kAccount);
    out_.append_string(c.account);
  }
  ++changes_;
  if (c.queue.empty()) {
    out_.append_u8(c.weight ? kPlainOn : kPlainOff);
    out_.append_string(c.subject);
    return;
  }
  out_.append_u8(kQueue);
  out_.append_string(c.subject);
  out_.append_string(c.queue);
  out_.append_varint(c.weight);
}

Bytes InterestWriter::finish(bool begin, bool end) {
  if (out_.empty()) {
    out_.append_u8(kInterestFormat);
    out_.append_u8(0);
  }
  out_.data()[1] = static_cast<std::uint8_t>((begin ? kBegin : 0) | (end ? kEnd : 0));
  changes_ = 0;
  return out_.freeze();
}

Result<InterestFrame> decode_interest(ByteSpan frame) {
  Reader r(frame);
  std::uint8_t format = r.u8(), flags = r.u8();
  if (!r.ok()) return invalid("cut short");
  if (format != kInterestFormat) return Error(Code::kUnsupported, "format " + std::to_string(format));
  if (flags > (kBegin | kEnd)) return invalid("unknown flags");
  InterestFrame f;
  f.begin = flags & kBegin;
  f.end = flags & kEnd;
  std::string_view account;
  while (r.left() > 0) {
    if (const char* wrong = read_change(r, r.u8(), account, f)) return invalid(wrong);
    if (!r.ok()) return invalid("cut short");
  }
  return f;
}

void encode_message_head(BytesBuilder& out, const MessageFrame& m) {
  bool shown = m.subject != m.target;
  int flags = (m.plain ? kForPlain : 0) | (m.reply.empty() ? 0 : kHasReply) |
              (m.queues.empty() ? 0 : kHasQueues) | (m.header_size ? kHasHeaders : 0) |
              (shown ? kShownAs : 0);
  out.append_u8(kMessageFormat);
  out.append_u8(static_cast<std::uint8_t>(flags));
  out.append_string(m.account);
  out.append_string(m.target);
  if (shown) out.append_string(m.subject);
  if (!m.reply.empty()) out.append_string(m.reply);
  if (!m.queues.empty()) {
    out.append_varint(m.queues.size());
    for (std::string_view q : m.queues) out.append_string(q);
  }
  if (m.header_size) out.append_varint(m.header_size);
}

Result<MessageFrame> decode_message(ByteSpan frame) {
  Reader r(frame);
  std::uint8_t format = r.u8(), flags = r.u8();
  if (!r.ok()) return invalid("cut short");
  if (format != kMessageFormat) return Error(Code::kUnsupported, "format " + std::to_string(format));
  if (flags & ~kMessageFlags) return invalid("unknown flags");
  MessageFrame m;
  m.plain = flags & kForPlain;
  m.account = r.string();
  m.target = r.string();
  m.subject = flags & kShownAs ? r.string() : m.target;
  if (flags & kHasReply) m.reply = r.string();
  if (flags & kHasQueues && !read_queues(r, m)) return invalid("bad queue names");
  std::uint64_t header_size = flags & kHasHeaders ? r.varint() : 0;
  if (!r.ok()) return invalid("cut short");
  if (!is_word(m.target) || !is_word(m.subject)) return invalid("bad subject");
  if (flags & kHasReply && !is_word(m.reply)) return invalid("bad reply subject");
  m.body = r.bytes(r.left());
  if (header_size > m.body.size()) return invalid("headers longer than the message");
  m.header_size = static_cast<std::size_t>(header_size);
  if (flags & kHasHeaders && !m.body.substr(0, m.header_size).starts_with(kHeaderStart)) {
    return invalid("bad header block");
  }
  return m;
}

}  // namespace weir::server
