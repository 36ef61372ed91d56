#include "broker/api/stream_check.h"

#include <gtest/gtest.h>

#include <functional>

#include "broker/api/unsupported.h"

namespace weir::api {
namespace {

using Change = std::function<void(StreamConfig&)>;

StreamConfig basic() {
  StreamConfig c;
  c.name = "S";
  c.subjects = {"s.>"};
  return c;
}

std::string create_error(const Change& change, const StreamRules& rules = {}) {
  auto c = basic();
  change(c);
  auto r = check_stream_create(c, rules);
  const auto* e = std::get_if<ApiError>(&r);
  return e ? std::to_string(static_cast<int>(e->err_code)) + " " + e->description : "";
}

StreamConfig created(const Change& change, const StreamRules& rules = {}) {
  auto c = basic();
  change(c);
  auto r = check_stream_create(c, rules);
  EXPECT_TRUE(std::holds_alternative<StreamConfig>(r)) << std::get<ApiError>(r).description;
  return std::get<StreamConfig>(r);
}

TEST(StreamCheck, Defaults) {
  const auto c = created([](auto& s) {
    s.subjects.clear();
    s.max_msgs = 0;
    s.max_bytes = -7;
    s.num_replicas = 0;
    s.placement = Placement{};
  });
  EXPECT_EQ(c.subjects, std::vector<std::string>{"S"});
  EXPECT_EQ(c.max_msgs, -1);
  EXPECT_EQ(c.max_bytes, -1);
  EXPECT_EQ(c.num_replicas, 1);
  EXPECT_EQ(c.duplicate_window, 2 * kMinute);
  EXPECT_FALSE(c.placement);
  EXPECT_EQ(c.metadata.at("_nats.req.level"), "0");
  EXPECT_EQ(created([](auto& s) { s.max_age = kMinute; }).duplicate_window, kMinute);
  StreamRules rules;
  rules.max_duplicate_window = kSecond;
  EXPECT_EQ(created([](auto&) {}, rules).duplicate_window, kSecond);
}

TEST(StreamCheck, CheckingAgainChangesNothing) {
  const auto c = created([](auto& s) { s.max_age = kMinute; });
  auto again = check_stream_create(c, {});
  EXPECT_EQ(std::get<StreamConfig>(again), c);
}

TEST(StreamCheck, RefusesOnCreate) {
  const struct {
    Change change;
    std::string error;
  } kCases[] = {
      {[](auto& s) { s.name = "a.b"; },
       "10052 stream name is required and can not contain '.', '*', '>', '\\', '/'"},
      {[](auto& s) { s.name = ""; },
       "10052 stream name is required and can not contain '.', '*', '>', '\\', '/'"},
      {[](auto& s) { s.name = std::string(256, 'x'); },
       "10052 stream name is too long, maximum allowed is 255"},
      {[](auto& s) { s.description = std::string(4097, 'x'); },
       "10052 stream description is too long, maximum allowed is 4096"},
      {[](auto& s) { s.metadata["a"] = std::string(131072, 'x'); },
       "10052 stream metadata exceeds maximum size of 131072 bytes"},
      {[](auto& s) { s.num_replicas = 6; }, "10052 maximum replicas is 5"},
      {[](auto& s) { s.num_replicas = 3; }, "10074 replicas > 1 not supported in non-clustered mode"},
      {[](auto& s) { s.num_replicas = -1; }, "10133 replicas count cannot be negative"},
      {[](auto& s) { s.max_age = -1; }, "10052 max age can not be negative"},
      {[](auto& s) { s.max_age = 5; }, "10052 max age needs to be >= 100ms"},
      {[](auto& s) { s.duplicate_window = -1; }, "10052 duplicates window can not be negative"},
      {[](auto& s) { s.duplicate_window = 1; }, "10052 duplicates window needs to be >= 100ms"},
      {[](auto& s) {
         s.max_age = kSecond;
         s.duplicate_window = kMinute;
       },
       "10052 duplicates window can not be larger then max age"},
      {[](auto& s) { s.deny_purge = s.allow_rollup_hdrs = true; },
       "10052 roll-ups require the purge permission"},
      {[](auto& s) { s.discard_new_per_subject = true; },
       "10052 discard new per subject requires discard new policy to be set"},
      {[](auto& s) {
         s.discard_new_per_subject = true;
         s.discard = Discard::kNew;
       },
       "10052 discard new per subject requires max msgs per subject > 0"},
      {[](auto& s) { s.sealed = true; }, "10052 stream configuration for create can not be sealed"},
      {[](auto& s) { s.subjects = {"a..b"}; }, "10052 invalid subject"},
      {[](auto& s) {
         s.subjects = {"a.*", "a.b"};
       },
       "10052 subject \"a.*\" overlaps with \"a.b\""},
      {[](auto& s) { s.subjects = {">"}; }, "10052 capturing all subjects requires no-ack to be true"},
      {[](auto& s) { s.subjects = {"$JS.>"}; },
       "10052 subjects that overlap with jetstream api require no-ack to be true"},
      {[](auto& s) { s.subjects = {"$SYS.>"}; },
       "10052 subjects that overlap with system api require no-ack to be true"},
      {[](auto& s) {
         s.placement = Placement{"", {}, "n1"};
       },
       "10052 preferred server not permitted in placement"},
      {[](auto& s) { s.mirror.emplace().name = "O"; }, "10034 stream mirrors can not contain subjects"},
  };
  for (const auto& test : kCases) EXPECT_EQ(create_error(test.change), test.error);
}

TEST(StreamCheck, NamesTheFirstOfManySubjectsThatOverlap) {
  std::vector<std::string> subjects;
  for (int i = 0; i < 100'000; ++i) subjects.push_back("z.*.f" + std::to_string(i));
  EXPECT_EQ(create_error([&](auto& s) { s.subjects = subjects; }), "");
  subjects.insert(subjects.begin() + 10, "z.x.f7");
  subjects.emplace_back("z.y.f3");
  EXPECT_EQ(create_error([&](auto& s) { s.subjects = subjects; }),
            "10052 subject \"z.*.f3\" overlaps with \"z.y.f3\"");
  subjects[2] = "a..b";
  EXPECT_EQ(create_error([&](auto& s) { s.subjects = subjects; }), "10052 invalid subject");
  subjects[2] = "$SYS.x";
  EXPECT_EQ(create_error([&](auto& s) { s.subjects = subjects; }),
            "10052 subjects that overlap with system api require no-ack to be true");
}

TEST(StreamCheck, AllowsOnCreate) {
  created([](auto& s) { s.subjects = {"$JS.EVENT.>"}; });
  created([](auto& s) { s.subjects = {"$SYS.ACCOUNT.>"}; });
  created([](auto& s) {
    s.subjects = {">"};
    s.no_ack = true;
  });
  StreamRules clustered;
  clustered.clustered = true;
  EXPECT_EQ(created([](auto& s) { s.num_replicas = 5; }, clustered).num_replicas, 5);
}

TEST(StreamCheck, PedanticRefusesCorrections) {
  StreamRules rules;
  rules.pedantic = true;
  EXPECT_EQ(create_error([](auto& s) { s.max_msgs = -5; }, rules),
            "10157 pedantic mode: max_msgs must be set to -1");
  EXPECT_EQ(create_error([](auto& s) { s.max_age = kMinute; }, rules),
            "10157 pedantic mode: duplicate window cannot be bigger than max age");
  EXPECT_EQ(create_error([](auto& s) { s.max_msgs = 0; }, rules), "");
}

TEST(StreamCheck, AccountLimits) {
  StreamRules rules;
  rules.max_bytes_required = true;
  EXPECT_EQ(create_error([](auto&) {}, rules),
            "10113 account requires a stream config to have max bytes set");
  rules.max_stream_bytes = 10;
  EXPECT_EQ(create_error([](auto& s) { s.max_bytes = 11; }, rules),
            "10122 stream max bytes exceeds account limit max stream bytes");
  EXPECT_EQ(create_error([](auto& s) { s.max_bytes = 10; }, rules), "");
}

TEST(StreamCheck, WhatIsNotThereYetIsRefusedNotIgnored) {
  const Change kUnsupported[] = {
      [](auto& s) {
        s.subjects.clear();
        s.mirror.emplace().name = "O";
      },
      [](auto& s) { s.sources.emplace_back().name = "O"; },
      [](auto& s) { s.compression = Compression::kS2; },
      [](auto& s) {
        s.republish = Republish{"a", "b", false};
      },
      [](auto& s) {
        s.subject_transform = SubjectTransform{"a", "b"};
      },
      [](auto& s) { s.subject_delete_marker_ttl = kSecond; },
      [](auto& s) { s.allow_msg_counter = true; },
      [](auto& s) { s.allow_atomic = true; },
      [](auto& s) { s.allow_batched = true; },
      [](auto& s) { s.allow_msg_schedules = true; },
      [](auto& s) { s.persist_mode = PersistMode::kAsync; },
  };
  for (const auto& change : kUnsupported) {
    const auto error = create_error(change);
    EXPECT_NE(error.find("is not supported by this server"), std::string::npos) << error;
  }
  EXPECT_FALSE(unsupported_reason(basic()));
}

TEST(StreamCheck, QueuesInterestAndPlacementAreTaken) {
  EXPECT_EQ(create_error([](auto& s) { s.retention = Retention::kWorkQueue; }), "");
  EXPECT_EQ(create_error([](auto& s) { s.retention = Retention::kInterest; }), "");
  EXPECT_EQ(create_error([](auto& s) { s.consumer_limits = {kSecond, 10}; }), "");
  EXPECT_EQ(create_error([](auto& s) {
              s.placement = Placement{"c", {"tag"}, ""};
            }),
            "")
      << "one node ignores it, as nats-server does";
}

TEST(StreamCheck, Republish) {
  const auto error = [](const char* src, const char* dest) {
    return create_error([&](auto& s) {
      s.subjects = {"a.>"};
      s.republish = Republish{src, dest, false};
    });
  };
  const std::string cycle = "10052 stream configuration for republish destination forms a cycle";
  EXPECT_EQ(error(">", "a.>"), cycle);
  EXPECT_EQ(error("a.>", "a.b.>"), cycle);
  EXPECT_EQ(error(">", ">"), cycle);
  EXPECT_EQ(error("a.*", "a.$1"), cycle);
  EXPECT_EQ(error("a.*", "{{wildcard(1)}}.b"), cycle);
  EXPECT_EQ(error("a.>", "rp.$2"),
            "10052 stream configuration for republish with transform from 'a.>' to 'rp.$2' not valid");
  EXPECT_EQ(error("a.>", "x..y"),
            "10052 stream configuration for republish with transform from 'a.>' to 'x..y' not valid");
}

TEST(StreamCheck, ConsumersBeyondNewLimits) {
  const auto consumer = [](const std::string& name, std::int64_t pending, Nanos threshold) {
    ConsumerConfig c;
    c.name = name;
    c.max_ack_pending = pending;
    c.inactive_threshold = threshold;
    return c;
  };
  const auto c5 = consumer("c5", 10, 0), c1 = consumer("c1", 10, 5 * kSecond), open = consumer("c3", -1, 0);
  const auto error = [&](ConsumerLimits limits) {
    const auto e = check_consumer_limits(limits, {&c5, &c1, &open});
    return e ? std::to_string(static_cast<int>(e->err_code)) + " " + e->description : "";
  };
  EXPECT_EQ(error({0, 5}), "10069 change to limits violates consumers: c1, c5");
  EXPECT_EQ(error({kSecond, 0}), "10069 change to limits violates consumers: c1");
  EXPECT_EQ(error({5 * kSecond, 10}), "");
  EXPECT_EQ(error({0, -1}), "");
  EXPECT_FALSE(check_consumer_limits({1, 1}, {}));
}

TEST(StreamCheck, Updates) {
  const auto old = created([](auto& s) { s.deny_delete = true; });
  const auto update = [&](const Change& change) {
    auto c = old;
    change(c);
    auto r = check_stream_update(old, c, {});
    const auto* e = std::get_if<ApiError>(&r);
    return e ? e->description : std::string();
  };
  EXPECT_EQ(update([](auto& s) { s.max_msgs = 5; }), "");
  EXPECT_EQ(update([](auto& s) { s.name = "T"; }), "stream configuration name must match original");
  EXPECT_EQ(update([](auto& s) { s.storage = Storage::kMemory; }),
            "stream configuration update can not change storage type");
  EXPECT_EQ(update([](auto& s) { s.retention = Retention::kWorkQueue; }),
            "stream configuration update can not change retention policy to/from workqueue");
  EXPECT_EQ(update([](auto& s) { s.deny_delete = false; }),
            "stream configuration update can not cancel deny message deletes");

  auto sealed = old;
  sealed.sealed = true;
  sealed.max_age = kHour;
  auto r = std::get<StreamConfig>(check_stream_update(old, sealed, {}));
  EXPECT_EQ(r.max_age, 0);
  EXPECT_EQ(r.discard, Discard::kNew);
  EXPECT_TRUE(r.deny_purge && r.deny_delete);
  auto unsealed = check_stream_update(r, old, {});
  EXPECT_TRUE(std::holds_alternative<ApiError>(unsealed));
}

TEST(StreamCheck, OverlapWithOthers) {
  auto other = basic();
  other.name = "T";
  EXPECT_EQ(check_subject_overlap(basic(), {&other})->err_code, ErrCode::kStreamSubjectOverlap);
  other.subjects = {"t.>"};
  EXPECT_FALSE(check_subject_overlap(basic(), {&other}));
  const auto self = basic();
  EXPECT_FALSE(check_subject_overlap(basic(), {&self}));
}

TEST(StreamCheck, NameOfSubjectAndBody) {
  EXPECT_FALSE(check_stream_name("S", "S"));
  EXPECT_EQ(check_stream_name("S", "T")->err_code, ErrCode::kStreamMismatch);
  EXPECT_EQ(check_stream_name("a/b", "a/b")->err_code, ErrCode::kStreamNameContainsPathSeparators);
  for (const char* bad : {"", "a b", "a.b", "*", ">", "a/b", "a\\b", "a\tb", "a\x7f"}) {
    EXPECT_FALSE(asset_name_valid(bad)) << bad;
  }
  EXPECT_TRUE(asset_name_valid("ORDERS-1_é"));
}

}  // namespace
}  // namespace weir::api
