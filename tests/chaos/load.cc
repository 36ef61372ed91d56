// weir-chaos-load: load for tools/chaos, through the stock C client. Writes down what it was told.
//
// Usage:   weir-chaos-load HISTORY SEED RATE URL[,URL...]
// Streams (made by chaos.py): LOAD and SOLO (limits; consumer "worker" on LOAD), QUEUE (work queue; consumer
//          "hands"), KV_REG (registers). Each worker has one connection and one file HISTORY/<worker>.log.
// Control: a line "stop" on stdin ends the publishers, lets the consumers drain, then ends the process.
// History: one event per line, times in microseconds of the monotonic clock (the one Python sees, too):
//          A stream id seq first_sent acked tries dup     a publish acknowledged (again)
//          U stream id first_sent tries                   never acknowledged until the end
//          D stream fetch_sent received seq delivered id  a message received; the inbox is new in each fetch
//          C stream seq sent confirmed                    its acknowledgement confirmed
//          T stream seq sent                              acknowledged, confirmation not seen
//          W key expected value sent done result seq      compare-and-set: ok, wrong, unknown
//          R key sent done seq value                      read from the leader; value in base64
//          N node first_sent acked                        a probe through this one node acknowledged
//          E what count                                   errors that clients saw
#include <nats/nats.h>
#include <zlib.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Micros = std::int64_t;

Micros now() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}
void sleep_ms(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

constexpr Micros kSecond = 1'000'000;
constexpr Micros kResendAfter = 1 * kSecond;
constexpr Micros kRefusedPause = 50'000;
constexpr Micros kFinishPublishing = 60 * kSecond;
constexpr Micros kFinishConsuming = 90 * kSecond;
constexpr std::size_t kWindow = 64;
constexpr int kFetch = 50;
constexpr int kKeys = 6;

std::atomic<bool> stopping{false};
std::atomic<int> publishing{0};  // publishers that are not done

/// The file of one worker.
class History {
 public:
  History(const std::string& folder, const std::string& worker)
      : file_(std::fopen((folder + "/" + worker + ".log").c_str(), "w")) {
    if (!file_) std::exit(2);
  }
  History(const History&) = delete;
  ~History() {
    for (const auto& [what, n] : errors_) std::fprintf(file_, "E %s %" PRIu64 "\n", what.c_str(), n);
    std::fclose(file_);
  }
  template <class... Args>
  void line(const char* format, Args... args) {
    std::fprintf(file_, format, args...);
    if (Micros t = now(); t - flushed_ > 100'000) {
      std::fflush(file_);
      flushed_ = t;
    }
  }
  void error(std::string what) {
    for (char& c : what) {
      if (c == ' ') c = '_';
    }
    ++errors_[what];
  }

 private:
  std::FILE* file_;
  Micros flushed_ = 0;
  std::map<std::string, std::uint64_t> errors_;
};

struct Common {
  std::string history;
  unsigned seed;
  int rate;
  std::vector<std::string> urls;
};

/// A connection as stock clients make it; it goes on trying for ever.
natsConnection* connect(const std::vector<std::string>& urls, bool pinned) {
  std::vector<const char*> servers;
  for (const auto& u : urls) servers.push_back(u.c_str());
  while (true) {
    natsOptions* o = nullptr;
    natsOptions_Create(&o);
    natsOptions_SetServers(o, servers.data(), static_cast<int>(servers.size()));
    natsOptions_SetIgnoreDiscoveredServers(o, true);  // addresses of the namespaces are all given
    natsOptions_SetTimeout(o, 1000);
    natsOptions_SetMaxReconnect(o, -1);
    natsOptions_SetReconnectWait(o, 200);
    natsOptions_SetReconnectJitter(o, 50, 50);
    natsOptions_SetPingInterval(o, 2000);
    natsOptions_SetMaxPingsOut(o, 2);
    if (pinned) natsOptions_SetAllowReconnect(o, false);
    natsConnection* c = nullptr;
    natsStatus s = natsConnection_Connect(&c, o);
    natsOptions_Destroy(o);
    if (s == NATS_OK) return c;
    if (stopping && pinned) return nullptr;
    sleep_ms(100);
  }
}

std::vector<std::string> rotated(std::vector<std::string> urls, std::size_t by) {
  for (std::size_t i = 0; i < by % urls.size(); ++i) {
    urls.push_back(urls.front());
    urls.erase(urls.begin());
  }
  return urls;
}

/// The number behind "key": in a JSON text, or -1.
std::int64_t json_number(const std::string& text, const char* key) {
  std::string k = std::string("\"") + key + "\":";
  auto at = text.find(k);
  if (at == std::string::npos) return -1;
  return std::strtoll(text.c_str() + at + k.size(), nullptr, 10);
}
std::string json_text(const std::string& text, const char* key) {
  std::string k = std::string("\"") + key + "\":";
  auto at = text.find(k);
  if (at == std::string::npos) return {};
  at = text.find('"', at + k.size());
  if (at == std::string::npos) return {};
  return text.substr(at + 1, text.find('"', at + 1) - at - 1);
}

struct Reply {
  bool refused = false;  // an error, or nobody there
  std::string status;    // of the header, e.g. 503
  std::string text;
};
Reply take(natsMsg* m) {
  Reply r;
  r.text.assign(natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m)));
  const char* status = nullptr;
  if (natsMsgHeader_Get(m, "Status", &status) == NATS_OK && status) r.status = status;
  r.refused = !r.status.empty() || r.text.find("\"error\"") != std::string::npos;
  return r;
}
std::string reason(const Reply& r) {
  if (!r.status.empty()) return "status_" + r.status;
  return std::to_string(json_number(r.text, "err_code")) + "_" + json_text(r.text, "description");
}

/// "<id> <crc of filler> <filler>": shows by itself whether it was altered.
std::string body_of(const std::string& id, std::mt19937& rng) {
  static const std::string pool = [] {
    std::string p(1 << 17, ' ');
    std::mt19937 r(7);
    for (char& c : p) c = static_cast<char>(r());
    return p;
  }();
  std::size_t size = 80 + rng() % 200;
  if (rng() % 20 == 0) size = 1000 + rng() % 7000;
  if (rng() % 200 == 0) size = 40'000 + rng() % 20'000;
  const char* from = pool.data() + rng() % (pool.size() - size);
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(from), static_cast<uInt>(size));
  char head[64];
  std::snprintf(head, sizeof head, " %08lx ", static_cast<unsigned long>(crc));
  return id + head + std::string(from, size);
}

// ---- publishers --------------------------------------------------------------------------------

class Publisher {
 public:
  Publisher(const Common& c, std::string stream, std::string subject, int number, int rate)
      : stream_(std::move(stream)),
        subject_(std::move(subject)),
        name_(stream_ + "-p" + std::to_string(number)),
        rate_(rate),
        history_(c.history, name_),
        rng_(c.seed * 31 + static_cast<unsigned>(number) + static_cast<unsigned char>(stream_[0])),
        connection_(connect(rotated(c.urls, static_cast<std::size_t>(number)), false)) {
    natsInbox* inbox = nullptr;
    natsInbox_Create(&inbox);
    inbox_ = inbox;
    natsInbox_Destroy(inbox);
    natsConnection_SubscribeSync(&acks_, connection_, (inbox_ + ".*").c_str());
    natsSubscription_SetPendingLimits(acks_, -1, -1);
  }

  void run() {
    Micros began = now(), end = 0;
    while (true) {
      Micros t = now();
      if (stopping && end == 0) end = t + kFinishPublishing;
      if (end && (open_.empty() || t > end)) break;
      if (!end) fill(t, began);
      collect();
      resend();
    }
    for (const auto& [n, p] : open_) {
      history_.line("U %s %s %" PRId64 " %d\n", stream_.c_str(), id(n).c_str(), p.first, p.tries);
    }
    natsSubscription_Destroy(acks_);
    natsConnection_Destroy(connection_);
    --publishing;
  }

 private:
  struct Open {
    std::string body;
    Micros first = 0, due = 0;  // due: when it is sent again
    int tries = 0;
  };
  std::string id(std::int64_t n) const { return name_ + "." + std::to_string(n); }

  void fill(Micros t, Micros began) {
    std::int64_t allowed = (t - began) * rate_ / kSecond;
    // What could not be sent in an outage is not made up for.
    if (allowed - next_ > rate_) next_ += allowed - next_ - rate_, skipped_to_ = next_;
    while (open_.size() < kWindow && next_ < allowed) {
      std::int64_t n = ++next_;
      Open& p = open_[n];
      p.body = body_of(id(n), rng_);
      p.first = t;
      first_[n] = t;
      send(n, p);
    }
    while (first_.size() > 20'000) first_.erase(first_.begin());
  }

  void send(std::int64_t n, Open& p) {
    natsMsg* m = nullptr;
    natsMsg_Create(&m, subject_.c_str(), (inbox_ + "." + std::to_string(n)).c_str(), p.body.data(),
                   static_cast<int>(p.body.size()));
    natsMsgHeader_Set(m, "Nats-Msg-Id", id(n).c_str());
    natsStatus s = natsConnection_PublishMsg(connection_, m);
    natsMsg_Destroy(m);
    if (s != NATS_OK) history_.error(std::string("publish_") + natsStatus_GetText(s));
    ++p.tries;
    p.due = now() + kResendAfter;
  }

  void collect() {
    for (int i = 0; i < 256; ++i) {
      natsMsg* m = nullptr;
      if (natsSubscription_NextMsg(&m, acks_, i == 0 ? 2 : 0) != NATS_OK) {
        if (i == 0) sleep_ms(1);
        return;
      }
      std::string subject = natsMsg_GetSubject(m);
      std::int64_t n = std::strtoll(subject.c_str() + inbox_.size() + 1, nullptr, 10);
      Reply r = take(m);
      natsMsg_Destroy(m);
      answered(n, r);
    }
  }

  void answered(std::int64_t n, const Reply& r) {
    auto it = open_.find(n);
    if (r.refused) {
      history_.error(reason(r));
      if (it != open_.end()) it->second.due = std::min(it->second.due, now() + kRefusedPause);
      return;
    }
    auto first = first_.find(n);
    history_.line("A %s %s %" PRId64 " %" PRId64 " %" PRId64 " %d %d\n", stream_.c_str(), id(n).c_str(),
                  json_number(r.text, "seq"), first == first_.end() ? Micros{0} : first->second, now(),
                  it == open_.end() ? 0 : it->second.tries,
                  r.text.find("\"duplicate\":true") != std::string::npos ? 1 : 0);
    if (it != open_.end()) open_.erase(it);
  }

  void resend() {
    Micros t = now();
    if (t < resend_look_) return;
    resend_look_ = t + 20'000;
    for (auto& [n, p] : open_) {
      if (p.due < t) send(n, p);
    }
  }

  const std::string stream_, subject_, name_;
  const int rate_;
  History history_;
  std::mt19937 rng_;
  natsConnection* connection_;
  natsSubscription* acks_ = nullptr;
  std::string inbox_;
  std::int64_t next_ = 0, skipped_to_ = 0;
  std::map<std::int64_t, Open> open_;
  std::map<std::int64_t, Micros> first_;
  Micros resend_look_ = 0;
};

// ---- consumers ---------------------------------------------------------------------------------

class Consumer {
 public:
  Consumer(const Common& c, std::string stream, std::string durable, int number)
      : stream_(std::move(stream)),
        name_(stream_ + "-c" + std::to_string(number)),
        history_(c.history, name_),
        next_("$JS.API.CONSUMER.MSG.NEXT." + stream_ + "." + durable),
        rng_(c.seed * 37 + static_cast<unsigned>(number)),
        connection_(connect(rotated(c.urls, static_cast<std::size_t>(number) + 1), false)) {
    natsInbox* inbox = nullptr;
    natsInbox_Create(&inbox);
    inbox_ = inbox;
    natsInbox_Destroy(inbox);
    natsConnection_SubscribeSync(&confirms_, connection_, (inbox_ + ".*").c_str());
  }

  /// Ends when the publishers are done and nothing came for longer than the consumer's ack_wait.
  void run() {
    Micros end = 0, last = now();
    while (true) {
      bool done = publishing == 0;
      if (done && end == 0) end = now() + kFinishConsuming, last = now();
      if (fetch(done) > 0) last = now();
      if (end && (now() > end || now() - last > 8 * kSecond)) break;
    }
    natsSubscription_Destroy(confirms_);
    natsConnection_Destroy(connection_);
  }

 private:
  struct Taken {
    std::uint64_t seq;
    std::string reply;
    Micros sent = 0;
  };

  // An inbox of its own per request: what arrives in it was sent because of this request.
  int fetch(bool draining) {
    natsInbox* inbox = nullptr;
    natsInbox_Create(&inbox);
    natsSubscription* sub = nullptr;
    if (natsConnection_SubscribeSync(&sub, connection_, inbox) != NATS_OK) {
      natsInbox_Destroy(inbox);
      sleep_ms(50);
      return 0;
    }
    Micros asked = now();
    std::string q = "{\"batch\":" + std::to_string(kFetch) + ",\"expires\":1000000000}";
    natsConnection_PublishRequest(connection_, next_.c_str(), inbox, q.data(), static_cast<int>(q.size()));
    std::vector<Taken> taken;
    int got = 0;
    while (got < kFetch) {
      natsMsg* m = nullptr;
      if (natsSubscription_NextMsg(&m, sub, 1500) != NATS_OK) break;
      bool over = !received(m, asked, draining, taken);
      natsMsg_Destroy(m);
      if (over) break;
      ++got;
    }
    natsSubscription_Destroy(sub);
    natsInbox_Destroy(inbox);
    confirm(taken);
    return got;
  }

  // $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; with a domain and
  // an account hash before the stream, two tokens more.
  static bool parse_reply(const char* reply, std::uint64_t& delivered, std::uint64_t& seq) {
    std::vector<std::string> t;
    std::string part;
    for (const char* p = reply; *p; ++p) {
      if (*p == '.') {
        t.push_back(part);
        part.clear();
      } else {
        part += *p;
      }
    }
    t.push_back(part);
    std::size_t at = t.size() >= 11 ? 6 : 4;
    if (t.size() < 9) return false;
    delivered = std::strtoull(t[at].c_str(), nullptr, 10);
    seq = std::strtoull(t[at + 1].c_str(), nullptr, 10);
    return true;
  }

  bool received(natsMsg* m, Micros asked, bool draining, std::vector<Taken>& taken) {
    std::uint64_t delivered = 0, seq = 0;
    const char* reply = natsMsg_GetReply(m);
    if (!reply || !parse_reply(reply, delivered, seq)) {
      const char* status = nullptr;
      natsMsgHeader_Get(m, "Status", &status);
      if (status && std::strcmp(status, "408") != 0) history_.error(std::string("fetch_status_") + status);
      if (status && std::strcmp(status, "503") == 0) sleep_ms(50);
      return false;
    }
    const char* id = nullptr;
    natsMsgHeader_Get(m, "Nats-Msg-Id", &id);
    history_.line("D %s %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %s\n", stream_.c_str(), asked, now(),
                  seq, delivered, id ? id : "-");
    auto dice = rng_() % 100;
    if (!draining && dice < 2) return true;  // forgotten: comes again after ack_wait
    if (!draining && dice < 4) {
      natsConnection_PublishString(connection_, reply, "-NAK");
      return true;
    }
    taken.push_back({seq, reply});
    return true;
  }

  void confirm(std::vector<Taken>& taken) {
    std::map<std::int64_t, Taken*> waiting;
    for (Taken& t : taken) {
      waiting[++token_] = &t;
      t.sent = now();
      natsConnection_PublishRequest(connection_, t.reply.c_str(),
                                    (inbox_ + "." + std::to_string(token_)).c_str(), "+ACK", 4);
    }
    Micros end = now() + kSecond;
    while (!waiting.empty() && now() < end) {
      natsMsg* m = nullptr;
      if (natsSubscription_NextMsg(&m, confirms_, 100) != NATS_OK) continue;
      std::int64_t n = std::strtoll(natsMsg_GetSubject(m) + inbox_.size() + 1, nullptr, 10);
      Reply r = take(m);
      natsMsg_Destroy(m);
      auto it = waiting.find(n);
      if (it == waiting.end()) continue;
      if (r.refused) {
        history_.error("ack_" + reason(r));
        continue;
      }
      history_.line("C %s %" PRIu64 " %" PRId64 " %" PRId64 "\n", stream_.c_str(), it->second->seq,
                    it->second->sent, now());
      waiting.erase(it);
    }
    for (const auto& [n, t] : waiting) {
      history_.line("T %s %" PRIu64 " %" PRId64 "\n", stream_.c_str(), t->seq, t->sent);
    }
  }

  const std::string stream_, name_;
  History history_;
  const std::string next_;
  std::mt19937 rng_;
  natsConnection* connection_;
  natsSubscription* confirms_ = nullptr;
  std::string inbox_;
  std::int64_t token_ = 0;
};

// ---- registers and probes ----------------------------------------------------------------------

void registers(const Common& c, int number) {
  std::string name = "reg" + std::to_string(number);
  History history(c.history, name);
  std::mt19937 rng(c.seed * 41 + static_cast<unsigned>(number));
  natsConnection* nc = connect(rotated(c.urls, static_cast<std::size_t>(number)), false);
  std::vector<std::int64_t> known(kKeys, 0);
  for (std::int64_t n = 1; !stopping; ++n) {
    auto key = static_cast<std::size_t>(rng() % kKeys);
    std::string subject = "$KV.REG.k" + std::to_string(key);
    Micros sent = now();
    natsMsg* answer = nullptr;
    if (rng() % 2) {
      std::string q = "{\"last_by_subj\":\"" + subject + "\"}";
      natsStatus s =
          natsConnection_RequestString(&answer, nc, "$JS.API.STREAM.MSG.GET.KV_REG", q.c_str(), 1000);
      if (s == NATS_OK) {
        Reply r = take(answer);
        if (std::int64_t seq = r.refused ? -1 : json_number(r.text, "seq"); seq > 0) {
          known[key] = seq;
          history.line("R %zu %" PRId64 " %" PRId64 " %" PRId64 " %s\n", key, sent, now(), seq,
                       json_text(r.text, "data").c_str());
        } else if (json_number(r.text, "err_code") == 10037) {
          history.line("R %zu %" PRId64 " %" PRId64 " 0 -\n", key, sent, now());
        } else {
          history.error("get_" + reason(r));
        }
      } else {
        history.error(std::string("get_") + natsStatus_GetText(s));
      }
    } else {
      std::int64_t expected = known[key];
      std::string value = name + "." + std::to_string(n) + "/" + std::to_string(expected);
      natsMsg* m = nullptr;
      natsMsg_Create(&m, subject.c_str(), nullptr, value.data(), static_cast<int>(value.size()));
      natsMsgHeader_Set(m, "Nats-Expected-Last-Subject-Sequence", std::to_string(expected).c_str());
      natsStatus s = natsConnection_RequestMsg(&answer, nc, m, 1000);
      natsMsg_Destroy(m);
      const char* result = "unknown";
      std::int64_t seq = 0;
      if (s == NATS_OK) {
        Reply r = take(answer);
        if (!r.refused) {
          result = "ok";
          seq = known[key] = json_number(r.text, "seq");
        } else if (auto e = json_number(r.text, "err_code"); e == 10071 || e == 10164) {
          result = "wrong";
        } else {
          history.error("set_" + reason(r));
        }
      } else {
        history.error(std::string("set_") + natsStatus_GetText(s));
      }
      history.line("W %zu %" PRId64 " %s %" PRId64 " %" PRId64 " %s %" PRId64 "\n", key, expected,
                   value.c_str(), sent, now(), result, seq);
    }
    if (answer) natsMsg_Destroy(answer);
    sleep_ms(8);
  }
  natsConnection_Destroy(nc);
}

/// Through one node only, without a pool: when does this node take R3 publishes again?
void probe(const Common& c, int number) {
  std::string name = "probe" + std::to_string(number);
  History history(c.history, name);
  std::mt19937 rng(c.seed);
  natsConnection* nc = nullptr;
  for (std::int64_t n = 1; !stopping; ++n) {
    if (nc && natsConnection_IsClosed(nc)) {
      natsConnection_Destroy(nc);
      nc = nullptr;
    }
    if (!nc) nc = connect({c.urls[static_cast<std::size_t>(number)]}, true);
    if (!nc) return;
    std::string id = name + "." + std::to_string(n);
    std::string body = body_of(id, rng);
    natsMsg* m = nullptr;
    natsMsg* answer = nullptr;
    natsMsg_Create(&m, "load.probe", nullptr, body.data(), static_cast<int>(body.size()));
    natsMsgHeader_Set(m, "Nats-Msg-Id", id.c_str());
    Micros sent = now();
    natsStatus s = natsConnection_RequestMsg(&answer, nc, m, 300);
    natsMsg_Destroy(m);
    if (s == NATS_OK) {
      Reply r = take(answer);
      if (r.refused) {
        history.error("probe_" + reason(r));
      } else {
        history.line("A LOAD %s %" PRId64 " %" PRId64 " %" PRId64 " 1 0\n", id.c_str(),
                     json_number(r.text, "seq"), sent, now());
        history.line("N %d %" PRId64 " %" PRId64 "\n", number + 1, sent, now());
      }
      natsMsg_Destroy(answer);
    } else {
      history.error(std::string("probe_") + natsStatus_GetText(s));
    }
    sleep_ms(50);
  }
  natsConnection_Destroy(nc);
}

void run_all(const Common& c) {
  std::vector<std::thread> threads;
  publishing = 5;
  auto publisher = [&](const char* stream, std::string subject, int n, int rate) {
    threads.emplace_back([&c, stream, subject, n, rate] { Publisher(c, stream, subject, n, rate).run(); });
  };
  for (int n = 0; n < 3; ++n) publisher("LOAD", "load." + std::to_string(n), n, c.rate / 4);
  publisher("QUEUE", "work.0", 1, c.rate / 4);
  publisher("SOLO", "solo.0", 2, c.rate / 8 + 1);
  for (int n = 0; n < 2; ++n) {
    threads.emplace_back([&c, n] { Consumer(c, "LOAD", "worker", n).run(); });
    threads.emplace_back([&c, n] { Consumer(c, "QUEUE", "hands", n).run(); });
  }
  for (int n = 0; n < 4; ++n) threads.emplace_back([&c, n] { registers(c, n); });
  for (std::size_t n = 0; n < c.urls.size(); ++n) {
    threads.emplace_back([&c, n] { probe(c, static_cast<int>(n)); });
  }
  char line[64];
  while (std::fgets(line, sizeof line, stdin)) {
    if (std::strncmp(line, "stop", 4) == 0) break;
  }
  stopping = true;
  for (auto& t : threads) t.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: weir-chaos-load HISTORY SEED RATE URL[,URL...]\n");
    return 2;
  }
  Common c;
  c.history = argv[1];
  c.seed = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
  c.rate = std::atoi(argv[3]);
  std::string url;
  for (const char* p = argv[4];; ++p) {
    if (*p == ',' || *p == 0) {
      c.urls.push_back(url);
      url.clear();
      if (*p == 0) break;
    } else {
      url += *p;
    }
  }
  nats_Open(-1);
  run_all(c);
  nats_Close();
  return 0;
}
