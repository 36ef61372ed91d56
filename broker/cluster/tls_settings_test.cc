#include "broker/cluster/tls_settings.h"

#include <gtest/gtest.h>

#include "broker/cluster/mesh_harness.h"

namespace weir::cluster {
namespace {

config::ClusterConfig cluster_of(std::initializer_list<const char*> routes) {
  config::ClusterConfig c;
  for (const char* r : routes) c.routes.emplace_back(r, config::Position{});
  return c;
}

TEST(TlsSettings, TakesWhatTheBlockSays) {
  config::TlsConfig tls;
  tls.at = {std::make_shared<std::string>("f"), 3, 1};
  tls.certs.push_back({"c", "k", {tls.at.file, 4, 2}, {tls.at.file, 5, 2}});
  tls.ca_file = "ca";
  tls.verify = true;
  tls.min_version = "1.3";
  tls.curve_preferences = {"CurveP256", "X25519", "CurveP521", "CurveP384"};
  tls.cipher_suites = {"TLS_AES_128_GCM_SHA256"};
  tls.pinned_certs = {"ab"};
  env::TlsSettings s = tls_settings(tls);
  EXPECT_EQ(s.at, "f:3:1");
  ASSERT_EQ(s.certs.size(), 1u);
  EXPECT_EQ(s.certs[0].first.path + s.certs[0].first.at, "cf:4:2");
  EXPECT_EQ(s.certs[0].second.path + s.certs[0].second.at, "kf:5:2");
  EXPECT_EQ(s.ca.path + s.ca.at, "ca");
  EXPECT_EQ(s.clients, env::TlsVerify::kNeeded);
  EXPECT_EQ(s.servers, env::TlsVerify::kNeeded);
  EXPECT_TRUE(s.v13_only);
  EXPECT_EQ(s.groups, (std::vector<std::string>{"P-256", "X25519", "P-521", "P-384"}));
  EXPECT_EQ(s.cipher_suites, tls.cipher_suites);
  EXPECT_EQ(s.pinned, tls.pinned_certs);
  tls.verify = false;
  tls.insecure = true;
  tls.min_version = "1.2";
  s = tls_settings(tls);
  EXPECT_EQ(s.clients, env::TlsVerify::kNone);
  EXPECT_EQ(s.servers, env::TlsVerify::kNone);
  EXPECT_FALSE(s.v13_only);
}

TEST(TlsSettings, KnowsAddressesFromNames) {
  for (const char* a : {"10.0.0.1", "::1", "fe80::1%eth0", "127.0.0.1"}) EXPECT_TRUE(is_address(a)) << a;
  for (const char* n : {"n1", "n1.example", "10.example", "", "1.2.3.x"}) EXPECT_FALSE(is_address(n)) << n;
}

TEST(TlsSettings, AnAddressMayBeAnyNameOfTheRoutes) {
  auto c = cluster_of({"nats://n1:6222", "nats://n2.example:1", "nats://10.0.0.9:1", "nats://u:p@n1:7"});
  EXPECT_EQ(tls_hosts(c, "n7"), std::vector<std::string>{"n7"});
  EXPECT_EQ(tls_hosts(c, "10.0.0.3"), (std::vector<std::string>{"10.0.0.3", "n1", "n2.example"}));
  EXPECT_EQ(tls_hosts(cluster_of({}), "::1"), std::vector<std::string>{"::1"});
}

TEST(TlsSettings, KnowsNodesByNamesOfTheRoutes) {
  auto c = cluster_of({"nats://n1.Pods.example:6222", "nats://10.0.0.9:1"});
  c.tls.verify_cert_and_check_known_urls = true;
  c.user = "u";
  env::TlsState peer;
  peer.peer_names = {"n1.pods.example"};
  EXPECT_FALSE(is_known_node(c, peer)) << "no certificate";
  peer.has_peer_certificate = true;
  EXPECT_TRUE(is_known_node(c, peer));
  peer.peer_names = {"other", "*.pods.example"};
  EXPECT_TRUE(is_known_node(c, peer));
  for (const char* bad : {"pods.example", "n2.pods.example", "*.example", "*", "n1", "u"}) {
    peer.peer_names = {bad};
    EXPECT_FALSE(is_known_node(c, peer)) << bad;
  }
}

TEST(TlsSettings, KnowsNodesByTheUser) {
  auto c = cluster_of({"nats://n1:6222"});
  c.tls.verify_and_map = true;
  env::TlsState peer;
  peer.has_peer_certificate = true;
  peer.peer_subject = "CN=node,O=Weir";
  peer.peer_names = {"n1"};
  EXPECT_FALSE(is_known_node(c, peer)) << "no user to compare with";
  c.user = "O=Weir, CN=node";
  EXPECT_TRUE(is_known_node(c, peer));
  c.user = "n1";
  EXPECT_TRUE(is_known_node(c, peer));
  c.user = "CN=node";
  EXPECT_FALSE(is_known_node(c, peer));
  c.user = "ops@example.org";
  EXPECT_FALSE(is_known_node(c, peer));
  peer.peer_emails = {"ops@example.org"};
  EXPECT_TRUE(is_known_node(c, peer));
}

TEST(TlsSettings, AMeshDoesNotStartPlainWhenItShouldNot) {
  env::testing::SimTime time;
  env::testing::SimNet net(time, 1, {});
  testing::MeshNode node(time, net, 1);
  node.options.cluster.tls.present = true;
  Status started = node.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kUnsupported);
  EXPECT_FALSE(node.mesh->endpoint());
}

}  // namespace
}  // namespace weir::cluster
