// ClientSession driven byte by byte: CONNECT, publish, subscribe, permissions, headers, errors.
#include "broker/session/session_harness.h"

#include <gtest/gtest.h>

namespace weir::session {
namespace {

config::PermissionsConfig publish_rules(std::vector<std::string> allow, std::vector<std::string> deny = {}) {
  config::PermissionsConfig p;
  if (!allow.empty()) p.publish.allow = std::move(allow);
  p.publish.deny = std::move(deny);
  return p;
}

TEST(ClientSession, InfoIsTheFirstLine) {
  Host h;
  Client c(h, {}, 1, false);
  c.session.send_info("{\"server_id\":\"X\"}");
  EXPECT_EQ(c.out(), "INFO {\"server_id\":\"X\"}\r\n");
  EXPECT_FALSE(c.session.authenticated());
}

TEST(ClientSession, DirtyIsToldOncePerFlush) {
  Host h;
  Client c(h);
  c.feed(kConnect);
  c.feed("PING\r\nPING\r\n");
  EXPECT_EQ(h.dirty_calls, 1);
  EXPECT_EQ(c.out(), "PONG\r\nPONG\r\n");
  c.feed("PING\r\n");
  EXPECT_EQ(h.dirty_calls, 2);
}

// ---- before and around CONNECT ---------------------------------------------------------------

TEST(ClientSession, OpenServerServesBeforeConnectAndIsVerbose) {
  Host h;
  Client c(h);
  EXPECT_EQ(c.say("SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n"), "+OK\r\n+OK\r\nMSG a 1 1\r\nx\r\nPONG\r\n");
  EXPECT_FALSE(c.session.connected());
}

TEST(ClientSession, ClosedServerRefusesEverythingBeforeConnect) {
  for (std::string_view op : {"PING\r\n", "SUB a 1\r\n", "UNSUB 1\r\n", "PUB a 0\r\n\r\n"}) {
    Host h;
    h.password = "p";
    Client c(h, {}, 1, false);
    EXPECT_FALSE(c.feed(op)) << op;
    EXPECT_EQ(c.out(), "-ERR 'Authorization Violation'\r\n") << op;
    EXPECT_EQ(c.session.closing(), CloseReason::kAuthenticationFailure) << op;
    EXPECT_TRUE(h.published.empty());
    EXPECT_FALSE(c.feed("PING\r\n"));  // deaf from now on
    EXPECT_EQ(c.out(), "");
  }
}

TEST(ClientSession, WhoNeedsNoCredentialsNeedsNoConnect) {
  for (std::string_view op : {"PING\r\n", "SUB a 1\r\n", "UNSUB 1\r\n", "PUB a 0\r\n\r\n"}) {
    Host h;  // no_auth_user: the host takes empty credentials
    Client c(h, {}, 1, false);
    EXPECT_TRUE(c.feed(op)) << op;
    EXPECT_EQ(c.out(), op == "PING\r\n" ? "PONG\r\n" : "+OK\r\n") << op;
    EXPECT_TRUE(c.session.connected());
    EXPECT_EQ(c.say("CONNECT {\"verbose\":false,\"user\":\"u\"}\r\nPING\r\n"), "PONG\r\n");
    EXPECT_EQ(h.last_user, "u");
    EXPECT_EQ(h.asked, 2) << "asked once for the lines before CONNECT";
  }
}

TEST(ClientSession, AuthenticationFailureCloses) {
  Host h;
  h.password = "p";
  Client c(h, {}, 1, false);
  EXPECT_EQ(c.say("CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\nPING\r\n"),
            "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(h.last_user, "u");
  EXPECT_FALSE(c.session.authenticated());
}

TEST(ClientSession, FullAccountCloses) {
  Host h;
  Client c(h, {}, 1, false);
  EXPECT_EQ(c.say("CONNECT {\"user\":\"full\"}\r\n"),
            "-ERR 'maximum account active connections exceeded'\r\n");
  EXPECT_EQ(c.session.closing(), CloseReason::kMaxAccountConnectionsExceeded);
}

TEST(ClientSession, ConnectAgainChangesOptionsAndFailsLikeTheFirst) {
  Host h;
  h.password = "p";
  Client c(h, {}, 1, false);
  EXPECT_EQ(c.say("CONNECT {\"pass\":\"p\",\"verbose\":true}\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("CONNECT {\"pass\":\"p\",\"verbose\":false}\r\nPING\r\n"), "PONG\r\n");
  EXPECT_EQ(c.say("CONNECT {\"pass\":\"no\"}\r\nPING\r\n"), "-ERR 'Authorization Violation'\r\n");
}

TEST(ClientSession, ConnectIsChecked) {
  struct Case {
    std::string_view json, error;
    CloseReason reason;
  };
  for (const Case& k :
       {Case{"{\"protocol\":2}", "invalid client protocol", CloseReason::kBadClientProtocolVersion},
        Case{"{\"protocol\":-1}", "invalid client protocol", CloseReason::kBadClientProtocolVersion},
        Case{"{\"no_responders\":true}", "no responders requires headers support",
             CloseReason::kNoRespondersRequiresHeaders}}) {
    Host h;
    Client c(h);
    EXPECT_EQ(c.say("CONNECT " + std::string(k.json) + "\r\nPING\r\n"),
              "-ERR '" + std::string(k.error) + "'\r\n");
    EXPECT_EQ(c.session.closing(), k.reason);
    EXPECT_EQ(h.asked, 0);
  }
  for (std::string_view bad : {"CONNECT {foo\r\n", "CONNECT [1]\r\n", "CONNECT {\"verbose\":7}\r\n"}) {
    Host h;
    Client c(h);
    EXPECT_FALSE(c.feed(bad)) << bad;
    EXPECT_TRUE(c.session.closing().has_value());
  }
}

TEST(ClientSession, ServerWithoutHeadersGivesNone) {
  Host h;
  SessionLimits l;
  l.headers = false;
  Client c(h, l);
  EXPECT_EQ(c.say("CONNECT {\"headers\":true,\"no_responders\":true}\r\n"),
            "-ERR 'no responders requires headers support'\r\n");
}

// ---- verbose, pedantic, echo -----------------------------------------------------------------

TEST(ClientSession, VerboseAcknowledgesWhatWasAccepted) {
  Host h;
  h.permissions = std::make_shared<auth::Permissions>(publish_rules({"ok"}));
  Client c(h);
  c.say("CONNECT {\"verbose\":true,\"pedantic\":false}\r\n");
  EXPECT_EQ(c.say("SUB a 1\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("UNSUB 1\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("UNSUB 77\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("PUB ok 0\r\n\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("PUB no 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"no\"'\r\n");
  EXPECT_EQ(c.say("SUB a..b 1\r\n"), "-ERR 'Invalid Subject'\r\n");
  EXPECT_EQ(c.say("PING\r\nPONG\r\n"), "PONG\r\n");
}

TEST(ClientSession, PedanticChecksPublishSubjects) {
  Host h;
  Client c(h);
  c.say("CONNECT {\"verbose\":false,\"pedantic\":true}\r\n");
  for (std::string_view bad : {"a..b", "a.*", ">", ".a", "a."}) {
    EXPECT_EQ(c.say("PUB " + std::string(bad) + " 0\r\n\r\n"), "-ERR 'Invalid Publish Subject'\r\n") << bad;
  }
  EXPECT_EQ(c.say("PUB a.b 0\r\n\r\n"), "");
  c.say(kConnect);
  EXPECT_EQ(c.say("PUB a..b 0\r\n\r\n"), "");
}

TEST(ClientSession, EchoOff) {
  Host h;
  Client c(h), other(h, {}, 2);
  other.say(kConnect);
  c.say("CONNECT {\"verbose\":false,\"echo\":false}\r\n");
  other.say("SUB a 9\r\n");
  EXPECT_EQ(c.say("SUB a 1\r\nPUB a 1\r\nx\r\n"), "");
  EXPECT_EQ(other.out(), "MSG a 9 1\r\nx\r\n");
  other.say("PUB a 1\r\ny\r\n");
  EXPECT_EQ(c.out(), "MSG a 1 1\r\ny\r\n");
}

// ---- subscriptions ---------------------------------------------------------------------------

TEST(ClientSession, SubjectsAreChecked) {
  Host h;
  Client c(h);
  c.say(kConnect);
  for (std::string_view bad : {"a..b", ">.a", ".a", "a.", ".."}) {
    EXPECT_EQ(c.say("SUB " + std::string(bad) + " 1\r\n"), "-ERR 'Invalid Subject'\r\n") << bad;
  }
  EXPECT_EQ(c.say("SUB a.> 1\r\nSUB *.b 2\r\nSUB > 3\r\nSUB a*b 4\r\n"), "");
  EXPECT_EQ(h.subs.size(), 4u);
  EXPECT_FALSE(c.session.closing());
}

// Names with control characters are the server's own: who took one would take what is meant for JetStream.
TEST(ClientSession, QueueNamesAreChecked) {
  Host h;
  Client c(h);
  c.say(kConnect);
  for (std::string_view bad : {"\x01JetStream", "\x01", "a\x1f",
                               "a\x7f"
                               "b"}) {
    EXPECT_EQ(c.say("SUB a " + std::string(bad) + " 1\r\n"), "-ERR 'Invalid Subject'\r\n") << bad;
  }
  EXPECT_TRUE(h.subs.empty());
  EXPECT_EQ(c.say("SUB a JetStream 1\r\nSUB a w\xc3\xb6rker 2\r\n"), "");
  EXPECT_EQ(h.subs.size(), 2u);
  EXPECT_FALSE(c.session.closing());
}

TEST(ClientSession, TooManyTokens) {
  Host h;
  SessionLimits l;
  l.max_sub_tokens = 2;
  Client c(h, l);
  c.say(kConnect);
  EXPECT_EQ(c.say("SUB a.b 1\r\n"), "");
  EXPECT_EQ(c.say("SUB a.b.c 2\r\n"),
            "-ERR 'Permissions Violation for Subscription to \"a.b.c\", too many tokens'\r\n");
  EXPECT_EQ(h.subs.size(), 1u);
}

TEST(ClientSession, DuplicateSidKeepsTheFirst) {
  Host h;
  Client c(h);
  c.say("CONNECT {\"verbose\":true}\r\n");
  EXPECT_EQ(c.say("SUB a 1\r\nSUB b 1\r\n"), "+OK\r\n+OK\r\n");
  EXPECT_EQ(c.say("PUB b 1\r\nx\r\n"), "+OK\r\n");
  EXPECT_EQ(c.say("PUB a 1\r\nx\r\n"), "+OK\r\nMSG a 1 1\r\nx\r\n");
}

TEST(ClientSession, MaxSubscriptions) {
  Host h;
  SessionLimits l;
  l.max_subscriptions = 2;
  Client c(h, l);
  c.say(kConnect);
  EXPECT_EQ(c.say("SUB a 1\r\nSUB b 2\r\n"), "");
  EXPECT_EQ(c.say("SUB c 3\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_FALSE(c.session.closing());
  EXPECT_EQ(c.say("UNSUB 1\r\nSUB c 3\r\n"), "");
  EXPECT_EQ(h.subs.size(), 2u);
}

TEST(ClientSession, AccountLimitsReplaceTheServers) {
  Host h;
  h.max_subscriptions = 1;
  h.max_payload = 4;
  Client c(h, {}, 1, false);
  c.say(kConnect);
  EXPECT_EQ(c.say("SUB a 1\r\nSUB b 2\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_EQ(c.say("PUB a 4\r\n1234\r\n"), "MSG a 1 4\r\n1234\r\n");
  EXPECT_EQ(c.say("PUB a 5\r\n12345\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
}

TEST(ClientSession, UnsubscribeNow) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.say("SUB a 1\r\nSUB a 2\r\nUNSUB 1\r\n");
  EXPECT_EQ(c.say("PUB a 1\r\nx\r\n"), "MSG a 2 1\r\nx\r\n");
  EXPECT_EQ(c.say("UNSUB 1\r\nUNSUB 2 0\r\nPUB a 1\r\nx\r\n"), "");
  EXPECT_TRUE(c.session.subscriptions().empty());
}

TEST(ClientSession, UnsubscribeAfterSome) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.say("SUB a 1\r\nUNSUB 1 2\r\n");
  EXPECT_EQ(c.say("PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n"),
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
  EXPECT_TRUE(h.subs.empty());
  EXPECT_TRUE(c.session.subscriptions().empty());
}

TEST(ClientSession, UnsubscribeCountsWhatWasDeliveredBefore) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.say("SUB a 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n");
  EXPECT_EQ(c.say("UNSUB 1 2\r\nPUB a 0\r\n\r\n"), "");
  EXPECT_TRUE(h.subs.empty());
  c.say("SUB a 1\r\nPUB a 0\r\n\r\n");
  EXPECT_EQ(c.say("UNSUB 1 3\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n"), "MSG a 1 0\r\n\r\n");
}

TEST(ClientSession, UsedUpSubscriptionTakesNothingBeforeItsRemoval) {
  Host h;
  Client c(h);
  c.say(kConnect);
  c.say("SUB a 1\r\nUNSUB 1 1\r\n");
  Subscription& s = *h.subs.at(0);
  Inbound m{"a", {}, "x", 0, nullptr, nullptr};
  EXPECT_TRUE(c.session.deliver(s, m));
  EXPECT_EQ(h.used_up.size(), 1u);
  EXPECT_FALSE(c.session.deliver(s, m));
  EXPECT_EQ(h.used_up.size(), 1u);
  c.session.remove(s);
  EXPECT_EQ(c.out(), "MSG a 1 1\r\nx\r\n");
}

// ---- permissions -----------------------------------------------------------------------------

TEST(ClientSession, PermissionTexts) {
  Host h;
  config::PermissionsConfig p = publish_rules({"ok.>"});
  p.subscribe.allow = {"ok.>"};
  h.permissions = std::make_shared<auth::Permissions>(p);
  Client c(h);
  c.say(kConnect);
  EXPECT_EQ(c.say("PUB no 1\r\nx\r\n"), "-ERR 'Permissions Violation for Publish to \"no\"'\r\n");
  EXPECT_EQ(c.say("SUB no 1\r\n"), "-ERR 'Permissions Violation for Subscription to \"no\"'\r\n");
  EXPECT_EQ(c.say("SUB no q 2\r\n"),
            "-ERR 'Permissions Violation for Subscription to \"no\" using queue \"q\"'\r\n");
  EXPECT_EQ(c.say("SUB ok.a 3\r\nPUB ok.a 1\r\nx\r\n"), "MSG ok.a 3 1\r\nx\r\n");
  EXPECT_FALSE(c.session.closing());
  EXPECT_EQ(h.published.size(), 1u);
}

TEST(ClientSession, ReplySubjectsOfTheServerAreGuarded) {
  Host h;
  Client c(h);
  c.say(kConnect);
  for (std::string_view reply : {"$JS.ACK.s.c", "_R_.x", "_GR_.y"}) {
    EXPECT_EQ(c.say("PUB a " + std::string(reply) + " 1\r\nx\r\n"),
              "-ERR 'Permissions Violation for Publish with Reply of \"" + std::string(reply) + "\"'\r\n");
  }
  EXPECT_TRUE(h.published.empty());
  EXPECT_EQ(c.say("PUB a $JS.ACKS.x 1\r\nx\r\n"), "");
  EXPECT_EQ(h.published.size(), 1u);
}

TEST(ClientSession, DeniedMessagesAreFilteredOutOfWideSubscriptions) {
  Host h;
  config::PermissionsConfig p;
  p.subscribe.deny = {"no.a"};
  h.permissions = std::make_shared<auth::Permissions>(p);
  Client c(h);
  c.say(kConnect);
  EXPECT_EQ(c.say("SUB no.* 1\r\n"), "");
  EXPECT_EQ(c.say("PUB no.a 1\r\nx\r\nPUB no.b 1\r\ny\r\n"), "MSG no.b 1 1\r\ny\r\n");
}

TEST(ClientSession, AllowResponses) {
  Host h;
  config::PermissionsConfig p = publish_rules({}, {">"});
  p.allow_responses = config::AllowResponses{1, kMinute};
  h.permissions = std::make_shared<auth::Permissions>(p);
  Client c(h);
  c.say(kConnect);
  c.say("SUB req 1\r\n");
  constexpr std::string_view kDenied = "-ERR 'Permissions Violation for Publish to \"inbox\"'\r\n";
  EXPECT_EQ(c.say("PUB inbox 0\r\n\r\n"), kDenied);
  h.route({"req", "inbox", "x", 0, nullptr, nullptr});
  EXPECT_EQ(c.out(), "MSG req 1 inbox 1\r\nx\r\n");
  EXPECT_EQ(c.say("PUB inbox 0\r\n\r\n"), "");
  EXPECT_EQ(c.say("PUB inbox 0\r\n\r\n"), kDenied);  // used up
  h.route({"req", "inbox", "x", 0, nullptr, nullptr});
  c.out();
  c.now = c.now + 2 * kMinute;
  EXPECT_EQ(c.say("PUB inbox 0\r\n\r\n"), kDenied);  // expired
}

// ---- headers ---------------------------------------------------------------------------------

TEST(ClientSession, HeadersReachThoseWhoTakeThem) {
  Host h;
  Client with(h, {}, 1), without(h, {}, 2);
  with.say(kConnect);
  without.say("CONNECT {\"verbose\":false}\r\n");
  with.say("SUB a 1\r\n");
  without.say("SUB a 2\r\n");
  EXPECT_EQ(with.say("HPUB a r 20 22\r\nNATS/1.0\r\nk: val\r\n\r\nhi\r\n"),
            "HMSG a 1 r 20 22\r\nNATS/1.0\r\nk: val\r\n\r\nhi\r\n");
  EXPECT_EQ(without.out(), "MSG a 2 r 2\r\nhi\r\n");
  EXPECT_EQ(h.header_sizes, std::vector<std::size_t>{20});
  EXPECT_EQ(h.replies, std::vector<std::string>{"r"});
}

TEST(ClientSession, SharedBodiesAreStrippedToo) {
  Host h;
  Client with(h, {}, 1), without(h, {}, 2);
  with.say(kConnect);
  without.say("CONNECT {\"verbose\":false}\r\n");
  with.say("SUB a 1\r\n");
  without.say("SUB a 2\r\n");
  std::string head = "NATS/1.0\r\n\r\n", payload(100'000, 'p');
  Bytes body = Bytes::copy_of(head + payload);
  h.route({"a", {}, body.text(), head.size(), &body, nullptr});
  EXPECT_EQ(with.out(), "HMSG a 1 12 100012\r\n" + head + payload + "\r\n");
  EXPECT_EQ(without.out(), "MSG a 2 100000\r\n" + payload + "\r\n");
  EXPECT_EQ(with.session.stats().out_bytes, 100'012u);
  EXPECT_EQ(without.session.stats().out_bytes, 100'000u);
}

TEST(ClientSession, HpubWithoutHeadersCloses) {
  Host h;
  Client c(h);
  c.say("CONNECT {\"verbose\":false,\"headers\":false}\r\n");
  c.feed("HPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n");
  EXPECT_EQ(c.session.closing(), CloseReason::kMsgHeaderViolation);
  EXPECT_TRUE(h.published.empty());
}

// ---- limits ----------------------------------------------------------------------------------

TEST(ClientSession, ProtocolErrorsClose) {
  struct Case {
    std::string input, error;
    CloseReason reason;
  };
  for (const Case& k : {Case{"PUB a 11\r\n", "Maximum Payload Violation", CloseReason::kMaxPayloadExceeded},
                        Case{"SUB " + std::string(300, 'a') + " 1\r\n", "maximum control line exceeded",
                             CloseReason::kMaxControlLineExceeded},
                        Case{"FOO\r\n", "Unknown Protocol Operation", CloseReason::kParseError},
                        Case{"PUB a b c d\r\n", "Parser Error", CloseReason::kParseError}}) {
    Host h;
    SessionLimits l;
    l.max_payload = 10;
    l.max_control_line = 256;
    Client c(h, l);
    c.say(kConnect);
    EXPECT_EQ(c.say(k.input), "-ERR '" + k.error + "'\r\n");
    EXPECT_EQ(c.session.closing(), k.reason);
  }
}

TEST(ClientSession, EverySplitOfTheInputGivesTheSame) {
  std::string input = std::string(kConnect) +
                      "SUB a.* 1\r\nSUB a.b q 2\r\nUNSUB 1 1\r\nPUB a.b r 3\r\nabc\r\n"
                      "HPUB a.b 12 13\r\nNATS/1.0\r\n\r\nz\r\nPING\r\nPUB x..y 99999999\r\n";
  std::string whole;
  {
    Host h;
    Client c(h);
    whole = c.say(input);
    EXPECT_NE(whole.find("Maximum Payload"), std::string::npos);
  }
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    Host h;
    Client c(h);
    c.feed(std::string_view(input).substr(0, cut));
    c.feed(std::string_view(input).substr(cut));
    EXPECT_EQ(c.out(), whole) << cut;
  }
}

}  // namespace
}  // namespace weir::session
