#include <gtest/gtest.h>

#include "broker/auth/accounts.h"
#include "broker/auth/crypto.h"
#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::auth {
namespace {

using config::PermissionsConfig;

config::Options options(std::string_view text) {
  config::MapSource source;
  config::Loaded loaded = config::load_text(text, "f", source);
  for (const std::string& e : loaded.errors) ADD_FAILURE() << e;
  return loaded.options;
}

Permissions permissions(std::string_view body) {
  config::Options o = options("authorization {users: [{user: u, permissions: {" + std::string(body) + "}}]}");
  return Permissions(*o.authorization.users.at(0).permissions);
}

constexpr auto kDenied = SubscribeVerdict::kDenied;
constexpr auto kAllowed = SubscribeVerdict::kAllowed;
constexpr auto kFiltered = SubscribeVerdict::kFiltered;

// "weir" with cost 4.
constexpr const char* kHash = "$2a$04$abcdefghijklmnopqrstuuuM6RcSVJNdNFyttpT5LF2HpujEleI.m";

TEST(Crypto, Sha256) {
  EXPECT_EQ(config_digest(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // What nats-server prints for "port: 4222".
  EXPECT_EQ(config_digest("{\"port\":4222}\n"),
            "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e");
}

TEST(Crypto, PlainPasswords) {
  EXPECT_TRUE(password_matches("s3cret", "s3cret"));
  EXPECT_TRUE(password_matches("", ""));
  for (auto bad : {"", "s3cre", "s3crett", "S3cret"}) EXPECT_FALSE(password_matches("s3cret", bad)) << bad;
  EXPECT_FALSE(password_matches("", "x"));
}

TEST(Crypto, BcryptShape) {
  EXPECT_TRUE(is_bcrypt(kHash));
  for (auto bad : {"", "$2a$", "$2a$11$short", "$2c$04$abcdefghijklmnopqrstuuYIHF6x5yAx/DXy4nxRR0XEpnbNHJCBi",
                   "$1a$04$abcdefghijklmnopqrstuuYIHF6x5yAx/DXy4nxRR0XEpnbNHJCBi"}) {
    EXPECT_FALSE(is_bcrypt(bad)) << bad;
  }
}

TEST(Crypto, BcryptPasswords) {
  EXPECT_TRUE(password_matches(kHash, "weir"));
  EXPECT_FALSE(password_matches(kHash, "weir2"));
  EXPECT_FALSE(password_matches(kHash, ""));
  EXPECT_FALSE(password_matches(kHash, kHash));
  EXPECT_FALSE(password_matches(kHash, std::string_view("weir\0", 5)));
  EXPECT_FALSE(password_matches(kHash, std::string(100'000, 'w')));
  std::string broken(kHash);
  broken[5] = '!';
  EXPECT_FALSE(password_matches(broken, "weir"));
}

TEST(Permissions, NoListAllowsAll) {
  Permissions p{PermissionsConfig{}};
  EXPECT_TRUE(p.can_publish("a.b"));
  EXPECT_EQ(p.can_subscribe(">", ""), kAllowed);
  EXPECT_EQ(p.can_subscribe("a", "q"), kAllowed);
}

TEST(Permissions, Publish) {
  Permissions p = permissions("publish: {allow: ['a.*', 'b.>'], deny: ['a.x', 'b.c.>']}");
  for (auto ok : {"a.b", "b.c", "b.d.e"}) EXPECT_TRUE(p.can_publish(ok)) << ok;
  for (auto no : {"a", "a.b.c", "a.x", "b", "b.c.d", "c", "", "a.", ".a"})
    EXPECT_FALSE(p.can_publish(no)) << no;
  Permissions only_deny = permissions("publish: {deny: 'x.>'}");
  EXPECT_TRUE(only_deny.can_publish("y"));
  EXPECT_FALSE(only_deny.can_publish("x.y"));
  Permissions nothing = permissions("publish: {allow: []}");
  EXPECT_FALSE(nothing.can_publish("a"));
}

TEST(Permissions, SubscribeMustBeCoveredByAllow) {
  Permissions p = permissions("subscribe: ['a.*', 'b.>', 'c']");
  for (auto ok : {"a.b", "a.*", "b.c", "b.*", "b.>", "b.*.>", "c"}) {
    EXPECT_EQ(p.can_subscribe(ok, ""), kAllowed) << ok;
  }
  for (auto no : {"a", "a.>", ">", "*", "*.b", "a.b.c", "b", "*.>", "d"}) {
    EXPECT_EQ(p.can_subscribe(no, ""), kDenied) << no;
  }
}

TEST(Permissions, OverlappingDenyFilters) {
  Permissions p = permissions("subscribe: {deny: ['a.secret', 'b.>']}");
  EXPECT_EQ(p.can_subscribe("a.secret", ""), kDenied);
  EXPECT_EQ(p.can_subscribe("b.*", ""), kDenied);
  EXPECT_EQ(p.can_subscribe("b.>", ""), kDenied);
  EXPECT_EQ(p.can_subscribe("a.*", ""), kFiltered);
  EXPECT_EQ(p.can_subscribe(">", ""), kFiltered);
  EXPECT_EQ(p.can_subscribe("*.c", ""), kFiltered);
  EXPECT_EQ(p.can_subscribe("a.open", ""), kAllowed);
  EXPECT_FALSE(p.may_deliver("a.secret", ""));
  EXPECT_FALSE(p.may_deliver("b.x.y", ""));
  EXPECT_TRUE(p.may_deliver("a.open", ""));
}

TEST(Permissions, QueueEntries) {
  Permissions p = permissions("subscribe: {allow: ['foo', 'foo v1', 'foo v1.>', 'bar q'], deny: 'foo v1.x'}");
  EXPECT_EQ(p.can_subscribe("foo", ""), kAllowed);
  EXPECT_EQ(p.can_subscribe("foo", "v1"), kAllowed);
  EXPECT_EQ(p.can_subscribe("foo", "v1.a"), kAllowed);
  EXPECT_EQ(p.can_subscribe("foo", "v1.x"), kDenied);
  EXPECT_EQ(p.can_subscribe("foo", "v2"), kDenied);
  EXPECT_EQ(p.can_subscribe("bar", ""), kDenied);
  EXPECT_EQ(p.can_subscribe("bar", "q"), kAllowed);
  EXPECT_EQ(p.can_subscribe("bar", "qq"), kDenied);
  Permissions any = permissions("subscribe: {allow: ['foo *']}");
  EXPECT_EQ(any.can_subscribe("foo", "q"), kAllowed);
  EXPECT_EQ(any.can_subscribe("foo", ""), kDenied);
  Permissions plain = permissions("subscribe: foo");
  EXPECT_EQ(plain.can_subscribe("foo", "q"), kAllowed);
}

TEST(Permissions, GateRemembersAndStaysSmall) {
  auto p = std::make_shared<const Permissions>(permissions("publish: 'a.*'"));
  PublishGate gate(p);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_TRUE(gate.can_publish("a." + std::to_string(i)));
      EXPECT_FALSE(gate.can_publish("b." + std::to_string(i)));
    }
  }
  EXPECT_TRUE(PublishGate().can_publish("anything"));
}

TEST(Permissions, ResponsesAloneDenyOtherPublishes) {
  Permissions p = permissions("allow_responses: true");
  EXPECT_FALSE(p.can_publish("a"));
  ASSERT_TRUE(p.responses().has_value());
  EXPECT_EQ(p.responses()->max, 1);
  EXPECT_EQ(p.responses()->expires, 2 * kMinute);
  EXPECT_FALSE(permissions("allow_responses: false").responses().has_value());
  EXPECT_TRUE(permissions("allow_responses: false").can_publish("a"));
}

TEST(Replies, CountAndTime) {
  ReplyRights r({2, 10});
  EXPECT_FALSE(r.take("x", Mono{0}));
  r.received("x", Mono{0});
  r.received("", Mono{0});
  EXPECT_TRUE(r.take("x", Mono{1}));
  EXPECT_TRUE(r.take("x", Mono{9}));
  EXPECT_FALSE(r.take("x", Mono{9}));
  r.received("x", Mono{20});
  EXPECT_FALSE(r.take("x", Mono{30}));
  EXPECT_EQ(r.size(), 0u);
}

TEST(Replies, NoLimits) {
  ReplyRights r({-1, -1});
  r.received("x", Mono{0});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(r.take("x", Mono{kHour * 1000}));
}

TEST(Replies, Bounded) {
  ReplyRights r({1, 1000});
  for (int i = 0; i < 10'000; ++i) r.received("r" + std::to_string(i), Mono{i});
  EXPECT_LE(r.size(), ReplyRights::kRepliesMax);
  EXPECT_TRUE(r.take("r9999", Mono{10'000}));
  EXPECT_FALSE(r.take("r0", Mono{10'000}));
}

TEST(Auth, OpenServer) {
  AuthTable t(options("port: 4222"));
  EXPECT_FALSE(t.auth_required());
  auto who = t.authenticate({});
  ASSERT_TRUE(who.has_value());
  EXPECT_EQ(who->account, t.global().id);
  EXPECT_EQ(t.global().name, "$G");
  ASSERT_NE(t.system(), nullptr);
  EXPECT_EQ(t.system()->name, "$SYS");
  EXPECT_TRUE(t.authenticate({"any", "thing", "", "STANDARD"}).has_value());
}

TEST(Auth, SingleUser) {
  AuthTable t(options("authorization {user: a, password: b}"));
  EXPECT_TRUE(t.auth_required());
  EXPECT_EQ(t.authenticate({"a", "b", ""})->user, "a");
  for (Credentials bad :
       {Credentials{}, {"a", "", ""}, {"a", "c", ""}, {"b", "b", ""}, {"", "b", ""}, {"", "", "b"}}) {
    EXPECT_FALSE(t.authenticate(bad).has_value()) << bad.user;
  }
}

TEST(Auth, Token) {
  AuthTable t(options("authorization {token: secret}"));
  EXPECT_TRUE(t.authenticate({"", "", "secret"}).has_value());
  EXPECT_FALSE(t.authenticate({"", "", ""}).has_value());
  EXPECT_FALSE(t.authenticate({"", "", "Secret"}).has_value());
  EXPECT_FALSE(t.authenticate({"secret", "secret", ""}).has_value());
  AuthTable hashed(options("authorization {token: '" + std::string(kHash) + "'}"));
  EXPECT_TRUE(hashed.authenticate({"", "", "weir"}).has_value());
  EXPECT_FALSE(hashed.authenticate({"", "", kHash}).has_value());
  EXPECT_TRUE(hashed.is_slow({"", "", "weir"}));
  EXPECT_FALSE(t.is_slow({"", "", "weir"}));
}

TEST(Auth, UsersAccountsAndDefaults) {
  AuthTable t(options(std::string(R"(
    accounts {
      A { users: [{user: a, password: pa}, {user: h, password: )") +
                      kHash + R"(}]
          default_permissions: {publish: only} }
      $SYS { users: [{user: s, password: ps}] }
    }
    authorization { users: [{user: g, password: pg, permissions: {publish: x}}, {user: nopass}]
                    default_permissions: {subscribe: y} }
    no_auth_user: g)"));
  auto a = t.authenticate({"a", "pa", ""});
  ASSERT_TRUE(a.has_value());
  EXPECT_EQ(t.accounts()[a->account.v].name, "A");
  EXPECT_FALSE(a->permissions->can_publish("other"));
  EXPECT_TRUE(t.authenticate({"h", "weir", ""}).has_value());
  EXPECT_TRUE(t.is_slow({"h", "weir", ""}));
  auto s = t.authenticate({"s", "ps", ""});
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(t.accounts()[s->account.v].name, "$SYS");
  EXPECT_TRUE(t.accounts()[s->account.v].is_system);
  EXPECT_EQ(s->permissions, nullptr);
  auto anonymous = t.authenticate({});
  ASSERT_TRUE(anonymous.has_value());
  EXPECT_EQ(anonymous->user, "g");
  EXPECT_TRUE(anonymous->permissions->can_publish("x"));
  auto plain = t.authenticate({"nopass", "", ""});
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->permissions->can_subscribe("z", ""), kDenied);
  EXPECT_FALSE(t.authenticate({"g", "", ""}).has_value());
  EXPECT_FALSE(t.authenticate({"a", "pg", ""}).has_value());
}

TEST(Auth, ConnectionTypes) {
  AuthTable t(options("authorization {users: [{user: m, password: p, allowed_connection_types: [mqtt]}]}"));
  EXPECT_FALSE(t.authenticate({"m", "p", "", "STANDARD"}).has_value());
  EXPECT_TRUE(t.authenticate({"m", "p", "", "MQTT"}).has_value());
}

TEST(Auth, SystemAccount) {
  AuthTable named(options("accounts {SYS {}, A {}}\nsystem_account: SYS"));
  EXPECT_EQ(named.system()->name, "SYS");
  EXPECT_EQ(named.accounts().size(), 3u);
  AuthTable none(options("no_system_account: true"));
  EXPECT_EQ(none.system(), nullptr);
  EXPECT_EQ(none.accounts().size(), 1u);
  EXPECT_EQ(none.find("$SYS"), nullptr);
}

TEST(Auth, WhoHasJetStream) {
  EXPECT_FALSE(AuthTable(options("port: 1")).global().jetstream.has_value());
  EXPECT_TRUE(AuthTable(options("jetstream: true")).global().jetstream.has_value());
  EXPECT_TRUE(AuthTable(options("jetstream: true\naccounts {$SYS {}}")).global().jetstream.has_value());
  AuthTable t(options("jetstream: true\naccounts {A {jetstream: enabled}, B {}, C {jetstream: off}}"));
  EXPECT_FALSE(t.global().jetstream.has_value());
  EXPECT_TRUE(t.find("A")->jetstream.has_value());
  EXPECT_FALSE(t.find("B")->jetstream.has_value());
  EXPECT_FALSE(t.find("C")->jetstream.has_value());
  EXPECT_FALSE(t.system()->jetstream.has_value());
}

}  // namespace
}  // namespace weir::auth
