// Checkpoints, and the promise that a restored machine cannot be told from one that never stopped.
#include "broker/jetstream/stream_harness.h"

#include "broker/base/prng.h"

namespace weir::jetstream {
namespace {

api::ConsumerConfig simple(const std::string& name, const std::string& filter) {
  api::ConsumerConfig c;
  c.durable_name = c.name = name;
  c.ack_policy = api::AckPolicy::kExplicit;
  c.ack_wait = 30 * kSecond;
  c.max_deliver = -1;
  c.filter_subject = filter;
  return c;
}

TEST(Checkpoint, WritesOnlyWhatChanged) {
  Harness h;
  h.pub("a", {{"Nats-Msg-Id", "1"}});
  h.create(simple("C", ""));
  h.create(simple("D", ""));
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 5u) << "configuration, dedupe page, two consumers, meta";
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 1u) << "meta";
  h.pub("a");
  h.drop("D");
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 2u) << "meta, and the consumer's removal";
  h.create(simple("E", ""));
  h.drop("E");
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 1u) << "it came and went between two checkpoints";
  h.now += kHour;
  h.pub("a", {{"Nats-Msg-Id", "2"}});
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 2u);
}

TEST(Checkpoint, AgedDedupePagesGo) {
  Harness h;
  for (int i = 0; i < 2500; ++i) h.pub("a", {{"Nats-Msg-Id", std::to_string(i)}});
  h.checkpoint();
  EXPECT_EQ(h.catalog.size(), 5u) << "meta, configuration, three pages";
  h.now += kHour;
  h.tick();
  h.checkpoint();
  EXPECT_EQ(h.catalog.size(), 2u);
  ASSERT_TRUE(h.reopen().has_value());
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "7"}}), "2501");
  h.checkpoint();
  EXPECT_EQ(h.catalog.size(), 3u);
  ASSERT_TRUE(h.reopen().has_value());
  EXPECT_EQ(h.pub("a", {{"Nats-Msg-Id", "7"}}), "2501 dup");
}

TEST(Checkpoint, RestoresTheMark) {
  Harness h;
  for (int i = 0; i < 5; ++i) h.pub("a", {{"Nats-Msg-Id", "m" + std::to_string(i)}});
  h.checkpoint();
  std::uint64_t hash = h.machine->hash();
  auto mark = h.reopen();
  ASSERT_TRUE(mark.has_value());
  EXPECT_EQ(mark->applied, RaftIndex(5));
  EXPECT_EQ(mark->term, Term(3));
  EXPECT_EQ(h.machine->hash(), hash);
  EXPECT_EQ(h.machine->config().name, "S");
  EXPECT_EQ(h.machine->created().ns, kSecond);
  EXPECT_EQ(h.pub("a", {{"Nats-Expected-Last-Msg-Id", "m4"}}), "6");
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 1u) << "nothing is written again because of a restart";
}

TEST(Checkpoint, NothingThereIsNotFound) {
  Harness h;
  auto mark = h.reopen();
  ASSERT_FALSE(mark.has_value());
  EXPECT_EQ(mark.error().code, Code::kNotFound);
}

TEST(Checkpoint, DamageIsRefused) {
  Harness h;
  for (int i = 0; i < 1500; ++i) h.pub("a", {{"Nats-Msg-Id", std::to_string(i)}});
  h.create(simple("C", "a"));
  h.checkpoint();
  auto good = h.catalog;
  for (const auto& [key, value] : good) {
    h.catalog = good;
    h.catalog.erase(key);
    EXPECT_FALSE(h.reopen().has_value()) << "without " << key;
    h.catalog = good;
    h.catalog[key].pop_back();
    EXPECT_FALSE(h.reopen().has_value()) << "cut " << key;
    for (std::size_t n = 0; n < std::min<std::size_t>(value.size(), 200); ++n) {
      h.catalog = good;
      h.catalog[key][n] = static_cast<char>(h.catalog[key][n] ^ 0x41);
      (void)h.reopen();  // may be accepted, must not crash
    }
  }
  h.catalog = good;
  h.catalog["p/z"] = "?";
  EXPECT_FALSE(h.reopen().has_value()) << "a key of a newer version";
  h.catalog = good;
  EXPECT_TRUE(h.reopen().has_value());
}

api::StreamConfig random_config(Prng& prng) {
  api::StreamConfig c;
  c.name = "S";
  c.subjects = {">"};
  c.retention = static_cast<api::Retention>(prng.below(3));
  if (prng.chance(1, 2)) c.max_msgs = static_cast<std::int64_t>(prng.between(1, 40));
  if (prng.chance(1, 3)) c.max_bytes = static_cast<std::int64_t>(prng.between(50, 2000));
  if (prng.chance(1, 3)) c.max_msgs_per_subject = static_cast<std::int64_t>(prng.between(1, 6));
  if (prng.chance(1, 3)) c.max_age = static_cast<Nanos>(prng.between(1, 60)) * kSecond;
  c.discard = prng.chance(1, 3) ? api::Discard::kNew : api::Discard::kOld;
  c.duplicate_window = static_cast<Nanos>(prng.between(1, 30)) * kSecond;
  c.allow_rollup_hdrs = prng.chance(1, 2);
  return c;
}

std::string random_subject(Prng& prng) {
  return std::string(prng.chance(1, 2) ? "a." : "b.") + std::to_string(prng.below(5));
}

Headers random_headers(Prng& prng) {
  Headers h;
  if (prng.chance(1, 3)) h.emplace_back("Nats-Msg-Id", std::to_string(prng.below(50)));
  if (prng.chance(1, 12)) h.emplace_back("Nats-Expected-Last-Sequence", std::to_string(prng.below(200)));
  if (prng.chance(1, 12))
    h.emplace_back("Nats-Expected-Last-Subject-Sequence", std::to_string(prng.below(50)));
  if (prng.chance(1, 15)) h.emplace_back("Nats-Rollup", prng.chance(1, 4) ? "all" : "sub");
  return h;
}

/// Delivers and acks a little for a random consumer, as its leader might.
void random_progress(Prng& prng, const Harness& h, EntryBuilder& b) {
  const auto& consumers = h.machine->consumers();
  if (consumers.empty()) return;
  auto it = consumers.begin();
  std::advance(it, static_cast<std::ptrdiff_t>(prng.below(consumers.size())));
  const ConsumerState& s = *it->second;
  Progress p;
  p.delivered_cseq = s.delivered().consumer;
  p.delivered_sseq = s.delivered().stream;
  p.scanned = s.scanned();
  StreamSeq next = s.scanned() + 1;
  std::uint64_t last = h.store->state().last_seq.v;
  if (next.v <= last && s.skip_list().empty()) {
    std::uint64_t count = prng.between(1, std::min<std::uint64_t>(last - next.v + 1, 4));
    p.delivered.push_back({s.delivered().consumer + 1, next, count});
    p.delivered_cseq = s.delivered().consumer + count;
    p.delivered_sseq = p.scanned = next + (count - 1);
  }
  StreamSeq floor = s.ack_floor().stream + 1;
  if (floor <= p.scanned && prng.chance(2, 3)) p.acked.push_back({floor, floor + prng.below(3)});
  std::string body;
  encode_progress(p, body);
  b.consumer_progress({s.id(), body});
}

void random_command(Prng& prng, const Harness& h, EntryBuilder& b) {
  std::uint64_t kind = prng.below(100);
  if (kind < 60) {
    std::string subject = random_subject(prng);
    std::string headers = header_block(random_headers(prng));
    std::string payload(prng.below(60), 'p');
    PublishCommand p;
    p.subject = subject;
    p.headers = headers;
    p.payload = payload;
    b.publish(p);
  } else if (kind < 75) {
    random_progress(prng, h, b);
  } else if (kind < 82) {
    b.delete_msg({StreamSeq(prng.below(h.store->state().last_seq.v + 3)), false});
  } else if (kind < 86) {
    bool by_seq = prng.chance(1, 2);
    std::string filter = prng.chance(1, 2) ? "" : prng.chance(1, 2) ? "a.*" : random_subject(prng);
    std::uint64_t last = h.store->state().last_seq.v;
    b.purge({StreamSeq(by_seq ? prng.below(last + 2) : 0), by_seq ? 0 : prng.below(10), filter});
  } else if (kind < 93) {
    std::string name = "C" + std::to_string(prng.below(4));
    auto c = simple(name, prng.chance(1, 2) ? "" : prng.chance(1, 2) ? "a.*" : "b.1");
    c.deliver_policy = static_cast<api::DeliverPolicy>(std::array{0, 1, 2, 5}[prng.below(4)]);
    std::string json = api::encode_consumer_config_json(c);
    b.create_consumer({static_cast<ConsumerAction>(prng.below(3)), Wall{}, name, json});
  } else if (kind < 96) {
    b.delete_consumer("C" + std::to_string(prng.below(4)));
  } else if (kind < 98) {
    auto c = random_config(prng);
    c.retention = h.machine->config().retention;
    std::string json = api::encode_stream_config_json(c);
    b.update_stream({h.machine->config_revision() + prng.below(2), json});
  } else {
    b.tick();
  }
}

std::string told(const Outcome& o) {
  return std::to_string(o.seq.v) + "/" + std::to_string(o.duplicate) + "/" + std::to_string(o.stored) + "/" +
         std::to_string(o.removed_count) + "/" + std::to_string(o.consumer_id) + "/" +
         std::to_string(static_cast<int>(o.consumer_change)) + "/" +
         std::to_string(static_cast<unsigned>(o.error.err_code)) + o.error.description;
}

class Replicas : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Replicas, RestoredOneGoesOnAlike) {
  Prng prng(GetParam());
  api::StreamConfig config = random_config(prng);
  Harness a(config);
  Harness b(config);
  b.machine->watch_removals(StreamSeq(1));  // reporting must not change anything
  for (int step = 0; step < 1500; ++step) {
    if (prng.chance(1, 60)) {
      b.checkpoint();
      auto mark = b.reopen();
      ASSERT_TRUE(mark.has_value()) << mark.error().to_string();
      b.machine->watch_removals(StreamSeq(prng.below(50)));
    }
    a.now += static_cast<std::int64_t>(prng.below(2 * kSecond)) - 100 * kMillisecond;
    EntryBuilder one;
    std::uint64_t commands = prng.between(1, 3);
    for (std::uint64_t i = 0; i < commands; ++i) random_command(prng, a, one);
    if (one.empty()) continue;
    Bytes entry = one.finish(Wall{a.now});
    for (Harness* h : {&a, &b}) ++h->index;
    auto ra = EntryReader::open(Bytes::copy_of(entry.text()));
    auto rb = EntryReader::open(entry);
    Command ca;
    Command cb;
    while (ra->next(ca) && rb->next(cb)) {
      Status sa = a.machine->apply(ca, RaftIndex(a.index), ra->log_time(), a.out);
      Status sb = b.machine->apply(cb, RaftIndex(b.index), rb->log_time(), b.out);
      ASSERT_TRUE(sa.has_value()) << sa.error().to_string();
      ASSERT_TRUE(sb.has_value()) << sb.error().to_string();
      ASSERT_EQ(told(a.out), told(b.out));
      ASSERT_EQ(a.machine->hash(), b.machine->hash());
      ASSERT_EQ(a.machine->state_hash(), b.machine->state_hash());
      ASSERT_EQ(a.machine->next_due(), b.machine->next_due());
    }
    ASSERT_EQ(a.live(), b.live());
    const auto& c = a.machine->config();
    if (c.discard == api::Discard::kOld && c.max_msgs > 0) {
      ASSERT_LE(a.store->state().messages, static_cast<std::uint64_t>(c.max_msgs));
    }
    if (c.discard == api::Discard::kOld && c.max_bytes > 0) {
      ASSERT_LE(a.store->state().bytes, static_cast<std::uint64_t>(c.max_bytes));
    }
  }
  ASSERT_EQ(a.machine->consumers().size(), b.machine->consumers().size());
  for (const auto& [name, consumer] : a.machine->consumers()) {
    std::string one;
    std::string two;
    consumer->encode(one);
    b.machine->find_consumer(name)->encode(two);
    EXPECT_EQ(one, two) << name;
  }
}

// A replica that got the state, once or from one that got it itself, goes on like the one that gave it.
TEST_P(Replicas, TransferredOneGoesOnAlike) {
  Prng prng(GetParam() + 1000);
  Harness a(random_config(prng));
  auto b = a.transfer();
  for (int step = 0; step < 900; ++step) {
    if (prng.chance(1, 20)) a.checkpoint();
    if (prng.chance(1, 20)) b->checkpoint();
    if (prng.chance(1, 40)) {
      auto dirty = a.catalog;
      b = prng.chance(1, 2) ? a.transfer() : b->transfer();
      ASSERT_EQ(a.catalog, dirty);
      ASSERT_EQ(a.machine->hash(), b->machine->hash());
      ASSERT_EQ(a.machine->state_hash(), b->machine->state_hash());
      ASSERT_EQ(a.live(), b->live());
      b->checkpoint();
      ASSERT_EQ(b->edits_written, 1u) << "nothing is written again";
    }
    // Checkpoints between transfers must still tell everything that changed.
    if (prng.chance(1, 40)) {
      a.checkpoint();
      ASSERT_TRUE(a.reopen().has_value());
    }
    a.now += static_cast<std::int64_t>(prng.below(2 * kSecond)) - 100 * kMillisecond;
    EntryBuilder one;
    random_command(prng, a, one);
    if (one.empty()) continue;
    Bytes entry = one.finish(Wall{a.now});
    for (Harness* h : {&a, b.get()}) {
      ++h->index;
      auto reader = EntryReader::open(Bytes::copy_of(entry.text()));
      Command c;
      while (reader->next(c)) {
        Status s = h->machine->apply(c, RaftIndex(h->index), reader->log_time(), h->out);
        ASSERT_TRUE(s.has_value()) << s.error().to_string();
      }
    }
    ASSERT_EQ(told(a.out), told(b->out));
    ASSERT_EQ(a.machine->hash(), b->machine->hash());
    ASSERT_EQ(a.machine->state_hash(), b->machine->state_hash());
    ASSERT_EQ(a.machine->next_due(), b->machine->next_due());
  }
  ASSERT_EQ(a.live(), b->live());
  ASSERT_EQ(a.machine->consumers().size(), b->machine->consumers().size());
  for (const auto& [name, consumer] : a.machine->consumers()) {
    std::string one, two;
    consumer->encode(one);
    b->machine->find_consumer(name)->encode(two);
    EXPECT_EQ(one, two) << name;
  }
}

// The rolling hash says what was applied, the state's hash what is there.
TEST(StateHashOfAStream, SeesWhatIsGoneWithoutHavingBeenRemoved) {
  Harness a, b;
  for (Harness* h : {&a, &b}) {
    for (int i = 0; i < 9; ++i) h->pub("a", {{"Nats-Msg-Id", "m" + std::to_string(i)}});
    h->create(simple("C", ""));
  }
  EXPECT_EQ(a.machine->state_hash(), b.machine->state_hash());
  ASSERT_TRUE(b.store->remove(StreamSeq(4)));
  EXPECT_EQ(a.machine->hash(), b.machine->hash());
  EXPECT_NE(a.machine->state_hash(), b.machine->state_hash());
  ASSERT_TRUE(a.store->remove(StreamSeq(5)));
  EXPECT_NE(a.machine->state_hash(), b.machine->state_hash()) << "as many, as large";
  ASSERT_TRUE(a.store->remove(StreamSeq(4)));
  ASSERT_TRUE(b.store->remove(StreamSeq(5)));
  EXPECT_EQ(a.machine->state_hash(), b.machine->state_hash()) << "in whatever order";
}

TEST(StateHashOfAStream, SeesTheConfiguration) {
  Harness a, b;
  auto c = a.machine->config();
  c.max_msgs = 100;
  EXPECT_EQ(a.configure(7, c), "ok");
  c.max_msgs = 101;
  EXPECT_EQ(b.configure(7, c), "ok");
  EXPECT_EQ(a.machine->hash(), b.machine->hash());
  EXPECT_NE(a.machine->state_hash(), b.machine->state_hash());
}

TEST(Checkpoint, FullStateHasEveryDedupePageAndConsumer) {
  Harness h;
  for (int i = 0; i < 2500; ++i) h.pub("a", {{"Nats-Msg-Id", std::to_string(i)}});
  h.create(simple("C", ""));
  h.create(simple("D", ""));
  h.checkpoint();
  h.drop("C");
  auto other = h.transfer();
  EXPECT_EQ(other->catalog.size(), 6u) << "meta, configuration, three pages, one consumer";
  EXPECT_EQ(other->pub("a", {{"Nats-Msg-Id", "7"}}), "8 dup");
  EXPECT_EQ(other->create(simple("E", "")), "created 3");
  h.checkpoint();
  EXPECT_EQ(h.edits_written, 2u) << "the removal of C is not forgotten";
  Harness empty;
  auto none = empty.transfer();
  EXPECT_EQ(none->catalog.size(), 2u);
  EXPECT_EQ(none->pub("a"), "1");
}

INSTANTIATE_TEST_SUITE_P(Seeds, Replicas, testing::Range<std::uint64_t>(1, 41));

}  // namespace
}  // namespace weir::jetstream
