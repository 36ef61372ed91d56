#include "broker/api/responses.h"

#include <gtest/gtest.h>

#include "broker/api/advisories.h"
#include "broker/api/json_value.h"
#include "broker/api/monitor.h"
#include "broker/api/pub_ack.h"

namespace weir::api {
namespace {

/// The text parses and has exactly these members at the top.
void expect_members(const std::string& json, const std::vector<std::string>& names) {
  auto parsed = parse_json(json);
  ASSERT_TRUE(std::holds_alternative<JsonValue>(parsed)) << json;
  std::vector<std::string> found;
  for (const auto& [name, value] : *std::get<JsonValue>(parsed).object()) found.push_back(name);
  EXPECT_EQ(found, names) << json;
}

StreamInfo stream_info() {
  StreamInfo info;
  info.config.name = "S";
  info.config.subjects = {"a.>"};
  info.created = Wall{kSecond};
  info.state.messages = 3;
  info.state.first_seq = StreamSeq(1);
  info.state.last_seq = StreamSeq(3);
  info.ts = Wall{2 * kSecond};
  return info;
}

ConsumerInfo consumer_info() {
  ConsumerInfo info;
  info.stream_name = "S";
  info.name = "c";
  info.config.emplace().durable_name = "c";
  return info;
}

TEST(Responses, TypesAreNamed) {
  EXPECT_EQ(type_text(ReplyType::kAccountInfo), "io.nats.jetstream.api.v1.account_info_response");
  EXPECT_EQ(type_text(ReplyType::kConsumerReset), "io.nats.jetstream.api.v1.consumer_reset_response");
  EXPECT_EQ(type_text(ReplyType::kMetaRescue), "io.nats.jetstream.api.v1.meta_rescue_response");
  EXPECT_EQ(type_text(ReplyType::kOverloaded), "io.nats.jetstream.api.v1.system_overloaded");
}

TEST(Responses, Errors) {
  const auto e = make_error(ErrCode::kStreamNotFound);
  EXPECT_EQ(encode_error(ReplyType::kStreamDelete, e),
            R"({"type":"io.nats.jetstream.api.v1.stream_delete_response",)"
            R"("error":{"code":404,"err_code":10059,"description":"stream not found"}})");
  EXPECT_EQ(encode_error(ReplyType::kConsumerNames, e),
            R"({"type":"io.nats.jetstream.api.v1.consumer_names_response",)"
            R"("error":{"code":404,"err_code":10059,"description":"stream not found"},)"
            R"("total":0,"offset":0,"limit":0,"consumers":[]})");
  EXPECT_EQ(encode_success(ReplyType::kStreamDelete),
            R"({"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true})");
}

TEST(Responses, StreamCreate) {
  expect_members(encode_stream_create(stream_info(), true),
                 {"type", "config", "created", "state", "ts", "did_create"});
  expect_members(encode_stream_create(stream_info(), false), {"type", "config", "created", "state", "ts"});
  expect_members(encode_stream_update(stream_info()), {"type", "config", "created", "state", "ts"});
}

TEST(Responses, StreamInfoWithEverything) {
  auto info = stream_info();
  info.domain = "hub";
  info.cluster =
      ClusterInfo{"c", "g", "n1", Wall{1}, false, "$SYS", {{"n2", true, false, 5, 1, "p2", false}}};
  info.state.num_subjects = 1;
  info.state.subjects = {{"a.b", 3}};
  info.state.num_deleted = 1;
  info.state.deleted = {2};
  info.state.lost = LostData{{4}, 5};
  info.alternates = {{"S", "", "c"}};
  info.mirror = StreamSourceInfo{};
  info.mirror->error = make_error(ErrCode::kStreamNotFound);
  info.sources = {*info.mirror};
  const auto text = encode_stream_info(info, Paging{1, 0, kSubjectDetails});
  expect_members(text, {"type", "total", "offset", "limit", "config", "created", "state", "domain", "cluster",
                        "mirror", "sources", "alternates", "ts"});
  EXPECT_NE(text.find(R"("subjects":{"a.b":3},"num_deleted":1,"deleted":[2],"lost":{"msgs":[4],"bytes":5})"),
            std::string::npos);
  EXPECT_NE(text.find(R"("replicas":[{"name":"n2","current":true,"active":5,"lag":1,"peer":"p2"}])"),
            std::string::npos);
}

TEST(Responses, EmptyStreamState) {
  StreamInfo info;
  const auto text = encode_stream_update(info);
  EXPECT_NE(text.find(R"("state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z",)"
                      R"("last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0})"),
            std::string::npos);
}

TEST(Responses, Lists) {
  EXPECT_EQ(encode_stream_names({"A", "B"}, {2, 0, kNamesPage}),
            R"({"type":"io.nats.jetstream.api.v1.stream_names_response","total":2,"offset":0,"limit":1024,)"
            R"("streams":["A","B"]})");
  StreamList list;
  list.streams = {stream_info()};
  list.missing = {"M"};
  list.offline = {{"O", "why"}};
  expect_members(encode_stream_list(list),
                 {"type", "total", "offset", "limit", "streams", "missing", "offline"});
  ConsumerList consumers;
  consumers.consumers = {consumer_info()};
  expect_members(encode_consumer_list(consumers), {"type", "total", "offset", "limit", "consumers"});
  expect_members(encode_consumer_names({}, {}), {"type", "total", "offset", "limit", "consumers"});
}

TEST(Responses, Consumer) {
  auto info = consumer_info();
  const std::vector<std::string> kShort = {"type",        "stream_name",     "name",
                                           "created",     "config",          "delivered",
                                           "ack_floor",   "num_ack_pending", "num_redelivered",
                                           "num_waiting", "num_pending",     "ts"};
  expect_members(encode_consumer_info(info), kShort);
  expect_members(encode_consumer_create(info), kShort);
  info.cluster.emplace().leader = "n1";
  info.push_bound = info.paused = true;
  info.pause_remaining = 5;
  info.priority_groups = {{"g", "id", Wall{1}}};
  info.delivered.last_active = Wall{kSecond};
  const auto text = encode_consumer_reset(info, StreamSeq(4));
  EXPECT_NE(text.find(R"("last_active":"1970-01-01T00:00:01Z")"), std::string::npos);
  EXPECT_NE(text.find(R"("reset_seq":4)"), std::string::npos);
  EXPECT_NE(text.find(R"("push_bound":true,"paused":true,"pause_remaining":5)"), std::string::npos);
  EXPECT_EQ(encode_consumer_pause({}),
            R"({"type":"io.nats.jetstream.api.v1.consumer_pause_response","paused":false,)"
            R"("pause_until":"0001-01-01T00:00:00Z"})");
}

TEST(Responses, Messages) {
  StoredMsg m{"a.b", StreamSeq(1), "NATS/1.0\r\n\r\n", "hello", Wall{kSecond}};
  EXPECT_EQ(
      encode_msg_get(m),
      R"({"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"a.b","seq":1,)"
      R"("hdrs":"TkFUUy8xLjANCg0K","data":"aGVsbG8=","time":"1970-01-01T00:00:01Z"}})");
  EXPECT_EQ(encode_stream_purge(3),
            R"({"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":3})");
}

TEST(Responses, Account) {
  AccountInfo info;
  info.tiers["R1"].streams = 2;
  info.domain = "d";
  expect_members(encode_account_info(info),
                 {"type", "memory", "storage", "reserved_memory", "reserved_storage", "streams", "consumers",
                  "limits", "domain", "api", "tiers"});
}

TEST(PubAck, Texts) {
  PubAck ack;
  ack.stream = "S";
  ack.seq = StreamSeq(18446744073709551615u);
  std::string out = "x";
  append_pub_ack(out, ack);
  EXPECT_EQ(out, R"(x{"stream":"S","seq":18446744073709551615})");
  ack = {"S", StreamSeq(2), "hub", true, "5", "b1", 7};
  BytesBuilder b;
  append_pub_ack(b, ack);
  EXPECT_EQ(b.text(),
            R"({"stream":"S","domain":"hub","seq":2,"duplicate":true,"val":"5","batch":"b1","count":7})");
  ack = {};
  ack.stream = "a\"\xff";
  out.clear();
  append_pub_ack(out, ack);
  expect_members(out, {"stream", "seq"});
  EXPECT_EQ(
      encode_pub_ack_error(make_error(ErrCode::kStreamWrongLastSequence, "5"), "S"),
      R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"S","seq":0})");
}

TEST(Advisories, Texts) {
  const EventHead head{"ID", Wall{kSecond}, "hub"};
  EXPECT_EQ(encode_stream_action(head, {"S", AssetAction::kModify}),
            R"({"type":"io.nats.jetstream.advisory.v1.stream_action","id":"ID",)"
            R"("timestamp":"1970-01-01T00:00:01Z","stream":"S","action":"modify","domain":"hub"})");
  const EventHead plain{"ID", Wall{kSecond}, ""};
  expect_members(encode_consumer_action(plain, {"S", "c", AssetAction::kDelete}),
                 {"type", "id", "timestamp", "stream", "consumer", "action"});
  expect_members(encode_max_deliver(plain, {"S", "c", StreamSeq(1), 5}),
                 {"type", "id", "timestamp", "stream", "consumer", "stream_seq", "deliveries"});
  DeliveryEvent d{"S", "c", ConsumerSeq(1), StreamSeq(2), 3, "why"};
  expect_members(encode_terminated(plain, d), {"type", "id", "timestamp", "stream", "consumer",
                                               "consumer_seq", "stream_seq", "deliveries", "reason"});
  expect_members(encode_ack_sample(plain, {}), {"type", "id", "timestamp", "stream", "consumer",
                                                "consumer_seq", "stream_seq", "ack_time", "deliveries"});
  LeaderEvent l;
  l.stream = "S";
  l.leader = "n1";
  expect_members(encode_leader_elected(plain, l),
                 {"type", "id", "timestamp", "stream", "leader", "replicas"});
  l.consumer = "c";
  EXPECT_NE(encode_leader_elected(plain, l).find("consumer_leader_elected"), std::string::npos);
  l = {};
  l.cluster = "c";
  expect_members(encode_leader_elected(plain, l),
                 {"type", "id", "timestamp", "leader", "replicas", "cluster"});
  expect_members(encode_quorum_lost(plain, {"A", "S", "", {}}),
                 {"type", "id", "timestamp", "account", "stream", "replicas"});
  expect_members(encode_api_audit(plain, {}),
                 {"type", "id", "timestamp", "server", "client", "subject", "response"});
  expect_members(encode_snapshot_complete(plain, {}),
                 {"type", "id", "timestamp", "stream", "start", "end", "client"});
  expect_members(encode_client_disconnect(plain, {}),
                 {"type", "id", "timestamp", "server", "client", "sent", "received", "reason"});
}

TEST(Monitor, Jsz) {
  Jsz j;
  j.meta.emplace().leader = "n1";
  auto& account = j.account_details.emplace_back();
  auto& stream = account.streams.emplace_back();
  stream.name = "S";
  stream.config.emplace();
  stream.cluster.emplace();
  stream.consumers = {consumer_info()};
  stream.raft_group = "g";
  stream.consumer_raft_groups = {{"c", "g"}};
  const auto text = encode_jsz(j);
  expect_members(text, {"memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets",
                        "api", "server_id", "now", "config", "streams", "consumers", "messages", "bytes",
                        "meta_cluster", "account_details", "total"});
  EXPECT_NE(text.find(R"("stream_detail":[{"name":"S")"), std::string::npos);
  EXPECT_NE(text.find(R"("consumer_detail":[{"stream_name":"S")"), std::string::npos);
}

TEST(Monitor, VarzHasWhatExportersRead) {
  Varz v;
  v.jetstream.emplace().config.store_dir = "/data";
  const auto text = encode_varz(v);
  auto parsed = parse_json(text);
  ASSERT_TRUE(std::holds_alternative<JsonValue>(parsed));
  const auto& value = std::get<JsonValue>(parsed);
  for (const char* name : {"server_id", "version", "go", "mem", "cores", "cpu", "connections", "routes",
                           "subscriptions", "slow_consumers", "in_msgs", "out_bytes", "uptime", "jetstream",
                           "max_payload", "config_load_time", "http_req_stats", "slow_consumer_stats"}) {
    EXPECT_NE(value.find(name), nullptr) << name;
  }
  EXPECT_NE(text.find("/data"), std::string::npos);
  ServerStats stats;
  stats.jetstream = v.jetstream;
  EXPECT_EQ(encode_statsz({}, stats).find("/data"), std::string::npos);
}

TEST(Monitor, OtherPages) {
  Connz c;
  auto& conn = c.connections.emplace_back();
  conn.cid = 5;
  conn.subscriptions_list_detail = {{"A", "s", "q", "1", 2, 3, 5}};
  expect_members(encode_connz(c),
                 {"server_id", "now", "num_connections", "total", "offset", "limit", "connections"});
  EXPECT_EQ(encode_healthz({}), R"({"status":"ok"})");
  EXPECT_EQ(encode_healthz({"unavailable", 503, "x", {{"STREAM", "A", "S", "", "y"}}}),
            R"({"status":"unavailable","status_code":503,"error":"x",)"
            R"("errors":[{"type":"STREAM","account":"A","stream":"S","error":"y"}]})");
  expect_members(encode_subsz({}),
                 {"server_id", "now", "num_subscriptions", "num_cache", "num_inserts", "num_removes",
                  "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout", "total", "offset", "limit"});
  AccountStatz a;
  a.accounts.emplace_back().account = "A";
  expect_members(encode_accstatz(a), {"server_id", "now", "account_statz"});
  Routez r;
  r.routes.emplace_back();
  expect_members(encode_routez(r), {"server_id", "server_name", "now", "num_routes", "routes"});
  Raftz raft;
  raft["$SYS"]["_meta_"].peers["p"].name = "n";
  expect_members(encode_raftz(raft), {"$SYS"});
  expect_members(encode_sys_reply({}, encode_healthz({})), {"server", "data"});
  expect_members(encode_sys_error({}, 400, "bad"), {"server", "error"});
  expect_members(encode_statsz({}, {}), {"server", "statsz"});
  EXPECT_EQ(encode_idz({}), R"({"name":"","host":"","id":""})");
  UserInfo u;
  u.user = "u";
  u.permissions_json = "{}";
  expect_members(encode_user_info(u), {"user", "account", "permissions"});
}

}  // namespace
}  // namespace weir::api
