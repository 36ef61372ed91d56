// tls {} blocks: what they read, what contradicts, what is refused. The files themselves are looked at later.
#include <gtest/gtest.h>

#include "broker/config/options_build.h"
#include "broker/config/testing_source.h"

namespace weir::config {
namespace {

constexpr const char* kPair = "cert_file: c.pem, key_file: k.pem, ca_file: ca.pem";

struct TlsBlocks : ::testing::Test {
  MapSource source;

  Loaded cluster(const std::string& keys) {
    return load_text("cluster {name: c, port: 6222, tls {" + keys + "}}", "f", source);
  }
  std::string first_error(const std::string& keys) {
    Loaded l = cluster(keys);
    return l.errors.empty() ? "" : l.errors.front();
  }
  std::string with_pair(const std::string& keys) { return first_error(std::string(kPair) + ", " + keys); }
};

TEST_F(TlsBlocks, KeepEveryKeyAndItsPlace) {
  Loaded l = cluster(
      "cert_file: c.pem\nkey_file: k.pem\nca_file: ca.pem, timeout: 1.5, min_version: '1.3',\n"
      "cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [CurveP256, X25519]\n"
      "pinned_certs: [" +
      std::string(64, 'A') + "], insecure: true");
  ASSERT_TRUE(l.good()) << l.errors.front();
  const TlsConfig& t = l.options.cluster.tls;
  EXPECT_TRUE(t.present);
  ASSERT_EQ(t.certs.size(), 1u);
  EXPECT_EQ(t.certs[0].cert_file + " " + t.certs[0].cert_at.to_string(), "c.pem f:1:47");
  EXPECT_EQ(t.certs[0].key_file + " " + t.certs[0].key_at.to_string(), "k.pem f:2:11");
  EXPECT_EQ(t.ca_file + " " + t.ca_at.to_string(), "ca.pem f:3:10");
  EXPECT_EQ(t.timeout, 1500 * kMillisecond);
  EXPECT_EQ(t.min_version, "1.3");
  EXPECT_EQ(t.cipher_suites, std::vector<std::string>{"TLS_AES_128_GCM_SHA256"});
  EXPECT_EQ(t.curve_preferences, (std::vector<std::string>{"CurveP256", "X25519"}));
  EXPECT_EQ(t.pinned_certs, std::vector<std::string>{std::string(64, 'a')});
  EXPECT_TRUE(t.insecure);
  EXPECT_TRUE(t.verify) << "nodes always verify";
  ASSERT_EQ(l.warnings.size(), 1u);
  EXPECT_NE(l.warnings[0].find("insecure: this node does not verify"), std::string::npos);
  l = cluster(kPair);
  EXPECT_EQ(l.options.cluster.tls.timeout, 2 * kSecond);
  EXPECT_TRUE(l.warnings.empty());
}

TEST_F(TlsBlocks, TakeListsOfCertificates) {
  Loaded l = cluster("certs: [{cert_file: a, key_file: b}, {cert_file: c, key_file: d}], ca_file: ca");
  ASSERT_TRUE(l.good()) << l.errors.front();
  ASSERT_EQ(l.options.cluster.tls.certs.size(), 2u);
  EXPECT_EQ(l.options.cluster.tls.certs[1].key_file, "d");
  EXPECT_EQ(l.options.cluster.tls.certs[1].key_at.to_string(), "f:1:98");
  EXPECT_EQ(first_error("certs: [{cert_file: a}]"),
            "f:1:44: a certificate needs both cert_file and key_file");
  EXPECT_EQ(with_pair("certs: [{cert_file: a, key_file: b}]"),
            "f:1:88: cannot combine 'cert_file' option with 'certs' option");
}

TEST_F(TlsBlocks, NeedACertificateAndItsKey) {
  EXPECT_EQ(first_error(""), "f:1:31: missing 'cert_file' and 'key_file' in TLS configuration");
  EXPECT_EQ(first_error("cert_file: c"), "f:1:31: missing 'key_file' in TLS configuration");
  EXPECT_EQ(first_error("key_file: k"), "f:1:31: missing 'cert_file' in TLS configuration");
  EXPECT_EQ(first_error(kPair), "");
}

TEST_F(TlsBlocks, RefuseWhatTheyDoNotKnow) {
  EXPECT_EQ(with_pair("cipher_suites: [TLS_NONE]"), "f:1:103: unrecognized cipher TLS_NONE");
  EXPECT_EQ(with_pair("curve_preferences: [P-256]"), "f:1:107: unrecognized curve preference P-256");
  EXPECT_EQ(with_pair("min_version: '1.1'"),
            "f:1:101: unsupported TLS version \"1.1\", must be \"1.2\" or \"1.3\"");
  EXPECT_NE(with_pair("pinned_certs: [abc]"), "");
  EXPECT_NE(with_pair("timeout: soon"), "");
  EXPECT_NE(with_pair("verify: 1"), "");
  EXPECT_NE(with_pair("cert_fil: x").find("unknown field \"cert_fil\""), std::string::npos);
  EXPECT_EQ(with_pair("ocsp_peer: true"),
            "f:1:88: \"ocsp_peer\" is not supported by this version of weir-broker");
  EXPECT_EQ(with_pair("cert_store: x"),
            "f:1:88: \"cert_store\" is not supported by this version of weir-broker");
}

TEST_F(TlsBlocks, WantInsecureSuitesToBeWished) {
  EXPECT_EQ(with_pair("cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]"),
            "f:1:103: cipher TLS_RSA_WITH_AES_128_GCM_SHA256 is insecure and needs "
            "\"allow_insecure_cipher_suites\"");
  for (const char* order :
       {"cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256], allow_insecure_cipher_suites: true",
        "allow_insecure_cipher_suites: true, cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]"}) {
    EXPECT_EQ(with_pair(order), "") << order;
  }
}

TEST_F(TlsBlocks, BetweenNodesSayWhatHasNoEffect) {
  auto warning = [&](const std::string& keys) {
    Loaded l = cluster(keys);
    EXPECT_TRUE(l.good()) << keys;
    EXPECT_TRUE(l.options.cluster.tls.verify);
    return l.warnings.size() == 1 ? l.warnings.front() : std::to_string(l.warnings.size());
  };
  std::string pair = kPair;
  EXPECT_EQ(warning(pair + ", verify: false"), "f:1:88: nodes always verify each other's certificates");
  EXPECT_EQ(warning(pair + ", verify: true"), "0");
  EXPECT_EQ(warning(pair + ", handshake_first: true"),
            "f:1:88: \"handshake_first\" has no effect between nodes");
  EXPECT_EQ(warning(pair + ", connection_rate_limit: 5"),
            "f:1:88: \"connection_rate_limit\" has no effect between nodes");
  EXPECT_NE(warning("cert_file: c, key_file: k").find("without 'ca_file' nodes trust everybody"),
            std::string::npos);
}

TEST_F(TlsBlocks, OfClientsHaveRulesOfTheirOwn) {
  auto first = [&](const std::string& text) {
    Loaded l = load_text(text, "f", source);
    return l.errors.empty() ? "" : l.errors.front();
  };
  std::string pair = kPair;
  EXPECT_EQ(first("tls {" + pair + "}"), "");
  EXPECT_EQ(first("tls {" + pair + ", handshake_first: auto, connection_rate_limit: 10}"), "");
  EXPECT_EQ(first("tls {}"), "f:1:1: missing 'cert_file' and 'key_file' in TLS configuration");
  EXPECT_EQ(first("tls {" + pair + ", verify_cert_and_check_known_urls: true}"),
            "f:1:58: verify_cert_and_check_known_urls is for nodes, not for clients");
  EXPECT_NE(first("tls {" + pair + ", verify_and_map: true}").find("there are no users"), std::string::npos);
  EXPECT_EQ(first("authorization {users: [{user: 'CN=a'}]}, tls {" + pair + ", verify_and_map: true}"), "");
  Options o = load_text("tls {" + pair + ", handshake_first: 300ms}", "f", source).options;
  EXPECT_FALSE(o.tls.verify);
  EXPECT_TRUE(o.tls.handshake_first);
  EXPECT_EQ(o.tls.handshake_first_fallback, 300 * kMillisecond);
}

TEST_F(TlsBlocks, MapToTheUserOfTheCluster) {
  EXPECT_NE(with_pair("verify_and_map: true").find("there is none"), std::string::npos);
  Loaded l = load_text("cluster {port: 6222, authorization {user: 'CN=node'}, tls {" + std::string(kPair) +
                           ", verify_and_map: true}}",
                       "f", source);
  EXPECT_TRUE(l.good());
  EXPECT_EQ(with_pair("verify_cert_and_check_known_urls: true"), "");
}

}  // namespace
}  // namespace weir::config
