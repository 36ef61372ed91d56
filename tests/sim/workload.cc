#include "tests/sim/workload.h"

#include <algorithm>

#include "broker/api/json_value.h"
#include "broker/base/text.h"
#include "broker/proto/headers.h"

namespace weir::sim {

namespace {

constexpr Nanos kRequestTimeout = 5 * kSecond;
constexpr int kNoSuchStream = 10059;
constexpr int kNoMessage = 10037;
constexpr int kNoSequence = 10043;
constexpr int kInvalidConfig = 10052;  // what this version does not support

const api::JsonValue* walk(const api::JsonValue* v, std::initializer_list<const char*> path) {
  for (const char* name : path) v = v ? v->find(name) : nullptr;
  return v;
}

}  // namespace

// ---- answers ---------------------------------------------------------------------------------

std::uint64_t ApiReply::number(std::initializer_list<const char*> path) const {
  const auto* v = walk(body.get(), path);
  return v && v->unsigned_() ? *v->unsigned_() : 0;
}

std::string ApiReply::text(std::initializer_list<const char*> path) const {
  const auto* v = walk(body.get(), path);
  return v && v->string() ? *v->string() : "";
}

bool ApiReply::flag(const char* name) const {
  const auto* v = body ? body->find(name) : nullptr;
  return v && v->boolean() && *v->boolean();
}

std::optional<ApiReply> parse_reply(const Delivered& m, Verdict& verdict) {
  ApiReply r;
  if (m.payload.empty()) {
    r.code = m.status();
    if (r.code == 0) verdict.fail("an answer without body and status");
    return r;
  }
  auto parsed = api::parse_json(m.payload);
  auto* value = std::get_if<api::JsonValue>(&parsed);
  if (!value || !value->object()) {
    verdict.fail("an answer that is no JSON object: " + m.payload.substr(0, 100));
    return std::nullopt;
  }
  r.body = std::make_shared<const api::JsonValue>(std::move(*value));
  r.type = r.text({"type"});
  if (!r.body->find("error")) return r;
  r.code = static_cast<int>(r.number({"error", "code"}));
  r.err_code = static_cast<int>(r.number({"error", "err_code"}));
  if (r.code < 400 || r.code > 599 || r.err_code < 10000 || r.text({"error", "description"}).empty()) {
    verdict.fail("a malformed error: " + m.payload.substr(0, 200));
    return std::nullopt;
  }
  return r;
}

std::optional<SeenMessage> message_of(const ApiReply& r) {
  SeenMessage m;
  m.seq = r.number({"message", "seq"});
  m.subject = r.text({"message", "subject"});
  auto data = base64_decode(r.text({"message", "data"}));
  auto headers = base64_decode(r.text({"message", "hdrs"}));
  if (m.seq == 0 || !data || !headers) return std::nullopt;
  m.payload = std::move(*data);
  m.headers = std::move(*headers);
  return m;
}

// The answer carries the stored headers behind its own; what is compared is their text.
std::optional<SeenMessage> message_of_direct(const Delivered& d) {
  proto::HeaderView h(d.headers);
  auto seq = h.find("Nats-Sequence");
  auto subject = h.find("Nats-Subject");
  if (!seq || !subject) return std::nullopt;
  SeenMessage m;
  m.seq = parse_u64(*seq).value_or(0);
  m.subject = std::string(*subject);
  m.payload = d.payload;
  std::string rest = d.headers;
  std::size_t at = rest.find("Nats-Time-Stamp: ");
  std::size_t end = at == std::string::npos ? at : rest.find("\r\n", at);
  if (end == std::string::npos) return std::nullopt;
  rest = rest.substr(end + 2);
  if (rest != "\r\n") m.headers = "NATS/1.0\r\n" + rest;
  return m;
}

// ---- the clients' days -----------------------------------------------------------------------

Workload::Workload(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
                   WorkloadOptions options, WorkloadHooks hooks, Verdict& verdict, EventLog& events)
    : time_(time),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      verdict_(verdict),
      events_(events),
      prng_(options_.seed) {
  for (unsigned i = 0; i < options_.streams; ++i) {
    StreamHistory& s = streams_.emplace_back(i, verdict);
    s.settings.name = "S" + std::to_string(i);
    s.clock_slack = options_.clock_slack;
    s.clocks_jump = options_.clocks_jump;
  }
  for (unsigned i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<SimClient>(time, net, i, servers, options_.ping));
  }
}

Workload::~Workload() = default;

void Workload::begin() {
  paused_ = false;
  for (auto& c : clients_) {
    c->connect();
    next(*c);
  }
}

bool Workload::all_connected() const {
  return std::all_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->connected(); });
}

void Workload::next(SimClient& c) {
  Nanos wait = 1 + static_cast<Nanos>(prng_.below(static_cast<std::uint64_t>(options_.think_max)));
  c.loop().at(c.loop().now() + wait, [this, &c] {
    if (!c.violation.empty()) verdict_.fail("client " + std::to_string(c.number()) + ": " + c.violation);
    if (!paused_ && c.connected()) act(c);
    next(c);
  });
}

void Workload::act(SimClient& c) {
  ++counts.operations;
  StreamHistory& s = streams_[prng_.below(streams_.size())];
  if (s.life == StreamHistory::Life::kNone) return create_stream(c, s);
  if (s.life != StreamHistory::Life::kLive) return;
  if (s.lost) {
    if (prng_.chance(1, 20)) delete_stream(c, s);
    return;
  }
  if (options_.cluster && prng_.chance(1, 120)) return step_down(c, s);
  if (options_.cluster && prng_.chance(1, 200)) return remove_peer(c, s);
  std::uint64_t dice = prng_.below(1000);
  if (dice < 500) return publish_some(c, s);
  if (dice < 560) return read(c, s);
  if (dice < 600) return delete_message(c, s);
  if (dice < 610) return purge(c, s);
  if (dice < 620) return update_stream(c, s);
  if (dice < 623) return delete_stream(c, s);
  if (dice < 660) return create_consumer(c, s);
  if (dice < 980) return use_consumer(c, s);
  if (dice < 990) return c.stall(static_cast<Nanos>(prng_.below(300)) * kMillisecond);
  if (dice < 995) return c.disconnect();
  if (dice > 996 && options_.cluster) return cancel_move(c, s);
  call(c, "$JS.API.STREAM.INFO." + s.settings.name, "", [](const ApiReply*) {});
}

void Workload::call(SimClient& c, const std::string& subject, const std::string& body, Done done) {
  ++in_flight_;
  c.request(subject, "", body, kRequestTimeout,
            [this, subject, done = std::move(done)](Answer a, const Delivered& m) {
              --in_flight_;
              if (a != Answer::kReply) return done(nullptr);
              auto r = parse_reply(m, verdict_);
              if (!r) return;
              if (r->err_code) {
                events_.add(subject + ": error " + std::to_string(r->err_code) + " " +
                            r->text({"error", "description"}));
              }
              done(&*r);
            });
}

StreamHistory* Workload::stream_named(const std::string& name) {
  for (auto& s : streams_) {
    if (s.settings.name == name) return &s;
  }
  return nullptr;
}

// ---- streams ---------------------------------------------------------------------------------

StreamSettings Workload::random_settings(const std::string& name) {
  StreamSettings s;
  s.name = name;
  s.file = options_.cluster ? prng_.chance(2, 3) : prng_.chance(5, 6);
  if (options_.cluster) {
    s.replicas = options_.replicas[prng_.below(options_.replicas.size())];
    if (!options_.memory) s.file = true;
  }
  s.work_queue = prng_.chance(1, 4);
  s.discard_new = prng_.chance(1, 4);
  s.allow_direct = !prng_.chance(1, 5);
  if (prng_.chance(1, 4)) s.max_msgs = static_cast<std::int64_t>(prng_.between(5, 300));
  if (prng_.chance(1, 5)) s.max_bytes = static_cast<std::int64_t>(prng_.between(3000, 60'000));
  if (prng_.chance(1, 4)) s.max_msgs_per_subject = static_cast<std::int64_t>(prng_.between(1, 30));
  if (prng_.chance(1, 6)) s.max_age = static_cast<Nanos>(prng_.between(1, 10)) * kSecond;
  if (s.max_age) s.duplicate_window = s.max_age;
  return s;
}

void Workload::create_stream(SimClient& c, StreamHistory& s) {
  s.life = StreamHistory::Life::kCreating;
  StreamSettings wanted = random_settings(s.settings.name);
  s.reset(wanted);
  auto ask = std::make_shared<std::function<void()>>();
  *ask = [this, &c, &s, wanted, weak = std::weak_ptr(ask)] {
    auto again = [this, &c, keep = weak.lock()] {
      ++in_flight_;
      c.loop().at(c.loop().now() + 50 * kMillisecond, [this, keep] {
        --in_flight_;
        (*keep)();
      });
    };
    call(c, "$JS.API.STREAM.CREATE." + wanted.name, wanted.json(),
         [&s, again, wanted, this](const ApiReply* r) {
           if (!r && s.lost) return retire(s, false);
           if (r && r->err_code == kInvalidConfig) {
             s.life = StreamHistory::Life::kNone;  // another one then
             return;
           }
           if (!r) s.unanswered = true;
           if (!r || r->code) return again();
           if (options_.cluster && !s.file_or_replicated()) {
             homes_[wanted.name] = r->text({"cluster", "leader"});
             // Otherwise nobody knows when it begins anew.
             const std::string& home = homes_[wanted.name];
             s.lost = s.lost || home.empty() || home == removed_;
             if (s.lost) homes_.erase(wanted.name);
           }
           if (r->text({"config", "name"}) != wanted.name) verdict_.fail("created stream has another name");
           s.life = StreamHistory::Life::kLive;
           events_.add("stream created: " + wanted.json());
         });
  };
  (*ask)();
}

void Workload::delete_stream(SimClient& c, StreamHistory& s) {
  s.life = StreamHistory::Life::kDeleting;
  std::string name = s.settings.name;
  auto ask = std::make_shared<std::function<void()>>();
  *ask = [this, &c, &s, name, weak = std::weak_ptr(ask)] {
    auto again = [this, &c, keep = weak.lock()] {
      ++in_flight_;
      c.loop().at(c.loop().now() + 50 * kMillisecond, [this, keep] {
        --in_flight_;
        (*keep)();
      });
    };
    call(c, "$JS.API.STREAM.DELETE." + name, "", [this, &s, name, again](const ApiReply* r) {
      if (!r) s.unanswered = true;
      if (!r || (r->code && r->err_code != kNoSuchStream)) return again();
      drop_consumers(name);
      retire(s, true);
      events_.add("stream deleted: " + name);
    });
  };
  (*ask)();
}

void Workload::update_stream(SimClient& c, StreamHistory& s) {
  if (s.uncertain()) return;  // one at a time, so that the order is known
  StreamSettings to = s.settings;
  if (to.max_msgs > 0) to.max_msgs = static_cast<std::int64_t>(prng_.between(5, 300));
  if (to.max_bytes > 0) to.max_bytes = static_cast<std::int64_t>(prng_.between(3000, 60'000));
  if (to.max_msgs_per_subject > 0) to.max_msgs_per_subject = static_cast<std::int64_t>(prng_.between(1, 30));
  if (options_.cluster && !hold_replicas_ && s.file_or_replicated() && prng_.chance(1, 2)) {
    replicate_elsewhere(to);
    s.moved = s.moved || to.replicas != s.settings.replicas || to.tag != s.settings.tag;
  }
  s.changing(to);
  unsigned life = s.incarnation;
  call(c, "$JS.API.STREAM.UPDATE." + to.name, to.json(), [this, &s, to, life](const ApiReply* r) {
    if (options_.cluster && r && r->code && r->code != 503 && s.incarnation == life) s.changed(s.settings);
    if (!r || r->code || s.incarnation != life || s.life != StreamHistory::Life::kLive || s.lost) return;
    if (r->number({"config", "max_age"}) != static_cast<std::uint64_t>(to.max_age))
      verdict_.fail("updated stream has another max_age");
    s.changed(to);
  });
}

// Another number of replicas, or another half of the nodes, or both.
void Workload::replicate_elsewhere(StreamSettings& to) {
  if (prng_.chance(1, 2)) to.replicas = options_.replicas[prng_.below(options_.replicas.size())];
  if (!to.file) to.replicas = std::max(to.replicas, 3);  // what one node remembers has rules of its own
  if (prng_.chance(1, 2)) to.tag = prng_.chance(1, 2) ? "low" : "high";
  events_.add(to.name + " should have " + std::to_string(to.replicas) + " replicas on " +
              (to.tag.empty() ? "any" : to.tag) + " nodes");
}

// Back to where it was before its replicas began to move, if they still do.
void Workload::cancel_move(SimClient& c, StreamHistory& s) {
  if (hold_replicas_ || s.uncertain() || !s.file_or_replicated()) return;
  s.moved = true;
  s.changing(s.settings);
  unsigned life = s.incarnation;
  call(c, "$JS.API.STREAM.CANCEL_MOVE." + s.settings.name, "", [this, &s, life](const ApiReply* r) {
    if (!r || r->code == 503 || s.incarnation != life || s.life != StreamHistory::Life::kLive || s.lost)
      return;
    StreamSettings to = s.settings;
    if (r->code == 0) {
      to.replicas = static_cast<int>(r->number({"config", "num_replicas"}));
      const auto* placement = r->body->find("config") ? r->body->find("config")->find("placement") : nullptr;
      const auto* tags = placement ? placement->find("tags") : nullptr;
      to.tag = tags && tags->array() && !tags->array()->empty() ? *tags->array()->front().string() : "";
      events_.add(to.name + " goes back to " + std::to_string(to.replicas) + " replicas on " +
                  (to.tag.empty() ? "any" : to.tag) + " nodes");
    }
    s.changed(to);
  });
}

// Of a stream that can have as many elsewhere.
void Workload::remove_peer(SimClient& c, StreamHistory& s) {
  if (hold_replicas_ || s.uncertain() || static_cast<unsigned>(s.settings.replicas) >= options_.nodes) return;
  if (!s.settings.tag.empty() || !s.file_or_replicated()) return;
  s.moved = true;
  std::string peer = "n" + std::to_string(prng_.below(options_.nodes));
  events_.add("removing " + peer + " from " + s.settings.name);
  call(c, "$JS.API.STREAM.PEER.REMOVE." + s.settings.name, "{\"peer\":\"" + peer + "\"}",
       [](const ApiReply*) {});
}

void Workload::drop_consumers(const std::string& stream) {
  for (auto it = consumers_.begin(); it != consumers_.end();) {
    if (it->second.settings.stream != stream) {
      ++it;
      continue;
    }
    if (it->second.subscription) clients_[it->second.owner]->unsubscribe(it->second.subscription);
    it = consumers_.erase(it);
  }
}

void Workload::step_down(SimClient& c, StreamHistory& s) {
  call(c, "$JS.API.STREAM.LEADER.STEPDOWN." + s.settings.name, "", [](const ApiReply*) {});
}

// A request whose answer did not come may be carried out at any later time, from a connection that a
// partition held: the next stream of this history then has another name. In a cluster always: the node that
// leads a stream may hear of its end later than who deleted it, and takes messages until then.
void Workload::retire(StreamHistory& s, bool clean) {
  if (!clean) drop_consumers(s.settings.name);
  s.life = StreamHistory::Life::kNone;
  if (options_.cluster || s.unanswered || s.uncertain() || s.lost || !clean) {
    std::string base = s.settings.name.substr(0, s.settings.name.find('x'));
    s.settings.name = base + "x" + std::to_string(next_life_++);
  }
  s.unanswered = s.lost = s.moved = false;
}

void Workload::disk_lost(const std::function<bool(const StreamHistory&)>& only_there) {
  for (auto& s : streams_) {
    if (s.life == StreamHistory::Life::kNone || s.lost || !only_there(s)) continue;
    events_.add("stream " + s.settings.name + " had its only replica there");
    s.lost = true;
    drop_consumers(s.settings.name);
  }
}

void Workload::memory_lost(const std::function<bool(const StreamHistory&)>& forgot) {
  for (auto& s : streams_) {
    if (s.life == StreamHistory::Life::kNone || s.lost || s.settings.file || s.settings.replicas == 1)
      continue;
    if (!forgot(s)) continue;
    events_.add("stream " + s.settings.name + " has no majority left that remembers");
    s.lost = true;
    drop_consumers(s.settings.name);
  }
}

// What only it has in memory goes to another node, or is lost before: nobody knows which.
void Workload::node_removed(const std::string& name) {
  removed_ = name;
  for (auto& s : streams_) {
    bool may_leave = s.life != StreamHistory::Life::kNone && !s.lost && !s.file_or_replicated();
    if (!may_leave || homes_[s.settings.name] != name) continue;
    homes_.erase(s.settings.name);
    events_.add("stream " + s.settings.name + " was in its memory only");
    s.lost = true;
    drop_consumers(s.settings.name);
  }
}

void Workload::rested() {
  removed_.clear();
  for (auto& s : streams_) s.moved = false;
}

void Workload::probe(SimClient& c, StreamHistory& s, Nanos timeout, std::function<void(bool)> done) {
  Attempt a;
  a.id = next_attempt_++;
  a.stream = static_cast<unsigned>(&s - streams_.data());
  a.incarnation = s.incarnation;
  a.subject = subject_of(s);
  a.payload = "m" + std::to_string(a.id) + ".probe";
  a.first_sent = now();
  a.sends = a.unknown = 1;
  std::uint64_t id = a.id;
  attempts_.emplace(id, std::move(a));
  const Attempt& sent = attempts_.at(id);
  ++in_flight_;
  c.request(sent.subject, "", sent.payload, timeout,
            [this, &s, id, floor = s.floor(), done = std::move(done)](Answer answer, const Delivered& m) {
              --in_flight_;
              published(s, id, floor, answer, m);
              bool yes = false;
              if (answer == Answer::kReply) {
                auto r = parse_reply(m, verdict_);
                // A full stream refuses with 503 and 10077: it works.
                yes = r && (r->code != 503 || r->err_code == 10077);
              }
              done(yes);
            });
}

void Workload::node_started(const std::string& name) {
  for (auto& s : streams_) {
    if (s.settings.file || s.life != StreamHistory::Life::kLive) continue;
    if (options_.cluster && (s.settings.replicas > 1 || homes_[s.settings.name] != name)) continue;
    drop_consumers(s.settings.name);
    s.forgotten();
  }
}

// ---- publishes -------------------------------------------------------------------------------

std::string Workload::subject_of(const StreamHistory& s) {
  return s.settings.name + ".k" + std::to_string(prng_.below(options_.subjects));
}

void Workload::publish_some(SimClient& c, StreamHistory& s) {
  if (!retry_.empty() && prng_.chance(1, 2)) {
    std::uint64_t id = retry_.back();
    retry_.pop_back();
    const Attempt& a = attempts_.at(id);
    StreamHistory& of = streams_[a.stream];
    bool in_time = now() - a.first_sent < of.settings.duplicate_window / 2;
    if (in_time && of.incarnation == a.incarnation && of.life == StreamHistory::Life::kLive) send(c, id);
    return;
  }
  std::uint64_t n = prng_.between(1, options_.burst_max);
  for (std::uint64_t i = 0; i < n; ++i) publish_new(c, s);
}

void Workload::publish_new(SimClient& c, StreamHistory& s) {
  Attempt a;
  a.id = next_attempt_++;
  a.stream = static_cast<unsigned>(&s - streams_.data());
  a.incarnation = s.incarnation;
  a.subject = subject_of(s);
  a.payload = "m" + std::to_string(a.id) + ".";
  std::size_t fill = prng_.chance(1, 60) ? options_.payload_max * 12 : options_.payload_max;
  a.payload.append(prng_.below(fill), static_cast<char>('a' + a.id % 26));
  a.first_sent = now();
  std::string lines;
  if (prng_.chance(3, 10)) {
    a.msg_id = "id-" + std::to_string(a.id);
    lines += "Nats-Msg-Id: " + a.msg_id + "\r\n";
  } else if (prng_.chance(1, 12) && !s.content().empty()) {
    a.expected_last = s.content().rbegin()->first;
    lines += "Nats-Expected-Last-Sequence: " + std::to_string(*a.expected_last) + "\r\n";
  } else if (prng_.chance(1, 10)) {
    const auto& content = s.content();
    auto newest = std::find_if(content.rbegin(), content.rend(),
                               [&](const auto& m) { return attempts_.at(m.second).subject == a.subject; });
    std::uint64_t last = newest == content.rend() ? 0 : newest->first;
    a.expected_subject_last = last;
    lines += "Nats-Expected-Last-Subject-Sequence: " + std::to_string(last) + "\r\n";
  } else if (prng_.chance(1, 8)) {
    lines += "X-Number: " + std::to_string(a.id) + "\r\n";
  }
  if (!lines.empty()) a.headers = "NATS/1.0\r\n" + lines + "\r\n";
  std::uint64_t id = a.id;
  attempts_.emplace(id, std::move(a));
  ++counts.publishes;
  send(c, id);
}

void Workload::send(SimClient& c, std::uint64_t attempt) {
  if (!c.connected()) return;
  Attempt& a = attempts_.at(attempt);
  StreamHistory& s = streams_[a.stream];
  ++a.sends;
  ++a.unknown;
  ++in_flight_;
  c.request(a.subject, a.headers, a.payload, kRequestTimeout,
            [this, &s, attempt, floor = s.floor()](Answer answer, const Delivered& m) {
              --in_flight_;
              published(s, attempt, floor, answer, m);
            });
}

void Workload::published(StreamHistory& s, std::uint64_t attempt, std::uint64_t floor, Answer answer,
                         const Delivered& m) {
  Attempt& a = attempts_.at(attempt);
  if (answer != Answer::kReply) {
    ++counts.unknown;
    if (!a.msg_id.empty()) retry_.push_back(attempt);
    return;
  }
  auto r = parse_reply(m, verdict_);
  if (!r) return;
  if (r->code) {
    // An answer that says 503 may speak of a group that stopped with the entry on its way.
    if (r->code == 503 && r->err_code) return;
    --a.unknown;
    a.refused = !a.acked;
    return;
  }
  // Of an earlier life of the stream: the one that took it may have been deleted since, or be the one of now.
  if (a.incarnation == s.incarnation) --a.unknown;
  ++counts.acked;
  // Sent again because its first answer was lost: the same acknowledgement comes twice.
  if (!a.msg_id.empty() && prng_.chance(1, 10)) retry_.push_back(attempt);
  if (s.life == StreamHistory::Life::kLive && !s.lost) {
    if (a.incarnation == s.incarnation && r->text({"stream"}) != s.settings.name)
      verdict_.fail("a PubAck of another stream");
    s.acked(a, r->number({"seq"}), r->flag("duplicate"), floor, now());
  }
}

// ---- reads and removals ----------------------------------------------------------------------

void Workload::read(SimClient& c, StreamHistory& s) {
  std::uint64_t last = s.content().empty() ? 1 : s.content().rbegin()->first;
  std::string body = "{\"seq\":" + std::to_string(prng_.between(1, last + 2)) + "}";
  if (prng_.chance(1, 3)) body = "{\"last_by_subj\":\"" + subject_of(s) + "\"}";
  unsigned life = s.incarnation;
  if (!s.settings.allow_direct || prng_.chance(1, 2)) {
    return call(c, "$JS.API.STREAM.MSG.GET." + s.settings.name, body, [this, &s, life](const ApiReply* r) {
      if (!r || s.incarnation != life || s.life != StreamHistory::Life::kLive || s.lost) return;
      if (r->err_code == kNoMessage || r->code) return;
      auto m = message_of(*r);
      if (!m) return verdict_.fail("MSG.GET without a message");
      s.seen("get:", *m, attempts_, now());
    });
  }
  ++in_flight_;
  c.request(
      "$JS.API.DIRECT.GET." + s.settings.name, "", body, kRequestTimeout,
      [this, &s, life](Answer a, const Delivered& d) {
        --in_flight_;
        if (a != Answer::kReply || s.incarnation != life || s.life != StreamHistory::Life::kLive || s.lost)
          return;
        if (d.status() != 0) return;
        auto m = message_of_direct(d);
        if (!m) return verdict_.fail("a direct get without its headers");
        if (options_.cluster && s.of_earlier_life(*m, attempts_)) return;  // a node behind the others
        s.seen("direct get:", *m, attempts_, now());
      });
}

void Workload::delete_message(SimClient& c, StreamHistory& s) {
  if (s.content().empty()) return;
  auto it = s.content().lower_bound(prng_.between(1, s.content().rbegin()->first));
  std::uint64_t seq = it->first;
  s.delete_sent(seq);
  unsigned life = s.incarnation;
  call(c, "$JS.API.STREAM.MSG.DELETE." + s.settings.name, "{\"seq\":" + std::to_string(seq) + "}",
       [this, &s, seq, life](const ApiReply* r) {
         if (!r || s.incarnation != life || s.life != StreamHistory::Life::kLive || s.lost) return;
         if (!r->code || r->err_code == kNoSequence) s.delete_confirmed(seq);
       });
}

void Workload::purge(SimClient& c, StreamHistory& s) {
  std::string subject, body;
  bool partial = prng_.chance(1, 2);
  if (prng_.chance(1, 2)) subject = subject_of(s);
  if (!subject.empty()) body = "\"filter\":\"" + subject + "\"";
  if (partial)
    body += std::string(body.empty() ? "" : ",") + "\"keep\":" + std::to_string(prng_.between(1, 20));
  std::size_t n = s.purge_sent(subject, partial, now());
  unsigned life = s.incarnation;
  call(c, "$JS.API.STREAM.PURGE." + s.settings.name, "{" + body + "}",
       [this, &s, n, life](const ApiReply* r) {
         if (!r || s.incarnation != life) return;
         s.purge_ended(n, r->code == 0, now());
       });
}

}  // namespace weir::sim
