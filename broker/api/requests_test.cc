#include "broker/api/requests.h"

#include <gtest/gtest.h>

#include "broker/api/connect_json.h"
#include "broker/api/monitor_options.h"

namespace weir::api {
namespace {

template <class T>
int code(const Decoded<T>& d) {
  const auto* e = std::get_if<ApiError>(&d);
  return e ? static_cast<int>(e->err_code) : 0;
}

TEST(Requests, EmptyBodies) {
  for (const char* body : {"", "{}", " { } ", "{\n}"}) {
    EXPECT_TRUE(is_empty_request(body)) << body;
    EXPECT_EQ(code(decode_stream_names(body)), 0);
    EXPECT_EQ(code(decode_stream_info(body)), 0);
    EXPECT_EQ(code(decode_purge(body)), 0);
    EXPECT_EQ(code(decode_step_down(body)), 0);
    EXPECT_EQ(code(decode_msg_get(body)), 10003);
    EXPECT_EQ(code(decode_msg_delete(body)), 10003);
  }
  for (const char* body : {"{\"a\":1}", "[]", "null", "x", "{"}) EXPECT_FALSE(is_empty_request(body)) << body;
}

TEST(Requests, PagedAndFiltered) {
  auto q = std::get<StreamNamesRequest>(decode_stream_names(R"({"offset":5,"subject":"a.>"})"));
  EXPECT_EQ(q.offset, 5);
  EXPECT_EQ(q.subject, "a.>");
  EXPECT_EQ(std::get<ConsumersRequest>(decode_consumers(R"({"offset":-5})")).offset, 0);
  EXPECT_EQ(code(decode_consumers(R"({"bogus":5})")), 10025);
  EXPECT_EQ(code(decode_consumers(R"({"bogus":5})", Strictness::kLenient)), 0);
  auto info =
      std::get<StreamInfoRequest>(decode_stream_info(R"({"deleted_details":true,"subjects_filter":">"})"));
  EXPECT_TRUE(info.deleted_details);
  EXPECT_EQ(info.subjects_filter, ">");
}

TEST(Requests, Purge) {
  auto q = std::get<PurgeRequest>(decode_purge(R"({"seq":5,"filter":"a"})"));
  EXPECT_EQ(q.seq, StreamSeq(5));
  EXPECT_EQ(code(decode_purge(R"({"seq":5,"keep":1})")), 10003);
  EXPECT_EQ(code(decode_purge(R"({"seq":"5"})")), 10025);
}

TEST(Requests, MsgGet) {
  EXPECT_EQ(code(decode_msg_get(R"({"seq":1})")), 0);
  EXPECT_EQ(code(decode_msg_get(R"({"last_by_subj":"a"})")), 0);
  EXPECT_EQ(code(decode_msg_get(R"({"seq":1,"next_by_subj":"a.*"})")), 0);
  EXPECT_EQ(code(decode_msg_get(R"({"start_time":"2024-01-01T00:00:00Z"})")), 0);
  for (const char* body :
       {R"({"seq":1,"last_by_subj":"a"})", R"({"last_by_subj":"a","next_by_subj":"b"})",
        R"({"seq":1,"start_time":"2024-01-01T00:00:00Z"})", R"({"seq":1,"batch":2})", R"({"no_hdr":true})"}) {
    EXPECT_EQ(code(decode_msg_get(body)), 10003) << body;
  }
}

TEST(Requests, DirectGet) {
  const auto status = [](std::string_view body) { return decode_direct_get(body).status; };
  EXPECT_EQ(status(R"({"seq":1})").code, 0);
  EXPECT_EQ(status(R"({"seq":1,"batch":5,"unknown":1})").code, 0);
  EXPECT_EQ(status(R"({"multi_last":["a.*"],"up_to_seq":5,"batch":3})").code, 0);
  EXPECT_EQ(status(R"({"next_by_subj":"a.>","batch":3,"max_bytes":100})").code, 0);
  EXPECT_EQ(status("").text, "Empty Request");
  EXPECT_EQ(status("{}").text, "Empty Request");
  EXPECT_EQ(status("{").text, "Malformed Request");
  EXPECT_EQ(status(R"({"seq":"1"})").text, "Malformed Request");
  for (const char* body : {R"({"seq":1,"last_by_subj":"a"})", R"({"last_by_subj":"a","batch":2})",
                           R"({"multi_last":["a"],"next_by_subj":"b"})",
                           R"({"multi_last":["a"],"up_to_seq":1,"up_to_time":"2024-01-01T00:00:00Z"})"}) {
    EXPECT_EQ(status(body).text, "Bad Request") << body;
    EXPECT_EQ(status(body).code, 408);
  }
}

TEST(Requests, ConsumerCreate) {
  auto q = std::get<ConsumerCreateRequest>(decode_consumer_create(
      R"({"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"},"action":"create"})"));
  EXPECT_EQ(q.stream_name, "S");
  EXPECT_EQ(q.config.ack_policy, AckPolicy::kExplicit);
  EXPECT_EQ(q.action, ConsumerAction::kCreate);
  EXPECT_EQ(std::get<ConsumerCreateRequest>(decode_consumer_create(R"({"action":""})")).action,
            ConsumerAction::kCreateOrUpdate);
  EXPECT_EQ(code(decode_consumer_create("")), 10025);
  EXPECT_EQ(code(decode_consumer_create(R"({"action":"zap"})")), 10025);
  EXPECT_EQ(code(decode_consumer_create(R"({"config":{"bogus":1}})")), 10025);
}

TEST(Requests, Rest) {
  EXPECT_EQ(std::get<MsgDeleteRequest>(decode_msg_delete(R"({"seq":3,"no_erase":true})")).seq, StreamSeq(3));
  auto snap = std::get<SnapshotRequest>(decode_snapshot(R"({"deliver_subject":"d","chunk_size":1})"));
  EXPECT_EQ(snap.chunk_size, 1024);
  EXPECT_EQ(snap.window_size, 8 << 20);
  EXPECT_FALSE(std::get<ConsumerPauseRequest>(decode_consumer_pause("")).pause_until);
  EXPECT_EQ(code(decode_consumer_unpin("{}")), 10025);
  EXPECT_EQ(code(decode_peer_remove(R"({"peer":""})")), 10003);
  auto step = std::get<StepDownRequest>(decode_step_down(R"({"placement":{"preferred":"n2"}})"));
  EXPECT_EQ(step.placement->preferred, "n2");
  EXPECT_EQ(std::get<ServerRemoveRequest>(decode_server_remove(R"({"peer":"n","peer_id":"i"})")).peer_id,
            "i");
  EXPECT_TRUE(std::get<StreamMoveRequest>(decode_stream_move("")).server.empty());
  auto move = std::get<StreamMoveRequest>(
      decode_stream_move(R"({"server":"s","cluster":"c","domain":"d","tags":["a","b"]})"));
  EXPECT_EQ(move.server + move.cluster + move.domain, "scd");
  EXPECT_EQ(move.tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(std::holds_alternative<ApiError>(decode_stream_move(R"({"bad":"n1"})")));
  EXPECT_TRUE(std::holds_alternative<ApiError>(decode_stream_move("[1]")));
  EXPECT_EQ(std::get<ConsumerResetRequest>(decode_consumer_reset(R"({"seq":9})")).seq, StreamSeq(9));
}

TEST(Requests, Next) {
  EXPECT_EQ(decode_next("")->batch, 1);
  EXPECT_EQ(decode_next(" 25 ")->batch, 25);
  EXPECT_EQ(decode_next("-3")->batch, 1);
  EXPECT_EQ(decode_next("junk")->batch, 1);
  EXPECT_EQ(decode_next("{}")->batch, 1);
  auto q = *decode_next(R"({"expires":5000000000,"batch":10,"max_bytes":100,"no_wait":true,)"
                        R"("idle_heartbeat":2500000000,"group":"g","min_pending":1,"min_ack_pending":2,)"
                        R"("id":"pin","priority":3,"future":1})");
  EXPECT_EQ(q.batch, 10);
  EXPECT_EQ(q.expires, 5 * kSecond);
  EXPECT_EQ(q.max_bytes, 100);
  EXPECT_TRUE(q.no_wait);
  EXPECT_EQ(q.group, "g");
  EXPECT_EQ(q.priority, 3);
  EXPECT_EQ(decode_next(R"({"expires":10,"idle_heartbeat":6})").error().detail, "heartbeat value too large");
  EXPECT_FALSE(decode_next(R"({"idle_heartbeat":9223372036854775807})"));
  EXPECT_FALSE(decode_next(R"({"batch":"x"})"));
  EXPECT_FALSE(decode_next("{"));
}

TEST(Requests, AckBodies) {
  EXPECT_EQ(decode_ack_body("")->kind, AckKind::kAck);
  EXPECT_EQ(decode_ack_body("+ACK")->kind, AckKind::kAck);
  EXPECT_EQ(decode_ack_body("+OK")->kind, AckKind::kAck);
  EXPECT_EQ(decode_ack_body("+WPI")->kind, AckKind::kProgress);
  EXPECT_EQ(decode_ack_body("-NAK")->delay, 0);
  EXPECT_EQ(decode_ack_body("-NAK 5s")->delay, 5 * kSecond);
  EXPECT_EQ(decode_ack_body(R"(-NAK {"delay": 7})")->delay, 7);
  EXPECT_EQ(decode_ack_body(R"(-NAK {"delay": -7})")->delay, 0);
  EXPECT_EQ(decode_ack_body(R"(-NAK {"delay": "x"})")->delay, 0);
  EXPECT_EQ(decode_ack_body("-NAK {")->delay, 0);
  EXPECT_EQ(decode_ack_body("-NAK soon")->delay, 0);
  EXPECT_EQ(decode_ack_body("+TERM bad data ")->reason, "bad data");
  EXPECT_EQ(decode_ack_body("+NXT 5")->request, "5");
  EXPECT_EQ(decode_ack_body("+NXT")->kind, AckKind::kNext);
  EXPECT_FALSE(decode_ack_body("+ack"));
  EXPECT_FALSE(decode_ack_body("hello"));
}

TEST(Connect, DecodeAndRepeat) {
  auto o = *decode_connect(R"({"verbose":false,"pedantic":false,"user":"u","pass":"p","lang":"go",)"
                           R"("version":"1.0","protocol":1,"headers":true,"no_responders":true,"x":[1]})");
  EXPECT_FALSE(o.verbose);
  EXPECT_TRUE(o.echo);
  EXPECT_EQ(o.user, "u");
  EXPECT_EQ(o.protocol, 1);
  auto again = *decode_connect(R"({"verbose":true})", o);
  EXPECT_TRUE(again.verbose);
  EXPECT_EQ(again.user, "u");
  EXPECT_TRUE(decode_connect("{}")->verbose);
  for (const char* bad : {"", "[]", "5", "null", "{", R"({"user":5})", R"({"verbose":"yes"})"}) {
    EXPECT_FALSE(decode_connect(bad)) << bad;
  }
}

TEST(Connect, Info) {
  proto::ServerInfo i;
  i.server_id = "ID";
  i.server_name = "n";
  i.version = "2.11.0";
  i.go = "g";
  i.host = "0.0.0.0";
  i.port = 4222;
  i.jetstream = true;
  i.client_id = 7;
  EXPECT_EQ(encode_info(i),
            R"({"server_id":"ID","server_name":"n","version":"2.11.0","proto":1,"go":"g","host":"0.0.0.0",)"
            R"("port":4222,"headers":true,"max_payload":1048576,"jetstream":true,"client_id":7})");
}

TEST(MonitorOptions, SysBodies) {
  auto c = *decode_sys_connz(R"({"server_name":"a","sort":"rtt","state":2,"limit":5,"offset":-1,"bogus":1})");
  EXPECT_EQ(c.filter.server_name, "a");
  EXPECT_EQ(c.options.sort, ConnSort::kRtt);
  EXPECT_EQ(c.options.state, ConnState::kAll);
  EXPECT_EQ(c.options.limit, 5);
  EXPECT_EQ(c.options.offset, 0);
  EXPECT_FALSE(decode_sys_connz(R"({"sort":"zap"})"));
  EXPECT_FALSE(decode_sys_jsz(R"({"account":5})"));
  EXPECT_TRUE(decode_sys_jsz(R"({"consumer":true})")->options.consumers);
  EXPECT_EQ(decode_sys_jsz("")->options.limit, 1024);
  EXPECT_TRUE(decode_sys_healthz(R"({"js-enabled":true})")->options.js_enabled_only);
  EXPECT_EQ(decode_sys_accstatz(R"({"accounts":["a","b"]})")->options.accounts.size(), 2u);
  EXPECT_TRUE(decode_sys_ping("{}"));
  EXPECT_FALSE(decode_sys_ping("x"));
}

TEST(MonitorOptions, Queries) {
  auto c = *parse_connz_query("subs=detail&auth=1&sort=subs&limit=7&acc=a%2eb&state=Closed");
  EXPECT_TRUE(c.subscriptions_detail && c.auth);
  EXPECT_FALSE(c.subscriptions);
  EXPECT_EQ(c.account, "a.b");
  EXPECT_EQ(c.state, ConnState::kClosed);
  auto j = *parse_jsz_query("accounts=true&streams=1&consumers=t&config=TRUE&leader-only=0&&x&=");
  EXPECT_TRUE(j.accounts && j.streams && j.consumers && j.config);
  EXPECT_FALSE(j.leader_only);
  EXPECT_TRUE(parse_healthz_query("js-server-only=true")->js_server_only);
  EXPECT_FALSE(parse_jsz_query("accounts=maybe"));
  EXPECT_FALSE(parse_connz_query("limit=x"));
  EXPECT_FALSE(parse_connz_query("state=zzz"));
  EXPECT_FALSE(parse_connz_query("sort=zzz"));
  EXPECT_EQ(parse_subsz_query("test=a%")->test, "a%");
}

TEST(MonitorOptions, Filter) {
  ServerIdentity s;
  s.name = "node-1";
  s.cluster = "east";
  s.tags = {"SSD", "az:1"};
  ServerFilter f;
  EXPECT_TRUE(f.accepts(s));
  f.server_name = "node";
  EXPECT_TRUE(f.accepts(s));
  f.exact_match = true;
  EXPECT_FALSE(f.accepts(s));
  f.server_name = "node-1";
  f.tags = {"ssd"};
  EXPECT_TRUE(f.accepts(s));
  f.tags.push_back("gpu");
  EXPECT_FALSE(f.accepts(s));
  f = {};
  f.domain = "hub";
  EXPECT_FALSE(f.accepts(s));
}

}  // namespace
}  // namespace weir::api
