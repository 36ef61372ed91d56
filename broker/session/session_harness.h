// broker/session/session_harness.h - for tests: a ClientSession and a host that routes with plain loops.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/session/client_session.h"
#include "broker/subject/subject.h"

namespace weir::session {

inline constexpr std::string_view kConnect =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";

class Host final : public SessionHost {
 public:
  Result<Identity> authenticate(ClientSession&, const proto::ConnectOptions& o) override {
    ++asked;
    last_user = o.user;
    if (o.user == "full") return Error(Code::kLimit, "full");
    if (!password.empty() && o.pass != password) return Error(Code::kInvalid, "wrong");
    return identity(o.user);
  }
  Identity identity(const std::string& user) {
    Identity i;
    i.user = user;
    i.account_name = "A";
    i.permissions = permissions;
    i.max_payload = max_payload;
    i.max_subscriptions = max_subscriptions;
    return i;
  }
  void publish(ClientSession&, const Inbound& m) override {
    published.emplace_back(m.subject);
    replies.emplace_back(m.reply);
    bodies.emplace_back(m.body);
    header_sizes.push_back(m.header_size);
    route(m);
  }
  void route(const Inbound& m) {
    for (Subscription* s : subs) {
      if (subject::matches(s->subject, m.subject)) taken += s->client->deliver(*s, m);
    }
    for (Subscription* s : std::exchange(used_up, {})) s->client->remove(*s);
  }
  void subscribed(ClientSession&, Subscription& s) override { subs.push_back(&s); }
  void unsubscribing(ClientSession&, Subscription& s) override { std::erase(subs, &s); }
  void exhausted(ClientSession&, Subscription& s) override { used_up.push_back(&s); }
  void dirty(ClientSession&) override { ++dirty_calls; }

  std::string password;
  std::shared_ptr<const auth::Permissions> permissions;
  std::optional<std::size_t> max_payload, max_subscriptions;
  std::string last_user;
  int asked = 0, dirty_calls = 0, taken = 0;
  std::vector<Subscription*> subs, used_up;
  std::vector<std::string> published, replies, bodies;
  std::vector<std::size_t> header_sizes;
};

struct Client {
  explicit Client(Host& h, SessionLimits l = {}, std::uint64_t id = 1, bool open = true)
      : host(h), session(ClientId(id), l, h) {
    if (open) session.set_identity(h.identity(""));
  }
  ~Client() { session.drop_subscriptions(); }

  bool feed(std::string_view text) { return session.feed(as_span(text), now, Wall{now.ns}); }
  /// What was sent to the client since the last call.
  std::string out() {
    std::string all;
    session.flushed();
    for (const Bytes& b : session.outbox().take()) all += b.text();
    return all;
  }
  std::string say(std::string_view text) {
    feed(text);
    return out();
  }

  Host& host;
  Mono now{kSecond};
  ClientSession session;
};

}  // namespace weir::session
