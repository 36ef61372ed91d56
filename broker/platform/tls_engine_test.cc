// Two engines back to back, without sockets: every split of the bytes between them, and every refusal.
#include "broker/platform/tls_engine.h"

#include "broker/platform/tls_test_authority.h"
#include "broker/platform/transport_harness.h"

namespace weir::platform {
namespace {

std::shared_ptr<env::TlsContext> open(const env::TlsSettings& s) {
  auto opened = open_tls_context(s);
  EXPECT_TRUE(opened) << opened.error().detail;
  return *opened;
}

struct Pair {
  Pair(const env::TlsSettings& dialler, const env::TlsSettings& acceptor, std::vector<std::string> hosts = {})
      : client(start(dialler, true, std::move(hosts))), server(start(acceptor, false, {})) {}

  static env::TlsStart start(const env::TlsSettings& s, bool dialled, std::vector<std::string> hosts) {
    env::TlsStart how;
    how.context = open(s);
    how.dialled = dialled;
    how.hosts = std::move(hosts);
    return how;
  }
  static std::string take_wire(TlsEngine& e) {
    std::string bytes(as_text(e.wire()));
    e.wire_sent(bytes.size());
    return bytes;
  }
  static void give(TlsEngine& e, std::string_view bytes, std::string* plain) {
    e.input(as_span(bytes));
    if (!e.established() && !e.handshake()) return;
    std::uint8_t room[1000];
    std::size_t n = 0;
    while (e.established()) {
      auto got = e.read(room, n);
      plain->append(reinterpret_cast<char*>(room), n);
      if (got != TlsEngine::Got::kRoomFull) break;
    }
    e.keep_rest();
  }
  // Carries bytes in pieces of `piece` until nobody says anything.
  void run(std::size_t piece = 1 << 20) {
    client.handshake();
    for (bool any = true; any;) {
      any = false;
      for (auto [from, to, plain] :
           {std::tuple(&client, &server, &at_server), std::tuple(&server, &client, &at_client)}) {
        std::string bytes = take_wire(*from);
        any = any || !bytes.empty();
        for (std::size_t i = 0; i < bytes.size(); i += piece)
          give(*to, std::string_view(bytes).substr(i, piece), plain);
      }
    }
  }

  TlsEngine client, server;
  std::string at_client, at_server;
};

class Engine : public ::testing::Test {
 protected:
  TestAuthority ca, other_ca{"other-ca"};
  env::TlsSettings a = ca.settings(ca.issue("a")), b = ca.settings(ca.issue("b"));
};

TEST_F(Engine, ShakesHandsInPiecesOfEverySize) {
  for (bool v13 : {true, false}) {
    if (!v13) a.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
    for (std::size_t piece : {1u, 2u, 3u, 5u, 64u, 1000u, 100'000u}) {
      Pair p(a, b, {"127.0.0.1"});
      p.run(piece);
      ASSERT_TRUE(p.client.established()) << p.client.error();
      ASSERT_TRUE(p.server.established()) << p.server.error();
      std::string sent = pattern(40'000);
      ASSERT_TRUE(p.client.seal(as_span(sent)));
      ASSERT_TRUE(p.server.seal(as_span("hello")));
      p.run(piece);
      EXPECT_EQ(p.at_server, sent);
      EXPECT_EQ(p.at_client, "hello");
    }
  }
}

TEST_F(Engine, TellsWhoIsThere) {
  TestCertOptions o;
  o.names = "DNS:n1.example,DNS:n1,email:ops@example.org,URI:spiffe://example/n1,IP:127.0.0.1";
  env::TlsSettings c = ca.settings(ca.issue("n1", o));
  Pair p(c, b);
  EXPECT_FALSE(p.server.state());
  p.run();
  auto s = p.server.state();
  ASSERT_TRUE(s);
  EXPECT_EQ(s->version, "1.3");
  EXPECT_EQ(s->cipher.rfind("TLS_", 0), 0u) << s->cipher;
  EXPECT_TRUE(s->has_peer_certificate);
  EXPECT_EQ(s->peer_subject, "CN=n1,O=Weir");
  EXPECT_EQ(s->peer_names, (std::vector<std::string>{"n1.example", "n1"}));
  EXPECT_EQ(s->peer_emails, std::vector<std::string>{"ops@example.org"});
  EXPECT_EQ(s->peer_uris, std::vector<std::string>{"spiffe://example/n1"});
}

TEST_F(Engine, SaysTheEndOnceAndHearsIt) {
  Pair p(a, b);
  EXPECT_FALSE(p.client.end()) << "before the handshake";
  p.run();
  ASSERT_TRUE(p.client.seal(as_span("last")));
  EXPECT_TRUE(p.client.end());
  EXPECT_FALSE(p.client.end());
  std::uint8_t room[10];
  std::size_t n = 0;
  std::string bytes = Pair::take_wire(p.client);
  p.server.input(as_span(bytes));
  EXPECT_EQ(p.server.read(room, n), TlsEngine::Got::kEnd);
  EXPECT_EQ(as_text({room, n}), "last");
}

struct Refusal {
  std::string client, server;  // what each side says; "" = it saw no failure
};
Refusal refusal(Pair& p) {
  p.run();
  return {p.client.error(), p.server.error()};
}

TEST_F(Engine, RefusesAClientOfAnotherAuthority) {
  env::TlsSettings c = other_ca.settings(other_ca.issue("stranger"));
  c.ca = {ca.ca_file(), ""};
  Pair p(c, b);
  Refusal r = refusal(p);
  EXPECT_EQ(
      r.server,
      "tls handshake: the certificate of CN=stranger,O=Weir is not accepted: unable to get local issuer "
      "certificate");
  EXPECT_EQ(r.client, "tls: the other side refuses: unknown CA");
}

TEST_F(Engine, RefusesAServerOfAnotherAuthority) {
  env::TlsSettings c = other_ca.settings(other_ca.issue("stranger"));
  c.ca = {ca.ca_file(), ""};
  Pair p(a, c);
  Refusal r = refusal(p);
  EXPECT_EQ(
      r.client,
      "tls handshake: the certificate of CN=stranger,O=Weir is not accepted: unable to get local issuer "
      "certificate");
  EXPECT_EQ(r.server, "tls handshake: the other side refuses: unknown CA");
}

TEST_F(Engine, RefusesAClientWithoutACertificate) {
  env::TlsSettings c = a;
  c.certs.clear();
  Pair p(c, b);
  Refusal r = refusal(p);
  EXPECT_EQ(r.server, "tls handshake: the other side shows no certificate");
  EXPECT_EQ(r.client, "tls: the other side refuses: tlsv13 alert certificate required");
  b.clients = env::TlsVerify::kWanted;
  Pair wanted(c, b);
  wanted.run();
  ASSERT_TRUE(wanted.server.established());
  EXPECT_FALSE(wanted.server.state()->has_peer_certificate);
  env::TlsSettings d = other_ca.settings(other_ca.issue("stranger"));
  d.ca = c.ca;
  Pair bad(d, b);
  EXPECT_NE(refusal(bad).server, "") << "one that is shown must be good";
  b.clients = env::TlsVerify::kNone;
  Pair any(d, b);
  any.run();
  ASSERT_TRUE(any.server.established());
  EXPECT_FALSE(any.server.state()->has_peer_certificate);
}

TEST_F(Engine, RefusesCertificatesOutOfTime) {
  TestCertOptions old, early;
  old.valid_from_s = -7200, old.valid_to_s = -3600;
  early.valid_from_s = 3600, early.valid_to_s = 7200;
  Pair p(ca.settings(ca.issue("old", old)), b);
  EXPECT_EQ(refusal(p).server,
            "tls handshake: the certificate of CN=old,O=Weir is not accepted: certificate has expired");
  Pair q(a, ca.settings(ca.issue("early", early)));
  EXPECT_EQ(
      refusal(q).client,
      "tls handshake: the certificate of CN=early,O=Weir is not accepted: certificate is not yet valid");
}

TEST_F(Engine, RefusesCertificatesForOtherUses) {
  TestCertOptions server_only;
  server_only.usage = "serverAuth";
  env::TlsSettings s = ca.settings(ca.issue("s", server_only));
  Pair good(a, s);
  good.run();
  EXPECT_TRUE(good.server.established());
  Pair bad(s, b);
  EXPECT_NE(refusal(bad).server.find("certificate purpose"), std::string::npos) << refusal(bad).server;
}

TEST_F(Engine, ComparesNamesAndAddresses) {
  TestCertOptions o;
  o.names = "DNS:n2.example,DNS:*.pods,DNS:*.Pods.example,DNS:n*.x,IP:10.0.0.2,IP:::1";
  env::TlsSettings s = ca.settings(ca.issue("localhost", o));  // a CN counts for nothing
  for (const char* good : {"n2.example", "N2.Example.", "a.pods.example", "weir-0.pods", "10.0.0.2", "::1"}) {
    Pair p(a, s, {good});
    EXPECT_EQ(refusal(p).client, "") << good;
  }
  for (const char* bad :
       {"localhost", "n3.example", "b.a.pods.example", ".pods", "pods", "n1.x", "10.0.0.3", "::2"}) {
    Pair p(a, s, {bad});
    EXPECT_EQ(refusal(p).client,
              std::string("tls handshake: the certificate of CN=localhost,O=Weir is not accepted: it is for "
                          "DNS:n2.example, DNS:*.pods, DNS:*.Pods.example, DNS:n*.x, IP Address:10.0.0.2, "
                          "IP Address:0:0:0:0:0:0:0:1, not for ") +
                  bad);
  }
  Pair either(a, s, {"10.0.0.3", "n2.example"});
  EXPECT_EQ(refusal(either).client, "");
}

TEST_F(Engine, DoesNotLookWhenToldNotTo) {
  a.servers = env::TlsVerify::kNone;
  env::TlsSettings s = b;
  s.certs.assign(1, other_ca.issue("stranger").files());
  Pair p(a, s);
  EXPECT_EQ(refusal(p).client, "");
  EXPECT_TRUE(p.server.established());
}

TEST_F(Engine, TakesOnlyPinnedKeys) {
  TestCert c = ca.issue("c");
  unsigned char* der = nullptr;
  int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c.cert.get()), &der);
  unsigned char hash[32];
  EVP_Digest(der, static_cast<std::size_t>(size), hash, nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  std::string hex;
  for (unsigned char byte : hash) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    hex += two;
  }
  b.pinned = {std::string(64, '0'), hex};
  Pair good(ca.settings(c), b);
  EXPECT_EQ(refusal(good).server, "");
  EXPECT_TRUE(good.server.established());
  Pair bad(a, b);
  EXPECT_EQ(
      refusal(bad).server,
      "tls handshake: the certificate of CN=a,O=Weir is not accepted: its key is not one of pinned_certs");
}

TEST_F(Engine, NeedsCommonVersionsAndSuites) {
  env::TlsSettings old = a;
  a.v13_only = true;
  Pair p(a, b);
  p.run();
  EXPECT_TRUE(p.server.established());
  b.cipher_suites = {"TLS_AES_256_GCM_SHA384"};
  old.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  b.v13_only = true;
  Pair none(old, b);
  EXPECT_EQ(refusal(none).server, "tls handshake: no shared cipher");
}

TEST_F(Engine, ShowsTheCertificateForTheNameThatIsAskedFor) {
  TestCertOptions one, two;
  one.names = "DNS:one.example", two.names = "DNS:two.example";
  env::TlsSettings s = ca.settings(ca.issue("one", one));
  s.certs.push_back(ca.issue("two", two).files());
  for (const char* name : {"one.example", "two.example"}) {
    Pair p(a, s, {name});
    EXPECT_EQ(refusal(p).client, "");
    EXPECT_TRUE(p.client.established());
  }
  Pair unnamed(a, s);
  unnamed.run();
  EXPECT_EQ(unnamed.client.state()->peer_subject, "CN=one,O=Weir");
}

TEST_F(Engine, SaysWhenTheOtherSideSpeaksSomethingElse) {
  for (std::string_view bytes : {std::string_view("INFO {}\r\n"), std::string_view("GET / HTTP/1.1\r\n\r\n"),
                                 std::string_view("\0\0\0\0\0\0\0\0", 8)}) {
    Pair p(a, b);
    std::string plain;
    p.client.handshake();
    Pair::give(p.client, bytes, &plain);
    EXPECT_EQ(p.client.error(), "tls handshake: the other side does not speak TLS");
    Pair::give(p.server, bytes, &plain);
    EXPECT_EQ(p.server.error(), "tls handshake: the other side does not speak TLS");
    EXPECT_FALSE(p.server.handshake()) << "failed once";
  }
}

TEST_F(Engine, BoundsTheHandshake) {
  Pair p(a, b);
  p.client.handshake();
  std::string hello = Pair::take_wire(p.client), plain;
  // A hello that claims to go on for ever: fragments of one long handshake message.
  std::string fragment("\x16\x03\x01\x40\x00", 5);
  fragment += std::string(16384, '\1');
  fragment[5] = 1, fragment[6] = '\x7f';
  for (int i = 0; i < 100 && !p.server.failed(); ++i) Pair::give(p.server, fragment, &plain);
  EXPECT_TRUE(p.server.failed());
}

TEST_F(Engine, SurvivesEveryDamagedByteOfAHello) {
  Pair source(a, b);
  source.client.handshake();
  std::string hello = Pair::take_wire(source.client), plain;
  auto context = Pair::start(b, false, {});
  for (std::size_t i = 0; i < hello.size(); ++i) {
    std::string damaged = hello;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    TlsEngine server(context);
    Pair::give(server, damaged, &plain);
    EXPECT_FALSE(server.established());
  }
  EXPECT_EQ(plain, "");
}

TEST_F(Engine, SurvivesEveryDamagedByteOfARecord) {
  for (std::size_t i = 0; i < 27; ++i) {
    Pair p(a, b);
    p.run();
    ASSERT_TRUE(p.client.seal(as_span("hello")));
    std::string record = Pair::take_wire(p.client);
    ASSERT_EQ(record.size(), 27u);
    record[i] = static_cast<char>(record[i] ^ 1);
    Pair::give(p.server, record, &p.at_server);
    EXPECT_EQ(p.at_server, "");
  }
}

}  // namespace
}  // namespace weir::platform
