#include "tests/sim/sim_client.h"

#include "broker/base/text.h"

namespace weir::sim {

namespace {
constexpr std::uint64_t kInboxSid = 1;
constexpr std::string_view kStatusLine = "NATS/1.0";

std::vector<std::string_view> words(std::string_view s) {
  std::vector<std::string_view> out;
  while (!s.empty()) {
    std::size_t space = s.find(' ');
    if (space != 0) out.push_back(s.substr(0, space));
    if (space == std::string_view::npos) break;
    s.remove_prefix(space + 1);
  }
  return out;
}
}  // namespace

int Delivered::status() const {
  std::string_view h = headers;
  if (!h.starts_with("NATS/1.0 ")) return 0;
  return static_cast<int>(parse_u64(h.substr(kStatusLine.size() + 1, 3)).value_or(0));
}

SimClient::SimClient(env::testing::SimTime& time, SimNet& net, unsigned number,
                     std::vector<env::Endpoint> servers, Nanos ping)
    : net_(net),
      loop_(time),
      host_(net, loop_, "10.1.0." + std::to_string(number + 1)),
      number_(number),
      servers_(std::move(servers)),
      ping_(ping),
      server_(number % servers_.size()),
      prng_(number + 77),
      inbox_("_INBOX.c" + std::to_string(number)) {}

SimClient::~SimClient() = default;

void SimClient::connect() {
  if (io_ || dialling_) return;
  dialling_ = true;
  host_.dial(servers_[server_], 2 * kSecond, [this](Result<std::unique_ptr<env::Connection>> c) {
    dialling_ = false;
    if (!c) return retry(20 * kMillisecond);
    pings_out_ = 0;
    if (ping_ > 0) arm_ping();
    io_ = std::move(*c);
    in_.clear();
    io_->start(this);
  });
}

void SimClient::stay_with(std::size_t server) {
  server_ = server;
  stays_ = true;
}

void SimClient::arm_ping() {
  loop_.cancel(ping_timer_);
  ping_timer_ = loop_.at(loop_.now() + ping_, [this] {
    if (!io_) return;
    if (++pings_out_ > 2) return disconnect();
    if (ready_) send("PING\r\n");
    arm_ping();
  });
}

void SimClient::retry(Nanos wait) {
  if (servers_.size() > 1 && !stays_) server_ = prng_.below(servers_.size());
  loop_.at(loop_.now() + wait + static_cast<Nanos>(prng_.below(100)) * kMillisecond, [this] { connect(); });
}

void SimClient::disconnect() {
  if (!io_) return;
  io_->close();
  lost();
}

void SimClient::closed(const std::string&) {
  lost();
}

void SimClient::lost() {
  // The connection object may be on the stack above us.
  loop_.post([dead = std::shared_ptr<env::Connection>(std::move(io_))] {});
  io_.reset();
  ready_ = false;
  auto gone = std::exchange(pending_, {});
  for (auto& [token, p] : gone) {
    loop_.cancel(p.timer);
    loop_.post([done = std::move(p.done)] { done(Answer::kDisconnected, {}); });
  }
  retry(5 * kMillisecond);
}

void SimClient::send(std::string text) {
  if (io_) io_->write({Bytes::copy_of(text)});
}

bool SimClient::publish(std::string_view subject, std::string_view reply, std::string_view headers,
                        std::string_view payload) {
  if (!ready_) return false;
  std::string out = headers.empty() ? "PUB " : "HPUB ";
  out += subject;
  if (!reply.empty()) out += " " + std::string(reply);
  if (!headers.empty()) out += " " + std::to_string(headers.size());
  out += " " + std::to_string(headers.size() + payload.size()) + "\r\n";
  out += headers;
  out += payload;
  out += "\r\n";
  send(std::move(out));
  return true;
}

void SimClient::request(std::string_view subject, std::string_view headers, std::string_view payload,
                        Nanos timeout, OnReply done) {
  if (!ready_) {
    loop_.post([done = std::move(done)] { done(Answer::kDisconnected, {}); });
    return;
  }
  std::uint64_t token = next_token_++;
  Pending p;
  p.done = std::move(done);
  p.timer = loop_.at(loop_.now() + timeout, [this, token] { finish(token, Answer::kTimeout, {}); });
  pending_.emplace(token, std::move(p));
  publish(subject, inbox_ + "." + std::to_string(token), headers, payload);
}

void SimClient::finish(std::uint64_t token, Answer a, const Delivered& m) {
  auto node = pending_.extract(token);
  if (node.empty()) return;
  loop_.cancel(node.mapped().timer);
  node.mapped().done(a, m);
}

std::string SimClient::new_inbox() {
  return "_R.c" + std::to_string(number_) + "." + std::to_string(next_token_++);
}

std::uint64_t SimClient::subscribe(std::string subject, OnMessage handler) {
  std::uint64_t sid = next_sid_++;
  if (ready_) send("SUB " + subject + " " + std::to_string(sid) + "\r\n");
  subs_[sid] = {std::move(subject), std::move(handler)};
  return sid;
}

void SimClient::unsubscribe(std::uint64_t sid) {
  if (subs_.erase(sid) && ready_) send("UNSUB " + std::to_string(sid) + "\r\n");
}

void SimClient::stall(Nanos d) {
  if (!io_) return;
  io_->pause_reading(true);
  loop_.at(loop_.now() + d, [this] {
    if (io_) io_->pause_reading(false);
  });
}

void SimClient::data(ByteSpan bytes) {
  in_ += as_text(bytes);
  while (true) {
    std::size_t end = in_.find("\r\n");
    if (end == std::string::npos) return;
    if (!line(std::string_view(in_).substr(0, end))) return;  // needs more bytes
    if (!io_) return;                                         // closed meanwhile
  }
}

/// Handles the first line of in_ and takes it out; false if its payload has not arrived yet.
bool SimClient::line(std::string_view text) {
  if (text.starts_with("MSG ")) return message(text.substr(4), false);
  if (text.starts_with("HMSG ")) return message(text.substr(5), true);
  std::string t(text);
  in_.erase(0, t.size() + 2);
  if (t.starts_with("INFO ")) {
    if (ready_) return true;
    ready_ = true;
    std::string hello =
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
        "\"protocol\":1,\"lang\":\"sim\",\"version\":\"1\"}\r\nPING\r\n";
    hello += "SUB " + inbox_ + ".* " + std::to_string(kInboxSid) + "\r\n";
    for (const auto& [sid, sub] : subs_) hello += "SUB " + sub.subject + " " + std::to_string(sid) + "\r\n";
    send(std::move(hello));
  } else if (t == "PING") {
    send("PONG\r\n");
  } else if (t.starts_with("-ERR")) {
    ++errors_seen;
    last_error = t;
  } else if (t == "PONG") {
    pings_out_ = 0;
  } else if (t != "+OK") {
    violation = "unknown line from the server: " + t.substr(0, 80);
  }
  return true;
}

bool SimClient::message(std::string_view args, bool headers) {
  auto w = words(args);
  std::size_t fixed = headers ? 4 : 3;
  std::size_t start = args.size() + (headers ? 5 : 4) + 2;
  if (w.size() != fixed && w.size() != fixed + 1) {
    violation = "malformed message line: " + std::string(args.substr(0, 80));
    in_.erase(0, start);
    return true;
  }
  auto sid = parse_u64(w[1]);
  auto total = parse_u64(w.back());
  auto head = headers ? parse_u64(w[w.size() - 2]) : std::optional<std::uint64_t>(0);
  if (!sid || !total || !head || *head > *total) {
    violation = "malformed message line: " + std::string(args.substr(0, 80));
    in_.erase(0, start);
    return true;
  }
  if (in_.size() < start + *total + 2) return false;
  Delivered m;
  m.subject = w[0];
  if (w.size() == fixed + 1) m.reply = w[2];
  m.headers = in_.substr(start, *head);
  m.payload = in_.substr(start + *head, *total - *head);
  if (in_.compare(start + *total, 2, "\r\n") != 0) violation = "payload without CRLF behind it";
  in_.erase(0, start + *total + 2);
  dispatch(*sid, m);
  return true;
}

void SimClient::dispatch(std::uint64_t sid, const Delivered& m) {
  if (sid == kInboxSid) {
    if (auto token = parse_u64(m.subject.substr(inbox_.size() + 1))) finish(*token, Answer::kReply, m);
    return;
  }
  auto it = subs_.find(sid);
  if (it == subs_.end()) return;
  OnMessage handler = it->second.handler;  // it may unsubscribe itself
  handler(m);
}

}  // namespace weir::sim
