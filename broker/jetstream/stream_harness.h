// broker/jetstream/stream_harness.h - for tests: a stream machine over a memory store, driven by words.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "broker/jetstream/stream_machine.h"
#include "broker/store/mem_store.h"

namespace weir::jetstream {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline std::string header_block(const Headers& headers) {
  if (headers.empty()) return {};
  std::string out = "NATS/1.0\r\n";
  for (const auto& [name, value] : headers) out += name + ": " + value + "\r\n";
  return out + "\r\n";
}

class Harness {
 public:
  explicit Harness(api::StreamConfig config = {}) {
    if (config.name.empty()) config.name = "S";
    if (config.subjects.empty()) config.subjects = {">"};
    if (config.duplicate_window == 0) config.duplicate_window = 2 * kMinute;
    store = std::make_unique<store::MemStore>();
    machine = std::make_unique<StreamMachine>(config, Wall{kSecond}, *store);
  }

  /// Applies an entry of its own; the outcome of its last command stays in `out`.
  Outcome& run(EntryBuilder& b) {
    auto reader = EntryReader::open(b.finish(Wall{now}));
    EXPECT_TRUE(reader.has_value());
    ++index;
    Command c;
    while (reader->next(c)) {
      Status s = machine->apply(c, RaftIndex(index), reader->log_time(), out);
      EXPECT_TRUE(s.has_value()) << (s ? "" : s.error().to_string());
    }
    return out;
  }
  Outcome& publish(std::string_view subject, const Headers& headers = {}, std::string_view payload = "x") {
    EntryBuilder b;
    std::string block = header_block(headers);
    PublishCommand p;
    p.subject = subject;
    p.headers = block;
    p.payload = payload;
    b.publish(p);
    return run(b);
  }
  /// "7", "7 dup", "skip 7" or the error code and text.
  std::string pub(std::string_view subject, const Headers& headers = {}, std::string_view payload = "x") {
    const Outcome& o = publish(subject, headers, payload);
    if (!o.ok()) return error();
    std::string seq = std::to_string(o.seq.v);
    return o.duplicate ? seq + " dup" : o.stored ? seq : "skip " + seq;
  }
  std::string error() const {
    if (out.ok()) return "ok";
    return std::to_string(static_cast<unsigned>(out.error.err_code)) + " " + out.error.description;
  }
  std::string configure(std::uint64_t revision, const api::StreamConfig& config) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(config);
    b.update_stream({revision, json});
    run(b);
    return error();
  }
  std::string tick() {
    EntryBuilder b;
    b.tick();
    run(b);
    return live();
  }
  std::string erase(std::uint64_t seq) {
    EntryBuilder b;
    b.delete_msg({StreamSeq(seq), false});
    run(b);
    return error();
  }
  std::string purge(std::uint64_t seq, std::uint64_t keep, std::string_view filter) {
    EntryBuilder b;
    b.purge({StreamSeq(seq), keep, filter});
    run(b);
    return out.ok() ? std::to_string(out.removed_count) + ": " + live() : error();
  }
  std::string update(const api::StreamConfig& config, std::uint64_t revision) {
    EntryBuilder b;
    std::string json = api::encode_stream_config_json(config);
    b.update_stream({revision, json});
    run(b);
    return out.ok() ? live() : error();
  }
  std::string create(api::ConsumerConfig config, ConsumerAction action = ConsumerAction::kCreateOrUpdate) {
    EntryBuilder b;
    std::string json = api::encode_consumer_config_json(config);
    b.create_consumer({action, Wall{}, config.chosen_name(), json});
    run(b);
    if (!out.ok()) return error();
    switch (out.consumer_change) {
      case ConsumerChange::kCreated: return "created " + std::to_string(out.consumer_id);
      case ConsumerChange::kUpdated: return "updated";
      case ConsumerChange::kExisting: return "existing";
      default: return "?";
    }
  }
  std::string drop(std::string_view name) {
    EntryBuilder b;
    b.delete_consumer(name);
    run(b);
    return error();
  }
  std::string progress(std::uint32_t id, const Progress& p) {
    EntryBuilder b;
    std::string body;
    encode_progress(p, body);
    b.consumer_progress({id, body});
    run(b);
    return error();
  }
  /// Live sequences and last: "1 2 4 | 5".
  std::string live() const {
    std::string text;
    for (StreamSeq at(1);;) {
      auto m = store->next({}, at);
      EXPECT_TRUE(m.has_value());
      if (!*m) break;
      text += std::to_string((*m)->seq.v) + " ";
      at = (*m)->seq + 1;
    }
    return text + "| " + std::to_string(store->state().last_seq.v);
  }

  /// Writes what changed into `catalog`, as the catalog itself would keep it.
  void checkpoint() {
    std::vector<store::CatalogEdit> edits;
    machine->encode_checkpoint("p/", {RaftIndex(index), Term(3)}, edits);
    edits_written = edits.size();
    for (auto& e : edits) {
      if (e.value)
        catalog[e.key] = *e.value;
      else
        EXPECT_EQ(catalog.erase(e.key), 1u) << "removal of a key that is not there";
    }
  }
  /// This stream as another replica gets it: live ranges with their messages, and the full state.
  std::unique_ptr<Harness> transfer() const {
    auto to = std::make_unique<Harness>();
    std::vector<store::CatalogEdit> edits;
    machine->encode_full("p/", {RaftIndex(index), Term(3)}, edits);
    for (auto& e : edits) to->catalog[e.key] = e.value.value();
    to->store = std::make_unique<store::MemStore>();
    for (StreamSeq at(1);;) {
      auto ranges = store->live_ranges(at, 3);
      if (ranges.empty()) break;
      for (const auto& r : ranges) {
        for (StreamSeq q = r.first; q <= r.last; ++q) to->store->append(store->load(q).value().value());
      }
      at = ranges.back().last + 1;
    }
    to->store->skip_to(store->state().last_seq, store->state().last_time);
    auto mark = to->reopen();
    EXPECT_TRUE(mark.has_value()) << (mark ? "" : mark.error().to_string());
    if (mark) {
      EXPECT_EQ(mark->applied, RaftIndex(index));
    }
    to->index = index;
    to->now = now;
    return to;
  }
  CatalogScan scan() const {
    return [this](const std::string& prefix,
                  const std::function<bool(const std::string&, const std::string&)>& visit) {
      for (auto it = catalog.lower_bound(prefix); it != catalog.end() && it->first.starts_with(prefix); ++it)
        if (!visit(it->first, it->second)) return;
    };
  }
  /// A new machine over the same store, from the catalog.
  Result<CheckpointMark> reopen() {
    auto fresh = std::make_unique<StreamMachine>(api::StreamConfig{}, Wall{}, *store);
    auto mark = fresh->restore("p/", scan());
    if (mark) machine = std::move(fresh);
    return mark;
  }

  std::unique_ptr<store::MemStore> store;
  std::unique_ptr<StreamMachine> machine;
  std::map<std::string, std::string> catalog;
  Outcome out;
  std::int64_t now = 1'700'000'000 * kSecond;
  std::uint64_t index = 0;
  std::size_t edits_written = 0;
};

}  // namespace weir::jetstream
