#include "broker/api/consumer_check.h"

#include <gtest/gtest.h>

#include <functional>

#include "broker/api/requests.h"
#include "broker/api/unsupported.h"

namespace weir::api {
namespace {

using Change = std::function<void(ConsumerConfig&)>;

StreamConfig stream() {
  StreamConfig c;
  c.name = "S";
  c.subjects = {"s.>"};
  return c;
}

Decoded<ConsumerConfig> check(const Change& change, const ConsumerRules& rules = {}) {
  ConsumerConfig c;
  c.durable_name = "c";
  change(c);
  return check_consumer_create(c, stream(), rules);
}

std::string error(const Change& change, const ConsumerRules& rules = {}) {
  auto r = check(change, rules);
  const auto* e = std::get_if<ApiError>(&r);
  return e ? std::to_string(static_cast<int>(e->err_code)) + " " + e->description : "";
}

ConsumerConfig created(const Change& change, const ConsumerRules& rules = {}) {
  auto r = check(change, rules);
  EXPECT_TRUE(std::holds_alternative<ConsumerConfig>(r)) << std::get<ApiError>(r).description;
  return std::get<ConsumerConfig>(r);
}

TEST(ConsumerCheck, Defaults) {
  auto c = created([](auto&) {});
  EXPECT_EQ(c.name, "c");
  EXPECT_EQ(c.max_deliver, -1);
  EXPECT_EQ(c.max_waiting, 512);
  EXPECT_EQ(c.max_ack_pending, 0);
  EXPECT_EQ(c.ack_wait, 0);
  EXPECT_EQ(c.inactive_threshold, 0);
  c = created([](auto& x) { x.ack_policy = AckPolicy::kExplicit; });
  EXPECT_EQ(c.ack_wait, 30 * kSecond);
  EXPECT_EQ(c.max_ack_pending, 1000);
  c = created([](auto& x) { x.backoff = {7, 8}; });
  EXPECT_EQ(c.ack_wait, 7);
  c = created([](auto& x) {
    x.durable_name.clear();
    x.deliver_subject = "d";
  });
  EXPECT_EQ(c.max_waiting, 0);
  EXPECT_EQ(c.inactive_threshold, 5 * kSecond);
  EXPECT_EQ(c.name, "");
  ConsumerRules rules;
  rules.max_ack_pending = 10;
  rules.max_request_batch = 20;
  c = created([](auto& x) { x.ack_policy = AckPolicy::kAll; }, rules);
  EXPECT_EQ(c.max_ack_pending, 10);
  EXPECT_EQ(c.max_batch, 20);
}

TEST(ConsumerCheck, Refuses) {
  const struct {
    Change change;
    std::string error;
  } kCases[] = {
      {[](auto& c) { c.durable_name = "a.b"; },
       "10052 consumer durable name can not contain '.', '*', '>', '\\', '/'"},
      {[](auto& c) { c.durable_name = std::string(256, 'x'); },
       "10102 consumer name is too long, maximum allowed is 255"},
      {[](auto& c) { c.name = "other"; },
       "10132 Consumer Durable and Name have to be equal if both are provided"},
      {[](auto& c) { c.num_replicas = -1; }, "10133 replicas count cannot be negative"},
      {[](auto& c) { c.num_replicas = 2; }, "10074 replicas > 1 not supported in non-clustered mode"},
      {[](auto& c) { c.backoff = {-1}; }, "10184 consumer backoff needs to be positive"},
      {[](auto& c) { c.ack_wait = -1; }, "10183 consumer ack wait needs to be positive"},
      {[](auto& c) {
         c.backoff = {1, 2};
         c.max_deliver = 1;
       },
       "10116 max deliver is required to be > length of backoff values"},
      {[](auto& c) { c.deliver_subject = "x.*"; }, "10079 consumer deliver subject has wildcards"},
      {[](auto& c) { c.deliver_subject = "x..y"; }, "10112 invalid push consumer deliver subject"},
      {[](auto& c) { c.deliver_subject = "s.1"; }, "10081 consumer deliver subject forms a cycle"},
      {[](auto& c) {
         c.deliver_subject = "x";
         c.max_waiting = 1;
       },
       "10080 consumer in push mode can not set max waiting"},
      {[](auto& c) {
         c.deliver_subject = "x";
         c.max_ack_pending = 1;
       },
       "10082 consumer requires ack policy for max ack pending"},
      {[](auto& c) {
         c.deliver_subject = "x";
         c.idle_heartbeat = 1;
       },
       "10083 consumer idle heartbeat needs to be >= 100ms"},
      {[](auto& c) {
         c.deliver_subject = "x";
         c.flow_control = true;
       },
       "10108 consumer with flow control also needs heartbeats"},
      {[](auto& c) { c.rate_limit_bps = 1; }, "10086 consumer in pull mode can not have rate limit set"},
      {[](auto& c) { c.idle_heartbeat = kSecond; },
       "10088 consumer idle heartbeat requires a push based consumer"},
      {[](auto& c) { c.flow_control = true; }, "10089 consumer flow control requires a push based consumer"},
      {[](auto& c) { c.max_expires = 5; }, "10115 consumer max request expires needs to be >= 1ms"},
      {[](auto& c) {
         c.filter_subject = "s.a";
         c.filter_subjects = {"s.b"};
       },
       "10136 consumer cannot have both FilterSubject and FilterSubjects specified"},
      {[](auto& c) {
         c.filter_subjects = {"s.a", ""};
       },
       "10139 consumer filter in FilterSubjects cannot be empty"},
      {[](auto& c) {
         c.filter_subjects = {"s.a", "s.*"};
       },
       "10138 consumer subject filters cannot overlap"},
      {[](auto& c) { c.filter_subject = "a..b"; }, "10052 invalid subject"},
      {[](auto& c) { c.opt_start_seq = StreamSeq(1); },
       "10094 consumer delivery policy is deliver all, but optional start sequence is also set"},
      {[](auto& c) { c.deliver_policy = DeliverPolicy::kByStartSequence; },
       "10094 consumer delivery policy is deliver by start sequence, but optional start sequence is not set"},
      {[](auto& c) { c.deliver_policy = DeliverPolicy::kByStartTime; },
       "10094 consumer delivery policy is deliver by start time, but optional start time is not set"},
      {[](auto& c) { c.deliver_policy = DeliverPolicy::kLastPerSubject; },
       "10094 consumer delivery policy is deliver last per subject, but optional filter subject is not set"},
      {[](auto& c) {
         c.deliver_policy = DeliverPolicy::kNew;
         c.opt_start_time = Wall{5};
       },
       "10094 consumer delivery policy is deliver new, but optional start time is also set"},
      {[](auto& c) { c.metadata["a"] = std::string(131072, 'x'); },
       "10135 consumer metadata exceeds maximum size of 128KB"},
      {[](auto& c) { c.description = std::string(4097, 'x'); },
       "10107 consumer description is too long, maximum allowed is 4096"},
      {[](auto& c) { c.priority_groups = {"g"}; },
       "10196 consumer can not have priority groups when policy is none"},
      {[](auto& c) { c.priority_policy = PriorityPolicy::kOverflow; },
       "10159 Setting PriorityPolicy requires at least one PriorityGroup to be set"},
  };
  for (const auto& test : kCases) EXPECT_EQ(error(test.change), test.error);
  EXPECT_EQ(error([](auto& c) { c.sample_freq = "x"; }).substr(0, 5), "10095");
}

TEST(ConsumerCheck, Caps) {
  ConsumerRules rules;
  rules.max_ack_pending = 10;
  const auto pending = [](auto& c) {
    c.ack_policy = AckPolicy::kExplicit;
    c.max_ack_pending = 11;
  };
  EXPECT_EQ(error(pending, rules), "10121 consumer max ack pending exceeds system limit of 10");
  rules.max_request_batch = 5;
  EXPECT_EQ(error([](auto& c) { c.max_batch = 6; }, rules),
            "10125 consumer max request batch exceeds server limit of 5");
  rules.pedantic = true;
  EXPECT_EQ(error([](auto& c) { c.max_deliver = -5; }, rules),
            "10157 pedantic mode: max_deliver must be set to -1");
}

TEST(ConsumerCheck, WhatIsNotThereYetIsRefusedNotIgnored) {
  const Change kUnsupported[] = {
      [](auto& c) { c.pause_until = Wall{kHour}; },
      [](auto& c) {
        c.priority_policy = PriorityPolicy::kOverflow;
        c.priority_groups = {"g"};
      },
      [](auto& c) { c.sourcing = true; },
      [](auto& c) {
        c.durable_name.clear();
        c.direct = true;
        c.deliver_subject = "x";
      },
      [](auto& c) {
        c.ack_policy = AckPolicy::kFlowControl;
        c.deliver_subject = "x";
      },
  };
  for (const auto& change : kUnsupported) {
    const auto text = error(change);
    EXPECT_NE(text.find("10012"), std::string::npos) << text;
    EXPECT_NE(text.find("is not supported by this server"), std::string::npos) << text;
  }
}

TEST(ConsumerCheck, ManyFilters) {
  std::vector<std::string> filters;
  for (int i = 0; i < 100'000; ++i) filters.push_back("s.f" + std::to_string(i));
  EXPECT_EQ(created([&](auto& c) { c.filter_subjects = filters; }).filter_subjects.size(), filters.size());
  filters.emplace_back("s.f7.>");
  EXPECT_EQ(error([&](auto& c) { c.filter_subjects = filters; }), "");
  filters.emplace_back("s.f7");
  EXPECT_EQ(error([&](auto& c) { c.filter_subjects = filters; }),
            "10138 consumer subject filters cannot overlap");
  filters[3] = "s..f";
  EXPECT_EQ(error([&](auto& c) { c.filter_subjects = filters; }), "10052 invalid subject");
}

TEST(ConsumerCheck, FiltersOfTooManyShapes) {
  std::vector<std::string> filters;
  for (unsigned i = 0; i < 20'000; ++i) {
    std::string f = std::to_string(i);
    for (unsigned bit = 0; bit < 15; ++bit) f += (i >> bit & 1) ? ".*" : ".a";
    filters.push_back(f);
  }
  EXPECT_EQ(error([&](auto& c) { c.filter_subjects = filters; }),
            "10052 too many filters with wildcards at different places");
}

TEST(ConsumerCheck, Changes) {
  const auto old = created([](auto& c) { c.ack_policy = AckPolicy::kExplicit; });
  const auto change = [&](const Change& f, bool bound = false) {
    auto c = old;
    f(c);
    auto e = check_consumer_change(old, c, bound);
    return e ? e->description : std::string();
  };
  EXPECT_EQ(change([](auto& c) { c.max_ack_pending = 5; }), "");
  EXPECT_EQ(change([](auto& c) { c.filter_subject = "s.x"; }), "");
  EXPECT_EQ(change([](auto& c) { c.ack_policy = AckPolicy::kNone; }), "ack policy can not be updated");
  EXPECT_EQ(change([](auto& c) { c.deliver_subject = "x"; }), "can not update pull consumer to push based");
  EXPECT_EQ(change([](auto& c) { c.max_waiting = 5; }), "max waiting can not be updated");
  auto push = old;
  push.deliver_subject = "x";
  auto moved = push;
  moved.deliver_subject = "y";
  EXPECT_FALSE(check_consumer_change(push, moved, false));
  EXPECT_EQ(check_consumer_change(push, moved, true)->err_code, ErrCode::kConsumerNameExist);
}

TEST(ConsumerCheck, SubjectAgainstBody) {
  using Form = ConsumerCreateForm;
  const auto run = [](ConsumerCreateSubject subject, const Change& f) {
    ConsumerCreateRequest q;
    q.stream_name = "S";
    f(q.config);
    auto e = check_consumer_subject(subject, q);
    return e ? static_cast<int>(e->err_code) : 0;
  };
  const auto durable = [](auto& c) { c.durable_name = "c"; };
  const auto plain = [](auto&) {};
  EXPECT_EQ(run({Form::kNamed, "S", "c", ""}, durable), 0);
  EXPECT_EQ(run({Form::kNamed, "S", "c", ""}, plain), 0);
  EXPECT_EQ(run({Form::kNamed, "T", "c", ""}, plain), 10056);
  EXPECT_EQ(run({Form::kNamed, "S", "d", ""}, durable), 10017);
  EXPECT_EQ(run({Form::kNamed, "S", "a/b", ""}, plain), 10127);
  EXPECT_EQ(run({Form::kUnnamed, "S", "", ""}, durable), 10020);
  EXPECT_EQ(run({Form::kDurable, "S", "", ""}, durable), 10016);
  EXPECT_EQ(run({Form::kDurable, "S", "c", ""}, plain), 10018);
  EXPECT_EQ(run({Form::kNamed, "S", "c", "s.a"}, plain), 10131);
  EXPECT_EQ(run({Form::kNamed, "S", "c", "s.a"}, [](auto& c) { c.filter_subject = "s.a"; }), 0);
  EXPECT_EQ(run({Form::kNamed, "S", "c", "s.a"}, [](auto& c) { c.filter_subjects = {"s.a"}; }), 10137);
}

TEST(ConsumerCheck, SampleFrequency) {
  EXPECT_EQ(parse_sample_freq("30"), 30u);
  EXPECT_EQ(parse_sample_freq("30%"), 30u);
  for (const char* bad : {"", "%", "x", "-1", "30%%", "5.5", "99999999999"}) {
    EXPECT_FALSE(parse_sample_freq(bad)) << bad;
  }
}

}  // namespace
}  // namespace weir::api
