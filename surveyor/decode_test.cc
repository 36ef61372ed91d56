#include <gtest/gtest.h>

#include "surveyor/inflate.h"
#include "surveyor/rows_testing.h"
#include "surveyor/statz_decode.h"

namespace weir::surveyor {
namespace {

using testing::read_data;

TEST(Decode, ReadsStatszOfARealServer) {
  Decoder d;
  auto r = d.statsz(read_data("statsz.json"));
  ASSERT_TRUE(r) << r.error().detail;
  EXPECT_EQ(r->server.name, "n1");
  EXPECT_EQ(r->server.cluster, "C1");
  EXPECT_EQ(r->server.version, "2.15.1");
  EXPECT_TRUE(r->server.jetstream);
  EXPECT_EQ(r->active_servers, 3u);
  EXPECT_EQ(r->cores, 2u);
  EXPECT_EQ(r->sent_msgs, 2263u);
  EXPECT_GT(r->start.ns, 0);
  ASSERT_TRUE(r->jetstream);
  EXPECT_EQ(r->jetstream->max_storage, 1'000'000'000);
  EXPECT_EQ(r->jetstream->ha_assets, 4u);
  EXPECT_EQ(r->jetstream->api_total, 1u);
}

TEST(Decode, ReadsJszOfARealServer) {
  Decoder d;
  auto r = d.jsz(read_data("jsz_n3.json"));
  ASSERT_TRUE(r) << r.error().detail;
  EXPECT_EQ(r->total_accounts, 1u);
  ASSERT_TRUE(r->meta);
  EXPECT_EQ(r->meta->leader, "n3");
  EXPECT_EQ(r->meta->size, 3u);
  ASSERT_EQ(r->accounts.size(), 1u);
  ASSERT_EQ(r->accounts[0].streams.size(), 2u);
  const StreamRow& s = r->accounts[0].streams[0];
  EXPECT_EQ(s.name, "ORDERS");
  EXPECT_EQ(s.group.leader, "n3");
  EXPECT_GT(s.group.leader_since.ns, 0);
  ASSERT_EQ(s.group.peers.size(), 2u);
  EXPECT_TRUE(s.group.peers[0].current);
  EXPECT_EQ(s.group.peers[0].active_ns, 391651344);
  ASSERT_TRUE(s.config);
  EXPECT_EQ(s.config->max_msgs, 100000);
  EXPECT_EQ(s.config->max_bytes, -1);
  EXPECT_EQ(s.config->replicas, 3u);
  EXPECT_EQ(s.state.subjects, 7u);
  ASSERT_EQ(s.consumers.size(), 2u);
  const ConsumerRow& c = s.consumers[0];
  EXPECT_EQ(c.name, "worker");
  EXPECT_EQ(c.config->durable, "worker");
  EXPECT_EQ(c.config->filters, 1u);
  EXPECT_EQ(c.delivered.stream_seq, 50u);
  EXPECT_EQ(c.ack_pending, 21u);
  EXPECT_EQ(c.group.leader, "n3");
  EXPECT_EQ(c.pending, 450u);
  EXPECT_EQ(s.consumers[1].group.leader, "n2");
  EXPECT_TRUE(r->accounts[0].streams[1].sources.empty());
  ASSERT_TRUE(r->accounts[0].streams[1].mirror);
  EXPECT_EQ(r->accounts[0].streams[1].mirror->name, "ORDERS");
  auto other = d.jsz(read_data("jsz_n1.json"));
  ASSERT_TRUE(other);
  ASSERT_EQ(other->accounts[0].streams[1].sources.size(), 1u);
  EXPECT_EQ(other->accounts[0].streams[1].sources[0].name, "ORDERS");
}

// A reply cut anywhere is refused, never half read and never read beyond its end.
TEST(Decode, RefusesEveryCutReply) {
  Decoder d;
  for (const char* name : {"jsz_n3.json", "jsz_n2.json"}) {
    std::string whole = read_data(name);
    while (!whole.empty() && whole.back() == '\n') whole.pop_back();
    for (std::size_t n = 0; n < whole.size(); n += 7) {
      EXPECT_FALSE(d.jsz(whole.substr(0, n))) << name << " cut at " << n;
    }
    EXPECT_TRUE(d.jsz(whole));
  }
}

TEST(Decode, RefusesJunk) {
  Decoder d;
  for (const char* junk :
       {"", " ", "null", "[]", "42", "\"x\"", "{", "{}", R"({"server":null})", R"({"server":{}})",
        R"({"server":{"id":""}})", R"({"server":{"id":7}})", "\xff\xfe", "{\"server\":{\"id\":\"\xff\"}}",
        R"({"server":{"id":"A"}} {"server":{"id":"B"}})", R"({"server":{"id":"A"}}x)"}) {
    EXPECT_FALSE(d.jsz(junk)) << junk;
    EXPECT_FALSE(d.statsz(junk)) << junk;
  }
  // What lies in a part that nobody reads need not be valid; what is read must be.
  EXPECT_FALSE(d.jsz(R"({"server":{"id":"A"},"data":{"account_details":[{"name":}]}})"));
  EXPECT_TRUE(d.jsz(read_data("jsz_n2.json"))) << "the decoder works on after junk";
}

TEST(Decode, SkipsMembersOfAnotherType) {
  Decoder d;
  auto r = d.jsz(R"({"server":{"id":"A","name":7,"cluster":null,"jetstream":"yes"},"data":{"total":"many",
    "account_details":[{"name":"a","id":["x"],"stream_detail":[{"name":"S","cluster":[1,{"leader":"n"}],
    "state":"none","config":null,"sources":{},"mirror":null,
    "consumer_detail":[7,null,{"name":"c","delivered":false,"num_pending":-4,"config":{"max_ack_pending":"1"}}]}]}]}})");
  ASSERT_TRUE(r) << r.error().detail;
  EXPECT_EQ(r->server.name, "");
  const StreamRow& s = r->accounts[0].streams[0];
  EXPECT_FALSE(s.group.present);
  EXPECT_FALSE(s.config);
  ASSERT_EQ(s.consumers.size(), 3u);
  EXPECT_EQ(s.consumers[2].pending, 0u) << "a negative count is clamped";
  EXPECT_EQ(s.consumers[2].config->max_ack_pending, 0);
}

TEST(Decode, ClampsNumbers) {
  Decoder d;
  auto r = d.statsz(R"({"server":{"id":"A"},"statsz":{"mem":18446744073709551615,"cpu":1.5e1,"cores":-1,
    "connections":3.9,"jetstream":{"config":{"max_memory":18446744073709551615,"max_storage":-1}}}})");
  ASSERT_TRUE(r) << r.error().detail;
  EXPECT_EQ(r->mem, 18446744073709551615u);
  EXPECT_EQ(r->cpu, 15);
  EXPECT_EQ(r->cores, 0u);
  EXPECT_EQ(r->connections, 3u);
  EXPECT_EQ(r->jetstream->max_memory, 9223372036854775807);
  EXPECT_EQ(r->jetstream->max_storage, -1);
}

TEST(Decode, ReadsErrorsAndForeignDomains) {
  Decoder d;
  auto refused = d.jsz(R"({"server":{"id":"A"},"error":{"code":503,"description":"not now"}})");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error, "not now");
  auto foreign =
      d.jsz(R"({"server":{"id":"A"},"data":{"account_details":[{"name":"a","stream_detail":[{"name":"S",
    "mirror":{"name":"O","lag":5,"active":-1,"external":{"api":"$JS.hub.API"}}}]}]}})");
  ASSERT_TRUE(foreign);
  ASSERT_TRUE(foreign->accounts[0].streams[0].mirror);
  EXPECT_EQ(foreign->accounts[0].streams[0].mirror->domain, "hub");
  EXPECT_EQ(foreign->accounts[0].streams[0].mirror->active_ns, -1);
}

// Unknown members are skipped without recursion.
TEST(Decode, NestingDoesNotOverflow) {
  Decoder d;
  std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_TRUE(d.jsz(R"({"server":{"id":"A"},"x":)" + deep + "}"));
  auto inside = d.jsz(R"({"server":{"id":"A"},"data":{"account_details":)" + deep + "}}");
  if (inside) {
    EXPECT_LE(inside->accounts.size(), 1u);
  }
}

TEST(Decode, ReadsHugeReplies) {
  Decoder d;
  std::string big =
      R"({"server":{"id":"A","name":"n1"},"data":{"account_details":[{"name":"a","stream_detail":[)";
  constexpr int kStreams = 60'000;
  for (int i = 0; i < kStreams; ++i) {
    if (i) big += ',';
    big +=
        R"({"name":"stream-with-a-name-)" + std::to_string(i) +
        R"(","cluster":{"leader":"n1","replicas":[{"name":"n2","current":true}]},"state":{"messages":1,)"
        R"("bytes":100,"last_seq":1,"first_ts":"2026-11-23T08:47:03.104204218Z"},"config":{"subjects":["a","b"],)"
        R"("metadata":{"k":"a long value that nobody reads, only there to fill the reply up to some size"}}})";
  }
  big += "]}]}}";
  ASSERT_GT(big.size(), 16u << 20);
  auto r = d.jsz(big);
  ASSERT_TRUE(r) << r.error().detail;
  EXPECT_EQ(r->accounts[0].streams.size(), static_cast<std::size_t>(kStreams));
  EXPECT_TRUE(d.jsz(read_data("jsz_n2.json"))) << "the parser gave its memory back and works";
}

TEST(Inflate, RoundTripAndLimits) {
  std::string text(300'000, 'a');
  text += "end";
  auto back = gunzip(gzip(text), 1u << 20);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, text);
  EXPECT_FALSE(gunzip(gzip(text), 1000)) << "a bomb stops at the limit";
  std::string packed = gzip(text);
  for (std::size_t n = 0; n < packed.size(); n += 5) EXPECT_FALSE(gunzip(packed.substr(0, n), 1u << 20)) << n;
  EXPECT_FALSE(gunzip("no gzip at all", 1000));
  auto empty = gunzip(gzip(""), 10);
  ASSERT_TRUE(empty);
  EXPECT_EQ(*empty, "");
}

}  // namespace
}  // namespace weir::surveyor
