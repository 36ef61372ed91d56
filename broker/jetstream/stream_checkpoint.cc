// Format: docs/formats/stream-checkpoint.md.
#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/varint.h"
#include "broker/jetstream/coding.h"
#include "broker/jetstream/stream_machine.h"

namespace weir::jetstream {
namespace {

constexpr std::uint8_t kMetaVersion = 1;
constexpr std::uint8_t kConfigVersion = 1;

std::string numbered_key(const std::string& prefix, char kind, std::uint64_t number) {
  std::string key = prefix;
  key.push_back(kind);
  put_key64(key, number);
  return key;
}

Error corrupt(const std::string& what) {
  return {Code::kCorrupt, "stream checkpoint: " + what};
}

/// Number behind the kind byte of a key; UINT64_MAX if the key is not of that shape.
std::uint64_t key_number(std::string_view key) {
  if (key.size() != 9) return UINT64_MAX;
  std::uint64_t n = 0;
  for (char c : key.substr(1)) n = n << 8 | static_cast<std::uint8_t>(c);
  return n;
}

}  // namespace

void StreamMachine::encode_checkpoint(const std::string& prefix, CheckpointMark mark,
                                      std::vector<store::CatalogEdit>& edits) {
  if (config_dirty_) {
    edits.push_back({prefix + "s", encode_config()});
    config_dirty_ = false;
  }
  encode_dedupe(prefix, edits);
  for (std::uint32_t id : removed_consumers_) edits.push_back({numbered_key(prefix, 'c', id), std::nullopt});
  removed_consumers_.clear();
  for (std::uint32_t id : dirty_consumers_) {
    std::string value;
    by_id_.at(id)->encode(value);
    edits.push_back({numbered_key(prefix, 'c', id), std::move(value)});
  }
  dirty_consumers_.clear();
  consumers_written_below_ = next_consumer_id_;
  edits.push_back({prefix + "m", encode_meta(mark)});
}

void StreamMachine::encode_full(const std::string& prefix, CheckpointMark mark,
                                std::vector<store::CatalogEdit>& edits) const {
  edits.push_back({prefix + "s", encode_config()});
  std::uint64_t next = dedupe_.next_number();
  std::uint64_t page = dedupe_.first_number() / kDedupePageEntries;
  for (; dedupe_.first_number() < next && page * kDedupePageEntries < next; ++page) {
    std::string value;
    dedupe_.encode_page(page, value);
    edits.push_back({numbered_key(prefix, 'd', page), std::move(value)});
  }
  for (const auto& [id, consumer] : by_id_) {
    std::string value;
    consumer->encode(value);
    edits.push_back({numbered_key(prefix, 'c', id), std::move(value)});
  }
  edits.push_back({prefix + "m", encode_meta(mark)});
}

std::string StreamMachine::encode_config() const {
  std::string value(1, static_cast<char>(kConfigVersion));
  value += api::encode_stream_config_json(config_);
  return value;
}

void StreamMachine::encode_dedupe(const std::string& prefix, std::vector<store::CatalogEdit>& edits) {
  std::uint64_t first = dedupe_.first_number();
  std::uint64_t next = dedupe_.next_number();
  // Pages in the catalog are those of [dedupe_first_written_, dedupe_next_written_).
  std::uint64_t old_end = (dedupe_next_written_ + kDedupePageEntries - 1) / kDedupePageEntries;
  std::uint64_t live = first < next ? first / kDedupePageEntries : old_end;
  if (dedupe_first_written_ < dedupe_next_written_)
    for (std::uint64_t page = dedupe_first_written_ / kDedupePageEntries; page < std::min(live, old_end);
         ++page)
      edits.push_back({numbered_key(prefix, 'd', page), std::nullopt});
  std::uint64_t from = std::max(first, dedupe_next_written_);
  if (from < next)
    for (std::uint64_t page = from / kDedupePageEntries; page * kDedupePageEntries < next; ++page) {
      std::string value;
      dedupe_.encode_page(page, value);
      edits.push_back({numbered_key(prefix, 'd', page), std::move(value)});
    }
  dedupe_first_written_ = first;
  dedupe_next_written_ = next;
}

std::string StreamMachine::encode_meta(CheckpointMark mark) const {
  std::string out(1, static_cast<char>(kMetaVersion));
  put_varint(out, mark.applied.v);
  put_varint(out, mark.term.v);
  put_signed(out, now_.ns);
  put_signed(out, created_.ns);
  put_varint(out, config_revision_);
  put_fixed64(out, hash_);
  put_varint(out, next_consumer_id_);
  put_varint(out, consumers_.size());
  put_string(out, last_msg_id_);
  put_varint(out, dedupe_.first_number());
  put_varint(out, dedupe_.next_number());
  return out;
}

Result<CheckpointMark> StreamMachine::restore(const std::string& prefix, const CatalogScan& scan) {
  CHECK(consumers_.empty() && now_.ns == 0, "restore into a machine in use");
  CheckpointMark mark;
  Status status = Error{Code::kNotFound, "stream checkpoint: none"};
  std::uint64_t consumers = 0;
  std::uint64_t dedupe_next = 0;
  scan(prefix + "m", [&](const std::string& key, const std::string& value) {
    if (key != prefix + "m") return true;
    auto meta = restore_meta(value);
    if (!meta) {
      status = meta.error();
      return false;
    }
    status = ok();
    mark = meta->mark;
    consumers = meta->consumers;
    dedupe_next = meta->dedupe_next;
    return false;
  });
  RETURN_IF_ERROR(status);
  scan(prefix, [&](const std::string& key, const std::string& value) {
    status = restore_value(std::string_view(key).substr(prefix.size()), value);
    return status.has_value();
  });
  RETURN_IF_ERROR(status);
  if (config_dirty_) return corrupt("no configuration");
  if (consumers_.size() != consumers) return corrupt("consumers are missing");
  if (dedupe_.next_number() != dedupe_next) return corrupt("dedupe pages are missing");
  consumers_written_below_ = next_consumer_id_;
  dedupe_first_written_ = dedupe_.first_number();
  dedupe_next_written_ = dedupe_next;
#ifdef WEIR_DEFECT_FORGET_DEDUPE
  dedupe_.restore_begin(dedupe_next, dedupe_next);  // seeded defect, docs/testing.md
#endif
  return mark;
}

Result<StreamMachine::Meta> StreamMachine::restore_meta(std::string_view bytes) {
  Reader r(bytes);
  std::uint8_t version = r.u8();
  if (r.ok() && version != kMetaVersion)
    return Error{Code::kUnsupported, "stream checkpoint: version " + std::to_string(version)};
  Meta meta;
  meta.mark.applied = RaftIndex(r.varint());
  meta.mark.term = Term(r.varint());
  Wall now{unzigzag(r.varint())};
  Wall created{unzigzag(r.varint())};
  std::uint64_t revision = r.varint();
  std::uint64_t hash = r.u64();
  std::uint64_t next_id = r.varint();
  meta.consumers = r.varint();
  std::string_view last_msg_id = r.string();
  std::uint64_t dedupe_first = r.varint();
  meta.dedupe_next = r.varint();
  if (!r.done() || next_id == 0 || next_id > UINT32_MAX || dedupe_first > meta.dedupe_next)
    return corrupt("meta is malformed");
  now_ = now;
  created_ = created;
  config_revision_ = revision;
  hash_ = hash;
  next_consumer_id_ = static_cast<std::uint32_t>(next_id);
  last_msg_id_ = last_msg_id;
  dedupe_.restore_begin(dedupe_first, meta.dedupe_next);
  return meta;
}

Status StreamMachine::restore_value(std::string_view key, std::string_view value) {
  if (key == "m") return ok();
  if (key == "s") {
    if (value.empty() || static_cast<std::uint8_t>(value[0]) != kConfigVersion)
      return Error{Code::kUnsupported, "stream checkpoint: version of the configuration"};
    auto decoded = api::decode_stream_config(value.substr(1), api::Strictness::kLenient);
    auto* config = std::get_if<api::StreamConfig>(&decoded);
    if (config == nullptr) return corrupt("configuration: " + std::get<api::ApiError>(decoded).description);
    config_ = std::move(*config);
    config_dirty_ = false;
    if (config_revision_ > 0) note_config();
    return ok();
  }
  if (key.starts_with('d') && key.size() == 9) return dedupe_.restore_page(key_number(key), value);
  if (key.starts_with('c') && key.size() == 9) return restore_consumer(key_number(key), value);
  return Error{Code::kUnsupported, "stream checkpoint: unknown key"};
}

Status StreamMachine::restore_consumer(std::uint64_t id, std::string_view value) {
  ASSIGN_OR_RETURN(ConsumerState state, ConsumerState::decode(value));
  bool good = state.id() == id && id != 0 && id < next_consumer_id_ && !by_id_.contains(state.id()) &&
              !consumers_.contains(state.name());
  if (!good) return corrupt("consumer " + std::to_string(id));
  auto consumer = std::make_unique<ConsumerState>(std::move(state));
  index_consumer(*consumer);
  consumers_.emplace(consumer->name(), std::move(consumer));
  return ok();
}

}  // namespace weir::jetstream
