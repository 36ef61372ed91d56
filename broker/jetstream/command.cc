#include "broker/jetstream/command.h"

#include <string>

#include "broker/base/check.h"
#include "broker/base/varint.h"

namespace weir::jetstream {
namespace {

std::size_t varint_size(std::uint64_t v) {
  std::size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    ++n;
  }
  return n;
}

void append_string(BytesBuilder& b, std::string_view s) {
  b.append_varint(s.size());
  b.append(s);
}

Error malformed(const char* what) {
  return {Code::kInvalid, std::string("log entry: malformed ") + what + " command"};
}

}  // namespace

void EntryBuilder::open() {
  if (count_ == 0 && bytes_.empty()) {
    std::uint8_t* p = bytes_.grow(kEntryHeaderBytes);
    p[0] = kEntryVersion;
  }
}

void EntryBuilder::begin(CommandType type, std::size_t body_size) {
  open();
  bytes_.append_u8(static_cast<std::uint8_t>(type));
  bytes_.append_varint(body_size);
  ++count_;
}

void EntryBuilder::put(CommandType type, const BytesBuilder& body) {
  begin(type, body.size());
  bytes_.append(body.text());
}

void EntryBuilder::publish(const PublishCommand& p) {
  CHECK(!p.subject.empty(), "publish without a subject");
  std::size_t parts = p.subject.size() + p.headers.size() + p.payload.size();
  std::size_t body = 1 + varint_size(p.subject.size()) + varint_size(p.headers.size()) + parts;
  begin(CommandType::kPublish, body);
  bytes_.append_u8(0);  // flags
  bytes_.append_varint(p.subject.size());
  bytes_.append_varint(p.headers.size());
  std::uint8_t* to = bytes_.grow(parts);
  for (std::string_view s : {p.subject, p.headers, p.payload}) {
    if (s.empty()) continue;
    std::memcpy(to, s.data(), s.size());
    to += s.size();
  }
}

void EntryBuilder::delete_msg(const DeleteMsgCommand& c) {
  BytesBuilder b;
  b.append_varint(c.seq.v);
  b.append_u8(c.no_erase ? 1 : 0);
  put(CommandType::kDeleteMsg, b);
}

void EntryBuilder::purge(const PurgeCommand& c) {
  BytesBuilder b;
  b.append_varint(c.seq.v);
  b.append_varint(c.keep);
  append_string(b, c.filter);
  put(CommandType::kPurge, b);
}

void EntryBuilder::update_stream(const UpdateStreamCommand& c) {
  BytesBuilder b;
  b.append_varint(c.revision);
  append_string(b, c.config_json);
  put(CommandType::kUpdateStream, b);
}

void EntryBuilder::create_consumer(const CreateConsumerCommand& c) {
  BytesBuilder b;
  b.append_u8(static_cast<std::uint8_t>(c.action));
  b.append_varint(zigzag(c.created.ns));
  append_string(b, c.name);
  append_string(b, c.config_json);
  put(CommandType::kCreateConsumer, b);
}

void EntryBuilder::delete_consumer(std::string_view name) {
  BytesBuilder b;
  append_string(b, name);
  put(CommandType::kDeleteConsumer, b);
}

void EntryBuilder::consumer_progress(const ConsumerProgressCommand& c) {
  begin(CommandType::kConsumerProgress, varint_size(c.consumer_id) + c.body.size());
  bytes_.append_varint(c.consumer_id);
  bytes_.append(c.body);
}

void EntryBuilder::tick() {
  begin(CommandType::kTick, 0);
}

Bytes EntryBuilder::finish(Wall log_time) {
  CHECK(count_ > 0, "an entry without commands");
  put_u64(bytes_.data() + 1, static_cast<std::uint64_t>(log_time.ns));
  put_u32(bytes_.data() + 9, count_);
  count_ = 0;
  return bytes_.freeze();
}

Result<EntryReader> EntryReader::open(Bytes entry) {
  Reader r(entry.span());
  std::uint8_t version = r.u8();
  EntryReader reader;
  reader.log_time_ = Wall{static_cast<Nanos>(r.u64())};
  reader.count_ = r.u32();
  if (!r.ok()) return Error{Code::kInvalid, "log entry: shorter than its header"};
  if (version != kEntryVersion)
    return Error{Code::kUnsupported, "log entry: version " + std::to_string(version)};
  if (reader.count_ == 0) return Error{Code::kInvalid, "log entry: no commands"};
  for (std::uint32_t i = 0; i < reader.count_; ++i) {
    r.u8();
    r.string();
    if (!r.ok()) return Error{Code::kInvalid, "log entry: command " + std::to_string(i) + " is cut off"};
  }
  if (!r.done()) return Error{Code::kInvalid, "log entry: bytes after the last command"};
  reader.entry_ = std::move(entry);
  return reader;
}

bool EntryReader::next(Command& out) {
  if (at_ >= entry_.size()) return false;
  Reader r(entry_.span().subspan(at_));
  out.type = static_cast<CommandType>(r.u8());
  out.body = r.string();
  out.entry = &entry_;
  at_ = entry_.size() - r.left();
  return true;
}

Result<PublishCommand> decode_publish(const Command& c) {
  Reader r(c.body);
  std::uint8_t flags = r.u8();
  std::uint64_t subject = r.varint();
  std::uint64_t headers = r.varint();
  if (!r.ok() || flags != 0 || subject == 0 || subject > r.left() || headers > r.left() - subject)
    return malformed("publish");
  PublishCommand p;
  std::string_view parts = r.bytes(r.left());
  p.subject = parts.substr(0, subject);
  p.headers = parts.substr(subject, headers);
  p.payload = parts.substr(subject + headers);
  p.record = c.entry->sub_of(parts);
  return p;
}

Result<DeleteMsgCommand> decode_delete_msg(const Command& c) {
  Reader r(c.body);
  DeleteMsgCommand d;
  d.seq = StreamSeq(r.varint());
  std::uint8_t no_erase = r.u8();
  if (!r.done() || no_erase > 1) return malformed("delete message");
  d.no_erase = no_erase == 1;
  return d;
}

Result<PurgeCommand> decode_purge(const Command& c) {
  Reader r(c.body);
  PurgeCommand p;
  p.seq = StreamSeq(r.varint());
  p.keep = r.varint();
  p.filter = r.string();
  if (!r.done()) return malformed("purge");
  return p;
}

Result<UpdateStreamCommand> decode_update_stream(const Command& c) {
  Reader r(c.body);
  UpdateStreamCommand u;
  u.revision = r.varint();
  u.config_json = r.string();
  if (!r.done()) return malformed("update stream");
  return u;
}

Result<CreateConsumerCommand> decode_create_consumer(const Command& c) {
  Reader r(c.body);
  CreateConsumerCommand k;
  std::uint8_t action = r.u8();
  k.created = Wall{unzigzag(r.varint())};
  k.name = r.string();
  k.config_json = r.string();
  if (!r.done() || action > 2 || k.name.empty()) return malformed("create consumer");
  k.action = static_cast<ConsumerAction>(action);
  return k;
}

Result<std::string_view> decode_delete_consumer(const Command& c) {
  Reader r(c.body);
  std::string_view name = r.string();
  if (!r.done() || name.empty()) return malformed("delete consumer");
  return name;
}

Result<ConsumerProgressCommand> decode_consumer_progress(const Command& c) {
  Reader r(c.body);
  std::uint64_t id = r.varint();
  if (!r.ok() || id == 0 || id > UINT32_MAX) return malformed("consumer progress");
  ConsumerProgressCommand p;
  p.consumer_id = static_cast<std::uint32_t>(id);
  p.body = r.bytes(r.left());
  return p;
}

}  // namespace weir::jetstream
