#include "broker/platform/tls_context.h"

#include "broker/platform/system.h"
#include "broker/platform/tls_test_authority.h"

namespace weir::platform {
namespace {

class Context : public ::testing::Test {
 protected:
  // "" if it opens.
  static std::string error(const env::TlsSettings& s) {
    auto opened = OpenSslContext::open(s);
    if (opened) return "";
    EXPECT_EQ(opened.error().code, Code::kInvalid);
    return opened.error().detail;
  }
  // `own` with the places of a configuration.
  env::TlsSettings placed() const {
    env::TlsSettings s = ca.settings(own);
    s.at = "c.conf:1:1";
    s.certs[0].first.at = "c.conf:2:3";
    s.certs[0].second.at = "c.conf:3:3";
    s.ca.at = "c.conf:4:3";
    return s;
  }

  TestAuthority ca;
  TestCert own = ca.issue("own");
};

TEST_F(Context, OpensAndKnowsWhenItsCertificateExpires) {
  auto opened = OpenSslContext::open(placed());
  ASSERT_TRUE(opened) << opened.error().detail;
  ASSERT_TRUE((*opened)->not_after());
  SystemClock clock;
  EXPECT_NEAR(static_cast<double>((*opened)->not_after()->ns - clock.wall().ns), 3600e9, 60e9);
  env::TlsSettings none;
  auto empty = OpenSslContext::open(none);
  ASSERT_TRUE(empty);
  EXPECT_FALSE((*empty)->not_after());
}

TEST_F(Context, NamesTheFileThatCannotBeRead) {
  auto s = placed();
  s.certs[0].first.path = ca.folder() + "/none.pem";
  EXPECT_EQ(error(s), "c.conf:2:3: cert_file: open " + ca.folder() + "/none.pem: no such file or directory");
  s = placed();
  s.certs[0].second.path = ca.folder() + "/none.pem";
  EXPECT_EQ(error(s), "c.conf:3:3: key_file: open " + ca.folder() + "/none.pem: no such file or directory");
  s = placed();
  s.ca.path = ca.folder();
  EXPECT_EQ(error(s), "c.conf:4:3: ca_file: open " + ca.folder() + ": is a directory");
  s = placed();
  s.ca.path = "/dev/zero";
  EXPECT_EQ(error(s), "c.conf:4:3: ca_file: open /dev/zero: it is too large to hold certificates or keys");
}

TEST_F(Context, NamesTheFileThatHoldsSomethingElse) {
  std::string text = ca.file("text", "not a certificate\n");
  std::string empty = ca.file("empty", "");
  std::string damaged = ca.file("damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  std::string bad_key = ca.file("bad_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  auto s = placed();
  for (const auto& path : {text, empty, own.key_file}) {
    s.certs[0].first.path = path;
    EXPECT_EQ(error(s), "c.conf:2:3: cert_file: " + path + " has no PEM certificate in it");
  }
  s.certs[0].first.path = damaged;
  EXPECT_EQ(error(s).rfind("c.conf:2:3: cert_file: " + damaged + " has a damaged certificate: ", 0), 0u)
      << error(s);
  s = placed();
  for (const auto& path : {text, empty, own.cert_file}) {
    s.certs[0].second.path = path;
    EXPECT_EQ(error(s), "c.conf:3:3: key_file: " + path + " has no PEM private key in it");
  }
  s.certs[0].second.path = bad_key;
  EXPECT_EQ(error(s).rfind("c.conf:3:3: key_file: " + bad_key + " has a damaged private key: ", 0), 0u)
      << error(s);
  s = placed();
  s.ca.path = own.key_file;
  EXPECT_EQ(error(s), "c.conf:4:3: ca_file: " + own.key_file + " has no PEM certificate in it");
}

TEST_F(Context, RefusesPairsThatDoNotFitAndLockedKeys) {
  TestCert other = ca.issue("other");
  auto s = placed();
  s.certs[0].second.path = other.key_file;
  EXPECT_EQ(error(s), "c.conf:3:3: key_file: " + other.key_file + " is not the key of the certificate in " +
                          own.cert_file);
  TestCertOptions locked;
  locked.passphrase = "secret";
  other = ca.issue("locked", locked);
  s.certs[0] = other.files();
  EXPECT_EQ(error(s), "key_file: " + other.key_file + " is encrypted; a key without a passphrase is needed");
  s = placed();
  s.certs[0].second.path = "";
  EXPECT_EQ(error(s), "c.conf:1:1: tls: cert_file and key_file belong together");
}

TEST_F(Context, TakesNamesOfSuitesAndGroupsThatOpenSslHas) {
  auto s = placed();
  s.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"};
  s.groups = {"X25519", "P-256", "P-384", "P-521"};
  EXPECT_EQ(error(s), "");
  s.cipher_suites = {"TLS_NO_SUCH_SUITE"};
  EXPECT_EQ(error(s), "c.conf:1:1: cipher_suites: TLS_NO_SUCH_SUITE is not in OpenSSL");
  s = placed();
  s.groups = {"X25519", "Curve9"};
  EXPECT_EQ(error(s).rfind("c.conf:1:1: curve_preferences: OpenSSL ", 0), 0u) << error(s);
}

TEST_F(Context, ReadsChainsAndFilesWithKeysInThem) {
  std::ifstream a(own.cert_file), b(ca.ca_file()), k(own.key_file);
  std::stringstream all;
  all << k.rdbuf() << a.rdbuf() << "text between\n" << b.rdbuf();
  std::string path = ca.file("all.pem", all.str());
  auto s = placed();
  s.certs[0].first.path = s.certs[0].second.path = path;
  EXPECT_EQ(error(s), "");
}

}  // namespace
}  // namespace weir::platform
