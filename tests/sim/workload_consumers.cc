// The part of Workload that creates, uses and deletes consumers.
#include "broker/proto/ack_subject.h"
#include "tests/sim/workload.h"

namespace weir::sim {

namespace {
constexpr Nanos kRequestTimeout = 5 * kSecond;
constexpr int kNoSuchConsumer = 10014;
}  // namespace

// ---- consumers -------------------------------------------------------------------------------

void Workload::create_consumer(SimClient& c, StreamHistory& s) {
  ConsumerSettings k;
  k.stream = s.settings.name;
  k.name = "c" + std::to_string(next_consumer_++);
  unsigned have = 0;
  for (const auto& [key, h] : consumers_) have += h.settings.stream == k.stream;
  if (have >= (s.settings.work_queue ? 1u : 4u)) return;
  if (s.settings.work_queue) {
    k.name = "wq" + std::to_string(next_consumer_);  // never twice: deliveries of an earlier life may be late
  } else {
    if (prng_.chance(1, 3)) k.filter = subject_of(s);
    k.durable = prng_.chance(3, 4);
    k.push = prng_.chance(1, 4);
    if (prng_.chance(1, 4)) k.max_deliver = static_cast<std::int64_t>(prng_.between(1, 4));
  }
  k.ack_wait = static_cast<Nanos>(prng_.between(200, 3000)) * kMillisecond;
  if (prng_.chance(1, 4)) k.max_ack_pending = static_cast<std::int64_t>(prng_.between(1, 10));
  std::string key = k.stream + "/" + k.name;
  if (k.push) k.deliver_subject = "_P." + k.name;
  ConsumerHistory& h = consumers_.emplace(key, ConsumerHistory(k, verdict_)).first->second;
  h.owner = c.number();
  if (k.push) {
    h.subscription = c.subscribe(k.deliver_subject,
                                 [this, &c, key](const Delivered& m) { delivered(c, key, m, now(), false); });
  }
  unsigned life = s.incarnation;
  call(c, "$JS.API.CONSUMER.CREATE." + k.stream + "." + k.name, k.json(),
       [this, &s, &c, key, life](const ApiReply* r) {
         auto it = consumers_.find(key);
         if (s.incarnation != life || it == consumers_.end()) return;
         if (r && !r->code) {
           it->second.ready = true;
           return;
         }
         if (it->second.subscription) c.unsubscribe(it->second.subscription);
         consumers_.erase(it);  // if it exists all the same, nobody uses it
       });
}

void Workload::use_consumer(SimClient& c, StreamHistory& s) {
  std::vector<std::string> of;
  for (const auto& [key, h] : consumers_) {
    if (h.settings.stream == s.settings.name && h.ready) of.push_back(key);
  }
  if (of.empty()) return;
  std::string key = of[prng_.below(of.size())];
  ConsumerHistory& h = consumers_.at(key);
  unsigned life = s.incarnation;
  if (prng_.chance(1, 10)) {
    unsigned node_life = hooks_.epoch();
    std::uint64_t floor = h.floor(node_life);
    std::string before = h.floor_led();
    return call(
        c, "$JS.API.CONSUMER.INFO." + h.settings.stream + "." + h.settings.name, "",
        [this, key, node_life, floor, before, &s, life](const ApiReply* r) {
          auto it = consumers_.find(key);
          if (!r || r->code || it == consumers_.end() || s.incarnation != life) return;
          if (node_life != hooks_.epoch()) return;
          std::string led = r->text({"cluster", "leader"}) + r->text({"cluster", "leader_since"});
          it->second.info(led == before ? floor : 0, r->number({"ack_floor", "stream_seq"}), node_life, led);
        });
  }
  if (prng_.chance(1, 60)) {
    return call(c, "$JS.API.CONSUMER.DELETE." + h.settings.stream + "." + h.settings.name, "",
                [this, key, &s, life](const ApiReply* r) {
                  auto it = consumers_.find(key);
                  if (it == consumers_.end() || s.incarnation != life) return;
                  if (!r || (r->code && r->err_code != kNoSuchConsumer)) {
                    it->second.ready = false;  // nobody knows
                    return;
                  }
                  if (it->second.subscription)
                    clients_[it->second.owner]->unsubscribe(it->second.subscription);
                  consumers_.erase(it);
                });
  }
  if (h.settings.push) return;
  pull(c, key, static_cast<unsigned>(prng_.between(1, 12)),
       static_cast<Nanos>(prng_.between(20, 900)) * kMillisecond, false, [] {});
}

void Workload::pull(SimClient& c, const std::string& consumer, unsigned batch, Nanos expires, bool ack_all,
                    std::function<void()> done) {
  const ConsumerSettings k = consumers_.at(consumer).settings;
  std::string inbox = c.new_inbox();
  Mono asked = now();
  ++in_flight_;
  auto sid = std::make_shared<std::uint64_t>(0);
  auto finish = [this, &c, sid, done = std::move(done)] {
    if (*sid == 0) return;
    c.unsubscribe(std::exchange(*sid, 0));
    --in_flight_;
    done();
  };
  auto left = std::make_shared<unsigned>(batch);
  *sid = c.subscribe(inbox, [this, &c, consumer, asked, finish, left, ack_all](const Delivered& m) {
    if (m.status() == 100) return;
    if (m.status() != 0) return finish();
    delivered(c, consumer, m, asked, ack_all);
    if (--*left == 0) finish();
  });
  c.loop().at(c.loop().now() + expires + 500 * kMillisecond, finish);
  c.publish("$JS.API.CONSUMER.MSG.NEXT." + k.stream + "." + k.name, inbox, "",
            "{\"batch\":" + std::to_string(batch) + ",\"expires\":" + std::to_string(expires) + "}");
}

void Workload::delivered(SimClient& c, const std::string& consumer, const Delivered& m, Mono asked,
                         bool ack_all) {
  auto at = proto::parse_ack_subject(m.reply);
  auto it = consumers_.find(consumer);
  if (!at) return verdict_.fail("a delivery without an ack subject: " + m.reply);
  if (it == consumers_.end()) return;  // deleted meanwhile
  StreamHistory* s = stream_named(it->second.settings.stream);
  if (!s || s->life != StreamHistory::Life::kLive) return;
  ++counts.deliveries;
  std::uint64_t seq = at->stream_seq.v;
  s->seen("delivery:", {seq, m.subject, m.headers, m.payload}, attempts_, now());
  // What a leader that is one no more pushed before may be overtaken by its successor's confirmations.
  if (options_.cluster && it->second.settings.push) asked = Mono{};
  it->second.delivered(seq, m.subject, at->deliveries, asked);
  std::uint64_t dice = ack_all || acknowledge_all_ ? 0 : prng_.below(100);
  if (dice < 40) return acknowledge(c, consumer, seq, m.reply, "+ACK", true);
  if (dice < 60) return acknowledge(c, consumer, seq, m.reply, "+ACK", false);
  if (dice < 65) return acknowledge(c, consumer, seq, m.reply, "+TERM", true);
  if (dice < 75) return acknowledge(c, consumer, seq, m.reply, "-NAK", false);
  if (dice < 80) return acknowledge(c, consumer, seq, m.reply, "+WPI", true);
}

void Workload::acknowledge(SimClient& c, const std::string& consumer, std::uint64_t seq,
                           const std::string& reply, const char* word, bool confirm) {
  bool final = std::string_view(word) == "+ACK" || std::string_view(word) == "+TERM";
  auto it = consumers_.find(consumer);
  StreamHistory* s = stream_named(it->second.settings.stream);
  if (final) s->consumption_sent(seq);
  if (!confirm) {
    (void)c.publish(reply, "", "", word);
    return;
  }
  // A push consumer never comes to rest: its acknowledgements are not waited for.
  unsigned counted = it->second.settings.push ? 0 : 1;
  in_flight_ += counted;
  unsigned life = s->incarnation;
  c.request(reply, "", word, kRequestTimeout,
            [this, s, consumer, seq, final, life, counted](Answer a, const Delivered& m) {
              in_flight_ -= counted;
              auto at = consumers_.find(consumer);
              if (a != Answer::kReply || m.status() != 0 || !final || at == consumers_.end() ||
                  s->incarnation != life)
                return;
              at->second.ack_confirmed(seq, now());
              s->consumption_confirmed(seq);
            });
}

}  // namespace weir::sim
