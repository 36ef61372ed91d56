#include "broker/jetstream/publish_headers.h"

#include <string>

#include <gtest/gtest.h>

namespace weir::jetstream {
namespace {

TEST(PublishHeaders, EveryName) {
  PublishHeaders h = parse_publish_headers(
      "NATS/1.0\r\nNats-Msg-Id: 1\r\nNats-Expected-Stream: 2\r\nNats-Expected-Last-Sequence: 3\r\n"
      "Nats-Expected-Last-Msg-Id: 4\r\nNats-Expected-Last-Subject-Sequence: 5\r\n"
      "Nats-Expected-Last-Subject-Sequence-Subject: 6\r\nNats-Rollup: 7\r\nNats-TTL: 8\r\nNats-Incr: 9\r\n"
      "Nats-Batch-Id: 10\r\nNats-Schedule: 11\r\nNats-Stream-Source: 12\r\n\r\n");
  EXPECT_EQ(h.msg_id, "1");
  EXPECT_EQ(h.expected_stream, "2");
  EXPECT_EQ(h.expected_last_seq, "3");
  EXPECT_EQ(h.expected_last_msg_id, "4");
  EXPECT_EQ(h.expected_subject_seq, "5");
  EXPECT_EQ(h.expected_subject_seq_subj, "6");
  EXPECT_EQ(h.rollup, "7");
  EXPECT_EQ(h.ttl, "8");
  EXPECT_EQ(h.incr, "9");
  EXPECT_EQ(h.batch_id, "10");
  EXPECT_EQ(h.schedule, "11");
  EXPECT_EQ(h.stream_source, "12");
}

TEST(PublishHeaders, EveryCutIsHarmless) {
  const std::string block = "NATS/1.0\r\nNats-Msg-Id: one: two\r\nOther: 1\r\nNats-Rollup:sub\r\n\r\n";
  for (std::size_t n = 0; n <= block.size(); ++n) {
    PublishHeaders h = parse_publish_headers(std::string_view(block).substr(0, n));
    EXPECT_TRUE(std::string_view("one: two").starts_with(h.msg_id.substr(0, 8))) << n;
    if (n == block.size()) {
      EXPECT_EQ(h.msg_id, "one: two");
      EXPECT_EQ(h.rollup, "sub");
    }
  }
}

TEST(PublishHeaders, NearMissesAreNotTaken) {
  PublishHeaders h = parse_publish_headers(
      "NATS/1.0\r\nnats-msg-id: a\r\n Nats-Msg-Id: b\r\nNats-Msg-Id-X: c\r\nNats-Msg: d\r\nNats-:e\r\n\r\n");
  EXPECT_TRUE(h.msg_id.empty());
}

}  // namespace
}  // namespace weir::jetstream
