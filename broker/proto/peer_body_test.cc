#include "broker/proto/peer_body.h"

#include <gtest/gtest.h>

#include <string>

#include "broker/base/prng.h"

namespace weir::proto {
namespace {

NodeId node(std::uint64_t n) {
  return NodeId(n << kIncarnationBits);
}

NodeInfo info() {
  return {.id = node(0xabc),
          .server_id = "NSERVER",
          .name = "n1",
          .version = "0.1",
          .cluster_id = "cid",
          .boot = 7,
          .jetstream = true,
          .domain = "hub",
          .tags = {"az:1", "ssd"},
          .client_urls = {"10.0.0.1:4222"},
          .route_url = "10.0.0.1:6222",
          .lame_duck = true};
}

PeerHello hello() {
  PeerHello h;
  h.features = 5;
  h.info = info();
  h.cluster_name = "east";
  h.user = "u";
  h.password = "p";
  h.token = 0x1122334455667788;
  h.stamp = 3;
  h.holds = {1, 0x1122334455667788};
  h.epoch = 0;
  return h;
}

std::string hex(const Bytes& b) {
  std::string out;
  for (std::uint8_t c : b.span()) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

TEST(PeerBody, GoldenBytes) {
  EXPECT_EQ(hex(encode_hello(hello())),
            "574549525045455201010102010103010504580108000000bc0a00000002074e53455256455203026e31040330"
            "2e31050363696406010707010108036875620904617a3a3109037373640a0d31302e302e302e313a343232320b"
            "0d31302e302e302e313a363232320c0101050465617374060175070170080988ef99abc5e88c91110901030a10"
            "010000000000000088776655443322110b0100");
  EXPECT_EQ(hex(encode_ready({300})), "0102ac02");
  EXPECT_EQ(hex(encode_refuse({Refusal::kClusterId, "no", node(1)})), "01010302026e6f03080000000100000000");
  EXPECT_EQ(hex(encode_gossip({{node(1), "a:1"}, {node(2), "b:2"}})),
            "010f010800000001000000000203613a31010f010800000002000000000203623a32");
  EXPECT_EQ(hex(encode_ping(5)), "0500000000000000");
  EXPECT_EQ(hex(encode_ask_head({9, 0x0203})), "0a09000000000000000302");
  EXPECT_EQ(hex(encode_answer_head({9, std::nullopt})), "09090000000000000000");
  EXPECT_EQ(hex(encode_answer_head({9, Error(Code::kUnavailable, "no")})), "090900000000000000086e6f");
}

TEST(PeerBody, HelloRoundTrip) {
  auto back = decode_hello(encode_hello(hello()).span());
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->version_min, kPeerVersionMin);
  EXPECT_EQ(back->version_max, kPeerVersionMax);
  EXPECT_EQ(back->features, 5u);
  EXPECT_EQ(back->info, info());
  EXPECT_EQ(back->cluster_name, "east");
  EXPECT_EQ(back->user, "u");
  EXPECT_EQ(back->password, "p");
  EXPECT_EQ(back->token, 0x1122334455667788u);
  EXPECT_EQ(back->stamp, 3u);
  EXPECT_EQ(back->holds, hello().holds);
  EXPECT_EQ(back->epoch, std::optional<std::uint64_t>(0)) << "epoch 0 is not the same as none";
}

TEST(PeerBody, DefaultsAreAbsent) {
  PeerHello h;
  h.info.id = node(1);
  auto back = decode_hello(encode_hello(h).span());
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->epoch.has_value());
  EXPECT_EQ(back->info, h.info);
}

// A field with a tag of the future in front, in the middle and at the end.
TEST(PeerBody, UnknownFieldsAreSkipped) {
  std::string field = "\x77\x03new";
  std::string body(encode_info(info()).text());
  for (const std::string& with : {field + body, body + field}) {
    auto back = decode_info(as_span(with));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, info());
  }
  std::string whole(encode_hello(hello()).text());
  auto back = decode_hello(as_span(whole.substr(0, 8) + field + whole.substr(8) + field));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->cluster_name, "east");
  auto gossip = decode_gossip(as_span(field + std::string(encode_gossip({{node(1), "a:1"}}).text())));
  ASSERT_TRUE(gossip);
  EXPECT_EQ(*gossip, (std::vector<PeerAddress>{{node(1), "a:1"}}));
}

TEST(PeerBody, LongerHeadsOfQuestionsAreSkipped) {
  std::string ask(encode_ask_head({9, 4}).text());
  ask[0] = static_cast<char>(ask[0] + 2);
  auto got = decode_ask(Bytes::copy_of(ask + "xxbody"));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->head.id, 9u);
  EXPECT_EQ(got->head.method, 4u);
  EXPECT_EQ(got->body.text(), "body");
  std::string answer(encode_answer_head({9, std::nullopt}).text());
  answer[0] = static_cast<char>(answer[0] + 1);
  auto told = decode_answer(Bytes::copy_of(answer + "xbody"));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->body.text(), "body");
}

TEST(PeerBody, AnswersCarryErrors) {
  for (Code code : {Code::kInvalid, Code::kNotFound, Code::kExists, Code::kLimit, Code::kCorrupt,
                    Code::kNoSpace, Code::kIo, Code::kUnavailable, Code::kUnsupported}) {
    auto back = decode_answer(encode_answer_head({1, Error(code, "why")}));
    ASSERT_TRUE(back && back->head.error);
    EXPECT_EQ(back->head.error->code, code);
    EXPECT_EQ(back->head.error->detail, "why");
  }
  std::string future(encode_answer_head({1, Error(Code::kIo, "x")}).text());
  future[9] = 77;
  auto back = decode_answer(Bytes::copy_of(future));
  ASSERT_TRUE(back && back->head.error);
  EXPECT_EQ(back->head.error->code, Code::kUnavailable);
}

TEST(PeerBody, Refusals) {
  auto back = decode_refuse(encode_refuse({Refusal::kAuthorization, "line\nforged", node(3)}).span());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->why, Refusal::kAuthorization);
  EXPECT_EQ(back->text, "line forged");
  EXPECT_EQ(back->node, node(3));
  back = decode_refuse(as_span(std::string_view("\x01\x01\x63", 3)));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->why, Refusal::kOther) << "a reason of the future";
}

// Written by nobody; read, they must not become a tag or an address.
TEST(PeerBody, EmptyTextsOfListsSayNothing) {
  NodeInfo info = hello().info;
  std::string text(encode_info(info).text());
  text += std::string("\x09\x00\x0a\x00", 4);
  auto back = decode_info(as_span(text));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, info);
}

TEST(PeerBody, RefusesWhatCannotBe) {
  EXPECT_FALSE(decode_hello(as_span("INFO {\"server_id\":\"N\"}\r\n")));
  EXPECT_FALSE(decode_hello({}));
  EXPECT_FALSE(decode_hello(as_span("WEIRPEER"))) << "no node";
  PeerHello h = hello();
  h.version_min = 3;
  h.version_max = 2;
  EXPECT_FALSE(decode_hello(encode_hello(h).span()));
  h = hello();
  h.info.id = NodeId(h.info.id.v + 1);
  EXPECT_FALSE(decode_hello(encode_hello(h).span())) << "the id of a replica";
  h = hello();
  h.info.tags.assign(1025, "t");
  EXPECT_FALSE(decode_hello(encode_hello(h).span()));
  h = hello();
  h.cluster_name.assign(4097, 'x');
  EXPECT_FALSE(decode_hello(encode_hello(h).span()));
  EXPECT_FALSE(decode_ready({}));
  EXPECT_FALSE(decode_ping(as_span("short")));
  EXPECT_FALSE(decode_ask(Bytes::copy_of("\x02xx")));
  EXPECT_FALSE(decode_answer({}));
  std::vector<PeerAddress> many(1025, PeerAddress{node(1), "a:1"});
  EXPECT_FALSE(decode_gossip(encode_gossip(many).span()));
}

template <class F>
void truncate_and_flip(const Bytes& good, F decode) {
  for (std::size_t n = 0; n < good.size(); ++n) (void)decode(good.sub(0, n));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad(good.text());
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    (void)decode(Bytes::copy_of(bad));
  }
  Prng prng(5);
  for (int i = 0; i < 2'000; ++i) {
    std::string bad(good.text());
    for (int k = 0; k < 4; ++k) bad[prng.below(bad.size())] = static_cast<char>(prng.next());
    (void)decode(Bytes::copy_of(bad));
  }
}

TEST(PeerBody, DamageNeverCrashes) {
  truncate_and_flip(encode_hello(hello()), [](const Bytes& b) { return decode_hello(b.span()).has_value(); });
  truncate_and_flip(encode_info(info()), [](const Bytes& b) { return decode_info(b.span()).has_value(); });
  truncate_and_flip(encode_refuse({Refusal::kSelf, "t", node(1)}),
                    [](const Bytes& b) { return decode_refuse(b.span()).has_value(); });
  truncate_and_flip(encode_gossip({{node(1), "a:1"}, {node(2), "b:2"}}),
                    [](const Bytes& b) { return decode_gossip(b.span()).has_value(); });
  truncate_and_flip(encode_ask_head({1, 2}), [](const Bytes& b) { return decode_ask(b).has_value(); });
  truncate_and_flip(encode_answer_head({1, Error(Code::kIo, "x")}),
                    [](const Bytes& b) { return decode_answer(b).has_value(); });
}

}  // namespace
}  // namespace weir::proto
