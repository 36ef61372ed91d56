// broker/server/test_world.h - one whole node in virtual time, with clients that are plain strings.
//
// Room:     tests of server/ only. Network: in memory, bytes arrive in the next turn; a client may stop
//           reading, then what is written to it stays queued. Disk: SimDisk, outlives the node.
// Use:      TestWorld w; w.start(); TestClient c(w); c.connect(); c.request("$JS.API.INFO").
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/api/json_value.h"
#include "broker/base/text.h"
#include "broker/env/testing/sim_disk.h"
#include "broker/server/node.h"

namespace weir::server::testing {

using env::testing::SimDisk;
using env::testing::Survivors;

/// What both ends of a connection share.
struct Pipe {
  explicit Pipe(env::Loop& l) : loop(l) {}
  env::Loop& loop;
  env::ConnectionHandler* handler = nullptr;  // of the server; null before start and after the end
  std::string to_client, unread;              // unread: written while the client did not read
  bool stalled = false;
  bool paused = false;
  bool closed_by_server = false;
  std::string tls_first;              // what start_tls() was given back
  std::optional<env::TlsState> peer;  // what tls() answers once TLS began
};

/// TLS of pipes encrypts nothing: to_client shows where it begins.
constexpr const char* kTlsMark = "<tls>";
struct PipeTls final : env::TlsContext {
  std::optional<Wall> not_after() const override { return Wall{2'000'000'000 * kSecond}; }
};

class PipeConnection final : public env::Connection {
 public:
  PipeConnection(std::shared_ptr<Pipe> p, std::uint16_t port) : p_(std::move(p)), port_(port) {}
  ~PipeConnection() override { close(); }
  void start(env::ConnectionHandler* handler) override { p_->handler = handler; }
  void write(std::vector<Bytes> slices) override {
    if (p_->closed_by_server) return;
    for (const Bytes& s : slices) (p_->stalled ? p_->unread : p_->to_client) += s.text();
    if (!p_->stalled) tell_drained();
  }
  std::size_t queued_bytes() const override { return p_->unread.size(); }
  void pause_reading(bool paused) override { p_->paused = paused; }
  void close() override {
    p_->closed_by_server = true;
    p_->handler = nullptr;
  }
  void start_tls(env::TlsStart how) override {
    p_->to_client += kTlsMark;
    p_->tls_first = how.first.text();
    if (!p_->peer) p_->peer.emplace();
    secure_ = true;
  }
  std::optional<env::TlsState> tls() const override { return secure_ ? p_->peer : std::nullopt; }
  env::Endpoint remote() const override { return {"10.0.0.9", port_}; }
  env::Endpoint local() const override { return {"10.0.0.1", 4222}; }

 private:
  void tell_drained() {
    p_->loop.post([p = p_] {
      if (p->handler && p->unread.empty()) p->handler->drained();
    });
  }
  std::shared_ptr<Pipe> p_;
  std::uint16_t port_;
  bool secure_ = false;
};

class PipeTransport final : public env::Transport {
 public:
  explicit PipeTransport(env::Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<env::Listener>> listen(const env::Endpoint& at, env::Accepted on_accept) override {
    if (port_taken) return Error(Code::kIo, "bind: address already in use");
    struct Door final : env::Listener {
      Door(PipeTransport& t, env::Endpoint e) : owner(t), at(std::move(e)) {}
      ~Door() override { owner.accept_ = {}; }
      env::Endpoint local() const override { return at; }
      PipeTransport& owner;
      env::Endpoint at;
    };
    accept_ = std::move(on_accept);
    listening_ = true;
    return std::unique_ptr<env::Listener>(std::make_unique<Door>(*this, at));
  }
  void dial(const env::Endpoint&, std::int64_t, env::Dialled done) override {
    loop_.post([done = std::move(done)]() mutable { done(Error(Code::kIo, "refused")); });
  }
  std::vector<std::string> interface_addresses() override { return {"10.0.0.1"}; }
  Result<std::shared_ptr<const env::TlsContext>> tls(const env::TlsSettings& settings) override {
    if (settings.certs.empty()) return Error(Code::kInvalid, "no certificate");
    return std::shared_ptr<const env::TlsContext>(std::make_shared<PipeTls>());
  }

  /// A client arrives; null when nobody listens.
  std::shared_ptr<Pipe> connect() {
    if (!accept_) return nullptr;
    auto pipe = std::make_shared<Pipe>(loop_);
    loop_.post([this, pipe, port = ++next_port_] {
      if (accept_) accept_(std::make_unique<PipeConnection>(pipe, port));
    });
    return pipe;
  }
  bool port_taken = false;

 private:
  env::Loop& loop_;
  env::Accepted accept_;
  bool listening_ = false;
  std::uint16_t next_port_ = 30'000;
};

struct TestWorld {
  explicit TestWorld(std::uint64_t seed = 1, env::testing::SimDiskOptions disk_options = {})
      : disk(loop, loop, seed, disk_options), random(seed), transport(loop), prng(seed ^ 77) {
    options.server_name = "n1";
    options.jetstream.enabled = true;
    options.jetstream.max_file_store = 1 << 30;
    options.jetstream.max_memory_store = 1 << 28;
    options.store_dir = "/store";
    tuning.journal_file_bytes = 1 << 20;
    tuning.journal_files_max = 16;
  }
  ~TestWorld() {
    node.reset();
    loop.forget_all();
  }

  Status try_start() {
    env_.emplace(env::Env{loop, loop, disk, transport, random, process, log});
    node = std::make_unique<Node>(*env_, options, tuning);
    node->on_fatal([this](const Error& e) { fatal = e.detail; });
    return node->start();
  }
  void start() {
    Status s = try_start();
    ASSERT_TRUE(s) << s.error().to_string();
    loop.run_for(20 * kMillisecond);
  }
  void crash(Survivors how = Survivors::kNone) {
    node.reset();
    loop.forget_all();
    disk.crash(prng, how);
  }
  void restart(Survivors how = Survivors::kNone) {
    crash(how);
    start();
  }
  void stop() {
    bool done = false;
    node->stop([&] { done = true; });
    EXPECT_TRUE(loop.run_until([&] { return done; }, kMinute));
    node.reset();
    loop.forget_all();
  }
  /// A monitoring page as JSON.
  api::JsonValue page(std::string_view path, std::string_view query = "") {
    MonitorReply r = node->monitor(path, query);
    auto parsed = api::parse_json(r.body);
    if (auto* v = std::get_if<api::JsonValue>(&parsed)) return std::move(*v);
    ADD_FAILURE() << path << ": " << std::get<api::JsonError>(parsed).text << "\n" << r.body;
    return {};
  }

  env::testing::SimLoop loop;
  SimDisk disk;
  env::testing::SimRandom random;
  env::testing::SimProcess process;
  env::testing::LogSink log;
  PipeTransport transport;
  Prng prng;
  config::Options options;
  Tuning tuning;
  std::string fatal;
  std::unique_ptr<Node> node;

 private:
  std::optional<env::Env> env_;
};

/// Follows a dotted path of members: at(v, "state.messages").
inline const api::JsonValue* at(const api::JsonValue& v, std::string_view path) {
  const api::JsonValue* p = &v;
  while (p && !path.empty()) {
    std::size_t dot = path.find('.');
    std::string_view name = path.substr(0, dot);
    auto index = parse_u64(name);
    if (p->array() && index) {
      p = *index < p->array()->size() ? &(*p->array())[*index] : nullptr;
    } else {
      p = p->find(name);
    }
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return p;
}
/// Number or text at a path as text; "" if absent.
inline std::string text_at(const api::JsonValue& v, std::string_view path) {
  const api::JsonValue* p = at(v, path);
  if (!p) return "";
  if (p->string()) return *p->string();
  if (p->unsigned_()) return std::to_string(*p->unsigned_());
  if (p->negative()) return std::to_string(*p->negative());
  if (p->boolean()) return *p->boolean() ? "true" : "false";
  return std::string(p->kind());
}

struct TestMessage {
  std::string subject, sid, reply, headers, body;
  api::JsonValue json() const {
    auto parsed = api::parse_json(body);
    if (auto* v = std::get_if<api::JsonValue>(&parsed)) return std::move(*v);
    ADD_FAILURE() << "no JSON: " << body;
    return {};
  }
  /// "404" of "NATS/1.0 404 No Messages".
  std::string status() const { return headers.size() > 12 && headers[8] == ' ' ? headers.substr(9, 3) : ""; }
};

class TestClient {
 public:
  explicit TestClient(TestWorld& w) : TestClient(w.transport, w.loop) {}
  /// Of any node that listens on `transport`; `loop` is that node's.
  TestClient(PipeTransport& transport, env::testing::SimLoop& loop) : transport_(transport), loop_(loop) {}

  bool connect(const std::string& more = "") {
    pipe_ = transport_.connect();
    if (!pipe_) return false;
    run();
    send(
        "CONNECT "
        "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1" +
        (more.empty() ? "" : "," + more) + "}\r\nSUB _INBOX." + id_ + ".* inbox\r\nPING\r\n");
    run();
    return !closed();
  }
  void send(std::string text) {
    loop_.post([p = pipe_, text = std::move(text)] {
      if (p->handler && !p->paused) p->handler->data(as_span(text));
    });
  }
  void sub(const std::string& subject, const std::string& sid, const std::string& queue = "") {
    send("SUB " + subject + " " + (queue.empty() ? "" : queue + " ") + sid + "\r\n");
    run();
  }
  void pub(const std::string& subject, const std::string& body, const std::string& reply = "") {
    send("PUB " + subject + " " + (reply.empty() ? "" : reply + " ") + std::to_string(body.size()) + "\r\n" +
         body + "\r\n");
  }
  void run(Nanos d = 2 * kMillisecond) { loop_.run_for(d); }

  /// Everything received so far, as messages; other lines go to `lines`.
  std::vector<TestMessage> take() {
    parse();
    return std::exchange(messages_, {});
  }
  /// Messages of one subscription.
  std::vector<TestMessage> take(const std::string& sid) {
    parse();
    std::vector<TestMessage> mine, rest;
    for (auto& m : messages_) (m.sid == sid ? mine : rest).push_back(std::move(m));
    messages_ = std::move(rest);
    return mine;
  }
  std::string new_inbox() { return "_INBOX." + id_ + "." + std::to_string(++next_); }

  /// Sends and waits for one reply; nullopt after `limit` of virtual time.
  std::optional<TestMessage> ask(const std::string& subject, const std::string& body = "",
                                 const std::string& headers = "", Nanos limit = 5 * kSecond) {
    std::string inbox = new_inbox();
    if (headers.empty()) {
      pub(subject, body, inbox);
    } else {
      std::string block = "NATS/1.0\r\n" + headers + "\r\n\r\n";
      send("HPUB " + subject + " " + inbox + " " + std::to_string(block.size()) + " " +
           std::to_string(block.size() + body.size()) + "\r\n" + block + body + "\r\n");
    }
    std::optional<TestMessage> found;
    loop_.run_until([&] { return closed() || (found = pick(inbox)).has_value(); }, limit);
    return found;
  }
  /// As ask; the reply as JSON. No reply is a test failure.
  api::JsonValue request(const std::string& subject, const std::string& body = "") {
    auto m = ask(subject, body);
    if (!m) {
      ADD_FAILURE() << "no reply to " << subject << " " << body;
      return {};
    }
    return m->json();
  }
  /// Publishes into a stream; the sequence, or the error's code as a negative number, or 0.
  std::int64_t publish(const std::string& subject, const std::string& body = "x",
                       const std::string& headers = "") {
    auto m = ask(subject, body, headers);
    if (!m || m->body.empty()) return 0;
    api::JsonValue v = m->json();
    if (at(v, "error"))
      return -static_cast<std::int64_t>(parse_u64(text_at(v, "error.err_code")).value_or(1));
    return static_cast<std::int64_t>(parse_u64(text_at(v, "seq")).value_or(0));
  }
  std::string error_of(const api::JsonValue& v) { return text_at(v, "error.err_code"); }

  void stall(bool on) {
    pipe_->stalled = on;
    if (on) return;
    pipe_->to_client += std::exchange(pipe_->unread, {});
    loop_.post([p = pipe_] {
      if (p->handler) p->handler->drained();
    });
  }
  /// Reads `n` of the bytes that wait for a client that does not read.
  void trickle(std::size_t n) {
    n = std::min(n, pipe_->unread.size());
    pipe_->to_client += pipe_->unread.substr(0, n);
    pipe_->unread.erase(0, n);
  }
  void hang_up() {
    loop_.post([p = pipe_] {
      if (auto* h = std::exchange(p->handler, nullptr)) h->closed("");
    });
    run();
  }
  bool closed() const { return pipe_->closed_by_server; }
  std::size_t unread() const { return pipe_->unread.size(); }
  const std::vector<std::string>& lines() {
    parse();
    return lines_;
  }
  bool saw(const std::string& part) {
    parse();
    for (const auto& l : lines_) {
      if (l.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  std::optional<TestMessage> pick(const std::string& subject) {
    parse();
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].subject != subject) continue;
      TestMessage m = std::move(messages_[i]);
      messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(i));
      return m;
    }
    return std::nullopt;
  }
  void parse() {
    in_ += std::exchange(pipe_->to_client, {});
    std::size_t at = 0;
    for (;;) {
      std::size_t end = in_.find("\r\n", at);
      if (end == std::string::npos) break;
      std::string line = in_.substr(at, end - at);
      bool h = line.starts_with("HMSG ");
      if (!h && !line.starts_with("MSG ")) {
        lines_.push_back(line);
        at = end + 2;
        continue;
      }
      std::vector<std::string> f;
      for (std::size_t p = 0; p <= line.size();) {
        std::size_t e = std::min(line.find(' ', p), line.size());
        f.push_back(line.substr(p, e - p));
        p = e + 1;
      }
      std::size_t total = parse_u64(f.back()).value_or(0), head = 0;
      if (h) head = parse_u64(f[f.size() - 2]).value_or(0);
      if (in_.size() < end + 2 + total + 2) break;
      TestMessage m{f[1], f[2], f.size() > (h ? 5u : 4u) ? f[3] : "", in_.substr(end + 2, head),
                    in_.substr(end + 2 + head, total - head)};
      messages_.push_back(std::move(m));
      at = end + 2 + total + 2;
    }
    in_.erase(0, at);
  }

  static inline int made_ = 0;
  PipeTransport& transport_;
  env::testing::SimLoop& loop_;
  std::string id_ = "c" + std::to_string(++made_);
  std::shared_ptr<Pipe> pipe_;
  std::string in_;
  std::vector<std::string> lines_;
  std::vector<TestMessage> messages_;
  int next_ = 0;
};

}  // namespace weir::server::testing
