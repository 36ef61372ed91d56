// When a client's connection turns to TLS, and what INFO says of it. TLS itself: platform/tls_transport_test.
#include "broker/server/test_world.h"

namespace weir::server {
namespace {

using testing::kTlsMark;
using testing::Pipe;

class ClientsTls : public ::testing::Test {
 protected:
  ClientsTls() {
    w.options.jetstream.enabled = false;
    w.options.tls.present = true;
    w.options.tls.certs.push_back({"c", "k", {}, {}});
  }
  std::shared_ptr<Pipe> connect(Nanos wait = kMillisecond) {
    auto pipe = w.transport.connect();
    w.loop.run_for(wait);
    return pipe;
  }
  void say(Pipe& pipe, std::string_view text) {
    ASSERT_TRUE(pipe.handler);
    w.loop.post([&] { pipe.handler->data(as_span(text)); });
    w.loop.run_for(kMillisecond);
  }
  // "T" and "I": where TLS begins and INFO stands in what was sent.
  static std::string order(const Pipe& pipe) {
    auto tls = pipe.to_client.find(kTlsMark), info = pipe.to_client.find("INFO {");
    std::string out;
    if (tls != std::string::npos) out += 'T';
    if (info != std::string::npos) info < tls ? out.insert(0, "I") : out += 'I';
    return out;
  }
  static bool says(const Pipe& pipe, std::string_view what) {
    return pipe.to_client.find(what) != std::string::npos;
  }

  static std::string text_at(const api::JsonValue& page, std::string_view path) {
    const api::JsonValue* v = testing::at(page, path);
    return v && v->string() ? *v->string() : "nothing at " + std::string(path);
  }

  testing::TestWorld w;
};

TEST_F(ClientsTls, InfoLeavesBeforeTheHandshake) {
  w.start();
  auto c = connect();
  EXPECT_EQ(order(*c), "IT");
  EXPECT_TRUE(says(*c, "\"tls_required\":true"));
  EXPECT_FALSE(says(*c, "tls_verify"));
  EXPECT_FALSE(says(*c, "tls_available"));
  EXPECT_LT(c->to_client.find("\r\n"), c->to_client.find(kTlsMark)) << "all of it";
  say(*c, "CONNECT {}\r\nPING\r\n");
  EXPECT_TRUE(says(*c, "PONG"));
}

TEST_F(ClientsTls, TheHandshakeComesFirstIfWished) {
  w.options.tls.handshake_first = true;
  w.options.tls.verify = true;
  w.start();
  auto c = connect();
  EXPECT_EQ(order(*c), "TI");
  EXPECT_TRUE(says(*c, "\"tls_verify\":true"));
}

TEST_F(ClientsTls, OrAfterAWhileWithoutAWord) {
  w.options.tls.handshake_first = true;
  w.options.tls.handshake_first_fallback = 50 * kMillisecond;
  w.start();
  auto quick = connect();
  EXPECT_EQ(order(*quick), "");
  say(*quick, "\x16hello");
  EXPECT_EQ(order(*quick), "TI");
  EXPECT_EQ(quick->tls_first, "\x16hello");
  auto slow = connect(49 * kMillisecond);
  EXPECT_EQ(order(*slow), "");
  w.loop.run_for(2 * kMillisecond);
  EXPECT_EQ(order(*slow), "IT");
  EXPECT_EQ(slow->tls_first, "");
  auto plain = connect();
  say(*plain, "CONNECT {}\r\n");
  EXPECT_EQ(order(*plain), "IT") << "which then fails";
  EXPECT_EQ(plain->tls_first, "CONNECT {}\r\n");
  EXPECT_EQ(order(*quick), "TI") << "its timer is gone";
}

TEST_F(ClientsTls, BothKindsIfAllowed) {
  w.options.allow_non_tls = true;
  w.start();
  auto secure = connect(), plain = connect();
  for (auto& c : {secure, plain}) {
    EXPECT_EQ(order(*c), "I");
    EXPECT_TRUE(says(*c, "\"tls_available\":true"));
    EXPECT_FALSE(says(*c, "tls_required"));
  }
  say(*secure, "\x16hello");
  EXPECT_EQ(order(*secure), "IT");
  EXPECT_EQ(secure->tls_first, "\x16hello");
  say(*secure, "PING\r\n");
  EXPECT_TRUE(says(*secure, "PONG"));
  say(*plain, "PI");
  say(*plain, "NG\r\n\x16");
  EXPECT_TRUE(says(*plain, "PONG"));
  EXPECT_EQ(order(*plain), "I");
}

TEST_F(ClientsTls, BoundsHandshakesPerSecond) {
  w.options.tls.connection_rate_limit = 2;
  w.start();
  EXPECT_EQ(order(*connect()), "IT");
  EXPECT_EQ(order(*connect()), "IT");
  auto third = connect();
  EXPECT_EQ(order(*third), "");
  EXPECT_TRUE(third->closed_by_server);
  w.loop.run_for(kSecond);
  EXPECT_EQ(order(*connect()), "IT");
}

TEST_F(ClientsTls, FailedHandshakesAreCountedAndLoggedOnce) {
  w.start();
  for (int i = 0; i < 5; ++i) {
    auto c = connect();
    c->handler->closed("tls handshake: the other side does not speak TLS");
    w.loop.run_for(kMillisecond);
  }
  int lines = 0;
  for (const auto& line : w.log.lines()) lines += line.text.find("TLS handshake error") != std::string::npos;
  EXPECT_EQ(lines, 1);
  auto page = w.page("/connz", "state=closed");
  EXPECT_EQ(text_at(page, "connections.4.reason"), "TLS Handshake Failure");
}

TEST_F(ClientsTls, FindsTheUserByTheCertificate) {
  w.options.tls.verify = w.options.tls.verify_and_map = true;
  config::UserConfig mail, subject, other;
  mail.name = "ops@example.org";
  subject.name = "CN=app, O=Weir";
  other.name = "other", other.password = "secret";
  w.options.authorization.users = {mail, subject, other};
  w.start();
  auto ask = [&](std::vector<std::string> emails, const std::string& dn, const char* connect_options) {
    auto c = connect(0);
    c->peer.emplace();
    c->peer->has_peer_certificate = !dn.empty();
    c->peer->peer_emails = std::move(emails);
    c->peer->peer_subject = dn;
    w.loop.run_for(kMillisecond);
    say(*c, std::string("CONNECT ") + connect_options + "\r\nPING\r\n");
    return says(*c, "PONG");
  };
  EXPECT_TRUE(ask({"x@y", "ops@example.org"}, "CN=x", "{}"));
  EXPECT_TRUE(ask({}, "O=Weir,CN=app", "{}"));
  EXPECT_FALSE(ask({}, "CN=nobody", "{}"));
  EXPECT_FALSE(ask({}, "CN=nobody", R"({"user":"other","pass":"secret"})")) << "a password does not help";
  EXPECT_FALSE(ask({}, "", R"({"user":"other","pass":"secret"})")) << "no certificate";
}

TEST_F(ClientsTls, MonitoringShowsIt) {
  w.start();
  auto c = connect();
  c->peer->version = "1.3";
  c->peer->cipher = "TLS_AES_128_GCM_SHA256";
  auto page = w.page("/connz");
  EXPECT_EQ(text_at(page, "connections.0.tls_version"), "1.3");
  EXPECT_EQ(text_at(page, "connections.0.tls_cipher_suite"), "TLS_AES_128_GCM_SHA256");
  auto varz = w.page("/varz");
  EXPECT_TRUE(testing::at(varz, "tls_required") != nullptr);
  EXPECT_EQ(text_at(varz, "tls_cert_not_after"), "2033-05-18T03:33:20Z");
}

TEST_F(ClientsTls, ANodeDoesNotListenPlainWhenItShouldNot) {
  w.options.tls.certs.clear();
  Status s = w.try_start();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().detail, "no certificate");
  EXPECT_EQ(w.transport.connect(), nullptr);
}

}  // namespace
}  // namespace weir::server
