#include "tests/sim/kv_workload.h"

#include "broker/base/text.h"

namespace weir::sim {

namespace {
constexpr Nanos kRequestTimeout = 3 * kSecond;
constexpr int kNoMessage = 10037;
constexpr int kWrongLast = 10071;
using Fate = RegisterHistory::Fate;
}  // namespace

KvWorkload::KvWorkload(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
                       KvOptions options, Verdict& verdict, EventLog& events)
    : time_(time), options_(std::move(options)), verdict_(verdict), events_(events), prng_(options_.seed) {
  settings_.name = "KV";
  settings_.max_msgs_per_subject = static_cast<std::int64_t>(prng_.between(1, 5));
  settings_.replicas = options_.replicas[prng_.below(options_.replicas.size())];
  for (unsigned i = 0; i < options_.clients; ++i) {
    clients_.push_back(
        std::make_unique<SimClient>(time, net, options_.first_number + i, servers, options_.ping));
  }
}

void KvWorkload::begin() {
  paused_ = false;
  for (auto& c : clients_) {
    c->connect();
    next(*c);
  }
}

void KvWorkload::next(SimClient& c) {
  Nanos wait = 1 + static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(options_.think_max)));
  c.loop().at(c.loop().now() + wait, [this, &c] {
    if (!c.violation.empty()) verdict_.fail("client " + std::to_string(c.number()) + ": " + c.violation);
    if (!paused_ && !lost_ && c.connected())
      act(c);  // calls next() when it is answered
    else
      next(c);
  });
}

void KvWorkload::act(SimClient& c) {
  if (!created_) return create(c);
  unsigned key = static_cast<unsigned>(prng_.below(options_.keys));
  std::uint64_t dice = prng_.below(100);
  if (dice < 40) return read(c, key);
  if (dice < 98) return write(c, key, dice < 85);
  if (hold_replicas_ || scaling_ || options_.replicas.size() < 2) return next(c);
  scale(c);
}

void KvWorkload::create(SimClient& c) {
  if (creating_) return next(c);
  creating_ = true;
  ++in_flight_;
  c.request("$JS.API.STREAM.CREATE.KV", "", settings_.json(), kRequestTimeout,
            [this, &c](Answer a, const Delivered& m) {
              --in_flight_;
              creating_ = false;
              auto r = a == Answer::kReply ? parse_reply(m, verdict_) : std::nullopt;
              if (r && !r->code) {
                created_ = true;
                events_.add("stream created: " + settings_.json());
              }
              next(c);
            });
}

void KvWorkload::scale(SimClient& c) {
  StreamSettings to = settings_;
  to.replicas = options_.replicas[prng_.below(options_.replicas.size())];
  if (to.replicas == settings_.replicas) return next(c);
  events_.add("scaling KV from " + std::to_string(settings_.replicas) + " to " + std::to_string(to.replicas));
  scaling_ = moved_ = true;  // an update without an answer is the last one: it may come at any time
  ++in_flight_;
  c.request("$JS.API.STREAM.UPDATE.KV", "", to.json(), kRequestTimeout,
            [this, &c, to](Answer a, const Delivered& m) {
              --in_flight_;
              auto r = a == Answer::kReply ? parse_reply(m, verdict_) : std::nullopt;
              if (r && r->code != 503) scaling_ = false;
              if (r && !r->code) settings_ = to;
              next(c);
            });
}

void KvWorkload::learn(unsigned key, std::uint64_t seq, std::uint64_t id) {
  auto [it, fresh] = at_.emplace(seq, id);
  if (!fresh && it->second != id)
    verdict_.fail("KV: sequence " + std::to_string(seq) + " shows " + std::to_string(id) + " of key " +
                  std::to_string(key) + ", before it was " + std::to_string(it->second));
}

void KvWorkload::read(SimClient& c, unsigned key) {
  ++counts.reads;
  ++in_flight_;
  Mono invoked = time_.now();
  c.request("$JS.API.STREAM.MSG.GET.KV", "", "{\"last_by_subj\":\"" + subject(key) + "\"}", kRequestTimeout,
            [this, &c, key, invoked](Answer a, const Delivered& m) {
              --in_flight_;
              next(c);
              auto r = a == Answer::kReply ? parse_reply(m, verdict_) : std::nullopt;
              if (!r) return;
              Known saw;
              if (r->code && r->err_code != kNoMessage) return;
              if (!r->code) {
                auto message = message_of(*r);
                auto id = message ? parse_u64(message->payload) : std::nullopt;
                if (!id || message->subject != subject(key))
                  return verdict_.fail("KV: a read without a value");
                saw = {message->seq, *id};
                learn(key, saw.seq, saw.id);
              }
              keys_[key].history.read(invoked, time_.now(), saw.id);
              keys_[key].known[c.number()] = saw;
            });
}

void KvWorkload::write(SimClient& c, unsigned key, bool conditional) {
  const Known& known = keys_[key].known[c.number()];
  send(c, key, conditional ? known.id : RegisterHistory::kAny, known.seq, kRequestTimeout,
       [this, &c](bool) { next(c); });
}

void KvWorkload::probe(SimClient& c, Nanos timeout, std::function<void(bool)> done) {
  send(c, static_cast<unsigned>(prng_.below(options_.keys)), RegisterHistory::kAny, 0, timeout,
       std::move(done));
}

void KvWorkload::send(SimClient& c, unsigned key, std::uint64_t from, std::uint64_t expected, Nanos timeout,
                      std::function<void(bool)> done) {
  ++counts.writes;
  ++in_flight_;
  std::uint64_t id = next_id_++;
  std::string headers;
  if (from != RegisterHistory::kAny)
    headers = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: " + std::to_string(expected) + "\r\n\r\n";
  std::size_t op = keys_[key].history.write(time_.now(), from, id);
  c.request(
      subject(key), headers, std::to_string(id), timeout,
      [this, &c, key, id, op, done = std::move(done)](Answer a, const Delivered& m) {
        --in_flight_;
        auto r = a == Answer::kReply ? parse_reply(m, verdict_) : std::nullopt;
        Key& k = keys_[key];
        bool taken = r && !r->code;
        if (taken) {
          std::uint64_t seq = r->number({"seq"});
          learn(key, seq, id);
          k.known[c.number()] = {seq, id};
          k.history.settle(op, Fate::kDone, time_.now());
        } else if (r && r->err_code == kWrongLast) {
          ++counts.refused;
          std::string text = r->text({"error", "description"});
          auto held = parse_u64(text.substr(text.rfind(' ') + 1));
          auto known = held ? at_.find(*held) : at_.end();
          std::uint64_t what = held == 0 ? 0 : known == at_.end() ? RegisterHistory::kAny : known->second;
          k.history.settle(op, Fate::kRefused, time_.now(), what);
        } else {
          ++counts.unknown;
        }
        done(taken || (r && r->code != 503));
      });
}

void KvWorkload::check() {
  if (lost_) return;
  for (auto& [number, key] : keys_) {
    switch (key.history.check()) {
      case RegisterHistory::Answer::kLinearizable: break;
      case RegisterHistory::Answer::kTooLong: ++counts.undecided; break;
      case RegisterHistory::Answer::kNot:
        events_.add("history of key " + std::to_string(number) + ":\n" + key.history.to_string());
        verdict_.fail("KV: key " + std::to_string(number) + " is not linearizable");
    }
  }
}

}  // namespace weir::sim
