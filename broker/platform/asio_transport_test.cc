#include "broker/platform/asio_transport.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "broker/base/limits.h"
#include "broker/platform/transport_harness.h"

namespace weir::platform {
namespace {

class Transport : public ::testing::Test {
 protected:
  void connect() {
    auto listening = transport->listen({"127.0.0.1", 0}, [this](auto c) { server.c = std::move(c); });
    ASSERT_TRUE(listening) << listening.error().detail;
    listener = std::move(*listening);
    transport->dial(listener->local(), kSecond, [this](auto result) {
      ASSERT_TRUE(result) << result.error().detail;
      client.c = std::move(*result);
    });
    EXPECT_FALSE(client.c);
    run_until(loop, [this] { return client.c && server.c; });
  }
  void start_both() {
    client.c->start(&client);
    server.c->start(&server);
  }

  AsioLoop loop;
  std::unique_ptr<env::Transport> transport = make_transport(loop);
  std::unique_ptr<env::Listener> listener;
  Peer client, server;
};

TEST_F(Transport, EchoesEverySize) {
  connect();
  start_both();
  server.on_data = [this](std::string_view v) { server.c->write(one(v)); };
  for (std::size_t size : {1u, 2u, 511u, 512u, 513u, 4095u, 4096u, 4097u, 16383u, 16384u, 16385u, 65536u,
                           131072u, 131073u, 1000000u, 9000000u}) {
    client.got.clear();
    std::string sent = pattern(size);
    client.write(one(sent));
    run_until(loop, [&] { return client.got.size() >= size; });
    ASSERT_EQ(client.got, sent) << size;
  }
  EXPECT_EQ(client.c->remote().port, server.c->local().port);
  EXPECT_EQ(client.c->local().port, server.c->remote().port);
  EXPECT_EQ(server.c->remote().host, "127.0.0.1");
}

TEST_F(Transport, GathersThousandsOfSlicesInOrder) {
  connect();
  start_both();
  std::string sent;
  std::vector<Bytes> slices;
  for (int i = 0; i < 5000; ++i) {
    std::string part = std::to_string(i) + ",";
    sent += part;
    slices.push_back(Bytes::copy_of(part));
    if (i % 7 == 0) slices.emplace_back();  // empty ones are allowed
  }
  client.write(std::move(slices));
  run_until(loop, [&] { return server.got.size() >= sent.size(); });
  EXPECT_EQ(server.got, sent);
}

TEST_F(Transport, WritesBeforeStartAndReadsOnlyAfterIt) {
  connect();
  server.c->write(one("INFO {}\r\n"));
  client.c->start(&client);
  client.c->write(one("PING\r\n"));
  run_until(loop, [&] { return client.got == "INFO {}\r\n"; });
  EXPECT_EQ(server.got, "");
  server.c->start(&server);
  run_until(loop, [&] { return server.got == "PING\r\n"; });
}

TEST_F(Transport, SlowReaderFillsTheQueueThenDrains) {
  connect();
  server.c->start(&server);
  client.c->start(&client);
  server.c->pause_reading(true);
  std::string chunk = pattern(1 << 20);
  std::size_t sent = 0;
  while (client.c->queued_bytes() == 0) {
    client.write(one(chunk));
    sent += chunk.size();
    ASSERT_LT(sent, 256u << 20);
  }
  for (int i = 0; i < 400; ++i) client.write(one("small slice"));
  sent += 400 * 11;
  EXPECT_GT(client.c->queued_bytes(), 400u * 11 - 1);
  run_until(loop, [] { return true; });
  EXPECT_EQ(server.got, "");
  EXPECT_EQ(client.drains, 0);
  server.c->pause_reading(false);
  run_until(loop, [&] { return server.got.size() >= sent && client.drains > 0; });
  EXPECT_EQ(client.c->queued_bytes(), 0u);
  EXPECT_EQ(client.drains, 1);
  EXPECT_EQ(server.got.substr(server.got.size() - 11), "small slice");
}

TEST_F(Transport, TellsDrainedAfterAWriteThatWentOutAtOnce) {
  connect();
  start_both();
  client.write(one("a"));
  client.write(one("b"));
  EXPECT_EQ(client.drains, 0);
  run_until(loop, [&] { return client.drains > 0; });
  EXPECT_EQ(client.drains, 1);
}

TEST_F(Transport, PausesInsideDataAndKeepsEveryByte) {
  connect();
  start_both();
  server.on_data = [this](std::string_view) {
    server.c->pause_reading(true);
    loop.post([this] { server.c->pause_reading(false); });
  };
  std::string sent = pattern(3'000'000);
  client.write(one(sent));
  run_until(loop, [&] { return server.got.size() >= sent.size(); });
  EXPECT_EQ(server.got, sent);
}

TEST_F(Transport, KeepsBytesThatArriveWhileAReadIsInFlightAndPaused) {
  connect();
  start_both();
  run_until(loop, [] { return true; });  // the receive is armed
  server.c->pause_reading(true);
  client.write(one("one"));
  run_until(loop, [&] { return client.drains == 1; });
  run_until(loop, [] { return true; });
  EXPECT_EQ(server.got, "");
  server.c->pause_reading(false);
  server.c->pause_reading(true);
  server.c->pause_reading(false);
  EXPECT_EQ(server.got, "") << "not inside the call";
  client.write(one("two"));
  run_until(loop, [&] { return server.got == "onetwo"; });
}

TEST_F(Transport, BoundsTheBytesOfOneConnectionInATurn) {
  connect();
  start_both();
  std::uint64_t turn = 0;
  std::size_t in_turn = 0, most = 0;
  server.on_data = [&](std::string_view v) {
    if (turn != loop.turn()) in_turn = 0;
    turn = loop.turn();
    in_turn += v.size();
    most = std::max(most, in_turn);
  };
  std::string sent = pattern(20'000'000);
  client.write(one(sent));
  run_until(loop, [&] { return server.got.size() >= sent.size(); });
  EXPECT_LE(most, limits::kReadBytesPerTurn + 128 * 1024);
}

TEST_F(Transport, CloseSendsTheRestThenTheOtherSideSeesAnEnd) {
  connect();
  start_both();
  std::string sent = pattern(6'000'000);
  client.write(one(sent));
  client.c->close();
  client.c->write(one("ignored"));
  client.c.reset();  // the rest still goes out
  run_until(loop, [&] { return server.closes == 1; });
  EXPECT_EQ(server.got, sent);
  EXPECT_EQ(server.why, "");
  EXPECT_EQ(client.closes, 0);
  EXPECT_EQ(client.drains, 0);
  EXPECT_EQ(loop.flushing_connections(), 0u);
}

TEST_F(Transport, LastWordsArriveAlthoughInputWasNotRead) {
  connect();
  client.c->start(&client);
  client.write(one(pattern(300'000)));  // the server never reads this
  server.c->write(one("-ERR 'Authorization Violation'\r\n"));
  server.c->close();
  run_until(loop, [&] { return client.closes == 1; });
  EXPECT_EQ(client.got, "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(client.why, "");
}

TEST_F(Transport, CloseGivesUpOnAPeerThatDoesNotRead) {
  connect();
  server.c->start(&server);
  server.c->pause_reading(true);
  client.c->start(&client);
  while (client.c->queued_bytes() == 0) client.write(one(pattern(1 << 20)));
  client.c->close();
  EXPECT_EQ(loop.flushing_connections(), 1u);
  Mono begin = monotonic_now();
  run_until(loop, [&] { return loop.flushing_connections() == 0; });
  EXPECT_GE(monotonic_now() - begin, 900 * kMillisecond);
}

TEST_F(Transport, DroppingAnOpenConnectionClosesIt) {
  connect();
  start_both();
  client.c.reset();
  run_until(loop, [&] { return server.closes == 1; });
  server.c.reset();
}

TEST_F(Transport, MayBeDroppedInsideEveryHandlerCall) {
  connect();
  start_both();
  server.on_data = [this](std::string_view) { server.c.reset(); };
  client.write(one(pattern(100'000)));
  run_until(loop, [&] { return client.closes == 1; });
  EXPECT_EQ(server.closes, 0);
  client.c.reset();
}

TEST_F(Transport, ClosedOnceWhenThePeerResets) {
  connect();
  start_both();
  server.c->pause_reading(true);
  // Unread bytes at the drop make the kernel answer with a reset.
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
  EXPECT_NE(client.why.find(": "), std::string::npos) << client.why;
}

TEST_F(Transport, ListenSaysWhenThePortIsTaken) {
  connect();
  auto again = transport->listen(listener->local(), [](auto) {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kIo);
  EXPECT_EQ(again.error().detail, "bind: address already in use");
  auto wildcard = transport->listen({"0.0.0.0", listener->local().port}, [](auto) {});
  ASSERT_FALSE(wildcard);
  EXPECT_EQ(wildcard.error().detail, "bind: address already in use");
}

TEST_F(Transport, ListenRefusesAnUnusableHost) {
  auto bad = transport->listen({"not a host", 0}, [](auto) {});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kInvalid);
}

TEST_F(Transport, AListenerPortIsFreeAgainAtOnce) {
  connect();
  auto at = listener->local();
  start_both();
  server.c->close();
  listener.reset();
  auto again = transport->listen(at, [](auto) {});
  EXPECT_TRUE(again);
  run_until(loop, [&] { return client.closes == 1; });
}

TEST_F(Transport, WildcardTakesBothFamilies) {
  std::vector<std::unique_ptr<env::Connection>> accepted;
  auto l = transport->listen({"0.0.0.0", 0}, [&](auto c) { accepted.push_back(std::move(c)); });
  ASSERT_TRUE(l);
  EXPECT_EQ((*l)->local().host, "0.0.0.0");
  std::uint16_t port = (*l)->local().port;
  int failures = 0;
  std::vector<std::unique_ptr<env::Connection>> dialled;
  for (const char* host : {"127.0.0.1", "::1"}) {
    transport->dial({host, port}, kSecond,
                    [&](auto r) { r ? dialled.push_back(std::move(*r)) : void(++failures); });
  }
  run_until(loop, [&] {
    return accepted.size() + static_cast<unsigned>(failures) == 2 &&
           dialled.size() + static_cast<unsigned>(failures) == 2;
  });
  ASSERT_FALSE(accepted.empty());  // a machine without IPv6 has one only
  bool saw_v4 = false;
  for (auto& c : accepted) saw_v4 |= c->remote().host == "127.0.0.1";
  EXPECT_TRUE(saw_v4);
}

TEST_F(Transport, DialResolvesNames) {
  auto l = transport->listen({"127.0.0.1", 0}, [this](auto c) { server.c = std::move(c); });
  ASSERT_TRUE(l);
  transport->dial({"localhost", (*l)->local().port}, 5 * kSecond, [this](auto r) {
    ASSERT_TRUE(r) << r.error().detail;
    client.c = std::move(*r);
  });
  run_until(loop, [this] { return client.c && server.c; });
}

TEST_F(Transport, DialReportsRefusalsTimeoutsAndBadNames) {
  connect();
  auto dead = listener->local();
  listener.reset();
  client.c.reset();
  server.c.reset();
  std::vector<std::string> errors;
  auto note = [&](Result<std::unique_ptr<env::Connection>> r) {
    errors.push_back(r ? "" : r.error().detail);
  };
  transport->dial(dead, kSecond, note);
  run_until(loop, [&] { return errors.size() == 1; });
  EXPECT_EQ(errors[0], "dial tcp " + env::to_string(dead) + ": connect: connection refused");
  transport->dial({"no-such-host.invalid", 1}, kMillisecond, note);
  run_until(loop, [&] { return errors.size() == 2; });
  EXPECT_EQ(errors[1].rfind("dial tcp no-such-host.invalid:1: ", 0), 0u) << errors[1];
}

TEST_F(Transport, ADialThatOutlivesItsTransportSaysNothing) {
  connect();
  bool told = false;
  transport->dial(listener->local(), kSecond, [&](auto) { told = true; });
  transport.reset();
  server.c.reset();
  run_until(loop, [this] { return server.c != nullptr; });
  run_until(loop, [] { return true; });
  EXPECT_FALSE(told);
}

TEST_F(Transport, AcceptsManyAtOnce) {
  std::vector<std::unique_ptr<env::Connection>> accepted, dialled;
  auto l = transport->listen({"127.0.0.1", 0}, [&](auto c) { accepted.push_back(std::move(c)); });
  ASSERT_TRUE(l);
  for (int i = 0; i < 200; ++i) {
    transport->dial((*l)->local(), 5 * kSecond, [&](auto r) {
      ASSERT_TRUE(r);
      dialled.push_back(std::move(*r));
    });
  }
  run_until(loop, [&] { return accepted.size() == 200 && dialled.size() == 200; });
}

TEST_F(Transport, InterfaceAddressesAreNeitherLoopbackNorLinkLocal) {
  for (const auto& a : transport->interface_addresses()) {
    EXPECT_NE(a.rfind("127.", 0), 0u);
    EXPECT_NE(a, "::1");
    EXPECT_NE(a.rfind("fe80", 0), 0u);
  }
}

TEST_F(Transport, TheLoopMayDieWithWorkUnderWay) {
  auto own = std::make_unique<AsioLoop>();
  auto t = make_transport(*own);
  Peer a;
  std::unique_ptr<env::Connection> b;
  auto l = t->listen({"127.0.0.1", 0}, [&](auto c) { b = std::move(c); });
  ASSERT_TRUE(l);
  t->dial((*l)->local(), kSecond, [&](auto r) { a.c = std::move(*r); });
  run_until(*own, [&] { return a.c && b; });
  a.c->start(&a);
  while (a.c->queued_bytes() == 0) a.c->write(one(pattern(1 << 20)));
  a.c->close();
  a.c.reset();
  b.reset();
  l = Error(Code::kIo, "gone");
  t->dial({"localhost", 1}, kSecond, [](auto) {});
  t.reset();
  own.reset();
}

}  // namespace
}  // namespace weir::platform
