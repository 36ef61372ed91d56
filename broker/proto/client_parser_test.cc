#include "broker/proto/client_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "broker/base/prng.h"

namespace weir::proto {
namespace {

/// Writes every event down as text.
class Recorder : public ClientEvents {
 public:
  std::vector<std::string> log;
  std::string stop_at;  // event that answers "stop"
  std::size_t held = 0;

  bool on_connect(std::string_view json) override { return add("CONNECT " + std::string(json)); }
  bool on_publish(const PublishView& m) override {
    EXPECT_EQ(m.headers.data(), m.body.data());
    EXPECT_EQ(m.headers.size() + m.payload.size(), m.body.size());
    EXPECT_EQ(m.payload.data(), m.body.data() + m.headers.size());
    if (m.held) {
      ++held;
      EXPECT_EQ(m.held->text(), m.body);
      EXPECT_EQ(m.held->text().data(), m.body.data());
    }
    return add(std::string(m.with_headers ? "HPUB " : "PUB ") + std::string(m.subject) + "|" +
               std::string(m.reply) + "|" + std::string(m.headers) + "|" + std::string(m.payload));
  }
  bool on_subscribe(std::string_view s, std::string_view q, std::string_view sid) override {
    return add("SUB " + std::string(s) + "|" + std::string(q) + "|" + std::string(sid));
  }
  bool on_unsubscribe(std::string_view sid, std::uint64_t max) override {
    return add("UNSUB " + std::string(sid) + "|" + std::to_string(max));
  }
  bool on_ping() override { return add("PING"); }
  bool on_pong() override { return add("PONG"); }
  bool on_info(std::string_view s) override { return add("INFO " + std::string(s)); }
  bool on_ok() override { return add("OK"); }
  bool on_err(std::string_view s) override {
    add("ERR " + std::string(s));
    return false;
  }

 private:
  bool add(std::string line) {
    log.push_back(std::move(line));
    return log.back() != stop_at;
  }
};

struct Outcome {
  std::vector<std::string> log;
  ParseError error = ParseError::kNone;
  bool operator==(const Outcome&) const = default;
};

/// Feeds pieces that end at the given offsets, each from its own heap block so that ASan sees a
/// view kept too long.
Outcome run(std::string_view input, const std::vector<std::size_t>& cuts, ClientParser::Limits limits = {}) {
  ClientParser parser(limits);
  Recorder events;
  std::size_t from = 0;
  auto feed = [&](std::size_t to) {
    std::vector<std::uint8_t> piece(input.begin() + static_cast<std::ptrdiff_t>(from),
                                    input.begin() + static_cast<std::ptrdiff_t>(to));
    from = to;
    return parser.feed(piece, events);
  };
  ClientParser::Fed fed;
  for (std::size_t cut : cuts) {
    if (fed.error == ParseError::kNone && !fed.stopped) fed = feed(cut);
  }
  if (fed.error == ParseError::kNone && !fed.stopped) fed = feed(input.size());
  return {events.log, fed.error};
}

Outcome run_whole(std::string_view input, ClientParser::Limits limits = {}) {
  return run(input, {}, limits);
}

/// One way or two pieces or byte by byte: all the same.
void expect_same_for_splits(std::string_view input, ClientParser::Limits limits = {}) {
  Outcome whole = run_whole(input, limits);
  std::vector<std::size_t> every;
  for (std::size_t i = 0; i <= input.size(); ++i) {
    EXPECT_EQ(run(input, {i}, limits), whole) << "cut at " << i << " of " << input.substr(0, 60);
    every.push_back(i);
  }
  EXPECT_EQ(run(input, every, limits), whole) << "byte by byte: " << input.substr(0, 60);
}

constexpr std::string_view kTranscript =
    "CONNECT {\"verbose\":false, \"name\":\"a b\"} \r\n"
    "PING\r\n"
    "sub orders.* 1\r\n"
    "SUB\torders.>   workers\t22\r\n"
    "PUB orders.new 5\r\nhello\r\n"
    "pub orders.new _INBOX.1 7 \r\nPING\r\n\n\r\n"
    "Pub empty 0\r\n\r\n"
    "HPUB h 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    "hpub h r.1 18 18\r\nNATS/1.0\r\na: b\r\n\r\n\r\n"
    "HPUB h 0 2\r\nok\r\n"
    "UNSUB 1\r\n"
    "unsub 22 10\r\n"
    "PUB lf-only 2\nok\r\n"
    "+OK\r\nINFO {}\r\nPONG\r\nPINGX y\r\npong\n";

TEST(ClientParser, Transcript) {
  Outcome o = run_whole(kTranscript);
  EXPECT_EQ(o.error, ParseError::kNone);
  std::vector<std::string> want = {
      "CONNECT {\"verbose\":false, \"name\":\"a b\"}",
      "PING",
      "SUB orders.*||1",
      "SUB orders.>|workers|22",
      "PUB orders.new|||hello",
      "PUB orders.new|_INBOX.1||PING\r\n\n",
      "PUB empty|||",
      "HPUB h||NATS/1.0\r\n\r\n|hi",
      "HPUB h|r.1|NATS/1.0\r\na: b\r\n\r\n|",
      "HPUB h|||ok",
      "UNSUB 1|0",
      "UNSUB 22|10",
      "PUB lf-only|||ok",
      "OK",
      "INFO {}",
      "PONG",
      "PING",
      "PONG",
  };
  EXPECT_EQ(o.log, want);
}

TEST(ClientParser, EverySplitGivesTheSame) {
  expect_same_for_splits(kTranscript);
}

TEST(ClientParser, EveryPairOfCuts) {
  std::string_view input =
      "SUB a.b q 1\r\nHPUB a.b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB x 3\r\nabc\r\nPING\r\n";
  Outcome whole = run_whole(input);
  ASSERT_EQ(whole.log.size(), 4u);
  for (std::size_t i = 0; i <= input.size(); ++i) {
    for (std::size_t j = i; j <= input.size(); ++j) ASSERT_EQ(run(input, {i, j}), whole) << i << " " << j;
  }
}

struct BadCase {
  std::string_view input;
  ParseError error;
};

TEST(ClientParser, RefusesWhatNatsServerRefuses) {
  const BadCase cases[] = {
      {"FOO\r\n", ParseError::kUnknownOperation},
      {"\r\n", ParseError::kUnknownOperation},
      {"  PING\r\n", ParseError::kUnknownOperation},
      {"PI\r\nNG\r\n", ParseError::kUnknownOperation},
      {"PUB\r\n", ParseError::kUnknownOperation},
      {"PUBfoo 0\r\n", ParseError::kUnknownOperation},
      {"SUBfoo 1\r\n", ParseError::kUnknownOperation},
      {"UNSUBx\r\n", ParseError::kUnknownOperation},
      {"HPUB\r\n", ParseError::kUnknownOperation},
      {"+\r\n", ParseError::kUnknownOperation},
      {"-ERR\r\n", ParseError::kUnknownOperation},
      {"INFO\r\n", ParseError::kUnknownOperation},
      {"MSG foo 1 2\r\nok\r\n", ParseError::kUnknownOperation},
      {"GET / HTTP/1.1\r\n", ParseError::kUnknownOperation},
      {std::string_view("\x16\x03\x01\x00\xa5", 5), ParseError::kUnknownOperation},
      {"PUB foo 2\r\nokXX\r\n", ParseError::kUnknownOperation},
      {"PUB foo 2\nok\nPING\n", ParseError::kUnknownOperation},
      {"PUB foo 2\r\nok\rX", ParseError::kUnknownOperation},
      {"PUB foo\r\n", ParseError::kSyntax},
      {"PUB foo bar\r\n", ParseError::kSyntax},
      {"PUB foo -1\r\n", ParseError::kSyntax},
      {"PUB foo +2\r\n", ParseError::kSyntax},
      {"PUB foo 2 3 4\r\n", ParseError::kSyntax},
      {"PUB foo 00000000002\r\n", ParseError::kSyntax},
      {"PUB foo 9999999999999999999\r\n", ParseError::kSyntax},
      {"PUB foo 2\r\rok\r\n", ParseError::kSyntax},
      {"PUB foo 101\r\n", ParseError::kMaxPayload},
      {"HPUB foo 101 101\r\n", ParseError::kMaxPayload},
      {"HPUB foo 5 101\r\n", ParseError::kMaxPayload},
      {"HPUB foo 14 12\r\n", ParseError::kSyntax},
      {"HPUB foo 2\r\n", ParseError::kSyntax},
      {"HPUB foo x 2\r\n", ParseError::kSyntax},
      {"HPUB foo r 1 2 3\r\n", ParseError::kSyntax},
      {"HPUB foo 4 6\r\nABCDhi\r\n", ParseError::kSyntax},
      {"SUB foo\r\n", ParseError::kSyntax},
      {"SUB  1\r\n", ParseError::kSyntax},
      {"SUB a b c d\r\n", ParseError::kSyntax},
      {"SUB a b c d e f g\r\n", ParseError::kSyntax},
      {"UNSUB 1 2 3\r\n", ParseError::kSyntax},
      {"UNSUB \r\n", ParseError::kSyntax},
  };
  ClientParser::Limits limits{128, 100};
  for (const auto& c : cases) {
    std::string input = "PING\r\n" + std::string(c.input);
    Outcome o = run_whole(input, limits);
    EXPECT_EQ(o.error, c.error) << c.input;
    EXPECT_EQ(o.log, std::vector<std::string>{"PING"}) << c.input;
    expect_same_for_splits(input, limits);
  }
}

TEST(ClientParser, TakesWhatNatsServerTakes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"UNSUB 1 x\r\n", "UNSUB 1|0"},
      {"UNSUB 1 -1\r\n", "UNSUB 1|0"},
      {"CONNECT{}\r\n", "CONNECT {}"},
      {"CONNECT\r\n", "CONNECT "},
      {"PING xx\r\n", "PING"},
      {"PING\n", "PING"},
      {"+OKxx\r\n", "OK"},
      {"-ERR 'x'\r\n", "ERR 'x'"},
      {"PUB foo..bar 0\r\n\r\n", "PUB foo..bar|||"},
      {"PUB foo 0\n\r\n", "PUB foo|||"},
      {"SUB\tfoo\t1\t\r\n", "SUB foo||1"},
  };
  for (const auto& [input, event] : cases) {
    Outcome o = run_whole(input);
    EXPECT_EQ(o.error, ParseError::kNone) << input;
    EXPECT_EQ(o.log, std::vector<std::string>{std::string(event)}) << input;
    expect_same_for_splits(input);
  }
}

TEST(ClientParser, ControlLineLimitIsOfTheArguments) {
  ClientParser::Limits limits{64, 1000};
  for (std::string_view verb : {"SUB", "UNSUB", "PUB", "CONNECT", "PING"}) {
    for (std::string_view end : {"\r\n", "\n"}) {
      std::string args = std::string(30, 'a') + " " + std::string(33, '1');
      ASSERT_EQ(args.size(), 64u);
      std::string fits = std::string(verb) + " " + args + std::string(end);
      EXPECT_NE(run_whole(fits, limits).error, ParseError::kControlLine) << fits;
      expect_same_for_splits(fits, limits);
      std::string over = std::string(verb) + " " + args + "1" + std::string(end);
      EXPECT_EQ(run_whole(over, limits).error, ParseError::kControlLine) << over;
      expect_same_for_splits(over, limits);
    }
  }
  // No line feed at all: refused without waiting for one, and without keeping more than the limit.
  std::string endless = "SUB " + std::string(1 << 20, 'a');
  EXPECT_EQ(run_whole(endless, limits).error, ParseError::kControlLine);
  ClientParser parser(limits);
  Recorder events;
  std::size_t most = 0, fed_bytes = 0;
  for (char c : endless) {
    auto fed = parser.feed(as_span(std::string_view(&c, 1)), events);
    most = std::max(most, parser.buffered_bytes());
    ++fed_bytes;
    if (fed.error != ParseError::kNone) break;
  }
  EXPECT_LE(most, 64u + 10u);
  EXPECT_LE(fed_bytes, 64u + 10u);
}

TEST(ClientParser, LimitsMayChangeWhileRunning) {
  ClientParser parser({64, 10});
  Recorder events;
  EXPECT_EQ(parser.feed(as_span("PUB a 10\r\n0123456789\r\n"), events).error, ParseError::kNone);
  parser.set_limits({64, 20});
  EXPECT_EQ(parser.feed(as_span("PUB a 20\r\n01234567890123456789\r\n"), events).error, ParseError::kNone);
  // Lowered in the middle of a line that is already longer.
  EXPECT_EQ(parser.feed(as_span("SUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), events).error,
            ParseError::kNone);
  parser.set_limits({8, 20});
  EXPECT_EQ(parser.feed(as_span(" 1\r\n"), events).error, ParseError::kControlLine);
  EXPECT_EQ(events.log.size(), 2u);
}

TEST(ClientParser, StopsAfterAnEventAndGoesOn) {
  for (std::string_view stop : {"PING", "PUB a|||x", "SUB s||1", "UNSUB 1|0", "CONNECT {}"}) {
    std::string_view input = "CONNECT {}\r\nSUB s 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\nPING\r\nPONG\r\n";
    ClientParser parser;
    Recorder events;
    events.stop_at = stop;
    auto fed = parser.feed(as_span(input), events);
    EXPECT_TRUE(fed.stopped);
    EXPECT_EQ(events.log.back(), stop);
    EXPECT_LT(fed.consumed, input.size());
    events.stop_at.clear();
    fed = parser.feed(as_span(input.substr(fed.consumed)), events);
    EXPECT_FALSE(fed.stopped);
    EXPECT_EQ(events.log.size(), 6u);
    EXPECT_EQ(events.log.back(), "PONG");
  }
}

TEST(ClientParser, StaysFailed) {
  ClientParser parser;
  Recorder events;
  auto fed = parser.feed(as_span("PING\r\nBAD\r\nPING\r\n"), events);
  EXPECT_EQ(fed.error, ParseError::kUnknownOperation);
  EXPECT_FALSE(parser.detail().empty());
  fed = parser.feed(as_span("PING\r\n"), events);
  EXPECT_EQ(fed.error, ParseError::kUnknownOperation);
  EXPECT_EQ(fed.consumed, 0u);
  EXPECT_EQ(events.log.size(), 1u);
  EXPECT_EQ(parser.buffered_bytes(), 0u);
}

TEST(ClientParser, GatheredBodiesCanBeKept) {
  std::string body(100'000, 'x');
  std::string input = "PUB big 100000\r\n" + body + "\r\nPING\r\n";
  ClientParser parser;
  Recorder events;
  for (std::size_t at = 0; at < input.size(); at += 4096) {
    parser.feed(as_span(std::string_view(input).substr(at, 4096)), events);
  }
  EXPECT_EQ(events.log.size(), 2u);
  EXPECT_EQ(events.held, 1u);
  EXPECT_EQ(parser.buffered_bytes(), 0u);
}

TEST(ClientParser, RandomBytesNeverGiveDifferentEvents) {
  Prng prng(7);
  const std::string_view bits[] = {"PUB ", "HPUB ", "SUB ", "UNSUB ", "PING", "CONNECT ", "\r\n",
                                   "\n",   " ",     "\t",   "a.b",    "2",    "12",       "NATS/1.0\r\n\r\n",
                                   "ok",   "\r",    "+OK",  "-ERR "};
  for (int round = 0; round < 3000; ++round) {
    std::string input;
    for (auto n = prng.between(1, 12); n > 0; --n) input += bits[prng.below(std::size(bits))];
    std::vector<std::size_t> cuts;
    for (std::size_t i = 0; i < input.size(); ++i) {
      if (prng.chance(1, 4)) cuts.push_back(i);
    }
    ClientParser::Limits limits{16, 12};
    ASSERT_EQ(run(input, cuts, limits), run_whole(input, limits)) << input;
  }
}

TEST(ClientParser, ErrorTexts) {
  EXPECT_EQ(error_text(ParseError::kNone), "");
  EXPECT_EQ(error_text(ParseError::kUnknownOperation), "Unknown Protocol Operation");
  EXPECT_EQ(error_text(ParseError::kControlLine), "maximum control line exceeded");
  EXPECT_EQ(error_text(ParseError::kMaxPayload), "Maximum Payload Violation");
  EXPECT_EQ(error_text(ParseError::kSyntax), "Parser Error");
}

}  // namespace
}  // namespace weir::proto
