#include <gtest/gtest.h>

#include "broker/api/api_level.h"
#include "broker/api/consumer_config.h"
#include "broker/api/stream_config.h"

namespace weir::api {
namespace {

StreamConfig full_stream() {
  StreamConfig c;
  c.name = "S";
  c.description = "d \"q\" é";
  c.subjects = {"a.>", "b"};
  c.retention = Retention::kInterest;
  c.max_consumers = 3;
  c.max_msgs = 4;
  c.max_bytes = 5;
  c.max_age = kHour;
  c.max_msgs_per_subject = 6;
  c.max_msg_size = 7;
  c.discard = Discard::kNew;
  c.discard_new_per_subject = true;
  c.storage = Storage::kMemory;
  c.num_replicas = 3;
  c.no_ack = true;
  c.duplicate_window = kMinute;
  c.placement = Placement{"c1", {"x", "y"}, "p"};
  StreamSource source;
  source.name = "O";
  source.opt_start_seq = StreamSeq(9);
  source.opt_start_time = Wall{5 * kSecond};
  source.filter_subject = "f";
  source.subject_transforms = {{"a", "b"}};
  source.external = ExternalStream{"$JS.x.API", "d.x"};
  source.consumer = SourceConsumer{"n", "d"};
  c.mirror = source;
  c.sources = {source, StreamSource{}};
  c.compression = Compression::kS2;
  c.first_seq = StreamSeq(10);
  c.subject_transform = SubjectTransform{"a.*", "b.$1"};
  c.republish = Republish{">", "r.>", true};
  c.allow_direct = c.mirror_direct = c.sealed = c.deny_delete = c.deny_purge = true;
  c.allow_rollup_hdrs = c.allow_msg_ttl = c.allow_msg_counter = c.allow_atomic = true;
  c.allow_msg_schedules = c.allow_batched = true;
  c.consumer_limits = {kSecond, 11};
  c.subject_delete_marker_ttl = kMinute;
  c.persist_mode = PersistMode::kAsync;
  c.metadata = {{"b", "2"}, {"a", "1"}};
  return c;
}

ConsumerConfig full_consumer() {
  ConsumerConfig c;
  c.durable_name = c.name = "C";
  c.description = "d";
  c.deliver_policy = DeliverPolicy::kByStartTime;
  c.opt_start_seq = StreamSeq(3);
  c.opt_start_time = Wall{1'500'000'000};
  c.ack_policy = AckPolicy::kAll;
  c.ack_wait = kSecond;
  c.max_deliver = 5;
  c.backoff = {kSecond, 2 * kSecond};
  c.filter_subject = "f";
  c.filter_subjects = {"g", "h.*"};
  c.replay_policy = ReplayPolicy::kOriginal;
  c.rate_limit_bps = 8;
  c.sample_freq = "50%";
  c.max_waiting = 1;
  c.max_ack_pending = 2;
  c.flow_control = c.headers_only = c.mem_storage = c.direct = c.sourcing = true;
  c.idle_heartbeat = kSecond;
  c.max_batch = 3;
  c.max_expires = kSecond;
  c.max_bytes = 4;
  c.deliver_subject = "x";
  c.deliver_group = "q";
  c.inactive_threshold = kMinute;
  c.num_replicas = 1;
  c.metadata = {{"k", "v"}};
  c.pause_until = Wall{kHour};
  c.priority_groups = {"g"};
  c.priority_policy = PriorityPolicy::kPrioritized;
  c.priority_timeout = kSecond;
  return c;
}

TEST(StreamConfig, RoundTripsEveryField) {
  const auto c = full_stream();
  const auto text = encode_stream_config_json(c);
  const auto back = decode_stream_config(text);
  ASSERT_TRUE(std::holds_alternative<StreamConfig>(back)) << std::get<ApiError>(back).description;
  EXPECT_EQ(std::get<StreamConfig>(back), c);
  EXPECT_EQ(encode_stream_config_json(std::get<StreamConfig>(back)), text);
}

TEST(StreamConfig, GoldenTextOfADefault) {
  StreamConfig c;
  c.name = "S";
  c.subjects = {"a.>"};
  c.duplicate_window = 2 * kMinute;
  EXPECT_EQ(encode_stream_config_json(c),
            R"({"name":"S","subjects":["a.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,)"
            R"("max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old",)"
            R"("storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none",)"
            R"("allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,)"
            R"("deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false})");
}

TEST(StreamConfig, DecodesARequestOfAClient) {
  auto d = decode_stream_config_request(
      R"({"name":"KV_b","subjects":["$KV.b.>"],"retention":"limits","max_consumers":0,"max_msgs":0,)"
      R"("discard":"new","storage":"file","max_msgs_per_subject":1,"placement":null,"pedantic":true})");
  const auto& r = std::get<StreamConfigRequest>(d);
  EXPECT_TRUE(r.pedantic);
  EXPECT_EQ(r.config.max_msgs, 0);
  EXPECT_EQ(r.config.max_bytes, -1);
  EXPECT_FALSE(r.config.placement);
}

TEST(StreamConfig, RefusesBadTexts) {
  for (const char* json :
       {R"({"name":"S","bogus":1})", R"({"name":5})", R"({"retention":"zzz"})", R"({"subjects":"a"})",
        R"({"mirror":[]})", R"({"mirror":{"bogus":1}})", R"({"sources":{}})", R"({"sources":[5]})",
        R"({"metadata":{"a":1}})", R"({"max_msg_size":3000000000})", R"({"placement":{"tags":[1]}})",
        R"({"consumer_limits":{"x":1}})", R"({"pedantic":true})", "{", ""}) {
    auto d = decode_stream_config(json);
    ASSERT_TRUE(std::holds_alternative<ApiError>(d)) << json;
    EXPECT_EQ(std::get<ApiError>(d).err_code, ErrCode::kInvalidJSON);
    EXPECT_EQ(std::get<ApiError>(d).http_code, 400);
  }
  EXPECT_TRUE(std::holds_alternative<StreamConfig>(
      decode_stream_config(R"({"mirror":{"bogus":1},"bogus":1})", Strictness::kLenient)));
}

TEST(ConsumerConfig, RoundTripsEveryField) {
  const auto c = full_consumer();
  const auto text = encode_consumer_config_json(c);
  const auto back = decode_consumer_config(text);
  ASSERT_TRUE(std::holds_alternative<ConsumerConfig>(back)) << std::get<ApiError>(back).description;
  EXPECT_EQ(std::get<ConsumerConfig>(back), c);
  EXPECT_EQ(encode_consumer_config_json(std::get<ConsumerConfig>(back)), text);
}

TEST(ConsumerConfig, GoldenTextOfADurable) {
  ConsumerConfig c;
  c.durable_name = c.name = "c1";
  c.ack_policy = AckPolicy::kExplicit;
  c.ack_wait = 30 * kSecond;
  c.max_deliver = -1;
  c.max_waiting = 512;
  c.max_ack_pending = 1000;
  EXPECT_EQ(encode_consumer_config_json(c),
            R"({"durable_name":"c1","name":"c1","deliver_policy":"all","ack_policy":"explicit",)"
            R"("ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,)"
            R"("max_ack_pending":1000,"num_replicas":0})");
}

TEST(ConsumerConfig, RefusesBadTexts) {
  for (const char* json : {R"({"bogus":1})", R"({"ack_policy":"foo"})", R"({"backoff":["1s"]})",
                           R"({"opt_start_seq":-1})", R"({"opt_start_time":"soon"})", "[]"}) {
    EXPECT_TRUE(std::holds_alternative<ApiError>(decode_consumer_config(json))) << json;
  }
}

TEST(ApiLevel, StoredAndReplyMetadata) {
  StreamConfig c;
  c.metadata = {{"_nats.ver", "1"}, {"_nats.level", "1"}, {"mine", "x"}};
  set_stored_metadata(c);
  EXPECT_EQ(c.metadata, (Metadata{{"_nats.req.level", "0"}, {"mine", "x"}}));
  c.allow_msg_ttl = true;
  EXPECT_EQ(required_api_level(c), 1);
  c.allow_atomic = true;
  EXPECT_EQ(required_api_level(c), 2);
  c.allow_batched = true;
  EXPECT_EQ(required_api_level(c), 4);
  auto reply = c.metadata;
  add_reply_metadata(reply, "2.11.0", 1);
  EXPECT_EQ(reply.at("_nats.ver"), "2.11.0");
  auto other = c;
  other.metadata = reply;
  EXPECT_TRUE(same_config(c, other));
  other.max_msgs = 5;
  EXPECT_FALSE(same_config(c, other));
  EXPECT_EQ(stored_api_level({{"_nats.req.level", "7"}}), 7);
  EXPECT_EQ(stored_api_level({{"_nats.req.level", "x"}}), -1);
  EXPECT_EQ(stored_api_level({}), 0);
}

}  // namespace
}  // namespace weir::api
