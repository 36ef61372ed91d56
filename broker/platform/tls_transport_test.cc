// TLS over real sockets: what a Connection promises must hold with it as without.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "broker/base/limits.h"
#include "broker/platform/asio_transport.h"
#include "broker/platform/tls_test_authority.h"
#include "broker/platform/transport_harness.h"

namespace weir::platform {
namespace {

class TlsTransport : public ::testing::Test {
 protected:
  void SetUp() override {
    a = open(ca.settings(ca.issue("a")));
    b = open(ca.settings(ca.issue("b")));
  }
  std::shared_ptr<const env::TlsContext> open(const env::TlsSettings& s) {
    auto opened = transport->tls(s);
    EXPECT_TRUE(opened) << opened.error().detail;
    return *opened;
  }
  void connect() {
    auto listening = transport->listen({"127.0.0.1", 0}, [this](auto c) { server.c = std::move(c); });
    ASSERT_TRUE(listening) << listening.error().detail;
    listener = std::move(*listening);
    transport->dial(listener->local(), kSecond, [this](auto result) {
      ASSERT_TRUE(result) << result.error().detail;
      client.c = std::move(*result);
    });
    run_until(loop, [this] { return client.c && server.c; });
  }
  static env::TlsStart dialled(std::shared_ptr<const env::TlsContext> context) {
    env::TlsStart how;
    how.context = std::move(context);
    how.dialled = true;
    how.hosts = {"127.0.0.1"};
    return how;
  }
  static env::TlsStart accepted(std::shared_ptr<const env::TlsContext> context) {
    env::TlsStart how;
    how.context = std::move(context);
    return how;
  }
  void connect_tls() {
    connect();
    client.c->start_tls(dialled(a));
    server.c->start_tls(accepted(b));
  }
  void start_both() {
    client.c->start(&client);
    server.c->start(&server);
  }
  void until_both_closed() {
    run_until(loop, [this] { return client.closes == 1 && server.closes == 1; });
  }

  AsioLoop loop;
  std::unique_ptr<env::Transport> transport = make_transport(loop);
  std::unique_ptr<env::Listener> listener;
  TestAuthority ca, other_ca{"other"};
  std::shared_ptr<const env::TlsContext> a, b;
  Peer client, server;
};

TEST_F(TlsTransport, EchoesEverySize) {
  connect_tls();
  start_both();
  server.on_data = [this](std::string_view v) { server.c->write(one(v)); };
  for (std::size_t size :
       {1u, 2u, 511u, 512u, 4096u, 16383u, 16384u, 16385u, 65536u, 131073u, 1000000u, 9000000u}) {
    client.got.clear();
    std::string sent = pattern(size);
    client.write(one(sent));
    run_until(loop, [&] { return client.got.size() >= size; });
    ASSERT_EQ(client.got, sent) << size;
  }
  ASSERT_TRUE(server.c->tls());
  EXPECT_EQ(server.c->tls()->peer_subject, "CN=a,O=Weir");
  EXPECT_EQ(client.c->tls()->peer_subject, "CN=b,O=Weir");
}

TEST_F(TlsTransport, WritesWaitForTheHandshakeInOrder) {
  connect();
  client.c->start_tls(dialled(a));
  client.c->start(&client);
  std::string sent;
  for (int i = 0; i < 3000; ++i) {
    std::string part = std::to_string(i) + ",";
    sent += part;
    client.write(one(part));
  }
  EXPECT_GE(client.c->queued_bytes(), sent.size());
  EXPECT_FALSE(client.c->tls());
  run_until(loop, [] { return true; });
  EXPECT_EQ(client.drains, 0) << "nothing has left yet";
  server.c->start_tls(accepted(b));
  server.c->start(&server);
  run_until(loop, [&] { return server.got.size() >= sent.size() && client.drains > 0; });
  EXPECT_EQ(server.got, sent);
  EXPECT_EQ(client.drains, 1);
  EXPECT_EQ(client.c->queued_bytes(), 0u);
  EXPECT_EQ(server.drains, 0) << "its part of the handshake is not a write of the owner";
}

TEST_F(TlsTransport, CarriesLargeTransfersBothWaysAtOnce) {
  connect_tls();
  start_both();
  std::string up = pattern(20'000'000), down = pattern(15'000'003);
  std::uint64_t turn = 0;
  std::size_t in_turn = 0, most = 0;
  server.on_data = [&](std::string_view v) {
    if (std::exchange(turn, loop.turn()) != loop.turn()) in_turn = 0;
    most = std::max(most, in_turn += v.size());
  };
  client.write(one(up));
  server.write(one(down));
  run_until(loop, [&] { return server.got.size() >= up.size() && client.got.size() >= down.size(); });
  EXPECT_TRUE(server.got == up);
  EXPECT_TRUE(client.got == down);
  EXPECT_LE(most, limits::kReadBytesPerTurn + 128 * 1024) << "others get their turn";
}

TEST_F(TlsTransport, ASlowReaderFillsTheQueueThenDrains) {
  connect_tls();
  start_both();
  run_until(loop, [this] { return client.c->tls() && server.c->tls(); });
  server.c->pause_reading(true);
  std::string chunk = pattern(1 << 20);
  std::size_t sent = 0;
  while (client.c->queued_bytes() < 2'000'000) {
    client.write(one(chunk));
    sent += chunk.size();
    ASSERT_LT(sent, 256u << 20);
  }
  for (int i = 0; i < 400; ++i) client.write(one("small slice"));
  sent += 400 * 11;
  for (int i = 0; i < 20; ++i) run_until(loop, [] { return true; });
  EXPECT_EQ(server.got, "");
  EXPECT_EQ(client.drains, 0);
  server.c->pause_reading(false);
  run_until(loop, [&] { return server.got.size() >= sent && client.drains > 0; });
  EXPECT_EQ(client.c->queued_bytes(), 0u);
  EXPECT_EQ(client.drains, 1);
  EXPECT_EQ(server.got.substr(server.got.size() - 11), "small slice");
}

TEST_F(TlsTransport, PausesInsideDataAndKeepsEveryByte) {
  connect_tls();
  start_both();
  server.on_data = [this](std::string_view) {
    server.c->pause_reading(true);
    loop.post([this] { server.c->pause_reading(false); });
  };
  std::string sent = pattern(3'000'000);
  for (std::size_t i = 0; i < sent.size(); i += 999) client.write(one(std::string_view(sent).substr(i, 999)));
  run_until(loop, [&] { return server.got.size() >= sent.size(); });
  EXPECT_TRUE(server.got == sent);
}

TEST_F(TlsTransport, ShakesHandsAlthoughPaused) {
  connect_tls();
  server.c->pause_reading(true);
  start_both();
  client.write(one("one"));
  run_until(loop, [this] { return client.c->tls() && server.c->tls() && client.drains > 0; });
  for (int i = 0; i < 20; ++i) run_until(loop, [] { return true; });
  EXPECT_EQ(server.got, "");
  server.c->pause_reading(false);
  EXPECT_EQ(server.got, "") << "not inside the call";
  server.c->pause_reading(true);
  server.c->pause_reading(false);
  client.write(one("two"));
  run_until(loop, [&] { return server.got == "onetwo"; });
}

// What a client of NATS sees: INFO in the clear, then TLS.
TEST_F(TlsTransport, TurnsToTlsInTheMiddle) {
  connect();
  server.c->write(one("INFO {}\r\n"));
  server.c->start_tls(accepted(b));
  server.c->write(one("PONG\r\n"));
  server.c->start(&server);
  client.on_data = [this](std::string_view) {
    if (client.got != "INFO {}\r\n" || client.c->tls()) return;
    client.on_data = nullptr;
    client.c->start_tls(dialled(a));
    client.c->write(one("PING\r\n"));
  };
  client.c->start(&client);
  run_until(loop, [this] { return client.got == "INFO {}\r\nPONG\r\n" && server.got == "PING\r\n"; });
  EXPECT_TRUE(client.c->tls() && server.c->tls());
}

TEST_F(TlsTransport, TakesBackWhatItHadGivenAlready) {
  enum { kInside, kLater, kPaused };
  for (int when : {kInside, kLater, kPaused}) {
    client = Peer{};
    server = Peer{};
    connect();
    server.on_data = [&](std::string_view v) {
      server.on_data = nullptr;
      server.got.clear();
      auto how = accepted(b);
      how.first = Bytes::copy_of(v);
      if (when == kInside) return server.c->start_tls(how);
      loop.post([this, how] {
        server.c->start_tls(how);
        server.c->pause_reading(false);
      });
      if (when == kPaused) server.c->pause_reading(true);
    };
    server.c->start(&server);
    client.c->start_tls(dialled(a));
    client.c->start(&client);
    client.write(one("PING\r\n"));
    run_until(loop, [this] { return server.got == "PING\r\n"; });
    client.c.reset();
    server.c.reset();
  }
}

TEST_F(TlsTransport, FirstBytesCountBeforeTheStartToo) {
  connect();
  client.c->start_tls(dialled(a));
  client.c->start(&client);
  client.write(one("PING\r\n"));
  run_until(loop, [] { return true; });
  char bytes[4096];
  // Behind the back of the transport: a descriptor of this process whose peer is the client.
  ssize_t n = -1;
  for (int fd = 3; fd < 1024 && n <= 0; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (ntohs(peer.sin_port) == client.c->local().port) n = ::recv(fd, bytes, sizeof bytes, 0);
  }
  ASSERT_GT(n, 0);
  auto how = accepted(b);
  how.first = Bytes::copy_of(std::string_view(bytes, static_cast<std::size_t>(n)));
  server.c->start_tls(how);
  server.c->start(&server);
  run_until(loop, [this] { return server.got == "PING\r\n"; });
}

TEST_F(TlsTransport, WhatWasQueuedBeforeLeavesPlain) {
  connect();
  std::string plain;
  server.c->start(&server);
  while (server.c->queued_bytes() == 0) {
    plain += pattern(1 << 20);
    server.write(one(pattern(1 << 20)));
  }
  server.c->start_tls(accepted(b));
  server.write(one("sealed"));
  client.on_data = [&](std::string_view) {
    if (client.got.size() < plain.size() || client.c->tls()) return;
    client.on_data = nullptr;
    client.c->start_tls(dialled(a));
  };
  client.c->start(&client);
  run_until(loop, [&] { return client.got.size() == plain.size() + 6; });
  EXPECT_TRUE(client.got == plain + "sealed");
}

TEST_F(TlsTransport, BothSidesHearWhyACertificateWasRefused) {
  auto stranger = other_ca.settings(other_ca.issue("stranger"));
  stranger.ca = {ca.ca_file(), ""};
  connect();
  client.c->start_tls(dialled(open(stranger)));
  server.c->start_tls(accepted(b));
  start_both();
  client.write(one(pattern(1'000'000)));  // must not reset the alert away
  until_both_closed();
  EXPECT_EQ(client.why, "tls: the other side refuses: unknown CA");
  EXPECT_EQ(
      server.why,
      "tls handshake: the certificate of CN=stranger,O=Weir is not accepted: unable to get local issuer "
      "certificate");
  EXPECT_EQ(server.got, "");
  server.c->write(one("after the end"));
  server.c->close();
}

TEST_F(TlsTransport, RefusesExpiredAndMissingCertificatesAndWrongNames) {
  TestCertOptions old, elsewhere;
  old.valid_from_s = -7200, old.valid_to_s = -3600;
  elsewhere.names = "DNS:elsewhere";
  auto none = ca.settings(ca.issue("none"));
  none.certs.clear();
  auto good = ca.settings(ca.issue("good"));
  struct Row {
    env::TlsSettings client, server;
    std::string at_client, at_server;
  };
  for (const Row& row :
       {Row{ca.settings(ca.issue("old", old)), good, "tls: the other side refuses: certificate expired",
            "tls handshake: the certificate of CN=old,O=Weir is not accepted: certificate has expired"},
        Row{good, ca.settings(ca.issue("old", old)),
            "tls handshake: the certificate of CN=old,O=Weir is not accepted: certificate has expired",
            "tls handshake: the other side refuses: certificate expired"},
        Row{none, good, "tls: the other side refuses: tlsv13 alert certificate required",
            "tls handshake: the other side shows no certificate"},
        Row{good, ca.settings(ca.issue("elsewhere", elsewhere)),
            "tls handshake: the certificate of CN=elsewhere,O=Weir is not accepted: it is for DNS:elsewhere, "
            "not "
            "for 127.0.0.1",
            "tls handshake: the other side refuses: bad certificate"}}) {
    client = Peer{};
    server = Peer{};
    connect();
    client.c->start_tls(dialled(open(row.client)));
    server.c->start_tls(accepted(open(row.server)));
    start_both();
    client.write(one("hello"));
    until_both_closed();
    EXPECT_EQ(client.why, row.at_client);
    EXPECT_EQ(server.why, row.at_server);
    EXPECT_EQ(server.got, "");
  }
}

TEST_F(TlsTransport, APlainPeerIsToldApart) {
  connect();
  server.c->start_tls(accepted(b));
  start_both();
  client.write(one("WEIR hello of a plain node"));
  until_both_closed();
  EXPECT_EQ(server.why, "tls handshake: the other side does not speak TLS");
  EXPECT_EQ(client.why, "");
}

TEST_F(TlsTransport, AListenerWithoutTlsIsToldApart) {
  connect();
  client.c->start_tls(dialled(a));
  server.on_data = [this](std::string_view) { server.write(one("-ERR 'what?'\r\n")); };
  start_both();
  run_until(loop, [this] { return client.closes == 1; });
  EXPECT_EQ(client.why, "tls handshake: the other side does not speak TLS");
}

TEST_F(TlsTransport, ASilentPeerRunsOutOfTime) {
  for (bool dial : {true, false}) {
    client = Peer{};
    server = Peer{};
    connect();
    Peer& silent = dial ? server : client;
    Peer& waiting = dial ? client : server;
    auto how = dial ? dialled(a) : accepted(b);
    how.timeout = 30 * kMillisecond;
    waiting.c->start_tls(how);
    start_both();
    run_until(loop, [&] { return waiting.closes == 1; });
    EXPECT_EQ(waiting.why, "tls handshake: not finished in time");
    run_until(loop, [&] { return silent.closes == 1; });
  }
}

TEST_F(TlsTransport, TheTimeIsOverEvenBeforeTheStart) {
  connect();
  auto how = dialled(a);
  how.timeout = kMillisecond;
  client.c->start_tls(how);
  bool later = false;
  loop.at(monotonic_now() + 20 * kMillisecond, [&] { later = true; });
  run_until(loop, [&] { return later; });
  client.c->start(&client);
  EXPECT_EQ(client.closes, 0);
  run_until(loop, [&] { return client.closes == 1; });
  EXPECT_EQ(client.why, "tls handshake: not finished in time");
}

TEST_F(TlsTransport, APeerThatStopsInTheHandshakeEndsIt) {
  connect();
  server.c->start_tls(accepted(b));
  client.c->start_tls(dialled(a));
  server.c->start(&server);
  client.c.reset();  // after its first word, which is complete
  run_until(loop, [this] { return server.closes == 1; });
  EXPECT_EQ(server.why.rfind("tls handshake: ", 0), 0u) << server.why;
}

TEST_F(TlsTransport, AHalfClosedPeerInTheHandshakeEndsIt) {
  auto listening = transport->listen({"127.0.0.1", 0}, [this](auto c) { server.c = std::move(c); });
  ASSERT_TRUE(listening);
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons((*listening)->local().port);
  ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  run_until(loop, [this] { return server.c != nullptr; });
  server.c->start_tls(accepted(b));
  server.c->start(&server);
  ASSERT_EQ(::send(fd, "\x16\x03\x01", 3, 0), 3);
  ASSERT_EQ(::shutdown(fd, SHUT_WR), 0);
  run_until(loop, [this] { return server.closes == 1; });
  EXPECT_EQ(server.why, "tls handshake: the other side closed the connection");
  ::close(fd);
}

TEST_F(TlsTransport, CloseInTheHandshakeStillSendsWhatIsQueued) {
  connect_tls();
  server.c->start(&server);
  server.write(one("-ERR 'maximum connections exceeded'\r\n"));
  server.c->close();
  server.c.reset();
  EXPECT_EQ(loop.flushing_connections(), 1u);
  client.c->start(&client);
  run_until(loop, [this] { return client.closes == 1; });
  EXPECT_EQ(client.got, "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(client.why, "");
  EXPECT_EQ(loop.flushing_connections(), 0u);
}

TEST_F(TlsTransport, CloseInTheHandshakeWithNothingQueuedIsAnEnd) {
  connect_tls();
  start_both();
  server.c->close();
  run_until(loop, [this] { return client.closes == 1; });
  EXPECT_EQ(client.why.rfind("tls handshake: ", 0), 0u) << client.why;
  EXPECT_EQ(server.closes, 0);
}

TEST_F(TlsTransport, CloseSendsTheRestThenTheOtherSideSeesAnEnd) {
  connect_tls();
  start_both();
  std::string sent = pattern(6'000'000);
  client.write(one(sent));
  client.c->close();
  client.c->write(one("ignored"));
  client.c.reset();
  run_until(loop, [&] { return server.closes == 1 && loop.flushing_connections() == 0; });
  EXPECT_TRUE(server.got == sent);
  EXPECT_EQ(server.why, "");
  EXPECT_EQ(client.closes, 0);
}

TEST_F(TlsTransport, LastWordsArriveAlthoughInputWasNotRead) {
  connect_tls();
  client.c->start(&client);
  server.c->start(&server);
  run_until(loop, [this] { return client.c->tls() && server.c->tls(); });
  server.c->pause_reading(true);
  client.write(one(pattern(300'000)));
  server.c->write(one("-ERR 'Authorization Violation'\r\n"));
  server.c->close();
  run_until(loop, [&] { return client.closes == 1; });
  EXPECT_EQ(client.got, "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(client.why, "");
}

TEST_F(TlsTransport, MayBeDroppedOrClosedInsideData) {
  for (bool drop : {true, false}) {
    client = Peer{};
    server = Peer{};
    connect_tls();
    start_both();
    server.on_data = [&](std::string_view) { drop ? server.c.reset() : server.c->close(); };
    client.write(one(pattern(100'000)));
    run_until(loop, [&] { return client.closes == 1; });
    EXPECT_EQ(server.closes, 0);
    client.c.reset();
    server.c.reset();
  }
}

TEST_F(TlsTransport, ClosedOnceWhenThePeerResets) {
  connect_tls();
  start_both();
  run_until(loop, [this] { return client.c->tls() && server.c->tls(); });
  server.c->pause_reading(true);
  client.write(one(pattern(1000)));
  run_until(loop, [&] { return client.drains == 1; });
  run_until(loop, [] { return true; });
  server.c.reset();
  for (int i = 0; i < 20; ++i) client.write(one(pattern(100'000)));
  run_until(loop, [&] { return client.closes == 1; });
  client.write(one("after the end"));
  client.c->close();
  run_until(loop, [] { return true; });
  EXPECT_EQ(client.closes, 1);
}

TEST_F(TlsTransport, TakesNewCertificatesForNewConnections) {
  TestCert old = ca.issue("old"), young = ca.issue("young");
  auto renewed = open(ca.settings(old));
  auto subject = [&] {  // of a new connection's server
    client = Peer{};
    server = Peer{};
    connect();
    client.c->start_tls(dialled(a));
    server.c->start_tls(accepted(renewed));
    start_both();
    run_until(loop, [this] { return client.c->tls() && server.c->tls(); });
    return client.c->tls()->peer_subject;
  };
  auto replace = [](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  };
  EXPECT_EQ(subject(), "CN=old,O=Weir");
  auto kept_client = std::move(client.c);
  auto kept_server = std::move(server.c);
  replace(young.cert_file, old.cert_file);
  Status half = renew_certificates(*transport);
  ASSERT_FALSE(half) << "the key is still the old one";
  EXPECT_NE(half.error().detail.find("is not the key of the certificate"), std::string::npos);
  EXPECT_EQ(subject(), "CN=old,O=Weir");
  replace(young.key_file, old.key_file);
  EXPECT_EQ(subject(), "CN=old,O=Weir") << "nobody said anything";
  Status good = renew_certificates(*transport);
  ASSERT_TRUE(good) << good.error().detail;
  EXPECT_EQ(subject(), "CN=young,O=Weir");
  EXPECT_EQ(kept_client->tls()->peer_subject, "CN=old,O=Weir") << "it goes on";
}

TEST_F(TlsTransport, TheLoopMayDieInAHandshake) {
  auto own = std::make_unique<AsioLoop>();
  auto t = make_transport(*own);
  Peer x;
  std::unique_ptr<env::Connection> y;
  auto l = t->listen({"127.0.0.1", 0}, [&](auto c) { y = std::move(c); });
  ASSERT_TRUE(l);
  t->dial((*l)->local(), kSecond, [&](auto r) { x.c = std::move(*r); });
  run_until(*own, [&] { return x.c && y; });
  x.c->start_tls(dialled(a));
  x.c->start(&x);
  x.c->write(one("hello"));
  x.c->close();
  x.c.reset();
  y.reset();
  l = Error(Code::kIo, "gone");
  t.reset();
  own.reset();
}

}  // namespace
}  // namespace weir::platform
