#include "tests/sim/auditor.h"

namespace weir::sim {

namespace {
constexpr Nanos kAnswerLimit = 5 * kSecond;
constexpr Nanos kStableLimit = 60 * kSecond;
constexpr Nanos kDrainLimit = 120 * kSecond;
constexpr int kNoMessage = 10037;

bool same(const StreamState& a, const StreamState& b) {
  return a.messages == b.messages && a.first == b.first && a.last == b.last && a.bytes == b.bytes;
}
}  // namespace

Auditor::Auditor(env::testing::SimTime& time, SimNet& net, const std::vector<env::Endpoint>& servers,
                 unsigned number, Verdict& verdict, EventLog& events, RunUntil run_until)
    : time_(time),
      verdict_(verdict),
      events_(events),
      run_until_(std::move(run_until)),
      client_(time, net, number, servers, servers.size() > 1 ? kSecond : 0) {}

bool Auditor::connect() {
  client_.connect();
  if (run_until_([this] { return client_.connected(); }, 30 * kSecond)) return true;
  verdict_.fail("liveness: the auditor cannot connect");
  return false;
}

std::optional<ApiReply> Auditor::call(const std::string& subject, const std::string& body) {
  std::optional<ApiReply> out;
  // A connection may still learn that it was reset before the world came to rest.
  for (int tries = 0; tries < 5 && !verdict_.failed(); ++tries) {
    if (!connect()) return std::nullopt;
    std::optional<Answer> answer;
    client_.request(subject, "", body, kAnswerLimit, [&](Answer a, const Delivered& m) {
      answer = a;
      if (a == Answer::kReply) out = parse_reply(m, verdict_);
    });
    (void)run_until_([&] { return answer.has_value(); }, kAnswerLimit + kSecond);
    if (answer == Answer::kReply && out && out->code == 503 && tries < 4) {
      (void)run_until_([] { return false; }, kSecond);  // a leader that has just begun
      continue;
    }
    if (answer == Answer::kReply) return out;
    if (answer != Answer::kDisconnected) break;
  }
  verdict_.fail("liveness: no answer to " + subject + " " + body);
  return std::nullopt;
}

std::optional<StreamState> Auditor::state_of(const std::string& stream) {
  auto r = call("$JS.API.STREAM.INFO." + stream, "");
  if (!r) return std::nullopt;
  if (r->code) {
    verdict_.fail("stream " + stream + " does not answer: " + std::to_string(r->err_code) + " " +
                  r->text({"error", "description"}));
    return std::nullopt;
  }
  StreamState s;
  s.messages = r->number({"state", "messages"});
  s.bytes = r->number({"state", "bytes"});
  s.first = r->number({"state", "first_seq"});
  s.last = r->number({"state", "last_seq"});
  s.deleted = r->number({"state", "num_deleted"});
  s.subjects = r->number({"state", "num_subjects"});
  return s;
}

// Reads all, and again while something (age, late acks) takes messages away under our eyes.
std::optional<Auditor::Picture> Auditor::read(const std::string& stream) {
  Mono began = time_.now();
  while (time_.now() - began < kStableLimit && !verdict_.failed()) {
    auto before = state_of(stream);
    if (!before) return std::nullopt;
    Picture p;
    std::uint64_t at = 1;
    while (!verdict_.failed()) {
      auto r = call("$JS.API.STREAM.MSG.GET." + stream,
                    "{\"seq\":" + std::to_string(at) + ",\"next_by_subj\":\">\"}");
      if (!r) return std::nullopt;
      if (r->err_code == kNoMessage) break;
      auto m = r->code ? std::nullopt : message_of(*r);
      if (!m || m->seq < at) {
        verdict_.fail("stream " + stream + " cannot be read at " + std::to_string(at) + ": " +
                      r->text({"error", "description"}));
        return std::nullopt;
      }
      at = m->seq + 1;
      p.messages[m->seq] = std::move(*m);
    }
    auto after = state_of(stream);
    if (!after) return std::nullopt;
    p.state = *after;
    if (same(*before, *after)) return p;
  }
  verdict_.fail("stream " + stream + " does not come to rest");
  return std::nullopt;
}

std::map<std::string, Auditor::Picture> Auditor::audit(Workload& w) {
  std::map<std::string, Picture> out;
  if (!connect()) return out;
  for (StreamHistory& s : w.streams()) {
    if (s.life != StreamHistory::Life::kLive || s.lost || verdict_.failed()) continue;
    auto p = read(s.settings.name);
    if (!p) continue;
    events_.add("audit of " + s.settings.name + ": " + std::to_string(p->state.messages) +
                " messages, last " + std::to_string(p->state.last));
    for (const auto& [seq, m] : p->messages) s.seen("stored:", m, w.attempts(), w.now());
    s.audit(p->state, p->messages, w.attempts(), time_.now());
    out[s.settings.name] = std::move(*p);
  }
  return out;
}

std::optional<ApiReply> Auditor::consumer_info(const ConsumerSettings& k) {
  auto r = call("$JS.API.CONSUMER.INFO." + k.stream + "." + k.name, "");
  if (!r) return std::nullopt;
  if (r->code && k.durable)
    verdict_.fail("consumer " + k.stream + "/" + k.name + " is gone: " + r->text({"error", "description"}));
  return r->code ? std::nullopt : r;
}

void Auditor::drain_one(Workload& w, const std::string& key) {
  const ConsumerSettings k = w.consumers().at(key).settings;
  Mono began = time_.now();
  while (!verdict_.failed()) {
    auto info = consumer_info(k);
    if (!info) return;
    std::uint64_t pending = info->number({"num_pending"}), unacked = info->number({"num_ack_pending"});
    if (pending == 0 && (unacked == 0 || k.max_deliver > 0)) return;
    if (time_.now() - began > kDrainLimit)
      return verdict_.fail("liveness: consumer " + key + " keeps " + std::to_string(pending) +
                           " pending and " + std::to_string(unacked) + " unacknowledged");
    bool ended = k.push;
    if (!k.push) w.pull(client_, key, 50, kSecond, true, [&ended] { ended = true; });
    (void)run_until_([&] { return ended && (!k.push || time_.now() - began > kSecond); }, 5 * kSecond);
    if (k.push) (void)run_until_([] { return false; }, kSecond);
  }
}

void Auditor::drain(Workload& w, const std::map<std::string, Picture>& before) {
  std::vector<std::string> keys;
  for (const auto& [key, h] : w.consumers()) {
    // Only what was read before: not of lost streams.
    if (h.ready && before.count(h.settings.stream)) keys.push_back(key);
  }
  for (const auto& key : keys) {
    if (verdict_.failed()) return;
    // A consumer that may give up on a message cannot be held to every one; max_ack_pending would jam it.
    const ConsumerHistory& h = w.consumers().at(key);
    if (h.settings.max_deliver > 0) continue;
    drain_one(w, key);
    auto picture = before.find(h.settings.stream);
    if (verdict_.failed() || !h.settings.durable || picture == before.end()) continue;
    StreamHistory* s = nullptr;
    for (auto& candidate : w.streams()) {
      if (candidate.settings.name == h.settings.stream) s = &candidate;
    }
    if (s->settings.max_age) continue;  // messages leave on their own meanwhile
    std::map<std::uint64_t, std::string> stored;
    for (const auto& [seq, m] : picture->second.messages) stored[seq] = m.subject;
    h.drained(stored);
  }
}

}  // namespace weir::sim
