// ClientSession: slow consumers, pings, counters, closing.
#include "broker/session/session_harness.h"

#include <gtest/gtest.h>

namespace weir::session {
namespace {

TEST(ClientSession, SlowConsumerIsClosedSilently) {
  Host h;
  SessionLimits l;
  l.max_pending = 100;
  Client c(h, l);
  c.say(kConnect);
  c.say("SUB a 1\r\n");
  c.session.set_connection_pending(70);
  Inbound m{"a", {}, "0123456789", 0, nullptr, nullptr};
  h.route(m);
  EXPECT_FALSE(c.session.closing());
  h.route(m);
  EXPECT_EQ(c.session.closing(), CloseReason::kSlowConsumerPendingBytes);
  int before = h.taken;
  h.route(m);  // closing: nothing more is taken
  EXPECT_EQ(h.taken, before);
  EXPECT_EQ(c.out().find("-ERR"), std::string::npos);
}

TEST(ClientSession, PendingIsOutboxAndConnection) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.feed("PING\r\n");
  c.session.set_connection_pending(1000);
  EXPECT_EQ(c.session.pending_bytes(), 1006u);
  c.out();
  EXPECT_EQ(c.session.pending_bytes(), 1000u);
}

// ---- liveness --------------------------------------------------------------------------------

TEST(ClientSession, PingsAndFindsTheConnectionStale) {
  Host h;
  SessionLimits l;
  l.ping_interval = 10 * kSecond;
  l.ping_max = 2;
  Client c(h, l);
  c.say(kConnect);
  Mono next = c.session.tick(c.now);
  EXPECT_EQ(next, c.now + 2 * kSecond);  // the first one soon, for the round trip time
  EXPECT_EQ(c.session.tick(c.now), next);
  EXPECT_EQ(c.out(), "");
  std::string all;
  int ticks = 0;
  for (; !c.session.closing() && ticks < 10; ++ticks) {
    c.now = next;
    next = c.session.tick(c.now);
    all += c.out();
  }
  EXPECT_EQ(all, "PING\r\nPING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
  EXPECT_EQ(ticks, 4);
  EXPECT_EQ(c.session.closing(), CloseReason::kStaleConnection);
}

TEST(ClientSession, PongTellsTheRoundTripAndKeepsAlive) {
  Host h;
  SessionLimits l;
  l.ping_interval = 10 * kSecond;
  l.ping_max = 1;
  Client c(h, l);
  c.say(kConnect);
  Mono next = c.session.tick(c.now);
  for (int i = 0; i < 20; ++i) {
    c.now = next;
    next = c.session.tick(c.now);
    EXPECT_EQ(c.out(), "PING\r\n");
    c.now = c.now + 7 * kMillisecond;
    c.feed("PONG\r\n");
    EXPECT_EQ(c.session.stats().rtt, 7 * kMillisecond);
  }
  EXPECT_FALSE(c.session.closing());
}

TEST(ClientSession, AnyTrafficKeepsAlive) {
  Host h;
  SessionLimits l;
  l.ping_interval = 10 * kSecond;
  l.ping_max = 1;
  Client c(h, l);
  c.say(kConnect);
  Mono next = c.session.tick(c.now);
  for (int i = 0; i < 20; ++i) {
    c.now = next;
    next = c.session.tick(c.now);
    c.now = c.now + kMillisecond;
    c.feed("PUB a 0\r\n\r\n");  // never answers a ping, but is there
  }
  EXPECT_FALSE(c.session.closing());
}

TEST(ClientSession, UnaskedPongIsNothing) {
  Host h;
  Client c(h);
  c.say(kConnect);
  EXPECT_EQ(c.say("PONG\r\n"), "");
  EXPECT_EQ(c.session.stats().rtt, 0);
}

TEST(ClientSession, CountsMessagesAndBytes) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.say("SUB a 1\r\nPUB a 3\r\nabc\r\nPUB b 4\r\nabcd\r\n");
  EXPECT_EQ(c.session.stats().in_msgs, 2u);
  EXPECT_EQ(c.session.stats().in_bytes, 7u);
  EXPECT_EQ(c.session.stats().out_msgs, 1u);
  EXPECT_EQ(c.session.stats().out_bytes, 3u);
}

TEST(ClientSession, FirstReasonToCloseStays) {
  Host h;
  Client c(h);
  c.session.close(CloseReason::kServerShutdown);
  c.session.close(CloseReason::kKicked, "Kicked");
  EXPECT_EQ(c.session.closing(), CloseReason::kServerShutdown);
  EXPECT_EQ(c.out(), "");
  EXPECT_EQ(to_text(CloseReason::kKicked), "Kicked");
}

}  // namespace
}  // namespace weir::session
