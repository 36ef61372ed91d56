// Core NATS through libnats: subjects, queues, headers, requests, accounts, users, permissions.
#include <set>

#include "tests/conformance/libnats_client.h"

namespace weir::conformance {
namespace {

TEST(Core, PublishSubscribe) {
  BrokerProcess broker;
  Client a(broker.url()), b(broker.url());
  auto sub = a.subscribe("greet.joe");
  auto other = a.subscribe("greet.sue");
  b.publish("greet.joe", "hello", "answer.here");
  auto m = next(sub);
  EXPECT_EQ(text_of(m.get()), "hello");
  EXPECT_STREQ(natsMsg_GetSubject(m.get()), "greet.joe");
  EXPECT_STREQ(natsMsg_GetReply(m.get()), "answer.here");
  EXPECT_FALSE(next(other, 50));
}

TEST(Core, Wildcards) {
  BrokerProcess broker;
  Client a(broker.url()), b(broker.url());
  auto one = a.subscribe("w.*.end");
  auto tail = a.subscribe("w.>");
  for (const char* subject : {"w.x.end", "w.x.y.end", "w.x", "w", "x.y.end"}) b.publish(subject, subject);
  b.flush();
  EXPECT_EQ(text_of(next(one).get()), "w.x.end");
  EXPECT_FALSE(next(one, 50));
  EXPECT_EQ(text_of(next(tail).get()), "w.x.end");
  EXPECT_EQ(text_of(next(tail).get()), "w.x.y.end");
  EXPECT_EQ(text_of(next(tail).get()), "w.x");
  EXPECT_FALSE(next(tail, 50));
}

TEST(Core, QueueGroupsShareAndPlainSubscribersSeeAll) {
  BrokerProcess broker;
  Client a(broker.url()), b(broker.url());
  auto plain = a.subscribe("q");
  auto first = a.subscribe("q", "workers");
  auto second = b.subscribe("q", "workers");
  auto elsewhere = b.subscribe("q", "others");
  constexpr int kCount = 200;
  for (int i = 0; i < kCount; ++i) a.publish("q", std::to_string(i));
  a.flush();
  std::multiset<std::string> shared;
  int of_first = 0;
  while (auto m = next(first, 200)) shared.insert(text_of(m.get())), ++of_first;
  while (auto m = next(second, 200)) shared.insert(text_of(m.get()));
  EXPECT_EQ(shared.size(), std::size_t{kCount});
  EXPECT_EQ(std::set<std::string>(shared.begin(), shared.end()).size(), std::size_t{kCount});
  EXPECT_GT(of_first, 0);
  EXPECT_LT(of_first, kCount);
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(text_of(next(plain).get()), std::to_string(i));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(text_of(next(elsewhere).get()), std::to_string(i));
}

TEST(Core, HeadersKeepTheirCase) {
  BrokerProcess broker;
  Client a(broker.url());
  auto sub = a.subscribe("h");
  natsMsg* raw = nullptr;
  ok(natsMsg_Create(&raw, "h", nullptr, "body", 4));
  Message m(raw);
  ok(natsMsgHeader_Set(raw, "Some-Key", "one"));
  ok(natsMsgHeader_Set(raw, "lower-key", "two words: and a colon"));
  ok(natsConnection_PublishMsg(a.nc(), raw));
  auto got = next(sub);
  ASSERT_TRUE(got);
  EXPECT_EQ(header_of(got.get(), "Some-Key"), "one");
  EXPECT_EQ(header_of(got.get(), "lower-key"), "two words: and a colon");
  EXPECT_EQ(text_of(got.get()), "body");
}

TEST(Core, RequestReplyAndNoResponders) {
  BrokerProcess broker;
  Client a(broker.url()), b(broker.url());
  natsSubscription* raw = nullptr;
  ok(natsConnection_Subscribe(
      &raw, b.nc(), "service",
      [](natsConnection* nc, natsSubscription*, natsMsg* m, void*) {
        natsConnection_PublishString(nc, natsMsg_GetReply(m), "done");
        natsMsg_Destroy(m);
      },
      nullptr));
  Subscription service(raw);
  b.flush();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(text_of(a.request("service", "please").get()), "done");
  natsStatus status = NATS_OK;
  a.request("nobody.home", "?", &status);
  EXPECT_EQ(status, NATS_NO_RESPONDERS);
}

TEST(Core, AutoUnsubscribeAndUnsubscribe) {
  BrokerProcess broker;
  Client a(broker.url()), b(broker.url());
  auto sub = a.subscribe("u");
  ok(natsSubscription_AutoUnsubscribe(sub.get(), 3));
  a.flush();
  for (int i = 0; i < 5; ++i) b.publish("u", "x");
  b.flush();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(next(sub));
  EXPECT_FALSE(next(sub, 50));
  auto gone = a.subscribe("v");
  ok(natsSubscription_Unsubscribe(gone.get()));
  a.flush();
  natsStatus status = NATS_OK;
  b.request("v", "", &status);
  EXPECT_EQ(status, NATS_NO_RESPONDERS);
}

TEST(Core, NoEcho) {
  BrokerProcess broker;
  Client quiet(broker.url(), [](natsOptions* o) { natsOptions_SetNoEcho(o, true); });
  Client other(broker.url());
  auto own = quiet.subscribe("e");
  auto theirs = other.subscribe("e");
  quiet.publish("e", "x");
  EXPECT_TRUE(next(theirs));
  EXPECT_FALSE(next(own, 50));
}

TEST(Core, ReconnectsAndSubscribesAgain) {
  BrokerProcess broker;
  Client a(broker.url());
  auto sub = a.subscribe("again");
  broker.crash_and_restart();
  Client b(broker.url());
  Message m;
  for (int i = 0; i < 100 && !m; ++i) {
    b.publish("again", "x");
    m = next(sub, 100);
  }
  EXPECT_TRUE(m);
}

TEST(Core, CleanStopEndsWithoutASignal) {
  BrokerProcess broker;
  Client a(broker.url());
  auto sub = a.subscribe("x");
  EXPECT_EQ(a.add_stream("S", {"s.>"}), 0);
  int code = broker.stop();
  EXPECT_TRUE(code == 0 || code == 1) << code;
  broker.start();
}

constexpr const char* kAccounts = R"(
accounts {
  A: { users: [ {user: a, password: pa} ], jetstream: enabled }
  B: { users: [ {user: b, password: pb} ], jetstream: enabled }
  GUEST: { users: [ {user: guest, password: g} ] }
  $SYS: { users: [ {user: sys, password: s} ] }
}
no_auth_user: guest
)";

TEST(Accounts, AreSeparateWorlds) {
  BrokerProcess broker(kAccounts);
  Client a(broker.url("a:pa")), a2(broker.url("a:pa")), b(broker.url("b:pb"));
  auto of_a = a.subscribe(">");
  auto of_b = b.subscribe(">");
  a2.publish("x", "for a");
  b.publish("x", "for b");
  EXPECT_EQ(text_of(next(of_a).get()), "for a");
  EXPECT_EQ(text_of(next(of_b).get()), "for b");
  EXPECT_FALSE(next(of_a, 50));
  EXPECT_FALSE(next(of_b, 50));
}

TEST(Accounts, HaveOwnStreams) {
  BrokerProcess broker(kAccounts);
  Client a(broker.url("a:pa")), b(broker.url("b:pb"));
  EXPECT_EQ(a.add_stream("S", {"s.>"}), 0);
  EXPECT_EQ(b.add_stream("S", {"s.>"}), 0);
  EXPECT_EQ(a.store("s.1", "a").seq, 1u);
  EXPECT_EQ(a.store("s.1", "a").seq, 2u);
  EXPECT_EQ(b.store("s.1", "b").seq, 1u);
  broker.crash_and_restart();
  Client a2(broker.url("a:pa")), b2(broker.url("b:pb"));
  EXPECT_EQ(a2.stream("S")->State.Msgs, 2u);
  EXPECT_EQ(b2.stream("S")->State.Msgs, 1u);
  Client guest(broker.url());
  jsErrCode code{};
  jsAccountInfo* info = nullptr;
  EXPECT_NE(js_GetAccountInfo(&info, guest.js(), nullptr, &code), NATS_OK);
  EXPECT_EQ(code, 10039);
}

TEST(Accounts, NoAuthUserAndWrongPasswords) {
  BrokerProcess broker(kAccounts);
  Client guest(broker.url());
  auto m = guest.request("$SYS.REQ.USER.INFO", "");
  EXPECT_NE(text_of(m.get()).find("\"account\":\"GUEST\""), std::string::npos) << text_of(m.get());
  natsConnection* nc = nullptr;
  for (const char* login : {"a:wrong", "nobody:pa", "a:", "b:pa"}) {
    EXPECT_EQ(connect(&nc, broker.url(login)), NATS_CONNECTION_AUTH_FAILED) << login;
    EXPECT_EQ(nc, nullptr);
  }
}

TEST(Users, TokenAndBcrypt) {
  BrokerProcess token("authorization { token: s3cret }");
  natsConnection* nc = nullptr;
  EXPECT_EQ(connect(&nc, token.url()), NATS_CONNECTION_AUTH_FAILED);
  EXPECT_EQ(connect(&nc, token.url("wrong")), NATS_CONNECTION_AUTH_FAILED);
  Client in(token.url("s3cret"));
  in.flush();
  // bcrypt of "foobar"
  BrokerProcess hashed(
      "authorization { user: u, password: "
      "\"$2a$04$I9VVB0sNRE3EFFIIsMDwyuy9nrbOYSt7dpyyZd.DJBjhNXiTTRG2y\" }");
  EXPECT_EQ(connect(&nc, hashed.url("u:wrong")), NATS_CONNECTION_AUTH_FAILED);
}

constexpr const char* kPermissions = R"(
authorization {
  users: [
    {user: admin, password: x}
    {user: p, password: x, permissions: {
      publish: {allow: ["ok.>", "service"], deny: "ok.secret"}
      subscribe: {allow: ["in.>", "_INBOX.>", "shared work"], deny: "in.secret"}
    }}
    {user: responder, password: x, permissions: {subscribe: "service", allow_responses: {max: 1, expires: "1m"}}}
  ]
}
)";

TEST(Permissions, PublishAndSubscribe) {
  BrokerProcess broker(kPermissions);
  Client admin(broker.url("admin:x")), p(broker.url("p:x"));
  auto all = admin.subscribe("ok.>");
  for (const char* subject : {"ok.1", "ok.secret", "other", "ok.2"}) p.publish(subject, subject);
  p.flush();
  EXPECT_EQ(text_of(next(all).get()), "ok.1");
  EXPECT_EQ(text_of(next(all).get()), "ok.2");
  const char* error = nullptr;
  natsConnection_GetLastError(p.nc(), &error);
  EXPECT_NE(std::string(error).find("ermissions Violation for Publish to \"other\""), std::string::npos)
      << error;

  auto in = p.subscribe("in.*");
  auto denied = p.subscribe("elsewhere");
  admin.publish("in.1", "1");
  admin.publish("in.secret", "no");
  admin.publish("in.2", "2");
  admin.publish("elsewhere", "no");
  admin.flush();
  EXPECT_EQ(text_of(next(in).get()), "1");
  EXPECT_EQ(text_of(next(in).get()), "2");
  EXPECT_FALSE(next(in, 50));
  EXPECT_FALSE(next(denied, 50));
}

TEST(Permissions, QueueNamesAndResponses) {
  BrokerProcess broker(kPermissions);
  Client admin(broker.url("admin:x")), p(broker.url("p:x")), responder(broker.url("responder:x"));
  auto queue = p.subscribe("shared", "work");
  auto wrong = p.subscribe("shared", "play");
  admin.publish("shared", "x");
  EXPECT_TRUE(next(queue));
  EXPECT_FALSE(next(wrong, 50));

  auto inbox = admin.subscribe("back");
  auto service = responder.subscribe("service");
  admin.publish("service", "?", "back");
  auto m = next(service);
  ASSERT_TRUE(m);
  responder.publish(natsMsg_GetReply(m.get()), "first");
  responder.publish(natsMsg_GetReply(m.get()), "too many");
  responder.publish("anything", "no");
  responder.flush();
  EXPECT_EQ(text_of(next(inbox).get()), "first");
  EXPECT_FALSE(next(inbox, 50));
}

}  // namespace
}  // namespace weir::conformance
