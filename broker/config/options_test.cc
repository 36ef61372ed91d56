#include <gtest/gtest.h>

#include <algorithm>

#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

struct Build : ::testing::Test {
  MapSource source;

  Loaded loaded(std::string_view text) { return load_text(text, "f", source); }
  Options options(std::string_view text) {
    Loaded l = loaded(text);
    for (const std::string& e : l.errors) {
      if (e.find("\"cluster\" is not supported") == std::string::npos) ADD_FAILURE() << text << " -> " << e;
    }
    return l.options;
  }
  /// All errors but those about unbuilt features.
  std::string errors(std::string_view text) {
    std::string out;
    for (const std::string& e : loaded(text).errors) {
      if (e.find("not supported by this version") == std::string::npos) out += e + "\n";
    }
    return out;
  }
};

TEST_F(Build, Defaults) {
  Options o = options("port: 4222");
  EXPECT_EQ(o.host, "0.0.0.0");
  EXPECT_EQ(o.max_payload, 1 << 20);
  EXPECT_EQ(o.max_pending, 64 << 20);
  EXPECT_EQ(o.max_control_line, 4096);
  EXPECT_EQ(o.max_connections, 65536);
  EXPECT_EQ(o.ping_interval, 2 * kMinute);
  EXPECT_EQ(o.lame_duck_duration, 2 * kMinute);
  EXPECT_FALSE(o.jetstream.enabled);
  EXPECT_TRUE(o.jetstream.sync_always);
  EXPECT_EQ(o.jetstream.max_memory_store, kUnset);
}

// The file of a widespread Kubernetes tutorial.
TEST_F(Build, KubernetesTutorialFile) {
  Loaded l = loaded(R"(
    port: 4222
    monitor_port: 8222

    jetstream {
      store_dir: /data/jetstream
      max_mem: 1G
      max_file: 10G
    }

    cluster {
      name: nats-cluster
      port: 6222
      routes: [
        nats://nats-0.nats:6222,
        nats://nats-1.nats:6222,
        nats://nats-2.nats:6222
      ]
    }
)");
  const Options& o = l.options;
  EXPECT_EQ(o.http_port, 8222);
  EXPECT_TRUE(o.jetstream.enabled);
  EXPECT_EQ(o.jetstream.store_dir, "/data/jetstream");
  EXPECT_EQ(o.jetstream.max_memory_store, 1'000'000'000);
  EXPECT_EQ(o.jetstream.max_file_store, 10'000'000'000);
  EXPECT_EQ(o.cluster.name, "nats-cluster");
  EXPECT_EQ(o.cluster.port, 6222);
  ASSERT_EQ(o.cluster.routes.size(), 3u);
  EXPECT_EQ(o.cluster.routes[1].first, "nats://nats-1.nats:6222");
  EXPECT_EQ(o.cluster.routes[1].second.to_string(), "f:16:9");
  std::string all;
  for (const std::string& e : l.errors) all += e + "\n";
  // A JetStream cluster needs names that outlive a restart.
  EXPECT_NE(all.find("f:11:5: jetstream cluster requires `server_name` to be set"), std::string::npos) << all;
}

TEST_F(Build, HelmChartShape) {
  source.variables = {{"SERVER_NAME", "nats-0"}};
  Options o = options(R"({
    "port": 4222, "server_name": $SERVER_NAME, "pid_file": "/var/run/nats/nats.pid",
    "http_port": 8222, "lame_duck_duration": "30s", "lame_duck_grace_period": "10s",
    "jetstream": {"max_file_store": 10Gi, "max_memory_store": 0, "store_dir": "/data"} })");
  EXPECT_EQ(o.server_name, "nats-0");
  EXPECT_EQ(o.jetstream.max_file_store, 10LL << 30);
  EXPECT_EQ(o.jetstream.max_memory_store, 0);
}

TEST_F(Build, Endpoints) {
  EXPECT_EQ(options("listen: 4333").port, 4333);
  Options o = options("listen: \"[::1]:-1\"\nhttp: 127.0.0.1:8222");
  EXPECT_EQ(o.host, "::1");
  EXPECT_EQ(o.port, -1);
  EXPECT_EQ(o.http_host, "127.0.0.1");
  EXPECT_EQ(errors("listen: localhost"), "f:1:9: could not parse address string \"localhost\"\n");
  EXPECT_EQ(errors("listen: a:x"), "f:1:9: could not parse port \"x\"\n");
  EXPECT_NE(errors("listen: \"::1:4222\""), "");
  EXPECT_NE(errors("port: 70000"), "");
  EXPECT_NE(errors("port: -2"), "");
  EXPECT_NE(errors("port: 4222, http_port: 4222"), "");
}

TEST_F(Build, WrongTypesHavePlaces) {
  EXPECT_EQ(errors("a: 1\nport: \"4222\""),
            "f:1:1: unknown field \"a\"\nf:2:7: \"port\" must be an integer, not a string\n");
  EXPECT_EQ(errors("debug: 1"), "f:1:8: \"debug\" must be a boolean, not an integer\n");
  EXPECT_EQ(errors("server_name: [x]"), "f:1:14: \"server_name\" must be a string, not an array\n");
  EXPECT_EQ(errors("accounts: 3"), "f:1:11: \"accounts\" must be a map, not an integer\n");
  EXPECT_EQ(errors("max_payload: 4GB"),
            "f:1:14: \"max_payload\" is out of range: 4294967296 is not between 0 and 2147483647\n");
  EXPECT_EQ(errors("ping_interval: abc"), "f:1:16: error parsing ping_interval: invalid duration \"abc\"\n");
  EXPECT_NE(errors("server_name: \"a b\""), "");
  EXPECT_NE(errors("write_deadline: '-1s'"), "");
  EXPECT_NE(errors("ping_interval: 9999999999999"), "");
}

TEST_F(Build, BareSecondsWarn) {
  Loaded l = loaded("ping_interval: 10");
  EXPECT_TRUE(l.good());
  EXPECT_EQ(l.options.ping_interval, 10 * kSecond);
  ASSERT_EQ(l.warnings.size(), 1u);
  EXPECT_EQ(l.warnings[0].rfind("f:1:16: ", 0), 0u);
}

TEST_F(Build, SizesInQuotesAreBinary) {
  EXPECT_EQ(options("jetstream {max_mem: 1G, max_file: \"1G\"}").jetstream.max_memory_store, 1'000'000'000);
  EXPECT_EQ(options("jetstream {max_mem: 1G, max_file: \"1G\"}").jetstream.max_file_store, 1 << 30);
  EXPECT_EQ(options("jetstream {max_file: \"\"}").jetstream.max_file_store, 0);
  for (auto bad : {"\"10GB\"", "\"10g\"", "\"G\"", "\"-1G\"", "10Q", "\"99999999999T\"", "true"}) {
    EXPECT_NE(errors("jetstream {max_mem: " + std::string(bad) + "}"), "") << bad;
  }
}

TEST_F(Build, JetStreamForms) {
  EXPECT_TRUE(options("jetstream: true").jetstream.enabled);
  EXPECT_TRUE(options("jetstream: enabled").jetstream.enabled);
  EXPECT_TRUE(options("jetstream {}").jetstream.enabled);
  EXPECT_FALSE(options("jetstream: disabled").jetstream.enabled);
  EXPECT_FALSE(options("jetstream {enabled: false, store_dir: x}").jetstream.enabled);
  EXPECT_NE(errors("jetstream: 3"), "");
  EXPECT_NE(errors("jetstream: maybe"), "");
  Options o = options("jetstream {sync_interval: 10s, limits {batch {timeout: 3s}}}");
  EXPECT_FALSE(o.jetstream.sync_always);
  EXPECT_EQ(o.jetstream.sync_interval, 10 * kSecond);
  EXPECT_EQ(o.jetstream.limits.batch_timeout, 3 * kSecond);
  EXPECT_TRUE(options("jetstream {sync: always}").jetstream.sync_always);
  EXPECT_NE(errors("jetstream {domain: a.b}"), "");
  EXPECT_NE(errors("store_dir: /a\njetstream {store_dir: /b}"), "");
  EXPECT_EQ(errors("store_dir: /a\njetstream {store_dir: /a}"), "");
  EXPECT_EQ(options("store_dir: /a\njetstream: true").effective_store_dir(), "/a");
}

TEST_F(Build, UsersAndPermissions) {
  Options o = options(R"(
    BASIC = {publish: "a.>", subscribe: {allow: ["b", "c q*"], deny: d}}
    authorization {
      timeout: 0.5
      users: [ {user: a, password: x, permissions: $BASIC}
               {user: b, pass: $2a$11$abc, permission: {allow_responses: {max: -1, expires: "1m"}}} ]
    })");
  ASSERT_EQ(o.authorization.users.size(), 2u);
  EXPECT_EQ(o.authorization.timeout, kSecond / 2);
  const UserConfig& a = o.authorization.users[0];
  EXPECT_EQ(a.permissions->publish.allow, (std::vector<std::string>{"a.>"}));
  EXPECT_EQ(a.permissions->subscribe.deny, (std::vector<std::string>{"d"}));
  const UserConfig& b = o.authorization.users[1];
  EXPECT_EQ(b.password, "$2a$11$abc");
  EXPECT_EQ(b.permissions->allow_responses->max, -1);
  EXPECT_EQ(b.permissions->allow_responses->expires, kMinute);
  ASSERT_TRUE(b.permissions->publish.allow.has_value());
  EXPECT_TRUE(b.permissions->publish.allow->empty());
}

TEST_F(Build, AuthorizationContradictions) {
  EXPECT_EQ(errors("authorization {user: a, pass: b, token: c}"),
            "f:1:1: Cannot have a user/pass and token\n");
  EXPECT_EQ(errors("authorization {user: a, pass: b, users: [{user: c}]}"),
            "f:1:1: Can not have a single user/pass and a users array\n");
  EXPECT_EQ(errors("authorization {token: b, users: [{user: c}]}"),
            "f:1:1: Can not have a token and a users array\n");
  EXPECT_EQ(errors("accounts {A {users: [{user: a}]}}\nauthorization {token: x}"),
            "f:2:1: Can not have a token and a users array\n");
  EXPECT_EQ(errors("authorization {users: [{user: c},\n{user: c}]}"),
            "f:2:1: Duplicate user \"c\" detected\n");
  EXPECT_EQ(errors("accounts {A {users: [{user: a}]}, B {users: [{user: a}]}}"),
            "f:1:46: Duplicate user \"a\" detected\n");
  EXPECT_EQ(errors("authorization {users: [{pass: d}]}"), "f:1:24: User entry requires a user\n");
  EXPECT_NE(errors("authorization {pass: x}"), "");
  for (auto bad : {"publish: 'a..b'", "publish: 'a b'", "subscribe: 'a b c'", "publish: {foo: a}", "foo: a",
                   "publish: [1]", "allow_responses: 3", "publish: '>.a'", "publish: ''"}) {
    EXPECT_NE(errors("authorization {users: [{user: a, permissions: {" + std::string(bad) + "}}]}"), "")
        << bad;
  }
}

TEST_F(Build, NoAuthUserAndSystemAccount) {
  EXPECT_EQ(errors("no_auth_user: x"),
            "f:1:1: no_auth_user: \"x\" present, but users/nkeys are not defined\n");
  EXPECT_NE(errors("authorization {users: [{user: a}]}\nno_auth_user: x"), "");
  EXPECT_EQ(errors("accounts {A {users: [{user: a}]}}\nno_auth_user: a"), "");
  EXPECT_NE(errors("system_account: SYS"), "");
  EXPECT_EQ(errors("system_account: $$SYS\n").find("f:1:17: variable"), 0u);
  EXPECT_EQ(errors("accounts {SYS {}}\nsystem_account: SYS"), "");
  EXPECT_NE(errors("accounts {SYS {}}\nsystem_account: SYS\nno_sys_acc: true"), "");
  EXPECT_NE(errors("accounts {SYS {jetstream: enabled}}\nsystem_account: SYS\njetstream: true"), "");
}

TEST_F(Build, Accounts) {
  Options o = options(
      "accounts {A {users: [{user: a}], jetstream {max_mem: 1G, streams: 3}, limits {max_conn: 5}}\n"
      "$SYS {users: [{user: s}]}, b {jetstream: off}}");
  ASSERT_EQ(o.accounts.size(), 3u);
  EXPECT_EQ(o.accounts[0].jetstream->max_memory, 1'000'000'000);
  EXPECT_EQ(o.accounts[0].jetstream->max_streams, 3);
  EXPECT_EQ(o.accounts[0].limits.max_connections, 5);
  EXPECT_EQ(o.accounts[1].name, "$SYS");
  EXPECT_FALSE(o.accounts[2].jetstream->enabled);
  EXPECT_EQ(options("accounts [A, B]").accounts.size(), 2u);
  EXPECT_EQ(errors("accounts [A, A]"), "f:1:14: Duplicate Account Entry: A\n");
  EXPECT_EQ(errors("accounts {$G {}}"), "f:1:11: \"$G\" is a Reserved Account\n");
  EXPECT_EQ(errors("accounts {A: 3}"), "f:1:11: Expected map entries for accounts\n");
}

TEST_F(Build, Cluster) {
  Options o = options(
      "cluster {name: c, listen: 127.0.0.1:-1, authorization {user: u, pass: p, timeout: 3}\n"
      "pool_size: -1, compression {mode: s2_auto, rtt_thresholds: [10ms, 50ms]}, no_advertise: true\n"
      "ping_interval: 40s}");
  EXPECT_EQ(o.cluster.host, "127.0.0.1");
  EXPECT_EQ(o.cluster.user, "u");
  EXPECT_EQ(o.cluster.auth_timeout, 3 * kSecond);
  EXPECT_EQ(o.cluster.compression.mode, "s2_auto");
  EXPECT_EQ(o.cluster.compression.rtt_thresholds.size(), 2u);
  EXPECT_EQ(o.cluster.ping_interval, 40 * kSecond);
  for (auto bad : {"name: 'a b'", "routes: ['::bad']", "routes: [1]", "routes: a", "compression: zzz",
                   "authorization {token: x}", "authorization {users: []}", "accounts: [NO]", "port: 4222",
                   "routes: ['nats://']", "routes: ['foo:://bar']", "routes: ['nats://a:99999']",
                   "routes: ['nats://a b:1']"}) {
    EXPECT_NE(errors("cluster {" + std::string(bad) + "}"), "") << bad;
  }
  EXPECT_EQ(errors("cluster {routes: ['nats://u:p@[::1]:6222', 'nats-route://h', 'tls://[::1]']}"), "");
}

TEST_F(Build, ClusterIsRefusedByItsFeatureAlone) {
  Loaded l = loaded("cluster {port: 6222}");
  if (is_built(Feature::kCluster)) {
    EXPECT_TRUE(l.good());
    EXPECT_TRUE(l.options.unsupported.empty());
  } else {
    ASSERT_EQ(l.errors.size(), 1u);
    EXPECT_EQ(l.errors[0], "f:1:1: \"cluster\" is not supported by this version of weir-broker");
  }
  EXPECT_EQ(l.options.cluster.port, 6222);
}

TEST_F(Build, LimitsAgainstEachOther) {
  EXPECT_EQ(errors("max_pending: 100"), "max_payload (1048576) cannot be higher than max_pending (100)\n");
  EXPECT_EQ(errors("max_payload: 80MB").rfind("f:1:1: max_payload (83886080)", 0), 0u);
  EXPECT_EQ(errors("lame_duck_duration: 40s\nlame_duck_grace_period: 40s"),
            "f:2:1: lame duck grace period (40s) should be strictly lower than lame duck duration (40s)\n");
  EXPECT_NE(errors("lame_duck_duration: 10s"), "");
  Loaded l = loaded("max_payload: 9MB");
  EXPECT_TRUE(l.good());
  EXPECT_EQ(l.warnings.size(), 1u);
}

TEST_F(Build, TagsAndMetadata) {
  Options o = options("server_tags: [\"AZ:1\", \"b,c \"]\nserver_metadata {k: v}");
  EXPECT_EQ(o.server_tags, (std::vector<std::string>{"az:1", "b", "c"}));
  EXPECT_EQ(o.server_metadata.at("k"), "v");
  EXPECT_NE(errors("server_metadata {k: 1}"), "");
  std::string many = "t";
  for (int i = 1; i < 256; ++i) many += ",t";
  EXPECT_EQ(options("server_tags: \"" + many + "\"").server_tags.size(), 256u);
  EXPECT_EQ(errors("server_tags: \"" + many + ",t\""), "f:1:14: more than 256 server tags\n");
}

TEST_F(Build, AllErrorsAreCollected) {
  Loaded l = loaded("x: 1\ny: 2\nport: a\njetstream {z: 1}\nmqtt {}");
  EXPECT_EQ(l.errors.size(), 5u);
}

TEST_F(Build, SyntaxErrorIsAlone) {
  Loaded l = loaded("x: 1\ny: [");
  ASSERT_EQ(l.errors.size(), 1u);
  EXPECT_NE(l.errors[0].find("Parse error on line 2"), std::string::npos);
}

TEST_F(Build, DigestTextIsTheFile) {
  EXPECT_EQ(options("port 4222").digest_text, "{\"port\":4222}\n");
  Loaded l = loaded("");
  EXPECT_TRUE(l.good());
  EXPECT_EQ(l.warnings.size(), 1u);
}

TEST_F(Build, MissingFile) {
  Flags flags;
  flags.config_file = "no.conf";
  Loaded l = load(flags, source);
  ASSERT_EQ(l.errors.size(), 1u);
  EXPECT_EQ(l.errors[0], "open no.conf: no such file or directory");
}

}  // namespace
}  // namespace weir::config
